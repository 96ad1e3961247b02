"""What a database must be able to do for the store; one implementation per product.

Everything else (merge, reading, digests) is written once over these few operations in SQL that all of them take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa


class Dialect(Protocol):
    """The differences between databases."""

    # A staging table gets its row number as primary key where that makes joins on it a direct look-up.
    stage_keyed: bool

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

    def analyse(self, connection: sa.Connection, table: str) -> None:
        """Statistics of a freshly filled table, for a planner that needs them."""
        ...

    def csv(
        self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, block_rows: int
    ) -> Iterator[bytes]:
        """Rows of `SELECT columns tail` as CSV blocks in the format of `hub.store.lane`, streamed."""
        ...

    def ascending(self, column: str) -> str:
        """ORDER BY term: ascending, bytewise, NULL first."""
        ...
