"""`python -m tests.bench.store`: a store of a million students, loaded and merged, beside the database's own bulk load.

python -m tests.bench.store --students 1000000 [--only sqlite|postgresql|oracle]

Seconds, the best of three rounds, to COMMIT: the store's initial load and its merge of a 1 % delta, from the Parquet
files of a change set; the same rows by nothing but COPY (PostgreSQL) or `executemany` (SQLite, Oracle) from memory,
into an empty table of the same columns and key; and the delta written over the loaded rows by the shortest upsert one
can write by hand. Oracle where `ORACLE_URL` is set, see `tests.bench.store_oracle`. The store checks every row, counts
what took effect, keeps the versions that end and takes statistics; the baselines do none of that.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from hub.catalog import Entity, load_catalog
from hub.changes import change_schema
from hub.store import Store, open_store
from hub.store.lane import texts, to_csv
from hub.store.tables import build_tables
from tests.bench.place import conninfo
from tests.bench.store_oracle import on_oracle
from tests.servers import start_postgres
from tests.store.oracle import URL, stand_in

NODE = "13"
AT = datetime(2026, 11, 23, tzinfo=UTC)
ROUNDS = 3


def main() -> None:
    """Runs both databases and prints one JSON line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.store")
    parser.add_argument("--students", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql", "oracle"))
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        entity = load_catalog().entities["xs"]
        files = written(Path(folder), entity, options.students)
        if options.only in (None, "sqlite"):
            tell("sqlite", on_sqlite(Path(folder), entity, files), options.students)
        if options.only in (None, "postgresql"):
            server = start_postgres()
            try:
                tell("postgresql", on_postgresql(server.create_database, entity, files), options.students)
            finally:
                server.stop()
        if URL and options.only in (None, "oracle"):
            few = options.students // 10 if stand_in() else options.students  # it takes some thousand rows a second
            figures = on_oracle(entity, written(Path(folder), entity, few), AT)
            tell("stand-in" if stand_in() else "oracle", figures, few)


def tell(name: str, figures: dict[str, float], students: int) -> None:
    """One line: seconds, and the ratios the goals are set on."""
    ratios = {
        "initial / raw (goal 2.0)": figures["initial"] / figures["raw initial"],
        "merge / raw load of the delta (goal 3.0)": figures["merge"] / figures["raw delta"],
        "merge / upsert by hand": figures["merge"] / figures["upsert by hand"],
    }
    told = {what: round(spent, 3) for what, spent in {**figures, **ratios}.items()}
    sys.stdout.write(json.dumps({"store": name, "students": students, **told}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def written(folder: Path, entity: Entity, students: int) -> dict[str, Path]:
    """The change set of the initial load, and of a delta that changes every hundredth student."""
    files = {"initial": folder / "initial.parquet", "merge": folder / "merge.parquet"}
    for what, path in files.items():
        op, version, every = ("I", 1, 1) if what == "initial" else ("U", 2, 100)
        head = {
            "op": f"'{op}'",
            "pk": "substr(md5(i::VARCHAR), 1, 20)",
            "row_ver": f"{version}::BIGINT",
            "src_rid": "'1:' || i",
            "prov": f"'{'S' * len(entity.fields)}'",
            "XXDM": "printf('13%08d', i // 1500)",
        }
        some = {
            f.name: f"substr(md5((i * {k + 7} + {version})::VARCHAR), 1, {f.length or 40})"
            for k, f in enumerate(entity.fields)
        }
        few = {f.name: "(i % 7)::VARCHAR" for f in entity.fields if f.code}
        empty = dict.fromkeys(
            [f.name for f in entity.fields if f.code is None and f.required != "M"][::2], "NULL::VARCHAR"
        )
        columns = [f'({ {**some, **empty, **few, **head}[f.name] }) AS "{f.name}"' for f in change_schema(entity)]
        with duckdb.connect(config={"threads": 2}) as con:
            made = con.sql(f"SELECT {', '.join(columns)} FROM range(0, {students}, {every}) t(i) ORDER BY XXDM, pk")
            with pq.ParquetWriter(path, change_schema(entity), compression="zstd") as out:
                for batch in made.to_arrow_reader(65_536):
                    out.write_batch(batch.cast(change_schema(entity)))
    return files


def best(work: Callable[[int], Any]) -> float:
    """Seconds of the best of the rounds, each told its number."""
    spent = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        work(number)
        spent.append(time.perf_counter() - start)
    return min(spent)


def stored(make: Callable[[], Store], entity: Entity, files: dict[str, Path]) -> dict[str, float]:
    """The store's own load, each time into a new database, and merges into the last of them."""
    made: list[Store] = []

    def ready() -> Store:
        made.append(make())
        made[-1].upgrade()
        made[-1].make_parts(NODE)
        return made[-1]

    def apply(store: Store, what: str, day: int) -> None:
        with store.begin() as tx:
            tx.apply(entity, NODE, [files[what]], batch="bench", at=AT + timedelta(days=day))

    stores = [ready() for _ in range(ROUNDS)]
    figures = {"initial": best(lambda n: apply(stores[n], "initial", 0))}
    figures["merge"] = best(lambda n: apply(stores[n], "merge", 1))
    for store in stores:
        store.close()
    return figures


def raw_table(entity: Entity, url: str) -> tuple[str, list[str]]:
    """DDL of a table with what a change file brings, keyed by record number, and its columns."""
    golden = build_tables(load_catalog()).golden[entity.name]
    names = [f.name.lower() for f in change_schema(entity) if f.name != "op"]
    columns = [sa.Column(n, golden.c[n].type, primary_key=n == "pk") for n in names]
    dialect = sa.make_url(url).get_dialect()()
    return str(CreateTable(sa.Table("raw", sa.MetaData(), *columns)).compile(dialect=dialect)), names


def on_sqlite(folder: Path, entity: Entity, files: dict[str, Path]) -> dict[str, float]:
    numbers = iter(range(ROUNDS))
    figures = stored(
        lambda: open_store(f"sqlite:///{folder / f'store-{next(numbers)}.db'}", load_catalog()), entity, files
    )
    ddl, names = raw_table(entity, "sqlite://")
    rows = {what: [texts(_lower(b), names) for b in _blocks(path)] for what, path in files.items()}
    insert = f"INSERT INTO raw ({','.join(names)}) VALUES ({','.join('?' * len(names))})"
    others = ",".join(f"{n} = excluded.{n}" for n in names if n != "pk")
    upsert = f"{insert} ON CONFLICT (pk) DO UPDATE SET {others}"

    def run(name: str, what: str, sql: str) -> None:
        con = sqlite3.connect(folder / name)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
            con.execute(f"PRAGMA {pragma}")
        con.execute(ddl.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        for columns in rows[what]:
            con.executemany(sql, zip(*columns, strict=True))
        con.commit()
        con.close()

    figures["raw initial"] = best(lambda n: run(f"raw-{n}.db", "initial", insert))
    figures["raw delta"] = best(lambda n: run(f"delta-{n}.db", "merge", insert))
    figures["upsert by hand"] = best(lambda n: run(f"raw-{n}.db", "merge", upsert))
    return figures


def on_postgresql(create: Callable[[str], str], entity: Entity, files: dict[str, Path]) -> dict[str, float]:
    numbers = iter(range(ROUNDS))
    figures = stored(lambda: open_store(create(f"bench_store_{next(numbers)}"), load_catalog()), entity, files)
    url = create("bench_raw")
    ddl, names = raw_table(entity, url)
    ddl = ddl.replace("CREATE TABLE raw", "CREATE TABLE {table}")
    blocks = {what: [bytes(to_csv(b.select(b.schema.names[1:]))) for b in _blocks(p)] for what, p in files.items()}
    others = ",".join(f"{n} = excluded.{n}" for n in names if n != "pk")

    def run(table: str, what: str, *after: str) -> None:
        with psycopg.connect(conninfo(url)) as con:
            con.execute(ddl.format(table=table).encode())
            with con.cursor().copy(f"COPY {table} ({','.join(names)}) FROM STDIN (FORMAT csv)".encode()) as copy:
                for block in blocks[what]:
                    copy.write(block)
            for statement in after:
                con.execute(statement.encode())

    over = f"INSERT INTO raw_0 SELECT * FROM {{}} ON CONFLICT (pk) DO UPDATE SET {others}"
    figures["raw initial"] = best(lambda n: run(f"raw_{n}", "initial"))
    figures["raw delta"] = best(lambda n: run(f"delta_{n}", "merge"))
    figures["upsert by hand"] = best(lambda n: run(f"stage_{n}", "merge", over.format(f"stage_{n}")))
    return figures


def _blocks(path: Path) -> Any:
    return pq.ParquetFile(path).iter_batches(batch_size=65_536)


def _lower(batch: Any) -> Any:
    return batch.rename_columns([n.lower() for n in batch.schema.names])


if __name__ == "__main__":
    main()
