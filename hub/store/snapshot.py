"""A snapshot's rows: staged in shadow tables part by part, then swapped with the golden ones at once (protocol 9.2).

Decides the swap; that all parts are there, and that two persons released it, is decided by the ministry.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from hub.catalog import Entity
from hub.errors import InputError
from hub.store.faults import DRIVER_ERRORS, is_duplicate_key, translated
from hub.store.history import close_where
from hub.store.history_tables import HELD_FROM, RESET, moment
from hub.store.reader import Reader, node_literal
from hub.store.rows import change_blocks
from hub.store.tables import plain_columns


class Shadows(Reader):
    """What a transaction does with shadow tables."""

    def stage(self, entity: Entity, node: str, source: Iterable[Path] | Iterable[Any]) -> int:
        """Rows of a snapshot part into the shadow table; returns how many. `InputError` E3123 for a row that is no
        insert, or whose record number was staged before."""
        table, rows = self._tables.shadow[entity.name], 0
        names = [c.name for c in table.columns]
        with translated(self._where):
            for block in change_blocks(entity, source):
                held = pa.array([node_literal(node)]).take(pa.array([0] * block.num_rows, pa.int32()))
                if not pc.all(pc.equal(block.column("op"), "I")).as_py():
                    raise _not_staged(entity)
                try:
                    staged = pa.record_batch([held, *block.columns[1:]], names=names)
                    self._dialect.insert(self.connection, table, staged)
                except DRIVER_ERRORS as error:
                    if is_duplicate_key(error):
                        raise _not_staged(entity) from None
                    raise
                rows += block.num_rows
        return rows

    def unstage(self, node: str) -> None:
        """Empties a node's shadow tables."""
        with translated(self._where):
            for table in self._tables.shadow.values():
                self.connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE node = '{node_literal(node)}'")

    def swap(self, entity: Entity, node: str, *, batch: str, at: datetime) -> None:
        """The shadow rows become the golden ones; a golden row without a shadow leaves a tombstone (protocol 9.2).
        What was golden stays in the history.

        Versions begin anew with a snapshot, so tombstones count as version 0: the old epoch can bring nothing back.
        """
        golden, shadow = self._tables.golden[entity.name], self._tables.shadow[entity.name].name
        mine, columns = f"node = '{node_literal(node)}'", ",".join(c.name for c in plain_columns(golden))
        graves = f"DELETE FROM tombstone WHERE {mine} AND entity = '{entity.name}' AND pk IN"
        with translated(self._where):
            do = self.connection.exec_driver_sql
            do(f"UPDATE tombstone SET row_ver = 0 WHERE {mine} AND entity = '{entity.name}'")
            gone = sa.text(
                f"INSERT INTO tombstone (node,entity,pk,row_ver,batch) SELECT node,'{entity.name}',pk,0,:batch "
                f"FROM {golden.name} WHERE {mine} AND pk NOT IN (SELECT pk FROM {shadow} WHERE {mine})"
            )
            self.connection.execute(gone, {"batch": batch})
            do(f"{graves} (SELECT pk FROM {shadow} WHERE {mine})")
            do(close_where(golden, self._tables.history[entity.name], mine, RESET, at))
            do(f"DELETE FROM {golden.name} WHERE {mine}")
            self._dialect.make_part(self.connection, golden, node)
            do(
                f"INSERT INTO {golden.name} (node,{HELD_FROM},{columns}) "
                f"SELECT node,'{moment(at)}',{columns} FROM {shadow} WHERE {mine}"
            )
            do(f"DELETE FROM {shadow} WHERE {mine}")
            self._dialect.analyse(self.connection, self._dialect.part(golden, node))


def _not_staged(entity: Entity) -> InputError:
    return InputError("E3123", "快照的行不是新增，或记录号重复", where=entity.name, step="退回发送方，重新生成全量快照")
