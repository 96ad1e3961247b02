"""The settling state: a DuckDB file with contributions, golden image, watermarks and counters.

Decides nothing about records. The state commits *before* the store: a change set that the state knows and the store
does not yet is applied first thing in the next run (`province_node.publish`), so a crash in between loses nothing and
doubles nothing. Losing the file loses no data: the next run reads the sources in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from hub.catalog import Catalog
from hub.errors import LockedError
from hub.settings import Node
from quality.contributions import create_tables, load_lookups


def open_state(node: Node, catalog: Catalog, *, today: str) -> duckdb.DuckDBPyConnection:
    """Opens (or creates) the state with the node's memory and thread limits; `today` is what dated rules see."""
    node.work.mkdir(parents=True, exist_ok=True)
    try:
        con = duckdb.connect(str(node.state))
    except duckdb.IOException as error:
        raise LockedError(
            "E3001", "另一个任务正在使用本节点的定值状态", where=node.state.name, step="等待该任务结束后重试"
        ) from error
    con.execute(f"SET memory_limit = '{node.settings.memory_mb}MB'")
    con.execute(f"SET threads = {node.settings.threads}")
    con.execute("SET preserve_insertion_order = false")
    con.execute(f"SET temp_directory = '{node.work / 'spill'}'")
    con.execute(f"SET VARIABLE today = '{today}'")
    create_tables(con, catalog)
    con.execute(
        "CREATE TABLE IF NOT EXISTS watermark (source_table VARCHAR PRIMARY KEY, high_mark VARCHAR, rows_seen BIGINT)"
    )
    con.execute("CREATE TABLE IF NOT EXISTS local_file (name VARCHAR PRIMARY KEY, sha256 VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS local_number (name VARCHAR PRIMARY KEY, sha256 VARCHAR, number INTEGER)")
    con.execute("CREATE TABLE IF NOT EXISTS tombstone (entity VARCHAR, pk VARCHAR, row_ver BIGINT)")
    con.execute("CREATE TABLE IF NOT EXISTS open_issue (digest VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS open_conflict (digest VARCHAR)")
    _division_type(con, catalog)
    load_lookups(con, catalog)
    return con


def _division_type(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Division codes as an ENUM: a membership test is one hash look-up (YX05, YX03)."""
    codes = ", ".join(f"'{c}'" for c in sorted(catalog.codes.divisions))
    con.execute("DROP TYPE IF EXISTS division")
    con.execute(f"CREATE TYPE division AS ENUM ({codes})")


def counter(con: duckdb.DuckDBPyConnection, name: str) -> int:
    """A counter of the state, 0 at first."""
    row = con.execute("SELECT value FROM meta WHERE name = ?", [f"counter.{name}"]).fetchone()
    return int(row[0]) if row else 0


def set_counter(con: duckdb.DuckDBPyConnection, name: str, value: int) -> None:
    set_meta(con, f"counter.{name}", str(value))


def meta(con: duckdb.DuckDBPyConnection, name: str) -> str | None:
    row = con.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
    return None if row is None else str(row[0])


def set_meta(con: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    con.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [name, value])


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[Any]:
    """Commits on success, rolls back on any exception."""
    con.execute("BEGIN")
    try:
        yield con
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
