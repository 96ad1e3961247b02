"""Receipts: build, sign, read, and hold against the batch and the receipt chain (protocol 7.4).

Decides whether a receipt is about the batch we sealed, signed by its receiver, and the next in the stream's chain. A
receipt that is not is ignored with an alarm: E_RECEIPT or a signature code, state unchanged. What a receipt does to
the batch's state is `outbox`'s.

`receipt_no` is N of the file name, the batch's N-th receipt; `prev_receipt` chains all receipts of the stream and
epoch by payload digest, in the order they were issued, null for the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, verify
from hub.batch.envelope import build as build_envelope
from hub.batch.layout import NameKind, StreamId, parse_batch_id, parse_name, receipt_name
from hub.batch.manifest import Manifest
from hub.trust.chain import CrlSet
from hub.trust.keys import Signer
from hub.trust.trust_list import TrustedKey, TrustList
from hub.verdict import Verdict, refused


@dataclass(frozen=True)
class ReceiptFile:
    """A file as the receiver saw it, by digest."""

    name: str
    cms_sha256: str
    plain_sha256: str


@dataclass(frozen=True)
class ReceiptCounts:
    """What the batch did, in rows."""

    ins: int = 0
    upd: int = 0
    # `del` on the wire, which is a Python keyword.
    deleted: int = 0
    noop_old_version: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class Reason:
    """A code, and where its detail is (quarantine id, waited-for seq); never personal data."""

    code: str
    detail_ref: str | None = None


@dataclass(frozen=True)
class Head:
    """Receiver's position after this decision."""

    last_seq: int
    last_digest: str | None
    next_expected: int


@dataclass(frozen=True)
class Receipt:
    """A receipt as values. `digest` is over the payload, empty until built or read."""

    batch_id: str
    receipt_no: int
    prev_receipt: str | None
    verdict: Verdict
    manifest_digest: str
    received_at: datetime
    decided_at: datetime | None
    trust_version: int
    signer_key: str
    head: Head
    files: tuple[ReceiptFile, ...] = ()
    counts: ReceiptCounts = ReceiptCounts()
    reasons: tuple[Reason, ...] = ()
    reissued_of: str | None = None
    cascade_of: str | None = None
    waiting_for: int | None = None
    audit: dict[str, Any] | None = None
    leaf: dict[str, Any] | None = None
    digest: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return receipt_name(self.batch_id, self.receipt_no)

    @property
    def stream_id(self) -> StreamId:
        """Stream and epoch of the batch."""
        return parse_batch_id(self.batch_id)[0]


def receipt_files(manifest: Manifest) -> tuple[ReceiptFile, ...]:
    """`files` of a receipt for a batch whose digests were all checked."""
    return tuple(
        ReceiptFile(entry.name, entry.digest.cms_sha256, entry.digest.plain_sha256) for entry in manifest.files
    )


def receipt_payload(receipt: Receipt) -> bytes:
    """Canonical payload bytes; what the peer's shape check would refuse is refused here."""
    counts = asdict(receipt.counts)
    counts["del"] = counts.pop("deleted")
    data: dict[str, Any] = {
        "v": wire.PROTOCOL_VERSION,
        "receipt_no": receipt.receipt_no,
        "prev_receipt": receipt.prev_receipt,
        "type": str(receipt.verdict),
        "batch_id": receipt.batch_id,
        "manifest_digest": receipt.manifest_digest,
        "files": [asdict(entry) for entry in receipt.files],
        "counts": counts,
        "reasons": [asdict(reason) for reason in receipt.reasons],
        "received_at": wire.write_utc(receipt.received_at),
        "decided_at": wire.write_utc(receipt.decided_at) if receipt.decided_at else None,
        "trust_version": receipt.trust_version,
        "signer_key": receipt.signer_key,
        "reissued_of": receipt.reissued_of,
        "head": asdict(receipt.head),
        "audit": receipt.audit,
        "leaf": receipt.leaf,
        "cascade_of": receipt.cascade_of,
        "waiting_for": receipt.waiting_for,
    }
    wire.check_shape("receipt", data, where=receipt.name)
    return strictjson.emit(data)


def sign_receipt(receipt: Receipt, signer: Signer) -> tuple[bytes, bytes]:
    """(payload bytes, envelope bytes); sign before COMMIT, publish after it (protocol 6.3)."""
    if receipt.signer_key != signer.keyid:
        raise RuntimeError("signer_key names another key")
    payload = receipt_payload(receipt)
    return payload, build_envelope(PayloadType.RECEIPT, payload, [signer], where=receipt.name)


def read_receipt(payload: bytes, *, where: str = "receipt") -> Receipt:
    """Receipt from verified payload bytes."""
    data = strictjson.parse_object(payload, where=where)
    wire.check_version(data, where=where)
    wire.check_shape("receipt", data, where=where)
    parse_batch_id(data["batch_id"])
    counts = data["counts"]
    decided = data["decided_at"]
    return Receipt(
        batch_id=data["batch_id"],
        receipt_no=data["receipt_no"],
        prev_receipt=data["prev_receipt"],
        verdict=Verdict(data["type"]),
        manifest_digest=data["manifest_digest"],
        received_at=wire.read_utc(data["received_at"], where=where),
        decided_at=wire.read_utc(decided, where=where) if decided else None,
        trust_version=data["trust_version"],
        signer_key=data["signer_key"],
        head=Head(data["head"]["last_seq"], data["head"]["last_digest"], data["head"]["next_expected"]),
        files=tuple(ReceiptFile(entry["name"], entry["cms_sha256"], entry["plain_sha256"]) for entry in data["files"]),
        counts=ReceiptCounts(
            counts["ins"], counts["upd"], counts["del"], counts["noop_old_version"], counts["quarantined"]
        ),
        reasons=tuple(Reason(entry["code"], entry["detail_ref"]) for entry in data["reasons"]),
        reissued_of=data["reissued_of"],
        cascade_of=data.get("cascade_of"),
        waiting_for=data.get("waiting_for"),
        audit=data["audit"],
        leaf=data["leaf"],
        digest=wire.digest_of(payload),
    )


def open_receipt(
    envelope: bytes, name: str, *, trust: TrustList, at: datetime, crls: CrlSet | None = None
) -> tuple[Receipt, TrustedKey]:
    """Verify and read a receipt: signed under the receiver's receipt role, name and content agree (E_NAME)."""
    parsed = parse_name(name)
    if parsed.kind is not NameKind.RECEIPT or parsed.stream_id is None:
        raise refused("E_NAME", "不是回执的文件名", where=name)
    verified = verify(
        envelope,
        payload_type=PayloadType.RECEIPT,
        trust=trust,
        role=parsed.stream_id.receipt_role,
        at=at,
        crls=crls,
        where=name,
    )
    receipt = read_receipt(verified.payload, where=name)
    if receipt.name != name:
        raise refused("E_NAME", f"签名内容是 {receipt.name}", where=name)
    if receipt.signer_key != verified.signer.keyid:
        raise refused("E_RECEIPT", "回执自称的签名密钥与实际不同", where=name)
    return receipt, verified.signer


def check_receipt(
    receipt: Receipt, *, manifest_digest: str, last_receipt: str | None, known: int | None = None
) -> None:
    """The receipt is about our batch and continues the stream's chain; else E_RECEIPT, state unchanged (7.4).

    `manifest_digest`: of the sealed batch of that id; `last_receipt`: payload digest of the newest receipt accepted in
    this stream and epoch, None before the first. A DR statement's restart (9.4) is given as `last_receipt`; `known`:
    receipts this batch has had, which number it (2.7), None where nobody counted.
    """
    if receipt.manifest_digest != manifest_digest:
        raise refused("E_RECEIPT", "回执对应的清单摘要不是本方所封的批次", where=receipt.name)
    if receipt.prev_receipt != last_receipt:
        raise refused("E_RECEIPT", "回执链不连续", where=receipt.name)
    if known is not None and receipt.reissued_of is None and receipt.receipt_no > known + 1:
        raise refused(
            "E_RECEIPT", f"这是该批次的第 {known + 1} 份回执，却编为第 {receipt.receipt_no} 份", where=receipt.name
        )


def in_chain_order(receipts: Iterable[Receipt], last_receipt: str | None) -> list[Receipt]:
    """The receipts that continue the chain from `last_receipt`, in order; stops at the first gap.

    Receipts of several batches are fetched together and their names do not say which was issued first.
    """
    following = {receipt.prev_receipt: receipt for receipt in receipts}
    ordered: list[Receipt] = []
    while (found := following.pop(last_receipt, None)) is not None:
        ordered.append(found)
        last_receipt = found.digest
    return ordered
