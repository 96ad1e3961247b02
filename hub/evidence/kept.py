"""What is kept of a batch, and whether it still proves what it proved on the day (protocol 13.8 `verify-evidence`).

Decides nothing new: the checks of protocol 4.2, 3.3, 5.4 and 7.4 are asked again of the stored bytes, as of the moment
the batch was sealed or received, so that a certificate that has expired since takes nothing back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.batch import strictjson
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import manifest_name, parse_batch_id, receipt_name
from hub.batch.manifest import Manifest, read_manifest
from hub.batch.outbox import BatchState
from hub.batch.wire import digest_of
from hub.errors import RefusedError, UsageError
from hub.evidence.stored import ByTrustList, Check, check_manifest, check_part, check_stored_receipt
from hub.keyring import Keyring
from hub.settings import Node
from hub.store import Reader
from hub.store.ledger import INBOX, OUTBOX, RECEIPT
from hub.store.registry_tables import DOWN_BATCH

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """A batch as this node keeps it: ledger row, envelope, receipts, and where its parts lie."""

    row: Row
    envelope: bytes | None = field(repr=False)
    receipts: tuple[Row, ...] = ()
    folders: tuple[Path, ...] = ()
    ours: bool = True

    @property
    def batch_id(self) -> str:
        return str(self.row["batch_id"])

    @property
    def state(self) -> str:
        """Outbox state or inbox verdict."""
        return str(self.row.get("state", "SEALED") if self.ours else self.row["verdict"])

    @property
    def moment(self) -> str | None:
        """When its signature counted: sealed (sender) or received (receiver)."""
        at = self.row["sealed_at"] if self.ours else self.row["received_at"]
        return str(at) if at else None

    def manifest(self) -> Manifest | None:
        """The manifest, read and not verified."""
        if not self.envelope:
            return None
        return read_manifest(parse(self.envelope, PayloadType.BATCH_MANIFEST, where=self.batch_id).payload)


def kept_batch(reader: Reader, node: Node, batch: str) -> Kept:
    """One batch of either direction: sent, or received. Raises `UsageError` E1028 for a batch that is not here."""
    for table, ours in ((OUTBOX, True), (INBOX, False), (DOWN_BATCH, True)):
        row = reader.connection.execute(sa.select(table).where(*_named(table, batch))).mappings().first()
        if row is not None:
            return _kept(reader, node, dict(row), ours)
    return _undecided(reader, node, batch)


def _named(table: sa.Table, batch: str) -> list[Any]:
    """WHERE terms of the batch with this number, which says where in the ledger it stands: its key, not a search."""
    try:
        stream_id, seq = parse_batch_id(batch)
    except RefusedError:
        return [sa.false()]
    place = {"batch_id": batch, "party": stream_id.party, "stream": stream_id.stream, "epoch": stream_id.epoch}
    return [table.c[n] == v for n, v in (place | {"seq": seq}).items() if n in table.c]


def _undecided(reader: Reader, node: Node, batch: str) -> Kept:
    """A batch that was answered and has no place in its stream yet: known by its receipts and the evidence alone."""
    first_of_it = RECEIPT.c.receipt_no == 1, RECEIPT.c.name.startswith(f"{batch}.", autoescape=True)
    query = sa.select(RECEIPT).where(*_named(RECEIPT, batch), *first_of_it)
    first = reader.connection.execute(query).mappings().first()
    if first is None:
        raise UsageError("E1028", "本节点没有这个批次", step="用 hub batch ls 查看批次号")
    row = {n: first[n] for n in ("party", "stream", "epoch", "seq")}
    row |= {"batch_id": batch, "digest": "", "received_at": first["created"], "verdict": "", "envelope": None}
    kept = _kept(reader, node, row, ours=False)
    digest = digest_of(parse(kept.envelope, PayloadType.BATCH_MANIFEST).payload) if kept.envelope else ""
    return replace(kept, row={**row, "digest": digest, "verdict": kept.receipts[-1]["type"]})


def kept_batches(reader: Reader, node: Node, batch: str | None = None, *, last: int | None = None) -> Iterator[Kept]:
    """Batches of the outbox (province) or inbox (ministry) in stream order; `batch`: only this one; `last`: so many of
    the newest, found by the index over their moments.

    Raises `UsageError` E1028 for a batch that is not here.
    """
    ours = node.settings.role == "province"
    table = OUTBOX if ours else INBOX
    key, at = [c.name for c in table.primary_key.columns], table.c["sealed_at" if ours else "received_at"]
    query = sa.select(table).order_by(*table.primary_key.columns)
    if batch is not None:
        query = query.where(*_named(table, batch))
    elif last is not None:
        query = sa.select(table).order_by(at.desc(), table.c.batch_id.desc()).limit(last)
    rows = reader.connection.execute(query).mappings().all()
    if last is not None:
        rows = sorted(rows, key=lambda row: [row[name] for name in key])
    if batch is not None and not rows:
        yield _undecided(reader, node, batch)
    for row in rows:
        yield _kept(reader, node, dict(row), ours)


def batches_of(reader: Reader, node: Node, changes: Sequence[int]) -> Iterator[Kept]:
    """A province's batches that carry one of these changes (by their numbers), in stream order."""
    c = OUTBOX.c
    spans = sa.or_(sa.false(), *(sa.and_(c.lo <= i, c.hi >= i) for i in changes))
    query = sa.select(OUTBOX).where(spans).order_by(*OUTBOX.primary_key.columns)
    for row in reader.connection.execute(query).mappings().all():
        yield _kept(reader, node, dict(row), ours=True)


def undecided_batches(reader: Reader, node: Node) -> Iterator[Kept]:
    """What was answered and has no place in its stream yet: refused, parked, held, or left behind by its epoch."""
    if node.settings.role == "province":
        return
    c, same = RECEIPT.c, [RECEIPT.c[n] == INBOX.c[n] for n in ("party", "stream", "epoch", "seq")]
    query = sa.select(c.name).outerjoin(INBOX, sa.and_(*same)).where(INBOX.c.seq.is_(None), c.receipt_no == 1)
    names = reader.connection.execute(query.order_by(c.party, c.stream, c.epoch, c.seq)).scalars().all()
    for name in names:
        yield _undecided(reader, node, str(name).removesuffix(".receipt1.dsse"))


def _kept(reader: Reader, node: Node, row: Row, ours: bool) -> Kept:
    same = [RECEIPT.c[c] == row[c] for c in ("stream", "epoch", "seq")]
    if "party" in row:
        same.append(RECEIPT.c.party == row["party"])
    query = sa.select(RECEIPT).where(*same).order_by(RECEIPT.c.receipt_no)
    receipts = tuple(dict(r) for r in reader.connection.execute(query).mappings())
    stream_id, seq = parse_batch_id(row["batch_id"])
    evidence = [p for p in _evidence(node, stream_id.party, stream_id.epoch, seq) if p.is_dir()]
    folders = (node.spool, *evidence)
    envelope = row["manifest"] if "manifest" in row else row["envelope"]
    return Kept(row, envelope or _stored(folders, manifest_name(row["batch_id"])), receipts, folders, ours)


def _evidence(node: Node, party: str, epoch: int, seq: int) -> list[Path]:
    """store/<pp>/e<epoch>/<seq>/ with or without leading zeros."""
    root = node.store / party
    epochs, seqs = {f"e{epoch}", f"e{epoch:04d}"}, {str(seq), f"{seq:010d}", f"s{seq:010d}"}
    return [root / e / s for e in sorted(epochs) for s in sorted(seqs)]


def _stored(folders: Sequence[Path], name: str) -> bytes | None:
    found = find(folders, name)
    return found.read_bytes() if found else None


def find(folders: Sequence[Path], name: str) -> Path | None:
    """A kept file by its name."""
    return next((f / name for f in folders if (f / name).is_file()), None)


def verify_batch(kept: Kept, keyring: Keyring, *, files: bool = True) -> list[Check]:
    """Every check of one batch, in the order of protocol 6.2; `files`: the ciphertext digests too.

    Of a down batch only the manifest is evidence: its parts are not kept after they took effect, and nobody answers it.
    """
    manifest, checks = _verify_manifest(kept, keyring)
    if manifest is not None and manifest.stream_id.direction == "up":
        if files:
            checks += _verify_files(kept, manifest)
        checks += _verify_receipts(kept, manifest, keyring)
    return checks


def _version(rows: Sequence[Row]) -> int:
    """Version of the trust list that the newest of these receipts names (protocol 10.7); 0 without one."""
    body = bytes(rows[-1]["body"] or b"") if rows else b""
    try:
        value = strictjson.parse_object(body)
        if "payloadType" in value:
            value = strictjson.parse_object(parse(body, PayloadType.RECEIPT).payload)
    except RefusedError:
        return 0  # the receipt's own check says what is wrong with it
    version = value.get("trust_version")
    return version if isinstance(version, int) else 0


def _verify_manifest(kept: Kept, keyring: Keyring) -> tuple[Manifest | None, list[Check]]:
    name = manifest_name(kept.batch_id)
    judge = ByTrustList(keyring.trust_of(_version(kept.receipts)))
    manifest, digest, checks = check_manifest(kept.envelope, name, judge, _at(kept))
    if manifest is None:
        return None, checks
    same = digest == kept.row["digest"]
    return manifest, [*checks, Check("清单摘要", same, digest if same else "与台账所记不同")]


def _at(kept: Kept) -> datetime:
    text = kept.moment
    if not text:
        raise RuntimeError("a kept batch has a moment")
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _verify_files(kept: Kept, manifest: Manifest) -> list[Check]:
    return [_verify_file(kept, entry.name, entry.digest) for entry in manifest.files]


def _verify_file(kept: Kept, name: str, digest: Any) -> Check:
    path = find(kept.folders, name)
    if path is None:
        # The sender may let go of what is applied (protocol 5.6); the receiver keeps the evidence of what it applied.
        done = kept.state in set(BatchState) and BatchState(kept.state).is_final
        if kept.ours and done:
            return Check(f"密文 {name}", None, "已生效，发送方可不再保存")
    return check_part(path, name, digest)


def _verify_receipts(kept: Kept, manifest: Manifest, keyring: Keyring) -> list[Check]:
    if not kept.receipts:
        waiting = kept.ours and not (kept.state in set(BatchState) and BatchState(kept.state).is_final)
        return [Check("回执", None if waiting else False, "尚未收到" if waiting else "没有回执")]
    return [_verify_receipt(kept, manifest, row, keyring) for row in kept.receipts]


def _verify_receipt(kept: Kept, manifest: Manifest, row: Row, keyring: Keyring) -> Check:
    name = row["name"] or receipt_name(manifest.batch_id, int(row["receipt_no"]))
    title = f"回执 {row['receipt_no']}"
    envelope, at = receipt_envelope(kept, row, name), _decided(row, kept)
    judge = ByTrustList(keyring.trust_of(_version([row])))
    receipt, check = check_stored_receipt(envelope, name, judge, at, kept.row["digest"])
    if receipt is not None and receipt.digest != row["digest"]:
        return Check(title, False, "摘要与台账所记不同")
    return Check(title, check.ok, check.detail)


def receipt_envelope(kept: Kept, row: Row, name: str) -> bytes | None:
    """The envelope as it was published: from the ledger where it is kept whole, else from the evidence folder."""
    body = row["body"]
    if body:
        try:
            if "payloadType" in json.loads(body):
                return bytes(body)
        except ValueError:
            return bytes(body)
    return _stored(kept.folders, name)


def _decided(row: Row, kept: Kept) -> datetime:
    text = row["created"] or row["published_at"]
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else _at(kept)
