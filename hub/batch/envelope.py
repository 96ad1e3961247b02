"""DSSE envelopes: build, and verify in the order of protocol 4.2.

Decides whether an envelope's signatures make its payload trustworthy for one payload type and one role at one time,
and hands back exactly the bytes verified (protocol 4.1). What the payload says is read by its own module; who may be
meant by a name is `layout`'s.

Rules: the key id is a hint, algorithm and key come from the trust list; for types one party signs, every signature
present must hold; for threshold types (trust list, epoch grant, DR statement) those that fail are not counted and
distinct keys are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography import x509

from hub.batch import strictjson, wire
from hub.errors import RefusedError
from hub.trust.chain import CRL_GRACE, MALFORMED, CrlSet, check_chain, check_revocation
from hub.trust.keys import ALGORITHMS, Signer, cert_spki, signature_holds
from hub.trust.trust_list import TrustedKey, TrustList
from hub.verdict import refused

_KIB = 1024
_MAX_SIGNATURES = 8


class PayloadType(StrEnum):
    """Payload types of protocol 3.1; the value is the DSSE `payloadType`."""

    BATCH_MANIFEST = "application/vnd.eduexch.batch-manifest.v1+json"
    RECEIPT = "application/vnd.eduexch.receipt.v1+json"
    STREAM_HEAD = "application/vnd.eduexch.stream-head.v1+json"
    CONTROL = "application/vnd.eduexch.control.v1+json"
    CHECKPOINT = "application/vnd.eduexch.checkpoint.v1+json"
    EPOCH_GRANT = "application/vnd.eduexch.epoch-grant.v1+json"
    DR_STATEMENT = "application/vnd.eduexch.dr-statement.v1+json"
    TRUST_LIST = "application/vnd.eduexch.trust-list.v1+json"

    @property
    def cap(self) -> int:
        """Largest envelope in bytes."""
        return {PayloadType.STREAM_HEAD: 16 * _KIB, PayloadType.TRUST_LIST: 512 * _KIB}.get(self, 256 * _KIB)

    @property
    def by_threshold(self) -> bool:
        """True for what two of three ministry keys sign."""
        return self in (PayloadType.EPOCH_GRANT, PayloadType.DR_STATEMENT, PayloadType.TRUST_LIST)


@dataclass(frozen=True)
class Signature:
    """One entry as parsed: `cert` is PEM, leaf first."""

    keyid: str
    sig: bytes
    cert: str


@dataclass(frozen=True)
class Envelope:
    """A parsed, *unverified* envelope."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Verified:
    """Payload bytes exactly as signed, and the distinct keys whose signatures hold."""

    payload_type: PayloadType
    payload: bytes
    signers: tuple[TrustedKey, ...]

    @property
    def digest(self) -> str:
        """`sha256:` digest of the payload (protocol 3.5)."""
        return wire.digest_of(self.payload)

    @property
    def signer(self) -> TrustedKey:
        """The first (for single-signer types, the only kind of) signer."""
        return self.signers[0]


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: `DSSEv1 <len> <type> <len> <payload>`, lengths in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def build(payload_type: PayloadType, payload: bytes, signers: Sequence[Signer], *, where: str = "") -> bytes:
    """Sign `payload` with every signer; canonical JSON bytes. E_ENV_SIZE when the result passes the cap."""
    if not 0 < len(signers) <= _MAX_SIGNATURES:
        raise RuntimeError("an envelope has 1 to 8 signatures")
    message = pae(payload_type, payload)
    signatures = [
        {"keyid": signer.keyid, "sig": wire.write_base64(signer.sign(message)), "cert": signer.cert_pem}
        for signer in signers
    ]
    data = strictjson.emit(
        {"payloadType": str(payload_type), "payload": wire.write_base64(payload), "signatures": signatures}
    )
    _check_size(data, payload_type, where)
    return data


def countersign(
    envelope: bytes | None, payload_type: PayloadType, payload: bytes, signer: Signer, *, where: str = ""
) -> bytes:
    """The envelope with one signature more; `envelope` None begins one. For keys that never meet (protocol 3.1).

    Raises E_SIG when the envelope carries another payload or a signature of this key already.
    """
    made = build(payload_type, payload, [signer], where=where)
    if envelope is None:
        return made
    before = parse(envelope, payload_type, where=where)
    if before.payload != payload or signer.keyid in {entry.keyid for entry in before.signatures}:
        raise refused("E_SIG", "信封里是另一份内容，或这把密钥已经签过", where=where)
    value = strictjson.parse_object(envelope, where=where)
    value["signatures"] = [*value["signatures"], *strictjson.parse_object(made, where=where)["signatures"]]
    data = strictjson.emit(value)
    _check_size(data, payload_type, where)
    return data


def parse(data: bytes, payload_type: PayloadType, *, where: str = "") -> Envelope:
    """Checks 1 to 3 of protocol 4.2; the payload is bytes, not yet believed."""
    _check_size(data, payload_type, where)
    value = strictjson.parse_object(data, where=where)
    wire.check_shape("envelope", value, where=where)
    if value["payloadType"] != payload_type:
        raise refused("E_TYPE", f"应为 {payload_type}", where=where)
    payload = wire.read_base64(value["payload"], where=where)
    return Envelope(value["payloadType"], payload, tuple(_entry(item, where) for item in value["signatures"]))


def verify(
    data: bytes,
    *,
    payload_type: PayloadType,
    trust: TrustList,
    role: str,
    at: datetime,
    crls: CrlSet | None = None,
    crl_grace: timedelta | None = CRL_GRACE,
    where: str = "",
) -> Verified:
    """All nine checks of protocol 4.2, in that order; raises RefusedError with their codes.

    `role`: what the signer must be allowed to do (from the file name and the uploading user, never from the payload);
    `at`: time of receipt, aware UTC; `crls`: newer than the list's own, if fetched; `where`: file name for messages.
    """
    envelope = parse(data, payload_type, where=where)
    context = _Context(trust, role, at, crls or trust.crls, crl_grace, where)
    message = pae(envelope.payload_type, envelope.payload)
    if not payload_type.by_threshold:
        signers = [_verify_one(entry, message, context) for entry in envelope.signatures]
        return Verified(payload_type, envelope.payload, _distinct(signers))
    return _verify_threshold(envelope, message, payload_type, context)


@dataclass(frozen=True)
class _Context:
    trust: TrustList
    role: str
    at: datetime
    crls: CrlSet
    crl_grace: timedelta | None
    where: str


def _verify_threshold(envelope: Envelope, message: bytes, payload_type: PayloadType, context: _Context) -> Verified:
    threshold = context.trust.thresholds[payload_type.split(".")[2]]
    good: list[TrustedKey] = []
    failures: list[RefusedError] = []
    for entry in envelope.signatures:
        try:
            good.append(_verify_one(entry, message, context))
        except RefusedError as failure:
            failures.append(failure)
    signers = _distinct(good)
    if len(signers) >= threshold:
        return Verified(payload_type, envelope.payload, signers)
    if not signers and failures:
        raise failures[0]
    raise refused("E_SIG", f"需要 {threshold} 个不同密钥的签名，实有 {len(signers)} 个", where=context.where)


def _verify_one(entry: Signature, message: bytes, context: _Context) -> TrustedKey:
    """Checks 4 to 8 for one signature."""
    trust, where = context.trust, context.where
    key = trust.key(entry.keyid)
    if key is None:
        raise refused("E_KEY_UNKNOWN", f"密钥号 {entry.keyid[:23]}…", where=where)
    if key.suite not in trust.suites or key.algorithm not in ALGORITHMS:
        raise refused("E_SUITE", f"密钥登记的套件为 {key.suite}", where=where)
    certificates = _certificates(entry.cert, where)
    if _spki_or_none(certificates[0]) != key.spki:
        raise refused("E_SIG", "证书中的公钥与信任清单登记的不同", where=where)
    if not signature_holds(key.algorithm, key.spki, entry.sig, message):
        raise refused("E_SIG", where=where)
    _check_standing(key, certificates, context)
    if not key.may(context.role):
        raise refused("E_ROLE", f"{key.party} 的密钥没有 {context.role} 的权限", where=where)
    return key


def _check_standing(key: TrustedKey, certificates: list[x509.Certificate], context: _Context) -> None:
    """Check 7: pin window and chain (E_CHAIN), then CRL and list revocation (E_KEY_REVOKED)."""
    if not key.not_before <= context.at <= key.not_after:
        raise refused("E_CHAIN", "密钥不在信任清单登记的有效期内", where=context.where)
    try:
        chain = check_chain(certificates[0], certificates[1:], anchors=context.trust.anchors, at=context.at)
        check_revocation(chain, context.crls, at=context.at, grace=context.crl_grace)
    except RefusedError as failure:
        raise RefusedError(failure.code, failure.what, where=context.where, step=failure.step) from None
    if context.trust.is_revoked(key.keyid, context.at):
        raise refused("E_KEY_REVOKED", "信任清单已吊销该密钥", where=context.where)


def _distinct(keys: list[TrustedKey]) -> tuple[TrustedKey, ...]:
    return tuple({key.keyid: key for key in keys}.values())


def _check_size(data: bytes, payload_type: PayloadType, where: str) -> None:
    if len(data) > payload_type.cap:
        raise refused("E_ENV_SIZE", f"{len(data)} 字节，上限 {payload_type.cap} 字节", where=where)


def _entry(item: dict[str, Any], where: str) -> Signature:
    return Signature(item["keyid"], wire.read_base64(item["sig"], where=where), item["cert"])


def _certificates(pem: str, where: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode("utf-8"))
    except MALFORMED:
        raise refused("E_CHAIN", "信封中的证书无法解析", where=where) from None


def _spki_or_none(cert: x509.Certificate) -> bytes | None:
    try:
        return cert_spki(cert)
    except MALFORMED:
        return None
