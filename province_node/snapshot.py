"""A snapshot at the province: every golden row in parts, and last the census of all of them (protocol 9.2).

Decides how the store is cut: files of at most 200,000 rows, batches of at most `max_batch_rows` rows and 64 files, all
sealed in one transaction as seq 1..k of an epoch whose base is a snapshot. Each part is far below 256 MiB. And that a
snapshot of which a part came back VOID is sealed anew as a whole under the next free numbers, the first part naming the
void one (7.2); a new grant is not needed, and after three such snapshots a person is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event
from hub.batch.envelope import PayloadType, parse
from hub.batch.manifest import read_manifest
from hub.batch.outbox import BatchState
from hub.changes import ChangeFile, Counts
from hub.errors import HubError
from hub.store import Reader
from hub.store.ledger import OUTBOX
from province_node.apart import Piece, seal_apart
from province_node.census import apart_plan, census_file, stock, work_folder, write_rows
from province_node.desk import Desk
from province_node.epoch import done
from province_node.sealing import SealedBatch
from province_node.stream import STREAM, standing

KIND: Final = "snapshot-part"
MAX_TRIES: Final = 3


def seal_snapshot(desk: Desk, *, supersedes: str | None = None) -> tuple[SealedBatch, ...]:
    """Seals the whole store as parts 1..k, the last with the census; raises as `seal_apart`."""
    with work_folder(desk, "snapshot") as folder:
        with desk.store.reading() as reader:
            here = standing(reader, desk.node.party, desk.keyring)
            groups = _groups(desk, _files(desk, reader, folder))
            groups.append((census_file(desk, folder / "census.parquet", stock(desk, reader)),))
        k = len(groups)
        pieces = [Piece(apart_plan(here, i, files, KIND, part=(i, k))) for i, files in enumerate(groups, 1)]
        if supersedes is not None:
            pieces[0] = Piece(replace(pieces[0].plan, supersedes=supersedes))

        def also(transaction: Any, _batches: Any) -> None:
            done(transaction)
            desk.note(transaction, Event.SNAPSHOT_STARTED, str(here.position.stream_id), {"parts": k})

        return seal_apart(desk, here, pieces, hi=here.hi, also=also)


def broken(desk: Desk) -> str | None:
    """The first void part of the epoch's newest snapshot, once none of its parts is undecided; None otherwise.

    `HubError` E3417 when three snapshots of the epoch were void: the same again removes no fault.
    """
    with desk.store.reading() as reader:
        epoch = standing(reader, desk.node.party, desk.keyring).position.stream_id.epoch
        c = OUTBOX.c
        query = sa.select(c.batch_id, c.state, c.manifest).where(
            c.stream == STREAM, c.epoch == epoch, c.hi < c.lo, c.parts > 0
        )
        rows = reader.connection.execute(query.order_by(c.seq)).all()
    series: list[list[tuple[str, BatchState]]] = []
    for batch, state, envelope in rows:
        payload = parse(bytes(envelope), PayloadType.BATCH_MANIFEST, where=batch).payload
        part = read_manifest(payload, where=batch).part
        if part is not None and part[0] == 1:
            series.append([])
        if part is not None:
            series[-1].append((batch, BatchState(state)))
    void = [next((b for b, state in some if state is BatchState.VOID), None) for some in series]
    if not series or void[-1] is None or not all(state.is_final for _, state in series[-1]):
        return None
    if len(series) >= MAX_TRIES:
        raise HubError(
            "E3417",
            f"本期次的全量快照已 {len(series)} 次被部级作废，不再自动重封",
            where=void[-1],
            step="按回执中的原因代码查明故障并消除，再向部级申请新的期次授权",
        )
    return void[-1]


def _files(desk: Desk, reader: Reader, folder: Path) -> list[ChangeFile]:
    files = []
    for name, entity in desk.catalog.entities.items():
        desk.progress("publish", f"全量快照 {entity.cn}")
        blocks = reader.read(entity, node=desk.node.party)
        for path, rows in write_rows(desk, folder / f"{name}.parquet", entity, blocks, "I"):
            files.append(ChangeFile(name, path, 1, rows, Counts(rows)))
    return files


def _groups(desk: Desk, files: list[ChangeFile]) -> list[tuple[ChangeFile, ...]]:
    """Files in their order, as many per part as limits allow; one empty part when there is nothing."""
    limits = desk.keyring.trust.limits
    most = min(desk.node.settings.max_batch_rows, limits.rows_per_batch)
    groups: list[list[ChangeFile]] = [[]]
    for file in files:
        rows = sum(f.counts.rows for f in groups[-1])
        if groups[-1] and (len(groups[-1]) == limits.files_per_batch or rows + file.counts.rows > most):
            groups.append([])
        groups[-1].append(file)
    return [tuple(group) for group in groups]
