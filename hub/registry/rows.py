"""Under which version of the registry a golden row's present values were settled.

Decides how that is kept without a column in every golden table: a node notes, per province, the version of its first
rows (`node_state`), and every row written since under another one in `row_registry`. A row that a later version was
asked about and did not change keeps its version: its values are those of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE
from hub.store.registry_tables import ROW_REGISTRY

_BLOCK = 65_536


def differs(connection: sa.Connection, node: str, version: int) -> bool:
    """Whether rows of this version have to be noted one by one; the first version ever asked about becomes the base."""
    base = _base(connection, node)
    if base is None:
        connection.execute(sa.insert(NODE_STATE), {"name": _name(node), "value": str(version)})
    return base not in (None, version)


def standing(block: Any) -> Any:
    """Record numbers that a block of change rows leaves standing, as an Arrow array."""
    return block.filter(pc.not_equal(block.column("op"), "D")).column("pk")


def standing_in(path: Path) -> Iterator[Any]:
    """The same of a whole change file, array by array."""
    with pq.ParquetFile(path) as file:
        for block in file.iter_batches(batch_size=_BLOCK, columns=["op", "pk"]):
            yield standing(block)


def note_rows(transaction: Transaction, node: str, entity: str, pks: Iterable[Any], version: int) -> int:
    """Notes the version of these rows (arrays of record numbers); returns how many. `node`: province code."""
    return transaction.ingest("row_registry", _blocks(node, entity, pks, version), replace=True)


def version_of(reader: Reader, node: str, entity: str, pk: str) -> int | None:
    """The version a row was settled under; None while the province has no rows."""
    c = ROW_REGISTRY.c
    query = sa.select(c.version).where(c.node == node, c.entity == entity, c.pk == pk)
    found = reader.connection.execute(query).scalar_one_or_none()
    return int(found) if found is not None else _base(reader.connection, node)


def counts(reader: Reader, node: str) -> dict[int, int]:
    """Rows noted under each version other than the base."""
    c = ROW_REGISTRY.c
    query = sa.select(c.version, sa.func.count()).where(c.node == node).group_by(c.version)
    return {int(version): int(n) for version, n in reader.connection.execute(query)}


def _blocks(node: str, entity: str, pks: Iterable[Any], version: int) -> Iterator[Any]:
    for block in pks:
        size = len(block)
        columns = {
            "node": pa.array([node] * size, pa.string()),
            "entity": pa.array([entity] * size, pa.string()),
            "pk": block,
            "version": pa.array([version] * size, pa.int64()),
        }
        yield pa.RecordBatch.from_pydict(columns)


def _base(connection: sa.Connection, node: str) -> int | None:
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _name(node))
    found = connection.execute(query).scalar_one_or_none()
    return int(found) if found is not None else None


def _name(node: str) -> str:
    return f"registry.base.{node}"
