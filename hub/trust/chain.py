"""Certificate chains and revocation lists (protocol 4.4, 4.2 #7).

Decides whether a signing certificate leads to an anchor of the trust list at a given time and was not revoked then.
`cryptography.x509.verification` builds the chain; it knows no CRLs and accepts weak keys, so key type and size of
every certificate and the whole of revocation are checked here.

Rules for CRLs: signed by the CA they speak for; CRLNumber never goes down; one per CA must be at hand; after
`next_update` it still counts for the grace (72 h), then nothing is accepted; a serial revoked at or before the time
judged is E_KEY_REVOKED, however old the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from hub.trust.keys import cert_keyid, is_strong
from hub.verdict import refused

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
CRL_GRACE = timedelta(hours=72)
MAX_CHAIN = 4  # leaf, at most two intermediates, anchor
# What `cryptography` may raise over a certificate or CRL somebody made up; not all of it is a ValueError.
MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
_KNOWN_CRL_EXTENSIONS = (x509.CRLNumber, x509.AuthorityKeyIdentifier)


@dataclass(frozen=True)
class Crl:
    """A verified revocation list: its CA (key id), number, window (aware UTC) and serial -> revocation date."""

    issuer_keyid: str
    number: int
    this_update: datetime
    next_update: datetime
    revoked: Mapping[int, datetime]
    der: bytes = field(repr=False)


@dataclass(frozen=True)
class CrlSet:
    """Newest verified CRL per CA key id. Frozen: `offer` gives a new set, so a refusal changes nothing."""

    by_issuer: Mapping[str, Crl] = field(default_factory=lambda: MappingProxyType({}))

    def offer(self, der: bytes, authorities: Sequence[x509.Certificate]) -> CrlSet:
        """Take a CRL in; E_CHAIN when malformed, foreign, or with a lower CRLNumber (rollback refused)."""
        crl = parse_crl(der, authorities)
        known = self.by_issuer.get(crl.issuer_keyid)
        if known is not None and crl.number < known.number:
            raise refused("E_CHAIN", f"吊销列表编号倒退：现用 {known.number}，收到 {crl.number}")
        if known is not None and crl.number == known.number and crl.der != known.der:
            raise refused("E_CHAIN", f"同一编号 {crl.number} 的吊销列表出现两种内容")
        return CrlSet(MappingProxyType({**self.by_issuer, crl.issuer_keyid: crl}))

    def offer_all(self, ders: Iterable[bytes], authorities: Sequence[x509.Certificate]) -> CrlSet:
        """`offer` one after the other; all or nothing."""
        result = self
        for der in ders:
            result = result.offer(der, authorities)
        return result


def parse_crl(der: bytes, authorities: Sequence[x509.Certificate]) -> Crl:
    """Parse and verify a DER CRL against the CAs that may speak; E_CHAIN when it does not hold."""
    try:
        crl = x509.load_der_x509_crl(der)
        issuer = _crl_issuer(crl, authorities)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for extension in crl.extensions:
            if extension.critical and not isinstance(extension.value, _KNOWN_CRL_EXTENSIONS):
                raise refused("E_CHAIN", "吊销列表含有不认识的关键扩展")
        next_update = crl.next_update_utc
        entries = {entry.serial_number: entry.revocation_date_utc for entry in crl}
    except MALFORMED:
        raise refused("E_CHAIN", "吊销列表无法解析或缺少编号") from None
    if next_update is None:
        raise refused("E_CHAIN", "吊销列表没有下次更新时间")
    return Crl(cert_keyid(issuer), number, crl.last_update_utc, next_update, MappingProxyType(entries), der)


def _crl_issuer(crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]) -> x509.Certificate:
    for cert in authorities:
        key = cert.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            continue
        if cert.subject == crl.issuer and _may_sign_crl(cert) and crl.is_signature_valid(key):
            return cert
    raise refused("E_CHAIN", "吊销列表不是由信任清单中的机构签发")


def _may_sign_crl(cert: x509.Certificate) -> bool:
    try:
        return cert.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return False


def check_chain(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    *,
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> list[x509.Certificate]:
    """Chain from the leaf to an anchor, valid at `at` (aware UTC), EKU document signing; else E_CHAIN."""
    if len(intermediates) > MAX_CHAIN - 2:
        raise refused("E_CHAIN", f"证书链超过 {MAX_CHAIN} 级")
    leaf_policy = ExtensionPolicy.permit_all().require_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_document_signing
    )
    verifier = (
        PolicyBuilder()
        .store(Store(list(anchors)))
        .time(at.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(MAX_CHAIN - 2)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf_policy)
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(leaf, list(intermediates)).chain
        if _is_authority(leaf):
            raise refused("E_CHAIN", "签名证书不得同时是签发机构证书")
    except (VerificationError, *MALFORMED):
        raise refused("E_CHAIN", "证书过期、用途不符或不是由信任清单中的机构签发") from None
    if len(chain) > MAX_CHAIN or not all(is_strong(cert.public_key()) for cert in chain):
        raise refused("E_CHAIN", "证书链过长，或其中的密钥类型、长度不合规定")
    return chain


def check_revocation(
    chain: Sequence[x509.Certificate], crls: CrlSet, *, at: datetime, grace: timedelta | None = CRL_GRACE
) -> None:
    """Every certificate below the anchor against its CA's CRL: E_KEY_REVOKED, or E_CHAIN when none is fresh enough.

    `grace` None: an outdated list is used however old (protocol 10.1, trust list updates after a long silence).
    """
    for cert, issuer in pairwise(chain):
        crl = crls.by_issuer.get(cert_keyid(issuer))
        if crl is None:
            raise refused("E_CHAIN", "没有签发机构的吊销列表")
        revoked_at = crl.revoked.get(cert.serial_number)
        if revoked_at is not None and revoked_at <= at:
            raise refused("E_KEY_REVOKED", f"证书已于 {revoked_at:%Y-%m-%d} 列入吊销列表")
        if grace is not None and at > crl.next_update + grace:
            raise refused("E_CHAIN", f"吊销列表已于 {crl.next_update:%Y-%m-%d %H:%M} UTC 过期并超过宽限期")


def crl_is_stale(crls: CrlSet, *, at: datetime) -> bool:
    """True when any list is past its `next_update`: it is used in grace, and this is the alarm (protocol 11.1)."""
    return any(at > crl.next_update for crl in crls.by_issuer.values())


def _is_authority(cert: x509.Certificate) -> bool:
    try:
        return cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _require_document_signing(_policy: object, _cert: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is None or DOCUMENT_SIGNING not in usage:
        raise ValueError("EKU document signing is missing")
