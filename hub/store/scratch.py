"""Temporary tables and merging writes as SQLite and PostgreSQL do them alike: tables made on demand, savepoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.store.faults import DRIVER_ERRORS, is_duplicate_key
from hub.store.history_tables import HELD_FROM, moment
from hub.store.stage import INCOMING, key_table, rows_table
from hub.store.tables import Tables, plain_columns


class Temporary(ABC):
    """What a `Dialect` needs for staging where DDL belongs to the transaction."""

    stage_keyed: bool

    @abstractmethod
    def insert(self, connection: sa.Connection, table: sa.Table, batch: Any) -> None: ...

    @abstractmethod
    def analyse(self, connection: sa.Connection, table: str, columns: Sequence[str] = ()) -> None: ...

    def stage_for(self, table: sa.Table) -> sa.Table:
        return rows_table(table, keyed=self.stage_keyed)

    def scratch(self, connection: sa.Connection, table: sa.Table) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.name}")
        table.create(connection)

    def scratch_from(self, connection: sa.Connection, table: sa.Table, select: str) -> None:
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table.name} AS {select}")

    def discard(self, connection: sa.Connection, table: sa.Table) -> None:
        connection.exec_driver_sql(f"DROP TABLE {table.name}")

    def insert_new(self, connection: sa.Connection, table: sa.Table, batch: Any) -> bool:
        savepoint = connection.begin_nested()
        try:
            self.insert(connection, table, batch)
        except DRIVER_ERRORS as error:
            savepoint.rollback()
            if is_duplicate_key(error):
                return False
            raise
        savepoint.commit()
        return True

    def replace(
        self, connection: sa.Connection, table: sa.Table, node: str, at: datetime, stage: sa.Table, effect: sa.Table
    ) -> None:
        """Changed rows are updated in place: their place and their index entries stay."""
        names, held = [c.name for c in plain_columns(table)], moment(at)
        rows = f"{effect.name} e JOIN {stage.name} s ON s.ord = e.ord"
        given = ",".join(f"{n} = s.{n}" for n in names if n != "pk")
        connection.exec_driver_sql(
            f"UPDATE {table.name} AS t SET {HELD_FROM} = '{held}',{given} "
            f"FROM {rows} WHERE t.node = '{node}' AND t.pk = e.pk AND e.op <> 'D' AND e.ver_row IS NOT NULL"
        )
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} (node,{HELD_FROM},{','.join(names)}) "
            f"SELECT '{node}','{held}',{','.join(f's.{n}' for n in names)} FROM {rows} "
            "WHERE e.op <> 'D' AND e.ver_row IS NULL"
        )
        gone = f"SELECT pk FROM {effect.name} WHERE op = 'D' AND ver_row IS NOT NULL"
        connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE node = '{node}' AND pk IN ({gone})")

    def remove(self, connection: sa.Connection, table: sa.Table, keys: Any) -> None:
        names = keys.schema.names
        stage = key_table(table, names)
        stage.create(connection)
        self.insert(connection, stage, keys)
        self.analyse(connection, INCOMING)
        if self.stage_keyed:
            match = f"({','.join(names)}) IN (SELECT {','.join(names)} FROM {INCOMING})"
        else:
            same = " AND ".join(f"s.{k} = {table.name}.{k}" for k in names)
            match = f"EXISTS (SELECT 1 FROM {INCOMING} s WHERE {same})"
        connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {match}")
        connection.exec_driver_sql(f"DROP TABLE {INCOMING}")

    def script(self, sql: str, tables: Tables, *, fresh: bool) -> str:
        """Nothing stands beside the described tables."""
        del tables, fresh
        return sql

    def before_upgrade(self, connection: sa.Connection, tables: Tables) -> None:  # noqa: B027 - nothing to do
        """Nothing stands that could be in the way."""

    def after_upgrade(self, connection: sa.Connection, tables: Tables) -> None:  # noqa: B027 - nothing to make
        """Temporary tables are made when they are needed."""
