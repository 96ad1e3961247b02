"""Extract: what the sources say now, kept as immutable Parquet of raw text.

Decides, per source table, how to find change: a full read the first time and on demand; otherwise a watermark with an
overlap for late commits, and, when the row count does not add up, the key set, which finds deletions, duplicates and
rows committed behind the watermark. What a changed row means is left to `quality`.

Rules: an empty or missing source changes nothing and raises an alarm (house rule 7); an extract holds all rows of every
key it names; file names carry no personal data.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import Source
from connectors.changes import since_with_overlap
from hub.catalog import SourceTable
from hub.errors import HubError
from quality.changed import scalar
from quality.contributions import holding
from quality.expressions import ident, key_text, text

# Above this many keys a targeted re-read costs more than reading the table once.
TARGETED_KEYS = 20_000
# Up to this many rows the key set is read every time: a deletion and a late insertion can hide each other in a count.
KEYS_ALWAYS = 200_000
# A platform without schools, students or staff is broken even the first time.
MAIN_ENTITIES = ("xx", "xs", "jzg")
# Update times in another form than this cannot be compared as text: such a table is read in full.
MARK = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?")


@dataclass(frozen=True)
class Extract:
    """One read of one source table. `removed`: raw keys (column `_rk`) no longer there; `complete`: the whole table."""

    number: int
    table: SourceTable
    mode: str
    file: Path
    rows: int
    high_mark: str | None
    since: str | None = None
    complete: bool = False
    removed: pa.Table | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Alarm:
    """A source that could not be taken this time; nothing of it changed."""

    source: str
    code: str
    sentence: str
    retryable: bool = False


@dataclass
class Extracts:
    """All reads of a round."""

    taken: list[Extract] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)


def extract_table(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    table: SourceTable,
    *,
    number: int,
    folder: Path,
    full: bool,
    overlap: dt.timedelta,
) -> Extract | Alarm:
    """Reads one table into `folder`; compares with the state in `con` to find deletions. Never changes the state."""
    try:
        probe = source.probe(table)
        known = _known(con, table)
        if not probe.present:
            return _alarm(table, "E2001", f"数据源缺少表 {table.native.table}，本轮不改动其数据")
        if probe.missing_columns:
            missing = "、".join(probe.missing_columns)
            return _alarm(table, "E2002", f"表 {table.native.table} 缺少列 {missing}，本轮不改动其数据")
        if not probe.rows and (known or table.entity in MAIN_ENTITIES):
            return _alarm(
                table, "E2003", f"表 {table.native.table} 为空（上次 {known} 行），视为数据源故障，本轮不改动其数据"
            )
        return _read(con, source, table, number, folder, full, overlap, known)
    except HubError as error:
        return Alarm(table.name, error.code, error.sentence(), error.retryable)


def _alarm(table: SourceTable, code: str, sentence: str) -> Alarm:
    return Alarm(table.name, code, f"[{code}] {sentence}　下一步：请数据源系统核对后重新同步")


def _known(con: duckdb.DuckDBPyConnection, table: SourceTable) -> int:
    if table.entity is None:
        return 0
    return int(scalar(con, f"SELECT count(*) FROM {holding(table)}"))


def _mark(con: duckdb.DuckDBPyConnection, table: SourceTable) -> str | None:
    row = con.execute("SELECT high_mark FROM watermark WHERE source_table = ?", [table.name]).fetchone()
    return None if row is None else row[0]


def _read(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    table: SourceTable,
    number: int,
    folder: Path,
    full: bool,
    overlap: dt.timedelta,
    known: int,
) -> Extract:
    path = folder / f"{number:06d}-{table.name}.parquet"
    mark = _mark(con, table)
    if full or not known or table.entity is None or mark is None or not MARK.fullmatch(mark):
        rows = write_blocks(path, table, source.read(table))
        done = Extract(number, table, "full", path, rows, _highest(con, path, table), complete=True)
        return replace(done, sha256=digest(path))
    since = since_with_overlap(mark, overlap)
    rows = write_blocks(path, table, source.read(table, since=since))
    done = Extract(number, table, "watermark", path, rows, _highest(con, path, table) or mark, since=since)
    done = _reconcile(con, source, done)
    return replace(done, high_mark=max(mark, done.high_mark or mark), sha256=digest(done.file))


def _highest(con: duckdb.DuckDBPyConnection, path: Path, table: SourceTable) -> str | None:
    if table.updated is None:
        return None
    value = scalar(con, f"SELECT max({ident(table.updated)}) FROM read_parquet({text(str(path))})")
    return None if value is None else str(value)


def write_blocks(path: Path, table: SourceTable, blocks: Iterable[pa.RecordBatch]) -> int:
    """Writes blocks of raw text as Parquet; returns the rows. Dictionary pages only where values repeat."""
    schema = pa.schema([(c, pa.string()) for c in table.column_names])
    repeated = [c.name for c in table.columns if c.form in ("code", "label", "yyyymm", "yyyy", "month-dash", "number")]
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=repeated) as writer:
        for block in blocks:
            writer.write_batch(pa.RecordBatch.from_arrays(block.columns, schema=schema))
            rows += block.num_rows
    return rows


def digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reconcile(con: duckdb.DuckDBPyConnection, source: Source, done: Extract) -> Extract:
    """Compares the row count with what the state would hold; where it differs, reads the keys and what is missing."""
    table = done.table
    store = holding(table)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE delta_key AS SELECT {key_text(table.key)} AS _rk, count(*) AS n "
        f"FROM read_parquet({text(str(done.file))}) GROUP BY 1"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE held_key AS SELECT _rk, count(*) AS n FROM {store} "
        "WHERE _rk IN (SELECT _rk FROM delta_key) GROUP BY 1"
    )
    grown = int(
        scalar(
            con,
            "SELECT coalesce(sum(greatest(d.n - coalesce(h.n, 0), 0)), 0) FROM delta_key d "
            "LEFT JOIN held_key h USING (_rk)",
        )
    )
    shrunk = int(scalar(con, "SELECT count(*) FROM delta_key d JOIN held_key h USING (_rk) WHERE d.n < h.n"))
    expected = int(scalar(con, f"SELECT count(*) FROM {store}")) + grown
    counted = source.count(table)
    if counted == expected and not shrunk and counted > KEYS_ALWAYS:
        return done
    return _by_keys(con, source, done, store)


def _by_keys(con: duckdb.DuckDBPyConnection, source: Source, done: Extract, store: str) -> Extract:
    """The key set: raw keys gone from the source, and keys whose rows must be read again."""
    table = done.table
    keys_path = done.file.with_suffix(".keys")
    schema = pa.schema([(k, pa.string()) for k in table.key])
    with pq.ParquetWriter(keys_path, schema, compression="zstd", compression_level=1) as writer:
        for block in source.read_keys(table):
            writer.write_batch(pa.RecordBatch.from_arrays(block.columns, schema=schema))
    names = ", ".join(ident(k) for k in table.key)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE source_key AS SELECT {key_text(table.key)} AS _rk, {names}, count(*) AS n "
        f"FROM read_parquet({text(str(keys_path))}) GROUP BY ALL"
    )
    keys_path.unlink()
    removed_table: pa.Table = con.sql(
        f"SELECT DISTINCT _rk FROM {store} WHERE _rk NOT IN (SELECT _rk FROM source_key WHERE _rk IS NOT NULL)"
    ).to_arrow_table()
    again: pa.Table = con.sql(
        f"SELECT {names} FROM source_key s LEFT JOIN delta_key d USING (_rk) "
        f"LEFT JOIN (SELECT _rk, count(*) AS n FROM {store} GROUP BY _rk) c USING (_rk) "
        "WHERE coalesce(d.n, 0) <> s.n AND (d.n IS NOT NULL OR c.n IS NULL OR c.n <> s.n)"
    ).to_arrow_table()
    if again.num_rows == 0:
        return replace(done, mode="watermark+keys", removed=removed_table)
    if again.num_rows > TARGETED_KEYS:
        rows = write_blocks(done.file, table, source.read(table))
        return replace(done, mode="full", rows=rows, complete=True, since=None)
    return _append(con, source, replace(done, mode="watermark+keys", removed=removed_table), again)


def _append(con: duckdb.DuckDBPyConnection, source: Source, done: Extract, again: pa.Table) -> Extract:
    """Replaces the rows of these keys in the extract by all their rows."""
    table = done.table
    con.register("again_key", again)
    kept = done.file.with_suffix(".kept")
    con.execute(
        f"COPY (SELECT * FROM read_parquet({text(str(done.file))}) r "
        f"ANTI JOIN (SELECT {key_text(table.key)} AS _k FROM again_key) a "
        f"ON a._k = {key_text(table.key, 'r.')}) TO {text(str(kept))} (FORMAT parquet)"
    )
    con.unregister("again_key")

    def blocks() -> Iterable[pa.RecordBatch]:
        yield from pq.ParquetFile(kept).iter_batches()
        yield from source.read_rows(table, again)

    rows = write_blocks(done.file, table, blocks())
    kept.unlink()
    return replace(done, rows=rows)


def extract_all(
    con: duckdb.DuckDBPyConnection,
    sources: Iterable[tuple[Source | Alarm, SourceTable]],
    *,
    first_number: int,
    folder: Path,
    full: bool,
    overlap: dt.timedelta,
    progress: Callable[[str], None] = lambda _: None,
) -> Extracts:
    """Reads every table; a table that cannot be read becomes an alarm and the others go on."""
    folder.mkdir(parents=True, exist_ok=True)
    result = Extracts()
    number = first_number
    for source, table in sources:
        progress(f"{table.system} {table.cn}")
        if isinstance(source, Alarm):
            result.alarms.append(replace(source, source=table.name))
            continue
        done = extract_table(con, source, table, number=number, folder=folder, full=full, overlap=overlap)
        if isinstance(done, Alarm):
            result.alarms.append(done)
        else:
            result.taken.append(done)
            number += 1
    return result
