"""`hub fsck` at the province: golden rows recomputed from the kept change sets, positions from the outbox; read-only.

Decides what must follow from what: the ledger's change sets are whole in their folders and say what the ledger says,
their rows give the golden rows, the outbox is a chain whose end is the stream's position, and everything that was not
answered still lies in the spool.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import part_name
from hub.batch.manifest import read_manifest
from hub.batch.outbox import BatchState
from hub.batch.wire import digest_of
from hub.catalog import load_catalog
from hub.errors import VerificationError
from hub.ledgercheck import Expected, Finding
from hub.settings import Node
from hub.store import Reader, Store
from hub.store.ledger import CHANGE_SET, OUTBOX, PEER_STREAM
from province_node.changeset import Settlement, open_settlement
from province_node.stream import DIRECTION, STREAM


def fsck(node: Node, store: Store, *, progress: Callable[[str], None] = lambda _: None) -> Finding | None:
    """The first difference, None when state, ledger and files agree. `progress(what)`."""
    with store.reading() as reader:
        return next(iter(_all(node, reader, progress)), None)


def _all(node: Node, reader: Reader, progress: Callable[[str], None]) -> Iterator[Finding]:
    yield from _outbox(node, reader)
    sets: list[Settlement] = []
    for row in _ledger(node, reader):
        try:
            settlement = open_settlement(node, int(row["cs_no"]))
        except VerificationError as error:
            yield Finding("change_set", str(row["cs_no"]), error.what)
            return
        counts = settlement.changes.counts
        if (counts.inserted, counts.updated, counts.deleted) != (row["rows_i"], row["rows_u"], row["rows_d"]):
            yield Finding("change_set", str(row["cs_no"]), "行数与台账所记不同")
        sets.append(settlement)
    folder = node.work / "fsck"
    for entity in load_catalog().entities.values():
        progress(entity.cn)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        try:
            with Expected(entity, folder) as expected:
                for settlement in sets:
                    for file in settlement.changes.files:
                        if file.entity == entity.name:
                            expected.merge(file.path)
                rows, graves = reader.read(entity, node=node.party), reader.buried(entity, node.party)
                yield from expected.differences(rows, graves)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _ledger(node: Node, reader: Reader) -> list[Any]:
    query = sa.select(CHANGE_SET).where(CHANGE_SET.c.node == node.party).order_by(CHANGE_SET.c.cs_no)
    return list(reader.connection.execute(query).mappings().all())


def _outbox(node: Node, reader: Reader) -> Iterator[Finding]:
    c = OUTBOX.c
    before: tuple[int, int, str] | None = None
    query = sa.select(OUTBOX).where(c.stream == STREAM).order_by(c.epoch, c.seq)
    for row in reader.connection.execute(query).mappings():
        batch, epoch, seq = row["batch_id"], int(row["epoch"]), int(row["seq"])
        payload = parse(bytes(row["manifest"]), PayloadType.BATCH_MANIFEST, where=batch).payload
        manifest = read_manifest(payload, where=batch)
        if digest_of(payload) != row["digest"]:
            yield Finding("outbox", batch, "清单与台账所记摘要不同")
        following = before[1] + 1 if before and before[0] == epoch else 1
        if seq != following:
            yield Finding("outbox", batch, f"序号不连续：应为 {following}")
        if before and before[0] == epoch and manifest.prev != before[2]:
            yield Finding("outbox", batch, "与前一批次的摘要接不上")
        if not BatchState(row["state"]).is_final:
            for entry in manifest.files:
                path = node.spool / part_name(batch, entry.n)
                if not path.is_file() or path.stat().st_size != entry.digest.cms_size:
                    yield Finding("spool", entry.name, "未得回执的批次缺少密文，或大小已变")
        before = (epoch, seq, str(row["digest"]))
    p = PEER_STREAM.c
    here = sa.select(PEER_STREAM).where(p.party == node.party, p.direction == DIRECTION, p.stream == STREAM)
    stream = reader.connection.execute(here).mappings().first()
    if stream is None:
        if before:
            yield Finding("peer_stream", node.party, "发件箱有批次，却没有数据流位置")
    elif before and before[0] == int(stream["epoch"]):
        if (before[1], before[2]) != (int(stream["last_seq"]), stream["last_digest"]):
            yield Finding("peer_stream", node.party, f"位置是序号 {stream['last_seq']}，发件箱到序号 {before[1]}")
    elif int(stream["last_seq"]) != 0:
        yield Finding("peer_stream", node.party, f"位置是序号 {stream['last_seq']}，发件箱没有该期次的批次")
