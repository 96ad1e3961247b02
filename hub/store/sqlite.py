"""SQLite: the embedded default.

Rows go in through `executemany` of the standard library and come out as CSV text composed in SQL. ADBC is 1.3 times
faster at loading (200,000 × 25: 1.3 s against 1.8 s) and is left out: its own copy of SQLite in the same process would
drop this one's POSIX locks when it closes a file, which is how SQLite files get corrupted; nor can it join the
transaction that holds ledger and audit.

WAL, so that readers (console, digests) never block a run. `synchronous=FULL`, because a receipt is published right
after COMMIT: with NORMAL a power cut could forget a batch whose receipt the province already holds. One sync per batch
costs nothing. Foreign keys are off: none are declared, parents are a rule of the gate (ruling 1).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from hub.errors import NotInitialisedError
from hub.store.lane import blocks, texts
from hub.store.scratch import Temporary
from hub.store.sqlite_renewal import FOUND, renewal
from hub.store.staged import Staged

# Rows as Python objects are large: 16,384 × 30 columns are about 30 MB.
_INSERT_ROWS = 16_384
_CACHE_KIB = 65_536
# SQLite allows 127 arguments per function in its smallest build.
_PRINTF_COLUMNS = 100


class Sqlite(Temporary):
    """`Dialect` for SQLite files."""

    stage_keyed = True
    staged_by_key = False
    reading_level: str | None = None

    def engine(self, url: sa.URL, busy_seconds: int) -> sa.Engine:
        engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds})
        event.listen(engine, "do_connect", _present)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        event.listen(engine, "checkout", _follow(url.database or ""))
        return engine

    def prepare(self, url: sa.URL) -> None:
        if url.database and not Path(url.database).exists():
            os.close(os.open(url.database, os.O_CREAT | os.O_RDWR, 0o600))

    def check(self, connection: sa.Connection) -> None:
        """Nothing to refuse: SQLite stores UTF-8."""

    def serialise(self, connection: sa.Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def insert(self, connection: sa.Connection, table: sa.Table, batch: Any) -> None:
        names = batch.schema.names
        marks = ",".join("?" * len(names))
        sql = f"INSERT INTO {table.name} ({','.join(names)}) VALUES ({marks})"
        cursor = _raw(connection).cursor()
        for block in blocks([batch], _INSERT_ROWS):
            cursor.executemany(sql, zip(*texts(block, names), strict=True))

    def renew(self, connection: sa.Connection, staged: Staged) -> int:
        before, renewing = renewal(staged)
        for statement in before:
            connection.exec_driver_sql(statement)
        renewed = int(connection.exec_driver_sql(renewing).rowcount)
        connection.exec_driver_sql(f"DROP TABLE {FOUND}")
        return renewed

    def part(self, table: sa.Table, node: str) -> str:
        del node
        return table.name

    def make_part(self, connection: sa.Connection, table: sa.Table, node: str) -> None:
        """One table for all nodes."""

    def analyse(self, connection: sa.Connection, table: str, columns: Sequence[str] = ()) -> None:
        """SQLite's planner needs none: the joins go by key."""

    def csv(
        self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, block_rows: int
    ) -> Iterator[bytes]:
        cursor = _raw(connection).cursor()
        try:
            cursor.execute(f"SELECT {_line(columns)} {tail}")
            while rows := cursor.fetchmany(block_rows):
                yield "\n".join([*(r[0] for r in rows), ""]).encode()
        finally:
            cursor.close()

    def ascending(self, column: str) -> str:
        return column


def _raw(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _present(_dialect: Any, _record: Any, arguments: Any, _options: Any) -> None:
    """Opening must not create: an empty file would look like a store without tables."""
    if not Path(arguments[0]).exists():
        raise NotInitialisedError(
            "E3104", "数据库文件不存在", where=Path(arguments[0]).name, step="检查路径；新节点先运行初始化"
        )


def _follow(path: str) -> Callable[[Any, Any, object], None]:
    """A connection outlives its file and would go on writing what nobody can open again. It is let go instead: the next
    one finds the file that is there now, or says that there is none."""

    def still_there(_raw: Any, record: Any, _proxy: object) -> None:
        try:
            found = os.stat(path)
        except OSError:
            record.info["file"] = None
            raise sa.exc.DisconnectionError from None
        if record.info.setdefault("file", (found.st_dev, found.st_ino)) != (found.st_dev, found.st_ino):
            raise sa.exc.DisconnectionError

    return still_there


def _configure(raw: Any, _record: Any) -> None:
    raw.isolation_level = None  # SQLAlchemy's recipe: the driver must not begin or commit by itself
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=OFF",
        f"cache_size=-{_CACHE_KIB}",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Writers queue up at BEGIN, where waiting is safe, not at their first write, where it is a deadlock."""
    writing = connection.get_execution_options().get("hub_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _line(columns: Sequence[sa.Column[Any]]) -> str:
    """SQL expression for one CSV line."""
    parts = []
    for start in range(0, len(columns), _PRINTF_COLUMNS):
        some = columns[start : start + _PRINTF_COLUMNS]
        parts.append(f"printf('{','.join(['%s'] * len(some))}',{','.join(_quoted(c) for c in some)})")
    return "||','||".join(parts)


def _quoted(column: sa.Column[Any]) -> str:
    """`"value"` with doubled quotes, or NULL, which printf shows as nothing; decimals at their scale, as PostgreSQL."""
    kind = column.type
    name = f"t.{column.name}"
    if isinstance(kind, sa.Numeric):
        name = f"printf('%.{kind.scale}f',{name})" if _is_real(kind) else name
        return f"CASE WHEN t.{column.name} IS NULL THEN NULL ELSE '\"'||{name}||'\"' END"
    if isinstance(kind, sa.Integer):
        return f"'\"'||{name}||'\"'"
    return f"'\"'||replace({name},'\"','\"\"')||'\"'"


def _is_real(kind: Any) -> bool:
    """Narrow decimals lie in NUMERIC columns as doubles; wide ones as text (`hub.store.tables.column_type`)."""
    return "sqlite" not in kind._variant_mapping
