"""Building trust lists: from keys and certificates to signed bytes (protocol 10.1, 10.2).

Decides the wire form; who belongs on the list is the ministry's decision, in arguments. Signing needs the offline
ministry keys; the built list is parsed again before it is signed, so that nothing leaves that receivers would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType
from hub.batch.envelope import build as build_envelope
from hub.batch.limits import Limits
from hub.trust.keys import (
    SUITE_I1,
    PublicKey,
    Signer,
    algorithm_of,
    cert_keyid,
    cert_spki,
    keyid_of,
    keyid_of_spki,
    spki_der,
)
from hub.trust.trust_list import VALIDITY, Revocation, TrustList, parse_trust_list

DEFAULT_THRESHOLDS: Mapping[str, int] = {"trust-list": 2, "epoch-grant": 2, "dr-statement": 2}


@dataclass(frozen=True)
class SignEntry:
    """A signing certificate to pin, with its roles; window: the certificate's unless given."""

    cert: x509.Certificate
    roles: Sequence[str]
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True)
class MemberEntry:
    """One party of the list: certificates as objects, SSH keys as OpenSSH public key lines."""

    party: str
    sign: Sequence[SignEntry] = ()
    encrypt: Sequence[x509.Certificate] = ()
    ssh_user_ca: Sequence[str] = ()
    ssh_host_keys: Sequence[str] = ()
    log_keys: Sequence[tuple[PublicKey, str]] = ()
    min_suite: str = SUITE_I1
    min_protocol: int = 1


@dataclass(frozen=True)
class TrustDraft:
    """Everything a version says, apart from number and dates. `crls`: DER."""

    members: Sequence[MemberEntry]
    anchors: Sequence[x509.Certificate]
    crls: Sequence[bytes]
    revoked: Sequence[Revocation] = ()
    limits: Limits = field(default_factory=Limits)
    suites: Sequence[str] = (SUITE_I1,)
    thresholds: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_THRESHOLDS))


def trust_list_payload(draft: TrustDraft, *, version: int, issued: datetime, expires: datetime | None = None) -> bytes:
    """Canonical payload bytes; `expires` defaults to 30 days after `issued`."""
    data = {
        "v": 1,
        "version": version,
        "issued": wire.write_utc(issued),
        "expires": wire.write_utc(expires or issued + VALIDITY),
        "suites": list(draft.suites),
        "thresholds": dict(draft.thresholds),
        "anchors": [_der(cert) for cert in draft.anchors],
        "crls": [wire.write_base64(crl) for crl in draft.crls],
        "parties": [member_payload(member) for member in draft.members],
        "revoked": [
            {"keyid": entry.keyid, "compromised_since": wire.write_utc(entry.since), "reason": entry.reason}
            for entry in draft.revoked
        ],
        "limits": draft.limits.to_wire(),
    }
    return strictjson.emit(data)


def build_trust_list(
    draft: TrustDraft, signers: Sequence[Signer], *, version: int, issued: datetime, expires: datetime | None = None
) -> tuple[bytes, TrustList]:
    """Signed envelope bytes and the parsed list. `signers`: at least two of the offline ministry keys."""
    payload = trust_list_payload(draft, version=version, issued=issued, expires=expires)
    parsed = parse_trust_list(payload)
    return build_envelope(PayloadType.TRUST_LIST, payload, signers, where=f"trust-list-{version:06d}"), parsed


def member_payload(member: MemberEntry) -> dict[str, Any]:
    """A party as the list says it."""
    return {
        "party": member.party,
        "min_suite": member.min_suite,
        "min_protocol": member.min_protocol,
        "sign": [_sign(entry) for entry in member.sign],
        "encrypt": [_encrypt(cert) for cert in member.encrypt],
        "ssh": {"user_ca": list(member.ssh_user_ca), "host_keys": list(member.ssh_host_keys)},
        "log_keys": [
            {"keyid": keyid_of(key), "spki": wire.write_base64(spki_der(key)), "origin": origin}
            for key, origin in member.log_keys
        ],
    }


def _sign(entry: SignEntry) -> dict[str, Any]:
    key = entry.cert.public_key()
    spki = cert_spki(entry.cert)
    return {
        "keyid": keyid_of_spki(spki),
        "spki": wire.write_base64(spki),
        "alg": algorithm_of(key),  # type: ignore[arg-type]
        "suite": SUITE_I1,
        "roles": list(entry.roles),
        "not_before": wire.write_utc(entry.not_before or entry.cert.not_valid_before_utc),
        "not_after": wire.write_utc(entry.not_after or entry.cert.not_valid_after_utc),
    }


def _encrypt(cert: x509.Certificate) -> dict[str, Any]:
    return {
        "keyid": cert_keyid(cert),
        "cert": _der(cert),
        "suite": SUITE_I1,
        "not_before": wire.write_utc(cert.not_valid_before_utc),
        "not_after": wire.write_utc(cert.not_valid_after_utc),
    }


def _der(cert: x509.Certificate) -> str:
    return wire.write_base64(cert.public_bytes(serialization.Encoding.DER))
