"""The store on the Oracle of `ORACLE_URL` beside `executemany` of the same rows, for `tests.bench.store`.

One round each: there is one schema, which is emptied between them. Over the stand-in the figures compare what the hub
sends with what one sends by hand, to a server that is Java behind Python; they say nothing of a real Oracle's speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from hub.catalog import Entity, load_catalog
from hub.store import Store, open_store
from hub.store.oracle_session import oracle_engine
from hub.store.tables import build_tables
from tests.store.oracle import oracle_schema

BIND_ROWS = 5_000
NODE = "13"


def on_oracle(entity: Entity, files: dict[str, Path], at: datetime) -> dict[str, float]:
    """Seconds of the store's load and merge, of both sets of rows by `executemany`, and of a MERGE by hand."""
    figures: dict[str, float] = {}
    with oracle_schema(bare=True) as url:
        store = open_store(url, load_catalog())
        store.upgrade()
        figures["initial"] = spent(lambda: _apply(store, entity, files["initial"], at))
        figures["merge"] = spent(lambda: _apply(store, entity, files["merge"], at + timedelta(days=1)))
        store.close()
    with oracle_schema(bare=True) as url:
        engine = oracle_engine(sa.make_url(url))
        with engine.connect() as connection:
            names = _tables(connection, entity)
            raw: Any = connection.connection.driver_connection
            figures["raw initial"] = spent(lambda: _load(raw, "raw_rows", names, files["initial"]))
            figures["raw delta"] = spent(lambda: _load(raw, "raw_delta", names, files["merge"]))
            figures["upsert by hand"] = figures["raw delta"] + spent(lambda: _merge(raw, names))
        engine.dispose()
    return figures


def spent(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _apply(store: Store, entity: Entity, file: Path, at: datetime) -> None:
    with store.begin() as tx:
        tx.apply(entity, NODE, [file], batch="bench", at=at)


def _tables(connection: sa.Connection, entity: Entity) -> list[str]:
    golden = build_tables(load_catalog()).golden[entity.name]
    names = [c.name for c in golden.columns if c.name not in ("node", "held_from")]
    for table in ("raw_rows", "raw_delta"):
        columns = [sa.Column(n, golden.c[n].type, primary_key=n == "pk") for n in names]
        connection.execute(CreateTable(sa.Table(table, sa.MetaData(), *columns)))
    return names


def _load(raw: Any, table: str, names: list[str], file: Path) -> None:
    marks = ",".join(f":{n}" for n in range(1, len(names) + 1))
    sql = f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})"
    with raw.cursor() as cursor:
        for block in pq.ParquetFile(file).iter_batches(batch_size=BIND_ROWS):
            rows = block.rename_columns([n.lower() for n in block.schema.names]).select(names)
            cursor.executemany(sql, pa.Table.from_batches([rows]))
    raw.commit()


def _merge(raw: Any, names: list[str]) -> None:
    others = [n for n in names if n != "pk"]
    with raw.cursor() as cursor:
        cursor.execute(
            f"MERGE INTO raw_rows t USING raw_delta s ON (t.pk = s.pk) WHEN MATCHED THEN UPDATE SET "
            f"{','.join(f't.{n} = s.{n}' for n in others)} WHEN NOT MATCHED THEN INSERT ({','.join(names)}) "
            f"VALUES ({','.join(f's.{n}' for n in names)})"
        )
    raw.commit()
