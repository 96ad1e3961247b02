"""One source table of one block of schools, held as columns, with the bookkeeping of what becomes golden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from connectors.sample.dice import Bools, Ints, Texts
from connectors.sample.text import same
from hub.catalog import SourceTable

Row = dict[str, str | None]


class Table:
    """Columns by name, the owner of each row (sorted), whether the row is written and whether it becomes golden.

    `owner` is the global number of the person (or the row's own number for school tables). Rows added later stand at
    the end; `at` finds only generated rows.
    """

    def __init__(self, source: SourceTable, columns: Mapping[str, Texts], owner: Ints) -> None:
        count = len(owner)
        self.source = source
        self.owner = owner
        self.columns = {n: columns[n] if n in columns else same(None, count) for n in source.column_names}
        if unknown := set(columns) - set(self.columns):
            raise RuntimeError(f"{source.name} has no columns {sorted(unknown)}")
        self.keep: Bools = np.ones(count, dtype=bool)
        self.gold: Bools = np.ones(count, dtype=bool)
        self.added: list[Row] = []
        self.added_gold: list[bool] = []

    def at(self, owner: int) -> range:
        """Positions of a person's rows."""
        left, right = np.searchsorted(self.owner, [owner, owner + 1])
        return range(int(left), int(right))

    def row(self, position: int) -> Row:
        """A copy of a row."""
        return {n: c[position] for n, c in self.columns.items()}

    def change(self, position: int, values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            self.columns[name][position] = value

    def add(self, row: Row, gold: bool) -> None:
        """Appends a row that no clean generation produced."""
        self.added.append(row)
        self.added_gold.append(gold)

    def settle(self, position: int, gold: bool) -> None:
        self.gold[position] = gold

    def drop(self, position: int) -> None:
        """The source no longer holds the row; it cannot be golden."""
        self.keep[position] = False
        self.gold[position] = False

    @property
    def golden(self) -> int:
        return int(self.gold.sum()) + sum(self.added_gold)

    def arrays(self) -> list[Texts]:
        """Written rows, column by column, in the source's column order."""
        columns: list[Texts] = []
        for name, column in self.columns.items():
            kept = column if self.keep.all() else column[self.keep]
            tail = [r[name] for r in self.added]
            columns.append(np.concatenate([kept, _objects(tail)]) if tail else kept)
        return columns


def _objects(values: Iterable[str | None]) -> Texts:
    rows = list(values)
    out = np.empty(len(rows), dtype=object)
    out[:] = rows
    return out
