"""`python -m tests.bench.store`: a store of a million students, loaded and merged, beside the database's own bulk load.

python -m tests.bench.store --students 1000000 [--only sqlite|postgresql|oracle]

Seconds, the best of some rounds, to COMMIT: the store's initial load and its merge of a 1 % delta, from the Parquet
files of a change set; the same rows by nothing but COPY (PostgreSQL) or `executemany` (SQLite, Oracle) from memory,
into an empty table of the same columns and key, the delta also into one that holds all other students; and the delta
written over the loaded rows by the shortest upsert one can write by hand. Store and baselines take turns, so that what
else the machine does befalls them alike. Every night brings another hundredth of the students, spread over all schools.
PostgreSQL has 1 GB of shared buffers, and between the load and the first night its tables are vacuumed and a checkpoint
is made, as the server does by itself within minutes of such a load.
Oracle where `ORACLE_URL` is set, see `tests.bench.store_oracle`. The store checks every row, counts what took effect,
keeps the versions that end and takes statistics; the baselines do none of that.
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
NIGHTS = 5
SPACED = 20  # between the first student of a night and that of the next


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
            server = start_postgres(buffers="1GB")
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
        "merge / raw load of the delta into an empty table (goal 3.0)": figures["merge"] / figures["raw delta"],
        "merge / upsert by hand": figures["merge"] / figures["upsert by hand"],
    }
    if "raw delta beside" in figures:
        ratios["merge / raw load of the delta beside the others"] = figures["merge"] / figures["raw delta beside"]
    told = {what: round(spent, 3) for what, spent in {**figures, **ratios}.items()}
    sys.stdout.write(json.dumps({"store": name, "students": students, **told}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def written(folder: Path, entity: Entity, students: int) -> dict[str, Path]:
    """The change sets of the initial load, of the students whom no night changes, and of nights, each of another
    hundredth student; `merge` is the first."""
    files = {name: folder / f"{name}.parquet" for name in ("others", "initial", *map(night, range(NIGHTS)))}
    for number, (name, path) in enumerate(files.items(), -2):
        op, version, first, every = ("I", 1, 0, 1) if number < 0 else ("U", 2, number * SPACED, 100)
        some_of = f"WHERE i % {SPACED} <> 0" if name == "others" else ""
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
            made = con.sql(
                f"SELECT {', '.join(columns)} FROM range({first}, {students}, {every}) t(i) {some_of} ORDER BY XXDM, pk"
            )
            with pq.ParquetWriter(path, change_schema(entity), compression="zstd") as out:
                for batch in made.to_arrow_reader(65_536):
                    out.write_batch(batch.cast(change_schema(entity)))
    return files


def night(number: int) -> str:
    return f"merge {number}" if number else "merge"


def in_turn(rounds: int, **works: Callable[[int], Any]) -> dict[str, float]:
    """Seconds of the best round of each, all told the round's number; `_` in a name stands for a space."""
    spent: dict[str, list[float]] = {name.replace("_", " "): [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work(number)
            spent[name.replace("_", " ")].append(time.perf_counter() - start)
    return {name: min(seconds) for name, seconds in spent.items()}


def ready(url: str) -> Store:
    """An empty store."""
    store = open_store(url, load_catalog())
    store.upgrade()
    store.make_parts(NODE)
    return store


def apply(store: Store, entity: Entity, file: Path, day: int) -> None:
    with store.begin() as tx:
        tx.apply(entity, NODE, [file], batch="bench", at=AT + timedelta(days=day))


def raw_table(entity: Entity, url: str) -> tuple[str, list[str]]:
    """DDL of a table with what a change file brings, keyed by record number, and its columns."""
    golden = build_tables(load_catalog()).golden[entity.name]
    names = [f.name.lower() for f in change_schema(entity) if f.name != "op"]
    columns = [sa.Column(n, golden.c[n].type, primary_key=n == "pk") for n in names]
    dialect = sa.make_url(url).get_dialect()()
    return str(CreateTable(sa.Table("raw", sa.MetaData(), *columns)).compile(dialect=dialect)), names


def on_sqlite(folder: Path, entity: Entity, files: dict[str, Path]) -> dict[str, float]:
    stores = [ready(f"sqlite:///{folder / f'store-{n}.db'}") for n in range(ROUNDS)]
    ddl, names = raw_table(entity, "sqlite://")
    insert = f"INSERT INTO raw ({','.join(names)}) VALUES ({','.join('?' * len(names))})"
    others = ",".join(f"{n} = excluded.{n}" for n in names if n != "pk")
    upsert = f"{insert} ON CONFLICT (pk) DO UPDATE SET {others}"
    rows = {what: [texts(_lower(b), names) for b in _blocks(path)] for what, path in files.items()}

    def run(name: str, what: str, sql: str) -> None:
        con = sqlite3.connect(folder / name)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
            con.execute(f"PRAGMA {pragma}")
        con.execute(ddl.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        for columns in rows[what]:
            con.executemany(sql, zip(*columns, strict=True))
        con.commit()
        con.close()

    figures = in_turn(
        ROUNDS,
        initial=lambda n: apply(stores[n], entity, files["initial"], 0),
        raw_initial=lambda n: run(f"raw-{n}.db", "initial", insert),
    )
    run("beside.db", "others", insert)
    return figures | in_turn(
        NIGHTS,
        merge=lambda n: apply(stores[0], entity, files[night(n)], n + 1),
        raw_delta=lambda n: run(f"delta-{n}.db", night(n), insert),
        raw_delta_beside=lambda n: run("beside.db", night(n), insert),
        upsert_by_hand=lambda n: run("raw-0.db", night(n), upsert),
    )


def on_postgresql(create: Callable[[str], str], entity: Entity, files: dict[str, Path]) -> dict[str, float]:
    places = [create(f"bench_store_{n}") for n in range(ROUNDS)]
    stores, url = [ready(place) for place in places], create("bench_raw")
    ddl, names = raw_table(entity, url)
    ddl = ddl.replace("CREATE TABLE raw", "CREATE TABLE IF NOT EXISTS {table}")
    blocks = {what: [bytes(to_csv(b.select(b.schema.names[1:]))) for b in _blocks(p)] for what, p in files.items()}
    others = ",".join(f"{n} = excluded.{n}" for n in names if n != "pk")
    over = f"INSERT INTO raw_{ROUNDS - 1} SELECT * FROM {{}} ON CONFLICT (pk) DO UPDATE SET {others}"

    def run(table: str, what: str, *after: str) -> None:
        with psycopg.connect(conninfo(url)) as con:
            con.execute(ddl.format(table=table).encode())
            with con.cursor().copy(f"COPY {table} ({','.join(names)}) FROM STDIN (FORMAT csv)".encode()) as copy:
                for block in blocks[what]:
                    copy.write(block)
            for statement in after:
                con.execute(statement.encode())

    figures = in_turn(
        ROUNDS,
        initial=lambda n: apply(stores[n], entity, files["initial"], 0),
        raw_initial=lambda n: run(f"raw_{n}", "initial"),
    )
    run("beside", "others")
    for place, table in ((url, f"raw_{ROUNDS - 1}"), (url, "beside"), (places[-1], "g_xs")):
        with psycopg.connect(conninfo(place), autocommit=True) as con:
            con.execute(f"VACUUM {table}".encode())
            con.execute(b"CHECKPOINT")
    return figures | in_turn(
        NIGHTS,
        merge=lambda n: apply(stores[-1], entity, files[night(n)], n + 1),
        raw_delta=lambda n: run(f"delta_{n}", night(n)),
        raw_delta_beside=lambda n: run("beside", night(n)),
        upsert_by_hand=lambda n: run(f"stage_{n}", night(n), over.format(f"stage_{n}")),
    )


def _blocks(path: Path) -> Any:
    return pq.ParquetFile(path).iter_batches(batch_size=65_536)


def _lower(batch: Any) -> Any:
    return batch.rename_columns([n.lower() for n in batch.schema.names])


if __name__ == "__main__":
    main()
