"""A snapshot at the ministry: parts into shadow tables, compared, held, and swapped in by two persons (protocol 9.2).

Decides which part may come next and that nothing of a snapshot is visible before the swap. The last part carries only
the census of the whole; counts and digests must match what was staged. `node_state` holds the progress under
`snapshot.<stream>` from the grant to the swap. Part 1 begins anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch.grant import EpochGrant
from hub.batch.layout import StreamId
from hub.batch.manifest import FileEntry, Manifest
from hub.batch.receipt import ReceiptCounts
from hub.census import CENSUS, Difference, Tally, compare, differing, load, read_census, rows_of, scratch, tally
from hub.errors import InputError
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE
from hub.store.rows import file_blocks
from hub.verdict import refused
from ministry_node import timeline
from ministry_node.desk import Desk

SNAPSHOT: Final = "snapshot-part"
_FREE: Final = ("heartbeat",)


@dataclass(frozen=True)
class Progress:
    """`following`: the part that comes next; `parts`: how many there are, 0 before the first came."""

    following: int = 1
    parts: int = 0


def begin(connection: sa.Connection, grant: EpochGrant) -> None:
    """In the transaction that opens an epoch: a snapshot is expected, or whatever was unfinished is none any more."""
    flow = StreamId(grant.stream_id.party, grant.stream_id.direction, grant.stream_id.stream, 1)
    prefix = f"snapshot.{str(flow)[:-4]}"
    connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name.like(f"{prefix}%")))
    if grant.base == "snapshot":
        body = json.dumps(vars(Progress()))
        connection.execute(sa.insert(NODE_STATE), {"name": _name(grant.stream_id), "value": body})


def progress(connection: sa.Connection, stream_id: StreamId) -> Progress | None:
    """How far the snapshot of an epoch is; None when none is expected."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _name(stream_id))
    found = connection.execute(query).scalar_one_or_none()
    return Progress(**json.loads(found)) if found else None


def check_expected(connection: sa.Connection, manifest: Manifest) -> None:
    """Raises E_SCHEMA unless the batch is of a kind, and the part, that the epoch waits for."""
    now = progress(connection, manifest.stream_id)
    if manifest.kind != SNAPSHOT:
        if now is not None and manifest.kind not in _FREE:
            raise refused("E_SCHEMA", "该期次须先完成全量快照", where=manifest.batch_id)
        return
    if now is None or manifest.part is None:
        raise refused("E_SCHEMA", "该期次没有以全量快照为基准，或快照已经完成", where=manifest.batch_id)
    i, k = manifest.part
    if not 1 <= i <= k or k < 2 or (i != 1 and (i != now.following or k != now.parts)):
        raise refused("E_SCHEMA", f"应为第 {now.following} 部分，收到第 {i}/{k} 部分", where=manifest.batch_id)
    only_census = [entry.entity for entry in manifest.files] == [CENSUS]
    if only_census != (i == k):
        raise refused("E_SCHEMA", "快照的最后一部分只带普查，其余部分不带", where=manifest.batch_id)


def is_last(manifest: Manifest) -> bool:
    """The part that is held for two persons."""
    return manifest.kind == SNAPSHOT and manifest.part is not None and manifest.part[0] == manifest.part[1]


def stage(desk: Desk, tx: Transaction, manifest: Manifest, files: Iterable[tuple[FileEntry, Path]]) -> None:
    """Rows of a part that is not the last into the shadow tables; in the transaction of its receipt."""
    i, k = manifest.part or (0, 0)
    party = manifest.stream_id.party
    if i == 1:
        tx.unstage(party)
        timeline.unstaged(tx, manifest)
    for entry, path in files:
        desk.progress("intake", f"{manifest.batch_id}　快照 {i}/{k}　{entry.entity}　{entry.rows.total:,} 行")
        try:
            tx.stage(desk.catalog.entities[entry.entity], party, _told(tx, manifest, entry, path))
        except InputError as failure:
            raise refused("E_ROWS_BAD", f"{failure.what}（{failure.code}）", where=entry.name) from None
    _keep(tx.connection, manifest.stream_id, Progress(i + 1, k))


def _told(tx: Transaction, manifest: Manifest, entry: FileEntry, path: Path) -> Iterator[Any]:
    """The rows as they are staged, written into the timeline, where they count with the last part."""
    first = 1
    for block in file_blocks(path, entry.name):
        timeline.note(tx, manifest, entry, block, pa.array(range(first, first + block.num_rows), pa.int64()))
        first += block.num_rows
        yield block


def verify(desk: Desk, reader: Reader, manifest: Manifest, files: Iterable[tuple[FileEntry, Path]]) -> Difference:
    """The staged rows are the ones the last part counts (else E_COUNTS); what the swap would change, summed up."""
    party = manifest.stream_id.party
    declared: Tally = {}
    for _entry, path in files:
        declared = read_census(path)
    entities = desk.catalog.entities.values()
    staged = {e.name: tally(e, reader.read(e, node=party, shadow=True)) for e in entities}
    staged = {name: buckets for name, buckets in staged.items() if buckets}
    if wrong := differing(staged, declared):
        detail = f"{rows_of(declared)} 行的普查与暂存的 {rows_of(staged)} 行不符（{'、'.join(sorted(wrong))}）"
        raise refused("E_COUNTS", detail, where=manifest.batch_id)
    return _difference(desk, reader, party)


def _difference(desk: Desk, reader: Reader, party: str) -> Difference:
    total = Difference()
    folder = desk.copies / "snapshot"
    for entity in desk.catalog.entities.values():
        folder.mkdir(mode=0o700)
        try:
            with scratch(folder) as con:
                load(con, "coming", entity, reader.read(entity, node=party, shadow=True))
                load(con, "standing", entity, reader.read(entity, node=party))
                one = compare(con, "coming", "standing")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        total = Difference(total.new + one.new, total.changed + one.changed, total.gone + one.gone)
    return total


def swap(desk: Desk, tx: Transaction, manifest: Manifest, found: Difference) -> ReceiptCounts:
    """The swap, released by two persons: golden rows, tombstones, progress and audit in the caller's transaction."""
    party = manifest.stream_id.party
    for entity in desk.catalog.entities.values():
        golden, shadow = desk.store.tables.golden[entity.name].name, desk.store.tables.shadow[entity.name].name
        timeline.note_swap(tx, manifest, entity, golden, shadow)
        tx.swap(entity, party, batch=manifest.batch_id, at=desk.at)
    tx.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _name(manifest.stream_id)))
    append(
        tx.connection,
        Event.SNAPSHOT_SWAPPED,
        ts=desk.at,
        node=desk.node.party,
        actor="intake",
        object=manifest.batch_id,
        detail={"new": found.new, "changed": found.changed, "gone": found.gone},
    )
    return ReceiptCounts(found.new, found.changed, found.gone)


def _keep(connection: sa.Connection, stream_id: StreamId, now: Progress) -> None:
    where = NODE_STATE.c.name == _name(stream_id)
    connection.execute(sa.update(NODE_STATE).where(where).values(value=json.dumps(vars(now))))


def _name(stream_id: StreamId) -> str:
    return f"snapshot.{stream_id}"
