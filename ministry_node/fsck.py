"""`hub fsck` at the ministry: the state recomputed from ledger and kept batches alone, and the first difference named.

Decides what must follow from what: positions from the inbox, the inbox from the kept envelopes, receipts from their
chain, golden rows from the decided batches in order. Read-only; plaintext lies under `work/plain` while a part is
read. Columnar: per entity a table of (pk, version, hash) in DuckDB, which may outgrow memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.batch.cipher import decrypt_file
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import parse_batch_id
from hub.batch.manifest import FileEntry, Manifest, read_manifest
from hub.batch.receipt import read_receipt
from hub.batch.wire import digest_of
from hub.census import CENSUS, read_census
from hub.errors import HubError
from hub.ledgercheck import Expected, Finding, chained
from hub.store import Reader
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import INBOX, PEER_STREAM, RECEIPT
from ministry_node.desk import STREAM, Desk
from ministry_node.evidence import batch_folder

_IN_FORCE = ("APPLIED", "PARTIAL")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """A decided batch and its manifest, as the inbox holds them."""

    row: Row
    manifest: Manifest

    @property
    def in_force(self) -> bool:
        """Its rows count."""
        return str(self.row["verdict"]) in _IN_FORCE


def fsck(desk: Desk, parties: Iterable[str], *, progress: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """The first difference of every province that has one; nothing when state and evidence agree."""
    with desk.store.reading() as reader:
        for party in parties:
            progress(f"省 {party}")
            found = next(iter(_province(desk, reader, party, progress)), None)
            if found is not None:
                yield found


def _province(desk: Desk, reader: Reader, party: str, progress: Callable[[str], None]) -> Iterator[Finding]:
    kept: list[Kept] = []
    for row in _inbox(reader, party):
        envelope = bytes(row["envelope"])
        payload = parse(envelope, PayloadType.BATCH_MANIFEST, where=row["batch_id"]).payload
        if digest_of(payload) != row["digest"]:
            yield Finding("inbox", row["batch_id"], "信封与台账所记摘要不同")
        kept.append(Kept(row, read_manifest(payload, where=row["batch_id"])))
    yield from _positions(reader, party, kept)
    yield from _receipts(reader, party)
    folder = desk.copies / "fsck"
    for entity in desk.catalog.entities.values():
        progress(entity.cn)
        folder.mkdir(mode=0o700)
        try:
            with Expected(entity, folder) as expected:
                yield from _replay(desk, reader, expected, kept)
                yield from expected.differences(reader.read(entity, node=party), reader.buried(entity, party))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _inbox(reader: Reader, party: str) -> list[Row]:
    c = INBOX.c
    query = sa.select(INBOX).where(c.party == party, c.stream == STREAM).order_by(c.epoch, c.seq)
    return [dict(row) for row in reader.connection.execute(query).mappings()]


def _positions(reader: Reader, party: str, kept: list[Kept]) -> Iterator[Finding]:
    """Numbers without a gap from 1 in every epoch, each batch chained to the one before, the stream at the last."""
    c = PEER_STREAM.c
    query = sa.select(PEER_STREAM).where(c.party == party, c.direction == "up", c.stream == STREAM)
    stream = reader.connection.execute(query).mappings().first()
    if stream is None:
        if kept:
            yield Finding("peer_stream", party, "收件箱有批次，却没有数据流位置")
        return
    before: tuple[int, int, str] | None = None
    for one in kept:
        epoch, seq = int(one.row["epoch"]), int(one.row["seq"])
        following = before[1] + 1 if before and before[0] == epoch else 1
        if seq != following:
            yield Finding("inbox", str(one.row["batch_id"]), f"序号不连续：应为 {following}")
        if before and before[0] == epoch and one.manifest.prev != before[2]:
            yield Finding("inbox", str(one.row["batch_id"]), "与前一批次的摘要接不上")
        before = (epoch, seq, str(one.row["digest"]))
    if before and before[0] == int(stream["epoch"]):
        if (before[1], before[2]) != (int(stream["last_seq"]), stream["last_digest"]):
            yield Finding("peer_stream", party, f"位置是序号 {stream['last_seq']}，收件箱到序号 {before[1]}")
    elif int(stream["last_seq"]) != 0:
        yield Finding("peer_stream", party, f"位置是序号 {stream['last_seq']}，收件箱没有该期次的批次")


def _receipts(reader: Reader, party: str) -> Iterator[Finding]:
    """Stored receipts say what the ledger says, and chain without a gap within each epoch."""
    c = RECEIPT.c
    query = sa.select(RECEIPT).where(c.party == party, c.stream == STREAM).order_by(c.epoch, c.seq, c.receipt_no)
    by_epoch: dict[int, list[Any]] = {}
    for row in reader.connection.execute(query).mappings():
        payload = parse(bytes(row["body"]), PayloadType.RECEIPT, where=row["name"]).payload
        receipt = read_receipt(payload, where=row["name"])
        if (receipt.digest, str(receipt.verdict)) != (row["digest"], row["type"]):
            yield Finding("receipt", row["name"], "签名内容与台账所记不同")
        by_epoch.setdefault(int(row["epoch"]), []).append(receipt)
    for epoch, receipts in sorted(by_epoch.items()):
        if chained(receipts) != len(receipts):
            yield Finding("receipt", f"epoch {epoch}", "回执链不连续")


def _replay(desk: Desk, reader: Reader, expected: Expected, kept: list[Kept]) -> Iterator[Finding]:
    """Applies every batch in force, in order, to the expectation of one entity."""
    name = expected.entity.name
    for one in kept:
        if not one.in_force or not _touches(one.manifest, name):
            continue
        kind, last = one.manifest.kind, one.manifest.part and one.manifest.part[0] == one.manifest.part[1]
        if kind == "snapshot-part" and last:
            expected.swap()
            continue
        if kind == "snapshot-part" and one.manifest.part and one.manifest.part[0] == 1:
            expected.begin_snapshot()
        for entry in one.manifest.files:
            if entry.entity not in (name, CENSUS):
                continue
            try:
                with _plaintext(desk, one.manifest, entry) as path:
                    if entry.entity == CENSUS:
                        kept_out = [pk for pk, _ in _kept_out(reader, one, name)]
                        expected.empty(read_census(path).get(name, {}), but=kept_out)
                    elif kind == "snapshot-part":
                        expected.stage(path)
                    else:
                        expected.merge(path, without=_kept_out(reader, one, name))
            except HubError as failure:
                yield Finding("store", entry.name, failure.what)
                return


def _kept_out(reader: Reader, one: Kept, entity: str) -> list[tuple[str, int]]:
    """Rows of an entity that a PARTIAL decision sent back."""
    if str(one.row["verdict"]) != "PARTIAL":
        return []
    c = RETURNED_ROW.c
    query = sa.select(c.pk, c.row_ver).where(c.batch_id == one.row["batch_id"], c.entity == entity).distinct()
    return [(str(pk), int(version)) for pk, version in reader.connection.execute(query)]


def _touches(manifest: Manifest, name: str) -> bool:
    if manifest.kind in ("census", "heartbeat"):
        return False
    return manifest.kind in ("repair", "snapshot-part") or any(entry.entity == name for entry in manifest.files)


class _plaintext:  # noqa: N801 - used as a function
    """One kept part, opened for as long as it is read."""

    def __init__(self, desk: Desk, manifest: Manifest, entry: FileEntry) -> None:
        stream_id, seq = parse_batch_id(manifest.batch_id)
        self._source = batch_folder(desk.node, stream_id, seq) / entry.name
        self._path = desk.plain / f"fsck-{entry.name}"
        self._key, self._entry = desk.keyring.decryption, entry

    def __enter__(self) -> Path:
        decrypt_file(self._source, self._path, *self._key, expect=self._entry.digest)
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
