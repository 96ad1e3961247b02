"""What a database must be able to do for the store; one implementation per product.

Everything else (merge, reading, digests) is written once over these few operations in SQL that all of them take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from hub.store.staged import Staged
from hub.store.tables import Tables


class Dialect(Protocol):
    """The differences between databases."""

    # What a reader's transaction is set to, so that it sees one state; None where that is always so.
    reading_level: str | None
    # Whether staged rows lie in the order of their keys, so that neighbours meet the same pages of an index.
    staged_by_key: bool

    def engine(self, url: sa.URL, busy_seconds: int) -> sa.Engine:
        """Engine whose transactions wait at most `busy_seconds` for a lock and never show parameters in errors."""
        ...

    def prepare(self, url: sa.URL) -> None:
        """Before the first migration: the database file exists and only its owner can read it."""
        ...

    def check(self, connection: sa.Connection) -> None:
        """Refuses a database whose settings would corrupt what is stored (character set)."""
        ...

    def serialise(self, connection: sa.Connection) -> None:
        """Makes this transaction the only one that migrates."""
        ...

    def insert(self, connection: sa.Connection, table: sa.Table, batch: Any) -> None:
        """Bulk insert of a record batch (≤ 65,536 rows); its column names are the table's, lower case."""
        ...

    def insert_new(self, connection: sa.Connection, table: sa.Table, batch: Any) -> bool:
        """As `insert` into a golden table; False, with nothing done, when a key of the batch is there already."""
        ...

    def remove(self, connection: sa.Connection, table: sa.Table, keys: Any) -> None:
        """Deletes the rows that have one of `keys`: a record batch of the table's whole key, each key once."""
        ...

    def stage_for(self, table: sa.Table) -> sa.Table:
        """The temporary table (`hub.store.stage`) in which rows for this golden table wait."""
        ...

    def scratch(self, connection: sa.Connection, table: sa.Table) -> None:
        """The temporary table stands empty, for this transaction alone."""
        ...

    def scratch_from(self, connection: sa.Connection, table: sa.Table, select: str) -> None:
        """The temporary table stands with the rows of `select`, whose columns are the table's in their order."""
        ...

    def discard(self, connection: sa.Connection, table: sa.Table) -> None:
        """The temporary table is no longer needed."""
        ...

    def renew(self, connection: sa.Connection, staged: Staged) -> int:
        """Staged `U` rows that are newer than the stored ones take their place, which stay in the history and whose
        new natural keys are noted; how many did. Any may be left out, and 0 is always right: `replace` takes them."""
        ...

    def replace(
        self, connection: sa.Connection, table: sa.Table, node: str, at: datetime, stage: sa.Table, effect: sa.Table
    ) -> None:
        """Rows named by `effect` take the place of the node's stored ones: `I` and `U` from `stage`, `D` leave none.
        What takes a place is held from `at`."""
        ...

    def part(self, table: sa.Table, node: str) -> str:
        """Name of the table that physically holds a node's rows of a golden table."""
        ...

    def make_part(self, connection: sa.Connection, table: sa.Table, node: str) -> None:
        """That table is there, where golden tables have one per node."""
        ...

    def before_upgrade(self, connection: sa.Connection, tables: Tables) -> None:
        """Takes away what stands between a migration and the tables; called when there is something to migrate."""
        ...

    def after_upgrade(self, connection: sa.Connection, tables: Tables) -> None:
        """Makes what the store needs beside its tables; called after every upgrade, also one that found nothing."""
        ...

    def script(self, sql: str, tables: Tables, *, fresh: bool) -> str:
        """An upgrade's statements as the script that an administrator runs, with what `before_upgrade` and
        `after_upgrade` do beside them. `fresh`: the database is empty.
        """
        ...

    def analyse(self, connection: sa.Connection, table: str, columns: Sequence[str] = ()) -> None:
        """Statistics of a freshly filled table, or of some of its columns, for a planner that needs them."""
        ...

    def csv(
        self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, block_rows: int
    ) -> Iterator[bytes]:
        """Rows of `SELECT columns tail` as CSV blocks in the format of `hub.store.lane`, streamed."""
        ...

    def ascending(self, column: str) -> str:
        """ORDER BY term: ascending, bytewise, NULL first."""
        ...
