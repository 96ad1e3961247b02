"""A platform whose site calls tables or columns otherwise (`site` in its layout): asked by its names, answered by ours.

Decides nothing: names are exchanged by position, values pass as they are. Values that must be translated too are an own
system's affair (`connectors.mapped`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from connectors.base import BLOCK_ROWS, Probe, Source
from hub.catalog import SourceTable


class RenamedSource:
    """A `Source` that asks another for a table's native form. What is missing is told under the site's names."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    def probe(self, table: SourceTable) -> Probe:
        return self._inner.probe(table.native)

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        return _named(self._inner.read(table.native, since=since, block_rows=block_rows), table.column_names)

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        return _named(self._inner.read_keys(table.native, block_rows=block_rows), table.key)

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        asked = keys.select(list(table.key)).rename_columns(list(table.native.key))
        return _named(self._inner.read_rows(table.native, asked, block_rows=block_rows), table.column_names)

    def count(self, table: SourceTable) -> int:
        return self._inner.count(table.native)

    def high_mark(self, table: SourceTable) -> str | None:
        return self._inner.high_mark(table.native)

    def close(self) -> None:
        self._inner.close()


def _named(blocks: Iterator[pa.RecordBatch], names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """A generator, so that a reading given up is given up below too."""
    for block in blocks:
        yield pa.RecordBatch.from_arrays(block.columns, names=list(names))
