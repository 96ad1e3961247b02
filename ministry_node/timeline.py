"""Every version of a record and the batch, file and line that brought it (house rule 8).

Decides that a version is written down in the transaction that applies its batch: rows of a delta or a repair as they
stand, rows of a snapshot when they are staged (they count once its last part is released), and what a repair or a swap
takes away as a deletion without a line. What a version said is not repeated here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from hub.batch.manifest import FileEntry, Manifest
from hub.catalog import Entity
from hub.store import Transaction
from hub.store.lane import BLOCK_ROWS
from hub.store.version_tables import RECORD_VERSION
from ministry_node.lineage import change_set_number

_TABLE: Final = RECORD_VERSION.name
NO_FILE: Final = 0


def note(tx: Transaction, manifest: Manifest, entry: FileEntry, block: Any, numbers: Any) -> None:
    """The versions of one block of change rows. `numbers`: their rows in the file, from 1."""
    columns = {
        **_told(manifest, entry.entity, block.num_rows),
        "pk": block.column("pk"),
        "row_ver": block.column("row_ver"),
        "file_no": _repeated(entry.n, block.num_rows),
        "row_no": numbers,
        "op": block.column("op"),
    }
    tx.ingest(_TABLE, [pa.RecordBatch.from_pydict(columns)])


def note_gone(tx: Transaction, manifest: Manifest, entity: str, gone: Iterable[tuple[str, int]]) -> None:
    """Records that a repair or a swap takes away without a row of their own: (record number, last version)."""
    rows = list(gone)
    for at in range(0, len(rows), BLOCK_ROWS):
        some = rows[at : at + BLOCK_ROWS]
        columns = {
            **_told(manifest, entity, len(some)),
            "pk": pa.array([pk for pk, _ in some], pa.string()),
            "row_ver": pa.array([version for _, version in some], pa.int64()),
            "file_no": _repeated(NO_FILE, len(some)),
            "row_no": _repeated(0, len(some)),
            "op": pa.array(["D"] * len(some)),
        }
        tx.ingest(_TABLE, [pa.RecordBatch.from_pydict(columns)])


def note_swap(tx: Transaction, manifest: Manifest, entity: Entity, golden: str, shadow: str) -> None:
    """Records that a snapshot no longer has, before the swap takes them away."""
    mine = f"node = '{manifest.stream_id.party}'"
    tx.connection.execute(
        sa.text(
            f"INSERT INTO {_TABLE} (node,entity,pk,row_ver,cs_no,file_no,row_no,op) "
            f"SELECT node,:entity,pk,row_ver,:number,0,0,'D' FROM {golden} "
            f"WHERE {mine} AND pk NOT IN (SELECT pk FROM {shadow} WHERE {mine})"
        ),
        {"entity": entity.name, "number": change_set_number(manifest)},
    )


def unstaged(tx: Transaction, manifest: Manifest) -> None:
    """A snapshot begins anew: what its earlier parts of this epoch had staged never counts."""
    c, number = RECORD_VERSION.c, change_set_number(manifest)
    first = number - manifest.seq
    tx.connection.execute(
        sa.delete(RECORD_VERSION).where(c.node == manifest.stream_id.party, c.cs_no > first, c.cs_no < number)
    )


def _told(manifest: Manifest, entity: str, size: int) -> dict[str, Any]:
    return {
        "node": _repeated(manifest.stream_id.party, size),
        "entity": _repeated(entity, size),
        "cs_no": _repeated(change_set_number(manifest), size),
    }


def _repeated(value: str | int, size: int) -> Any:
    return pa.array([value]).take(pa.array([0] * size, pa.int32())) if size else pa.array([], pa.scalar(value).type)
