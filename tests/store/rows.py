"""Change rows for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from hub.catalog import Entity
from hub.changes import change_schema
from hub.store import Store

# When the rows of a test are held from, where no test asks.
AT = datetime(2026, 11, 23, 6, tzinfo=UTC)


def pk(number: int) -> str:
    """A record number."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:20]


def change(entity: Entity, op: str, number: int, version: int, **payload: Any) -> dict[str, Any]:
    """One change row; payload fields not named are NULL."""
    head = {"op": op, "pk": pk(number), "row_ver": version, "src_rid": f"S1.{number}", "prov": "S" * len(entity.fields)}
    return {**dict.fromkeys(entity.columns), **head, **payload}


def batch(entity: Entity, rows: Iterable[dict[str, Any]]) -> Any:
    """Record batch of change rows."""
    return pa.RecordBatch.from_pylist(list(rows), schema=change_schema(entity))


def apply(store: Store, entity: Entity, *rows: dict[str, Any], node: str = "13") -> tuple[int, int, int, int]:
    """Applies rows in a transaction of their own: (inserted, updated, deleted, noop)."""
    with store.begin() as tx:
        counts = tx.apply(entity, node, [batch(entity, rows)], batch="b1", at=AT)
    return counts.inserted, counts.updated, counts.deleted, counts.noop


def stored(store: Store, entity: Entity, node: str | None = None) -> list[dict[str, Any]]:
    """All rows, by node and record number."""
    return [row for block in store.read(entity, node=node) for row in block.to_pylist()]


def tombstones(store: Store) -> list[tuple[Any, ...]]:
    with store.reading() as reader:
        return [tuple(r) for r in reader.connection.exec_driver_sql("SELECT * FROM tombstone ORDER BY entity, pk")]


def many(
    entity: Entity, rows: int, *, op: str = "I", version: int = 1, every: int = 1, mark: str = ""
) -> Iterable[Any]:
    """Blocks of `rows` synthetic change rows in random key order; `every`: only each n-th of them."""
    block = 65_536
    for start in range(0, rows, block):
        numbers = np.arange(start, min(start + block, rows), every)
        count = len(numbers)
        keys = [hashlib.blake2b(int(n).to_bytes(8, "big"), digest_size=10).hexdigest() for n in numbers]
        yield pa.record_batch(
            [
                pa.array([op] * count),
                pa.array(keys),
                pa.array([version] * count, pa.int64()),
                pa.array([f"S1.{n}" for n in numbers]),
                pa.array(["S" * len(entity.fields)] * count),
                *(_column(f.type, f.length or 40, f.scale, k, numbers, mark) for k, f in enumerate(entity.fields)),
            ],
            schema=change_schema(entity),
        )


def _column(kind: str, length: int, scale: int, place: int, numbers: Any, mark: str) -> Any:
    if kind == "N":
        values = pa.array([int(n) % 10 for n in numbers], pa.int64())
        exact = pa.decimal128(38, scale)
        return values if scale == 0 and length <= 18 else values.cast(exact).cast(pa.decimal128(length, scale))
    if place % 5 == 4:
        return pa.array([None if n % 3 else f"甲{mark}"[:length] for n in numbers], pa.string()).cast(pa.string())
    return pa.array([f"{mark}{(int(n) * (place + 7)) % 1_000_003:07d}"[:length] for n in numbers])
