"""A source read through a mapping: native names and values in, canonical names and values out (`connectors.mapping`).

Decides nothing of meaning: columns are renamed, values that the mapping lists are replaced, whole columns at a time; a
value the mapping does not list stays as it is, and is judged like any other. State becomes 1 (valid) or 0 (cancelled).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import BLOCK_ROWS, Probe, Source
from connectors.mapping import KEY, STATE, UPDATED, OwnSystem, OwnTable
from hub.catalog import SourceTable


class MappedSource:
    """A `Source` that answers for the canonical tables of an own system out of its native ones."""

    def __init__(self, inner: Source, own: OwnSystem) -> None:
        self._inner = inner
        self._tables = {t.canonical.name: t for t in own.tables}

    @property
    def name(self) -> str:
        return self._inner.name

    def probe(self, table: SourceTable) -> Probe:
        return self._inner.probe(self._own(table).native)

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        own = self._own(table)
        for block in self._inner.read(own.native, since=since, block_rows=block_rows):
            yield self._translated(own, block)

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        own = self._own(table)
        for block in self._inner.read_keys(own.native, block_rows=block_rows):
            columns = [block.column(n) for n in own.native.key]
            yield pa.RecordBatch.from_arrays(columns, names=list(table.key))

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        own = self._own(table)
        native = pa.table({n: keys[k] for n, k in zip(own.native.key, table.key, strict=True)})
        for block in self._inner.read_rows(own.native, native, block_rows=block_rows):
            yield self._translated(own, block)

    def count(self, table: SourceTable) -> int:
        return self._inner.count(self._own(table).native)

    def high_mark(self, table: SourceTable) -> str | None:
        return self._inner.high_mark(self._own(table).native)

    def close(self) -> None:
        self._inner.close()

    def native(self, table: SourceTable) -> OwnTable:
        """The mapping of a canonical table."""
        return self._own(table)

    def _own(self, table: SourceTable) -> OwnTable:
        return self._tables[table.name]

    def _translated(self, own: OwnTable, block: pa.RecordBatch) -> pa.RecordBatch:
        columns = {c.field: _coded(block.column(c.name), c.codes) for c in own.columns}
        for native, canonical in zip(own.native.key, own.canonical.key, strict=True):
            if canonical.startswith(KEY):
                columns[canonical] = block.column(native)
        if own.native.updated:
            columns[UPDATED] = block.column(own.native.updated)
        if own.state:
            gone = pc.is_in(
                pc.utf8_trim_whitespace(block.column(own.state)), pa.array(sorted(own.cancelled), pa.string())
            )
            columns[STATE] = pc.if_else(gone, "0", "1")
        names = list(own.canonical.column_names)
        return pa.RecordBatch.from_arrays([columns[n] for n in names], names=names)


def _coded(column: Any, codes: Mapping[str, str]) -> Any:
    """Listed values replaced; the others as they are."""
    if not codes:
        return column
    at = pc.index_in(pc.utf8_trim_whitespace(column), pa.array(list(codes), pa.string()))
    return pc.coalesce(pc.take(pa.array(list(codes.values()), pa.string()), at), column)
