"""Stored batches judged from their bytes alone: no database, no node (protocol 1.3 #6, 10.7, 13.8).

Decides, file by file, what is said of a manifest, a part and a receipt. Two ways to know who signed: a trust list
(then every check of protocol 4.2 is asked again, as of the moment given), or public keys a person brought along (then
the signature is, and what only a trust list can say is said to be unknown).
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
from hub.batch.layout import NameKind, parse_name
from hub.batch.manifest import Manifest, read_manifest
from hub.batch.receipt import Receipt, read_receipt
from hub.batch.wire import digest_of
from hub.errors import HubError
from hub.trust.keys import algorithm_of, keyid_of, load_certificates, signature_holds, spki_der
from hub.trust.trust_list import TrustList
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


@dataclass(frozen=True)
class ByTrustList:
    """All of protocol 4.2, under a verified trust list."""

    trust: TrustList

    def signed(self, envelope: bytes, payload_type: PayloadType, role: str, at: datetime, where: str) -> Signed:
        found = verify(envelope, payload_type=payload_type, trust=self.trust, role=role, at=at, where=where)
        signer = found.signer
        return Signed(found.payload, f"{signer.party} 的密钥 {signer.keyid[:19]}…，证书链、吊销、角色均成立")

    def admitted(self, manifest: Manifest, at: datetime) -> str:
        check_trust(manifest, self.trust, at=at, where=manifest.batch_id)
        return f"收件方 {'、'.join(r.party for r in manifest.recipients) or '无'}，套件 {manifest.suite}"


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


def check_manifest(
    envelope: bytes | None, name: str, judge: Judge, at: datetime | None
) -> tuple[Manifest | None, str, list[Check]]:
    """Envelope, signature, name, recipients. `at`: when it came; None: when it says it was sealed. Also its digest."""
    if not envelope:
        return None, "", [Check("清单签名", False, f"没有保存 {name}")]
    try:
        parsed = parse_name(name)
        if parsed.kind is not NameKind.MANIFEST or parsed.stream_id is None:
            raise refused("E_NAME", "不是批次清单的文件名", where=name)
        when = at or read_manifest(parse(envelope, PayloadType.BATCH_MANIFEST, where=name).payload, where=name).created
        signed = judge.signed(envelope, PayloadType.BATCH_MANIFEST, parsed.stream_id.manifest_role, when, name)
        manifest = read_manifest(signed.payload, where=name)
        if (manifest.stream_id, manifest.seq) != (parsed.stream_id, parsed.seq):
            raise refused("E_NAME", f"签名内容是批次 {manifest.batch_id}", where=name)
        admitted = judge.admitted(manifest, when)
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
    envelope: bytes | None, name: str, judge: Judge, at: datetime | None, manifest_digest: str
) -> tuple[Receipt | None, Check]:
    """Signature, name, and that it speaks of this very manifest. `at` None: when it says it was received."""
    try:
        parsed = parse_name(name)
        number = parsed.number
        title = f"回执 {number}"
        if envelope is None or parsed.kind is not NameKind.RECEIPT or parsed.stream_id is None:
            return None, Check(title, False, f"没有保存 {name}")
        when = at or read_receipt(parse(envelope, PayloadType.RECEIPT, where=name).payload, where=name).received_at
        signed = judge.signed(envelope, PayloadType.RECEIPT, parsed.stream_id.receipt_role, when, name)
        receipt = read_receipt(signed.payload, where=name)
        if receipt.name != name:
            raise refused("E_NAME", f"签名内容是 {receipt.name}", where=name)
    except HubError as error:
        if error.code == "E_KEY_UNKNOWN" and isinstance(judge, ByKeys):
            return None, Check(name, None, "没有给出签发方的公钥，未核验")
        return None, Check("回执", False, error.sentence())
    if receipt.manifest_digest != manifest_digest:
        return None, Check(title, False, "回执所指清单不是本批次")
    words = f"{receipt.verdict}（{receipt.verdict.chinese}），{signed.signer}"
    return receipt, Check(title, True, words)
