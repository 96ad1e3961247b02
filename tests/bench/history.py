"""`python -m tests.bench.history`: what was held at a date, over 25 synthetic years, beside a plain scan of the files.

python -m tests.bench.history --versions 10000000 --years 25

Figures in seconds for one student and for one school, as of the middle of the first year (every file may answer) and
of the last: the first time, when each file is digested before it is believed, and again. Beside them the same question
as a plain scan, every column of every row group read. Files and index are written by the product's own code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from hub.archive.asof import Question, ask
from hub.archive.files import file_name, write_file
from hub.archive.index import KEPT, Entry, add, read_index, write_copy
from hub.catalog import Entity, load_catalog
from hub.store import Store, open_store
from hub.store.history_tables import moment
from hub.store.reader import version_schema

NODE, LAST = "13", 2025
PER_SCHOOL = 1_500
AT = datetime(2026, 11, 23, tzinfo=UTC)


def main() -> None:
    """Builds the archive, asks, and prints one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history")
    parser.add_argument("--versions", type=int, default=10_000_000)
    parser.add_argument("--years", type=int, default=25)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'node.db'}", load_catalog())
        store.upgrade()
        try:
            figures = measure(store, Path(folder), options.versions, options.years)
        finally:
            store.close()
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")


def measure(store: Store, folder: Path, versions: int, years: int) -> dict[str, Any]:
    """All figures of one run."""
    entity, archive = load_catalog().entities["xs"], folder / "archive"
    students = versions // years
    start = time.perf_counter()
    size = build(store, archive, entity, students, range(LAST - years + 1, LAST + 1))
    figures: dict[str, Any] = {"versions": students * years, "files": years, "archive_mb": size / 1e6}
    figures["build"] = time.perf_counter() - start
    pk, school = record_number(students // 3), school_code(students // 3)
    first = moment(datetime(LAST - years + 1, 5, 1, tzinfo=UTC))
    last = moment(datetime(LAST, 5, 1, tzinfo=UTC))
    memory = folder / "seen.json"
    figures["student, files not seen before"] = asked(store, archive, Question(entity, pks=(pk,), at=first), memory, 1)
    for name, at in (("first year", first), ("last year", last)):
        figures[f"student, {name}"] = asked(store, archive, Question(entity, pks=(pk,), at=at), memory, 5)
        figures[f"school, {name}"] = asked(store, archive, Question(entity, school=school, at=at), memory, 3)
    figures["student, whole history"] = asked(store, archive, Question(entity, pks=(pk,)), memory, 3, rows=years)
    figures["plain scan, student"] = scan(archive, f"concat(pk) = '{pk}'", first)
    figures["plain scan, school"] = scan(archive, f"concat(XXDM) = '{school}'", first)
    return figures


def asked(store: Store, archive: Path, question: Question, memory: Path, times: int, *, rows: int = 1) -> float:
    """Median seconds of a question, from opening a connection to rows in hand."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        with store.reading() as reader:
            found = ask(reader, archive, question, memory=memory)
        spent.append(time.perf_counter() - start)
        if found.total != (PER_SCHOOL if question.school else rows):
            raise RuntimeError(f"{found.total} rows answered")
    return statistics.median(spent)


def scan(archive: Path, condition: str, at: str) -> float:
    """Seconds of the same answer without statistics, filters or late reading: every column of every row."""
    start = time.perf_counter()
    with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as con:
        con.execute("SET disabled_optimizers = 'late_materialization,statistics_propagation,filter_pushdown'")
        con.sql(
            f"SELECT * FROM read_parquet('{archive}/*/*.parquet') "
            f"WHERE {condition} AND concat(held_from) <= '{at}' AND concat(held_to) > '{at}'"
        ).fetchall()
    return time.perf_counter() - start


def build(store: Store, archive: Path, entity: Entity, students: int, years: range) -> int:
    """One file per year, every student with one version in it; bytes written."""
    size = 0
    for number, year in enumerate(years, 1):
        name = file_name(entity, NODE, year, number)
        done = write_file(archive, name, entity, rows_of(entity, students, year))
        said = (done.rows, done.size, done.sha256, done.first_to, done.last_to)
        with store.begin() as tx:
            add(tx.connection, Entry(NODE, entity.name, year, name, *said, KEPT, moment(AT)))
        size += done.size
    with store.reading() as reader:
        write_copy(archive, read_index(reader.connection))
    return size


def rows_of(entity: Entity, students: int, year: int) -> Iterator[Any]:
    """Versions of a year as the archive sorts them: by school and record number."""
    named = {
        "node": f"'{NODE}'",
        "pk": "substr(md5(i::VARCHAR), 1, 20)",
        "row_ver": str(year - LAST + 100),
        "src_rid": "'1:' || i",
        "prov": f"'{'S' * len(entity.fields)}'",
        "XXDM": f"printf('13%08d', i // {PER_SCHOOL})",
        "held_from": f"'{year}-01-01T00:00:00.000Z'",
        "held_to": f"'{year}-12-31T00:00:00.000Z'",
        "ended": "'U'",
    }
    some = {
        f.name: f"substr(md5((i * {k + 7} + {year})::VARCHAR), 1, {f.length or 40})"
        for k, f in enumerate(entity.fields)
    }
    few = {f.name: "(i % 7)::VARCHAR" for f in entity.fields if f.code}
    columns = [f'({ {**some, **few, **named}[f.name] }) AS "{f.name}"' for f in version_schema(entity)]
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as con:
        made = con.sql(f"SELECT {', '.join(columns)} FROM range({students}) t(i) ORDER BY XXDM, pk")
        for batch in made.to_arrow_reader(65_536):
            yield batch.cast(version_schema(entity))


def record_number(student: int) -> str:
    return hashlib.md5(str(student).encode(), usedforsecurity=False).hexdigest()[:20]


def school_code(student: int) -> str:
    return f"13{student // PER_SCHOOL:08d}"


if __name__ == "__main__":
    main()
