"""PostgreSQL: COPY both ways, through psycopg, inside the transaction of the store; golden tables in parts by node.

A node's partition is attached, not created in place: attaching locks the parent only against other attaching, so a
province that is new stops none that is being applied. For the same reason statistics are taken of the partition:
ANALYZE holds its lock until the batch commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from hub.errors import UsageError
from hub.store.lane import blocks, to_csv
from hub.store.postgresql_renewal import renewal
from hub.store.scratch import Temporary
from hub.store.staged import Staged

# One migration at a time, whoever starts it; the number only has to be ours.
_MIGRATION_LOCK = 4_917_201
_CONNECT_SECONDS = 10
# The default assumes spinning disks and scans a whole table to change 1 % of it (2,000 of 200,000: 0.15 s, not 0.06 s).
# Compiling a query (JIT) takes half a second as soon as the planner overestimates it, longer than any of ours runs.
# A night's rows are 5 MB: just more than the default lets a sort keep in memory.
_PLANNER = "-c random_page_cost=1.1 -c jit=off -c work_mem=32MB"
_BLOCK_BYTES = 32 << 20
# Sent in pieces, so that the server reads one while the next is written.
_SEND_ROWS = 4_096
# Percent of a golden page that a load fills: a nightly change of one row in a hundred finds room beside the old one.
_FILL = 90
# The same of the queue, where one operation changes every row (1,000,000 proposed: 2 s of the server's time, not 12).
_QUEUE_FILL = 45


class Postgresql(Temporary):
    """`Dialect` for PostgreSQL 12 and newer."""

    stage_keyed = False
    staged_by_key = True
    reading_level: str | None = "REPEATABLE READ"

    def engine(self, url: sa.URL, busy_seconds: int) -> sa.Engine:
        options = f"-c lock_timeout={busy_seconds * 1000} -c client_encoding=UTF8 -c timezone=UTC {_PLANNER}"
        return sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS, "options": options, "application_name": "hub"},
        )

    def prepare(self, url: sa.URL) -> None:
        """The database is created by its administrator."""

    def check(self, connection: sa.Connection) -> None:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise UsageError(
                "E3113", f"数据库字符集是 {encoding}，须为 UTF8", step="以 ENCODING 'UTF8' 新建数据库后重新初始化"
            )

    def serialise(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

    def insert(self, connection: sa.Connection, table: sa.Table, batch: Any) -> None:
        sql = f"COPY {table.name} ({','.join(batch.schema.names)}) FROM STDIN (FORMAT csv)"
        with _raw(connection).cursor() as cursor, cursor.copy(sql) as copy:
            for rows in blocks([batch], _SEND_ROWS):
                copy.write(memoryview(to_csv(rows)))

    def part(self, table: sa.Table, node: str) -> str:
        return f"{table.name}_{node}" if partitioned(table) else table.name

    def make_part(self, connection: sa.Connection, table: sa.Table, node: str) -> None:
        name = self.part(table, node)
        if connection.exec_driver_sql(f"SELECT to_regclass('{name}')").scalar_one() is not None:
            return
        for statement in part_ddl(table.name, node):
            connection.exec_driver_sql(statement)

    def renew(self, connection: sa.Connection, staged: Staged) -> int:
        done = connection.exec_driver_sql(renewal(staged, self.part(staged.table, staged.node)))
        return int(done.rowcount)

    def analyse(self, connection: sa.Connection, table: str, columns: Sequence[str] = ()) -> None:
        connection.exec_driver_sql(f"ANALYZE {table}" + (f" ({','.join(columns)})" if columns else ""))

    def csv(
        self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, block_rows: int
    ) -> Iterator[bytes]:
        names = ",".join(f"t.{c.name}" for c in columns)
        sql = f"COPY (SELECT {names} {tail}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
        rows: list[bytes] = []
        size = 0
        with _raw(connection).cursor() as cursor, cursor.copy(sql) as copy:
            for row in copy:  # the server sends one row per message, so blocks end where rows end
                rows.append(bytes(row))
                size += len(row)
                if len(rows) >= block_rows or size >= _BLOCK_BYTES:
                    yield b"".join(rows)
                    rows, size = [], 0
        if rows:
            yield b"".join(rows)

    def ascending(self, column: str) -> str:
        return f"{column} NULLS FIRST"


def partitioned(table: sa.Table) -> bool:
    """Whether the table is described as one with a partition per node."""
    return bool(table.dialect_options["postgresql"]["partition_by"])


def part_ddl(table: str, node: str) -> tuple[str, str]:
    """Makes a node's partition of a golden table."""
    return (
        f"CREATE TABLE {table}_{node} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {_FILL})",
        f"ALTER TABLE {table} ATTACH PARTITION {table}_{node} FOR VALUES IN ('{node}')",
    )


def _raw(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection
