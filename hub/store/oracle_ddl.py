"""Migrations on Oracle: DDL commits, so a revision that failed half way is run again from its beginning.

A statement whose work is done already (the name is taken, the column is there, or is gone) is passed over. What stands
is then compared with the description, so that a foreign table of the same name is refused and not taken for ours.
Alembic finds this class by its dialect name, in place of its own for Oracle.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.ddl.oracle import OracleImpl
from sqlalchemy.sql.ddl import CreateIndex, DDLElement

from hub.errors import UsageError
from hub.store.oracle_faults import code_of
from hub.store.tables import Tables

# Name taken, columns indexed already, column there already, the table has a key, a constraint of that name.
_DONE = (955, 1408, 1430, 2260, 2261, 2264)
_NO_COLUMN = 904
# No such table, no such index, no such column.
_GONE = (942, 1418, _NO_COLUMN)
_COLUMNS = "SELECT c.table_name, c.column_name FROM user_tab_columns c ORDER BY c.table_name, c.column_id"


class RestartableOracle(OracleImpl):
    """Alembic's Oracle, in which a statement that was carried out before is no error."""

    __dialect__ = "oracle"

    def _exec(self, construct: Any, *args: Any, **options: Any) -> Any:
        if self.as_sql and isinstance(construct, sa.Insert):
            construct = construct.inline()  # or it asks for its row back by a bind, which a script does not have
        try:
            return super()._exec(construct, *args, **options)
        except sa.exc.DatabaseError as error:
            made = isinstance(construct, DDLElement) or str(construct).startswith("CREATE TABLE ")
            if not made or error.orig is None:
                raise
            dropping = type(construct).__name__.startswith("Drop")
            code = code_of(error.orig)
            if isinstance(construct, CreateIndex) and code == _NO_COLUMN and construct.element.table is not None:
                raise _foreign(construct.element.table.name, set(construct.element.columns.keys())) from None
            if code not in (_GONE if dropping else _DONE):
                raise
            return None


def stored_columns(connection: sa.Connection) -> dict[str, list[str]]:
    """Columns of every table of the schema in their order, lower case."""
    have: dict[str, list[str]] = {}
    for table, column in connection.exec_driver_sql(_COLUMNS):
        have.setdefault(str(table).lower(), []).append(str(column).lower())
    return have


def compare(connection: sa.Connection, tables: Tables) -> None:
    """`UsageError` E3117 when a table of the schema is not the one described."""
    have = stored_columns(connection)
    for table in tables.metadata.tables.values():
        if missing := {c.name for c in table.columns} - set(have.get(table.name, ())):
            raise _foreign(table.name, missing, stands=table.name in have)


def _foreign(table: str, missing: set[str], *, stands: bool = True) -> UsageError:
    return UsageError(
        "E3117",
        "库中已有同名的表，但不是本系统的表" if stands else "升级后缺少表",
        where=f"表 {table}，列 {'、'.join(sorted(missing)[:5])}",
        step="为本系统另建一个空的 Oracle 用户（schema），再运行数据库升级",
    )
