"""The trust list: who may sign what, encrypt to whom, within which limits (protocol 10.1, 10.2).

Decides what a *verified* payload means: keys with roles, suite and algorithm; encryption certificates; host keys;
thresholds; revocations; CRLs. Verification of the envelope and the step from one version to the next are `update`'s.

Roles are `verb:…` strings matched segment by segment; `*` in the list matches any one segment, so the ministry's
`sign:dn:case:*` serves every province. Verbs: `sign`, `receipt` (`<dir>:<stream>:<party>`), `head`, `control`,
`checkpoint`, `grant`, `dr`, `trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from cryptography import x509

from hub.batch import strictjson, wire
from hub.batch.limits import Limits
from hub.trust.chain import MALFORMED, CrlSet
from hub.trust.keys import SUITE_I1, cert_keyid, is_strong, keyid_of_spki
from hub.verdict import refused

ROLE_TRUST = "trust"
ROLE_GRANT = "grant"
ROLE_DR = "dr"
VALIDITY = timedelta(days=30)
GRACE = timedelta(days=7)
_SUITE_RANK = {"I1": 1, "G1": 2, "dual": 3}


class Freshness(StrEnum):
    """Age of a trust list (protocol 10.1): `EXPIRED` holds everything."""

    FRESH = "fresh"
    GRACE = "grace"
    EXPIRED = "expired"


@dataclass(frozen=True)
class TrustedKey:
    """A pinned signing key. `spki`: DER; window in aware UTC; `party`: whose it is."""

    party: str
    keyid: str
    spki: bytes = field(repr=False)
    algorithm: str
    suite: str
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def may(self, role: str) -> bool:
        """True when one of its roles covers `role`."""
        return any(role_covers(granted, role) for granted in self.roles)


@dataclass(frozen=True)
class EncryptionCert:
    """A certificate to encrypt to; `keyid` is the `enc_key` of a manifest's recipients."""

    party: str
    keyid: str
    cert: x509.Certificate = field(repr=False)
    suite: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class LogKey:
    """Key that signs a party's audit checkpoints."""

    keyid: str
    spki: bytes = field(repr=False)
    origin: str


@dataclass(frozen=True)
class Member:
    """What the list holds about one party (`moe`, `moe-dr`, or a province code)."""

    party: str
    min_suite: str
    min_protocol: int
    sign: tuple[TrustedKey, ...]
    encrypt: tuple[EncryptionCert, ...]
    ssh_user_ca: tuple[str, ...]
    ssh_host_keys: tuple[str, ...]
    log_keys: tuple[LogKey, ...]


@dataclass(frozen=True)
class Revocation:
    """A key that counts no more from `since` on (protocol 10.6)."""

    keyid: str
    since: datetime
    reason: str


@dataclass(frozen=True)
class TrustList:
    """One version, parsed from verified bytes. Immutable; `digest` is over the payload."""

    version: int
    issued: datetime
    expires: datetime
    suites: tuple[str, ...]
    thresholds: Mapping[str, int]
    anchors: tuple[x509.Certificate, ...] = field(repr=False)
    crls: CrlSet = field(repr=False)
    members: Mapping[str, Member] = field(repr=False)
    revoked: Mapping[str, Revocation]
    limits: Limits
    digest: str
    keys: Mapping[str, TrustedKey] = field(repr=False)

    def key(self, keyid: str) -> TrustedKey | None:
        """The pinned signing key of that id, or None."""
        return self.keys.get(keyid)

    def member(self, party: str) -> Member:
        """What is held about a party; E_ROLE when it is not listed."""
        member = self.members.get(party)
        if member is None:
            raise refused("E_ROLE", f"信任清单第 {self.version} 版中没有 {party}")
        return member

    def freshness(self, at: datetime) -> Freshness:
        """Fresh until `expires`, then seven days' grace with an alarm, then everything is HELD."""
        if at <= self.expires:
            return Freshness.FRESH
        return Freshness.GRACE if at <= self.expires + GRACE else Freshness.EXPIRED

    def encryption_certs(self, party: str, at: datetime) -> tuple[EncryptionCert, ...]:
        """Certificates of a party valid at `at` and not revoked, newest first."""
        member = self.members.get(party)
        valid = [
            entry
            for entry in (member.encrypt if member else ())
            if entry.not_before <= at <= entry.not_after and not self.is_revoked(entry.keyid, at)
        ]
        return tuple(sorted(valid, key=lambda entry: (entry.not_before, entry.keyid), reverse=True))

    def newest_encryption_cert(self, party: str, at: datetime) -> EncryptionCert:
        """The certificate senders use (protocol 10.5); E_RECIPIENT when there is none."""
        certs = self.encryption_certs(party, at)
        if not certs:
            raise refused("E_RECIPIENT", f"信任清单第 {self.version} 版中没有 {party} 的有效加密证书")
        return certs[0]

    def is_revoked(self, keyid: str, at: datetime) -> bool:
        """True when the list itself revokes the key at that time."""
        entry = self.revoked.get(keyid)
        return entry is not None and entry.since <= at

    def require_suite(self, party: str, suite: str, *, where: str = "") -> None:
        """E_SUITE when a suite is not allowed, or below the party's minimum: never silently downgraded (12.1)."""
        wanted = ("I1", "G1") if suite == "dual" else (suite,)
        if not set(wanted) <= set(self.suites):
            raise refused("E_SUITE", f"套件 {suite} 不在允许之列", where=where)
        minimum = self.member(party).min_suite
        if _SUITE_RANK[suite] < _SUITE_RANK[minimum]:
            raise refused("E_SUITE", f"套件 {suite} 低于 {party} 规定的最低套件 {minimum}", where=where)
        if suite != SUITE_I1:
            raise refused("E_SUITE", f"本节点没有启用套件 {suite} 的密码模块", where=where)


def role_covers(granted: str, role: str) -> bool:
    """`sign:dn:case:*` covers `sign:dn:case:13`; the number of segments must agree."""
    have, want = granted.split(":"), role.split(":")
    return len(have) == len(want) and all(h in ("*", w) for h, w in zip(have, want, strict=True))


def parse_trust_list(payload: bytes) -> TrustList:
    """Trust list from the payload bytes of a verified envelope.

    Malformed content is E_ENV_JSON; a CRL that its CA did not sign, E_CHAIN; a weak encryption key, E_RECIPIENT.
    """
    where = "trust-list"
    data = strictjson.parse_object(payload, where=where)
    wire.check_version(data, where=where)
    wire.check_shape("trust-list", data, where=where)
    where = f"trust-list-{data['version']:06d}"
    anchors = tuple(_certificate(text, where) for text in data["anchors"])
    members = {entry["party"]: _member(entry, where) for entry in data["parties"]}
    keys = {key.keyid: key for member in members.values() for key in member.sign}
    revoked = {
        entry["keyid"]: Revocation(entry["keyid"], wire.read_utc(entry["compromised_since"]), entry["reason"])
        for entry in data["revoked"]
    }
    result = TrustList(
        version=data["version"],
        issued=wire.read_utc(data["issued"], where=where),
        expires=wire.read_utc(data["expires"], where=where),
        suites=tuple(data["suites"]),
        thresholds=MappingProxyType({name: data["thresholds"][name] for name in data["thresholds"]}),
        anchors=anchors,
        crls=CrlSet().offer_all((wire.read_base64(text, where=where) for text in data["crls"]), anchors),
        members=MappingProxyType(members),
        revoked=MappingProxyType(revoked),
        limits=Limits.from_wire(data["limits"]),
        digest=wire.digest_of(payload),
        keys=MappingProxyType(keys),
    )
    _check_consistent(result, data, where)
    return result


def _check_consistent(result: TrustList, data: dict[str, Any], where: str) -> None:
    """What a schema cannot say: each party, key and revocation once; at most 30 days valid."""
    if len(result.members) != len(data["parties"]) or len(result.revoked) != len(data["revoked"]):
        raise refused("E_ENV_JSON", "同一参与方或吊销条目重复", where=where)
    if len(result.keys) != sum(len(entry["sign"]) for entry in data["parties"]):
        raise refused("E_ENV_JSON", "同一签名密钥登记了两次", where=where)
    if not timedelta(0) < result.expires - result.issued <= VALIDITY:
        raise refused("E_ENV_JSON", f"有效期不得超过 {VALIDITY.days} 天", where=where)


def _member(entry: dict[str, Any], where: str) -> Member:
    party = entry["party"]
    return Member(
        party=party,
        min_suite=entry["min_suite"],
        min_protocol=entry["min_protocol"],
        sign=tuple(_trusted_key(party, key, where) for key in entry["sign"]),
        encrypt=tuple(_encryption_cert(party, cert, where) for cert in entry["encrypt"]),
        ssh_user_ca=tuple(entry["ssh"]["user_ca"]),
        ssh_host_keys=tuple(entry["ssh"]["host_keys"]),
        log_keys=tuple(_log_key(key, where) for key in entry["log_keys"]),
    )


def _trusted_key(party: str, entry: dict[str, Any], where: str) -> TrustedKey:
    return TrustedKey(
        party=party,
        keyid=entry["keyid"],
        spki=_spki(entry, where),
        algorithm=entry["alg"],
        suite=entry["suite"],
        roles=tuple(entry["roles"]),
        not_before=wire.read_utc(entry["not_before"], where=where),
        not_after=wire.read_utc(entry["not_after"], where=where),
    )


def _encryption_cert(party: str, entry: dict[str, Any], where: str) -> EncryptionCert:
    cert = _certificate(entry["cert"], where)
    if not is_strong(cert.public_key()):
        raise refused("E_RECIPIENT", f"{party} 的加密证书密钥类型或长度不合规定", where=where)
    if cert_keyid(cert) != entry["keyid"]:
        raise refused("E_ENV_JSON", f"{party} 的加密证书与登记的密钥号不符", where=where)
    return EncryptionCert(
        party=party,
        keyid=entry["keyid"],
        cert=cert,
        suite=entry["suite"],
        not_before=wire.read_utc(entry["not_before"], where=where),
        not_after=wire.read_utc(entry["not_after"], where=where),
    )


def _log_key(entry: dict[str, Any], where: str) -> LogKey:
    return LogKey(keyid=entry["keyid"], spki=_spki(entry, where), origin=entry["origin"])


def _spki(entry: dict[str, Any], where: str) -> bytes:
    spki = wire.read_base64(entry["spki"], where=where)
    if keyid_of_spki(spki) != entry["keyid"]:
        raise refused("E_ENV_JSON", "公钥与登记的密钥号不符", where=where)
    return spki


def _certificate(text: str, where: str) -> x509.Certificate:
    try:
        cert = x509.load_der_x509_certificate(wire.read_base64(text, where=where))
        cert.public_key()
    except MALFORMED:
        raise refused("E_ENV_JSON", "证书无法解析", where=where) from None
    return cert
