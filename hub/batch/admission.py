"""Admission of a manifest: what can be decided without stream state and without files (protocol 3.3, 4.2, 6.2).

Decides whether a signed manifest says what its name, its uploader, its signer's role and the trust list allow, and
which certificates a batch must be encrypted for. Every refusal here is about sealed bytes: shipping them again does
not help (`verdict_of(..., sealed_in=True)`).

The order is protocol 6.2: envelope and signature; version, shape, name; suite, recipients, declared sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hub.batch.envelope import PayloadType, verify
from hub.batch.layout import ESCROW, EVERYONE, NameKind, StreamId, parse_name
from hub.batch.limits import check_declared
from hub.batch.manifest import Manifest, Recipient, read_manifest
from hub.trust.chain import CrlSet
from hub.trust.trust_list import EncryptionCert, TrustedKey, TrustList
from hub.verdict import refused


@dataclass(frozen=True)
class VerifiedManifest:
    """A manifest that passed `authenticate`, with the exact bytes that were signed."""

    manifest: Manifest
    payload: bytes
    digest: str
    signer: TrustedKey


def authenticate(
    envelope: bytes,
    name: str,
    *,
    uploader: str,
    trust: TrustList,
    at: datetime,
    crls: CrlSet | None = None,
) -> VerifiedManifest:
    """What must hold before a batch is anybody's: envelope, signature, role, version, name, suite (7.3, first class).

    `name`: file name as found; `uploader`: party whose account or folder it came from (`moe` or a province code);
    `at`: time of receipt. Raises RefusedError; E_ROLE for what another party's account has uploaded, however well it
    is signed.
    """
    parsed = parse_name(name)
    if parsed.kind is not NameKind.MANIFEST or parsed.stream_id is None:
        raise refused("E_NAME", "不是批次清单的文件名", where=name)
    stream_id = parsed.stream_id
    if uploader != stream_id.sender:
        raise refused("E_ROLE", f"由 {uploader} 上传，文件名属于 {stream_id.sender}", where=name)
    role = stream_id.manifest_role
    kind = PayloadType.BATCH_MANIFEST
    verified = verify(envelope, payload_type=kind, trust=trust, role=role, at=at, crls=crls, where=name)
    minimum = trust.member(stream_id.sender).min_protocol
    manifest = read_manifest(verified.payload, minimum_version=minimum, where=name)
    if (manifest.stream_id, manifest.seq) != (stream_id, parsed.seq):
        raise refused("E_NAME", f"签名内容是批次 {manifest.batch_id}", where=name)
    trust.require_suite(manifest.sender, manifest.suite, where=name)
    return VerifiedManifest(manifest, verified.payload, verified.digest, verified.signer)


def open_manifest(
    envelope: bytes,
    name: str,
    *,
    uploader: str,
    trust: TrustList,
    at: datetime,
    crls: CrlSet | None = None,
) -> VerifiedManifest:
    """Everything about a manifest that needs no stream state and no files: `authenticate`, recipients, declared sizes.

    Raises RefusedError with a protocol 7.3 code.
    """
    found = authenticate(envelope, name, uploader=uploader, trust=trust, at=at, crls=crls)
    check_trust(found.manifest, trust, at=at, where=name)
    return found


def check_trust(manifest: Manifest, trust: TrustList, *, at: datetime, where: str = "") -> None:
    """Suite, recipients and declared sizes against the trust list: E_SUITE, E_RECIPIENT, E_BUDGET."""
    trust.require_suite(manifest.sender, manifest.suite, where=where)
    recipient_certs(manifest, trust, at=at, where=where)
    check_declared(
        trust.limits,
        plain_sizes=[entry.digest.plain_size for entry in manifest.files],
        cipher_sizes=[entry.digest.cms_size for entry in manifest.files],
        rows=manifest.rows.total,
        where=where,
    )


def required_recipients(stream_id: StreamId) -> tuple[str, ...]:
    """Receiver, escrow and sender (protocol 3.3); nobody for the public party `00`."""
    if stream_id.party == EVERYONE:
        return ()
    return (stream_id.receiver, ESCROW, stream_id.sender)


def recipient_certs(
    manifest: Manifest, trust: TrustList, *, at: datetime, where: str = ""
) -> tuple[EncryptionCert, ...]:
    """Certificates behind `recipients`, in that order; E_RECIPIENT unless exactly the required parties are served.

    A heartbeat has no files and so may name nobody.
    """
    parties = [entry.party for entry in manifest.recipients]
    wanted = required_recipients(manifest.stream_id)
    if not manifest.files and not parties:
        return ()
    if sorted(parties) != sorted(wanted):
        missing = "、".join(sorted(set(wanted) - set(parties))) or "无"
        raise refused("E_RECIPIENT", f"应为 {'、'.join(wanted) or '无'}；缺少：{missing}", where=where)
    return tuple(_listed(entry, manifest.created, trust, at, where) for entry in manifest.recipients)


def seal_certs(stream_id: StreamId, trust: TrustList, at: datetime) -> tuple[EncryptionCert, ...]:
    """Newest certificate of every required recipient: what a sender encrypts to (protocol 10.5)."""
    return tuple(trust.newest_encryption_cert(party, at) for party in required_recipients(stream_id))


def _listed(entry: Recipient, created: datetime, trust: TrustList, at: datetime, where: str) -> EncryptionCert:
    """The certificate was current when the batch was sealed, by the sender's clock or by ours, and is not revoked now
    (protocol 10.4, 10.5). A clock that is days off warns and refuses nothing (11.1)."""
    for cert in trust.member(entry.party).encrypt:
        current = any(cert.not_before <= moment <= cert.not_after for moment in (created, at))
        if cert.keyid == entry.enc_key and current and not trust.is_revoked(cert.keyid, at):
            return cert
    raise refused("E_RECIPIENT", f"{entry.party} 的加密密钥不在信任清单中或已失效", where=where)
