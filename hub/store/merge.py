"""The merge: which change rows take effect, and their effect, as set operations (protocol 6.3, 15 #53).

A row takes effect if its version is higher than the stored row's or the tombstone's. `I` and `U` store the row and
lift a tombstone; `D` removes it and leaves one. The result depends on the rows only, not on their order or on how they
are cut into blocks: of several rows with one key the highest version wins, the first of equals. A stored row that gives
way is first copied to the history (`hub.store.history`).

While the node has no row of the table, rows go straight into it; the first block that holds a `D` or meets a key that
is already there, and all after it, go through a staging table, from which only rows that take effect touch the
table. Applying a set twice is applying it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from hub.catalog import Entity
from hub.store.dialect import Dialect
from hub.store.history import close_effect
from hub.store.history_tables import HELD_FROM, moment
from hub.store.ledger import TOMBSTONE
from hub.store.rows import ApplyCounts
from hub.store.stage import EFFECT, TWICE, effect_table, twice_table
from hub.store.staged import FEW, Staged
from hub.store.tables import Tables, plain_columns


class Merge:
    """One apply of one entity of one node inside the caller's transaction."""

    def __init__(
        self,
        dialect: Dialect,
        connection: sa.Connection,
        tables: Tables,
        entity: Entity,
        node: str,
        batch: str,
        at: datetime,
        keys_under: int | None = None,
    ) -> None:
        self._dialect = dialect
        self._connection = connection
        self._table = tables.golden[entity.name]
        self._history = tables.history[entity.name]
        self._at = at
        self._entity = entity
        self._node = node
        self._batch = batch
        self._stage = dialect.stage_for(self._table)
        self._keys_under = keys_under
        self._rows = self._changes = 0
        self._distinct = True

    def run(self, blocks: Iterable[Any]) -> ApplyCounts:
        """Applies checked blocks (`hub.store.rows.change_blocks`)."""
        self._dialect.make_part(self._connection, self._table, self._node)
        direct, inserted = self._untouched(), 0
        for block in blocks:
            direct = direct and not pc.any(pc.equal(block.column("op"), "D")).as_py() and self._insert(block)
            if direct:
                inserted += block.num_rows
            else:
                self._put_aside(block)
        if inserted:
            self._analyse()
        merged = self._merge() if self._rows else ApplyCounts()
        return ApplyCounts(inserted=inserted) + merged

    def _analyse(self) -> None:
        """Of what conditions are put on; the database's own housekeeping takes the rest later."""
        indexed = [c.name for index in self._table.indexes for c in index.columns]
        names = list(dict.fromkeys(["node", "pk", "row_ver", *indexed]))
        self._dialect.analyse(self._connection, self._dialect.part(self._table, self._node), names)

    def _untouched(self) -> bool:
        rows = sa.select(sa.literal(1)).select_from(self._table).where(self._table.c.node == self._node).limit(1)
        graves = (
            sa.select(sa.literal(1))
            .select_from(TOMBSTONE)
            .where(TOMBSTONE.c.node == self._node, TOMBSTONE.c.entity == self._entity.name)
            .limit(1)
        )
        return not (self._connection.execute(rows).first() or self._connection.execute(graves).first())

    def _insert(self, block: Any) -> bool:
        """Straight into the table; False, with nothing done, when a key is there already."""
        same = pa.array([0] * block.num_rows, pa.int32())
        node, held = (pa.array([value]).take(same) for value in (self._node, moment(self._at)))
        names = ["node", *(c.name for c in plain_columns(self._table)), HELD_FROM]
        rows = pa.record_batch([node, *block.columns[1:], held], names=names)
        return self._dialect.insert_new(self._connection, self._table, rows)

    def _put_aside(self, block: Any) -> None:
        if not self._rows:
            self._dialect.scratch(self._connection, self._stage)
        # Of one block it is known at once; between blocks the database tells.
        self._distinct = not self._rows and pc.count_distinct(block.column("pk")).as_py() == block.num_rows
        order = pa.array(range(self._rows, self._rows + block.num_rows), pa.int64())
        rows = pa.record_batch([order, *block.columns], names=[c.name for c in self._stage.columns])
        if self._dialect.staged_by_key:
            rows = rows.take(pc.sort_indices(rows.column("pk")))
        self._dialect.insert(self._connection, self._stage, rows)
        self._rows += block.num_rows
        self._changes += pc.sum(pc.equal(block.column("op"), "U")).as_py()

    def _merge(self) -> ApplyCounts:
        if self._rows > FEW:
            self._dialect.analyse(self._connection, self._stage.name, ["ord", "op", "pk", "row_ver"])
        if not self._distinct:
            self._keep_newest()
        staged = Staged(self._table, self._history, self._stage, self._entity, self._node, self._at, self._keys_under)
        renewed = self._dialect.renew(self._connection, staged)
        counts = ApplyCounts(updated=renewed)
        if renewed < self._rows:
            counts += self._rest(staged, "AND s.op <> 'U'" if renewed == self._changes else "")
        self._dialect.discard(self._connection, self._stage)
        return counts + ApplyCounts(noop=self._rows - counts.rows)

    def _rest(self, staged: Staged, which: str) -> ApplyCounts:
        """What `renew` left over; a row that it renewed is stored in the staged version and has no effect again."""
        self._find_effect(which)
        inserted, updated, deleted = self._counts()
        if updated and staged.keys_under is not None:
            self._do(staged.note_keys(self._replaced()))
        self._take_effect()
        self._dialect.discard(self._connection, effect_table())
        return ApplyCounts(inserted, updated, deleted)

    def _keep_newest(self) -> None:
        stage, twice = self._stage.name, twice_table()
        again = f"SELECT pk FROM {stage} GROUP BY pk HAVING COUNT(*) > 1"
        self._dialect.scratch_from(self._connection, twice, again)
        if self._connection.exec_driver_sql(f"SELECT COUNT(*) FROM {TWICE}").scalar_one():
            self._do(
                f"DELETE FROM {stage} WHERE ord IN (SELECT ord FROM (SELECT ord, ROW_NUMBER() OVER "
                f"(PARTITION BY pk ORDER BY row_ver DESC, ord) AS place FROM {stage} "
                f"WHERE pk IN (SELECT pk FROM {TWICE})) ranked WHERE place > 1)"
            )
        self._dialect.discard(self._connection, twice)

    def _find_effect(self, which: str) -> None:
        self._dialect.scratch_from(
            self._connection,
            effect_table(),
            "SELECT s.ord, s.pk, s.op, r.row_ver AS ver_row, x.row_ver AS ver_grave "
            f"FROM {self._stage.name} s "
            f"LEFT JOIN {self._table.name} r ON r.node = '{self._node}' AND r.pk = s.pk "
            f"LEFT JOIN tombstone x ON x.node = '{self._node}' AND x.entity = '{self._entity.name}' AND x.pk = s.pk "
            f"WHERE s.row_ver > COALESCE(r.row_ver, 0) AND s.row_ver > COALESCE(x.row_ver, 0) {which}",
        )
        self._dialect.analyse(self._connection, EFFECT)

    def _counts(self) -> tuple[int, int, int]:
        row = self._connection.exec_driver_sql(
            "SELECT COALESCE(SUM(CASE WHEN op <> 'D' AND ver_row IS NULL THEN 1 ELSE 0 END), 0), "
            "COALESCE(SUM(CASE WHEN op <> 'D' AND ver_row IS NOT NULL THEN 1 ELSE 0 END), 0), "
            f"COALESCE(SUM(CASE WHEN op = 'D' AND ver_row IS NOT NULL THEN 1 ELSE 0 END), 0) FROM {EFFECT}"
        ).one()
        return int(row[0]), int(row[1]), int(row[2])

    def _replaced(self) -> str:
        """Stored rows `r` that give way to staged rows `s`."""
        return (
            f"{EFFECT} e JOIN {self._stage.name} s ON s.ord = e.ord "
            f"JOIN {self._table.name} r ON r.node = '{self._node}' AND r.pk = e.pk "
            "WHERE e.op <> 'D' AND e.ver_row IS NOT NULL"
        )

    def _take_effect(self) -> None:
        node, entity = self._node, self._entity.name
        self._do(close_effect(self._table, self._history, node, self._at))
        self._dialect.replace(self._connection, self._table, node, self._at, self._stage, effect_table())
        self._do(
            f"DELETE FROM tombstone WHERE node = '{node}' AND entity = '{entity}' "
            f"AND pk IN (SELECT pk FROM {EFFECT} WHERE ver_grave IS NOT NULL)"
        )
        graves = sa.text(
            f"INSERT INTO tombstone (node,entity,pk,row_ver,batch) SELECT '{node}','{entity}',s.pk,s.row_ver,:batch "
            f"FROM {EFFECT} e JOIN {self._stage.name} s ON s.ord = e.ord WHERE e.op = 'D'"
        )
        self._connection.execute(graves, {"batch": self._batch})

    def _do(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)
