"""A snapshot at the province: every golden row in parts, and last the census of all of them (protocol 9.2).

Decides how the store is cut: files of at most 200,000 rows, batches of at most `max_batch_rows` rows and 64 files, all
sealed in one transaction as seq 1..k of an epoch whose base is a snapshot. Each part is far below 256 MiB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub.audit import Event
from hub.changes import ChangeFile, Counts
from hub.store import Reader
from province_node.apart import Piece, seal_apart
from province_node.census import apart_plan, census_file, stock, work_folder, write_rows
from province_node.desk import Desk
from province_node.epoch import done
from province_node.sealing import SealedBatch
from province_node.stream import standing

KIND = "snapshot-part"


def seal_snapshot(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals the whole store as parts 1..k, the last with the census; raises as `seal_apart`."""
    with work_folder(desk, "snapshot") as folder:
        with desk.store.reading() as reader:
            here = standing(reader, desk.node.party, desk.keyring)
            groups = _groups(desk, _files(desk, reader, folder))
            groups.append((census_file(desk, folder / "census.parquet", stock(desk, reader)),))
        k = len(groups)
        pieces = [Piece(apart_plan(here, i, files, KIND, part=(i, k))) for i, files in enumerate(groups, 1)]

        def also(transaction: Any, _batches: Any) -> None:
            done(transaction)
            desk.note(transaction, Event.SNAPSHOT_STARTED, str(here.position.stream_id), {"parts": k})

        return seal_apart(desk, here, pieces, hi=here.hi, also=also)


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
