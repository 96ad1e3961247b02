"""Stored batches judged from their bytes alone: no database, no node (protocol 1.3 #6, 10.7, 13.8).

Decides, file by file, what is said of a manifest, a part and a receipt. Two ways to know who signed: trust lists (then
every check of protocol 4.2 is asked again, as of the moment given and under the list in force then), or public keys a
person brought along (then the signature is, and what only a trust list can say is said to be unknown).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hub.batch.admission import check_trust
from hub.batch.cipher import PartDigest, check_cipher_file
from hub.batch.envelope import PayloadType, pae, parse, verify
from hub.batch.layout import NameKind, StreamId, parse_name
from hub.batch.manifest import Manifest, read_manifest
from hub.batch.receipt import Receipt, read_receipt
from hub.batch.wire import digest_of
from hub.errors import HubError
from hub.trust.keys import algorithm_of, keyid_of, load_certificates, signature_holds, spki_der
from hub.trust.trust_list import TrustList
from hub.trust_read import TrustHistory
from hub.verdict import refused


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `ok` None: nothing there to look at, and that is in order."""

    name: str
    ok: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Signed:
    """Payload bytes whose signature holds, and by whom, in words."""

    payload: bytes
    signer: str

    @property
    def digest(self) -> str:
        """`sha256:` digest of the payload (protocol 3.5)."""
        return digest_of(self.payload)


class Judge(Protocol):
    """Who may have signed."""

    def signed(self, envelope: bytes, payload_type: PayloadType, role: str, at: datetime, where: str) -> Signed:
        """The payload, or RefusedError with a code of protocol 4.2."""
        ...

    def admitted(self, manifest: Manifest, at: datetime) -> str:
        """What is known of suite and recipients, in words; RefusedError when they do not hold."""
        ...


class Judges(Protocol):
    """Who judges what was signed at a time (protocol 10.7)."""

    def under(self, version: int, at: datetime) -> Judge:
        """The judge as of that trust list version; RefusedError when there cannot have been one."""
        ...

    def grant(self, stream_id: StreamId) -> str | None:
        """Digest of the grant that opened the epoch, None when it is not known here."""
        ...


@dataclass(frozen=True)
class ByTrustList:
    """All of protocol 4.2, under a verified trust list. `newest`: what a later list knows of the key is said too."""

    trust: TrustList
    newest: TrustList | None = None

    def signed(self, envelope: bytes, payload_type: PayloadType, role: str, at: datetime, where: str) -> Signed:
        found = verify(envelope, payload_type=payload_type, trust=self.trust, role=role, at=at, where=where)
        signer = found.signer
        words = (
            f"{signer.party} 的密钥 {signer.keyid[:19]}…，证书链、吊销、角色均成立（第 {self.trust.version} 版清单）"
        )
        later = self.newest.revoked.get(signer.keyid) if self.newest else None
        if later is not None and later.since <= at:
            words += f"；注意：其后的清单称该密钥自 {later.since:%Y-%m-%d %H:%M} UTC 起不可信，应复核"
        return Signed(found.payload, words)

    def admitted(self, manifest: Manifest, at: datetime) -> str:
        check_trust(manifest, self.trust, at=at, where=manifest.batch_id)
        return f"收件方 {'、'.join(r.party for r in manifest.recipients) or '无'}，套件 {manifest.suite}"


@dataclass(frozen=True)
class ByHistory:
    """Every signature under the trust list of its own time."""

    history: TrustHistory

    def under(self, version: int, at: datetime) -> ByTrustList:
        return ByTrustList(self.history.of(version, at), self.history.newest)

    def grant(self, stream_id: StreamId) -> str | None:
        found = self.history.grants.get(stream_id)
        return found.digest if found else None


@dataclass(frozen=True)
class ByKeys:
    """Public keys from a trusted place, by key id: (algorithm, SPKI)."""

    keys: Mapping[str, tuple[str, bytes]]

    @classmethod
    def of(cls, pems: Sequence[bytes]) -> ByKeys:
        """From PEM public keys or certificates; KeyMaterialError or ValueError for anything else."""
        keys = {}
        for pem in pems:
            public = load_certificates(pem)[0].public_key() if b"CERTIFICATE" in pem else load_pem_public_key(pem)
            keys[keyid_of(public)] = (algorithm_of(public), spki_der(public))  # type: ignore[arg-type]
        return cls(keys)

    def under(self, version: int, at: datetime) -> ByKeys:  # noqa: ARG002
        return self

    def grant(self, stream_id: StreamId) -> str | None:  # noqa: ARG002
        return None

    def signed(self, envelope: bytes, payload_type: PayloadType, role: str, at: datetime, where: str) -> Signed:  # noqa: ARG002
        found = parse(envelope, payload_type, where=where)
        message = pae(found.payload_type, found.payload)
        for entry in found.signatures:
            if (key := self.keys.get(entry.keyid)) is not None:
                if not signature_holds(*key, entry.sig, message):
                    raise refused("E_SIG", where=where)
                words = f"所给公钥 {entry.keyid[:19]}…；证书链、吊销、角色须用信任清单核验"
                return Signed(found.payload, words)
        raise refused("E_KEY_UNKNOWN", "没有所给公钥的签名", where=where)

    def admitted(self, manifest: Manifest, at: datetime) -> str:  # noqa: ARG002
        return f"收件方 {'、'.join(r.party for r in manifest.recipients) or '无'}（未与信任清单核对）"


def claims_of(envelope: bytes | None, payload_type: PayloadType) -> tuple[int, datetime] | None:
    """(trust list version, moment) that a manifest or a receipt says it was signed under; nothing is believed yet.

    A receipt is judged at its decision, a manifest of which nothing else is known at its sealing. None: unreadable, and
    the check of the signature says why.
    """
    try:
        payload = parse(envelope or b"", payload_type).payload
        if payload_type is PayloadType.RECEIPT:
            receipt = read_receipt(payload)
            return receipt.trust_version, receipt.decided_at or receipt.received_at
        manifest = read_manifest(payload)
        return manifest.trust_version, manifest.created
    except HubError:
        return None


def check_manifest(
    envelope: bytes | None, name: str, judge: Judge, at: datetime
) -> tuple[Manifest | None, str, list[Check]]:
    """Envelope, signature, name, recipients. `at`: when it came, or was sealed. Also its digest."""
    if not envelope:
        return None, "", [Check("清单签名", False, f"没有保存 {name}")]
    try:
        parsed = parse_name(name)
        if parsed.kind is not NameKind.MANIFEST or parsed.stream_id is None:
            raise refused("E_NAME", "不是批次清单的文件名", where=name)
        signed = judge.signed(envelope, PayloadType.BATCH_MANIFEST, parsed.stream_id.manifest_role, at, name)
        manifest = read_manifest(signed.payload, where=name)
        if (manifest.stream_id, manifest.seq) != (parsed.stream_id, parsed.seq):
            raise refused("E_NAME", f"签名内容是批次 {manifest.batch_id}", where=name)
        admitted = judge.admitted(manifest, at)
    except HubError as error:
        return None, "", [Check("清单签名", False, error.sentence())]
    checks = [Check("清单签名", True, signed.signer), Check("名称与收件方", True, admitted)]
    return manifest, signed.digest, checks


def check_part(path: Path | None, name: str, digest: PartDigest) -> Check:
    """Size and digest of one part against the manifest."""
    if path is None:
        return Check(f"密文 {name}", False, "文件不在")
    try:
        check_cipher_file(path, digest)
    except HubError as error:
        return Check(f"密文 {name}", False, error.sentence())
    return Check(f"密文 {name}", True, f"{digest.cms_size:,} 字节，SHA-256 相符")


def check_stored_receipt(
    envelope: bytes | None, name: str, judge: Judge, at: datetime, manifest_digest: str | None
) -> tuple[Receipt | None, Check]:
    """Signature, name, and that it speaks of this very manifest (`manifest_digest` None: not looked at)."""
    try:
        parsed = parse_name(name)
        number = parsed.number
        title = f"回执 {number}"
        if envelope is None or parsed.kind is not NameKind.RECEIPT or parsed.stream_id is None:
            return None, Check(title, False, f"没有保存 {name}")
        signed = judge.signed(envelope, PayloadType.RECEIPT, parsed.stream_id.receipt_role, at, name)
        receipt = read_receipt(signed.payload, where=name)
        if receipt.name != name:
            raise refused("E_NAME", f"签名内容是 {receipt.name}", where=name)
    except HubError as error:
        if error.code == "E_KEY_UNKNOWN" and isinstance(judge, ByKeys):
            return None, Check(name, None, "没有给出签发方的公钥，未核验")
        return None, Check("回执", False, error.sentence())
    if manifest_digest is not None and receipt.manifest_digest != manifest_digest:
        return None, Check(title, False, "回执所指清单不是本批次")
    words = f"{receipt.verdict}（{receipt.verdict.chinese}），{signed.signer}"
    return receipt, Check(title, True, words)
