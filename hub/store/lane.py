"""Arrow blocks to CSV bytes and back: the one form in which rows enter and leave the databases in bulk.

Decides the byte format that bulk reads, bulk loads and table digests share: UTF-8, comma, LF after every row, no
header; a value stands in double quotes with inner quotes doubled, NULL is nothing at all. '' never occurs: it is
stored as NULL, because Oracle cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

# Rows of one block: bounds memory on every path.
BLOCK_ROWS = 65_536


def to_csv(batch: Any) -> Any:
    """CSV bytes (an Arrow buffer) of a record batch."""
    sink = pa.BufferOutputStream()
    pacsv.write_csv(batch, sink, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
    return sink.getvalue()


def from_csv(block: bytes, schema: Any) -> Any:
    """Record batch of `schema` from a CSV block."""
    table = pacsv.read_csv(
        pa.BufferReader(block),
        read_options=pacsv.ReadOptions(column_names=schema.names, use_threads=False, block_size=max(len(block), 1)),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pacsv.ConvertOptions(
            column_types=schema,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    return table.combine_chunks().to_batches()[0]


def blocks(batches: Iterable[Any], rows: int = BLOCK_ROWS) -> Iterator[Any]:
    """The same rows in record batches of at most `rows`, none empty."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def fitted(batch: Any, schema: Any) -> Any:
    """Columns of `schema` in its order and types, with '' as NULL. A missing column is our own mistake."""
    missing = [name for name in schema.names if name not in batch.schema.names]
    if missing:
        raise RuntimeError(f"rows lack columns {missing}")
    return pa.record_batch([_fit(batch.column(f.name), f.type) for f in schema], schema=schema)


def texts(batch: Any, columns: Sequence[str]) -> list[Any]:
    """Columns as Python strings (None for NULL), for drivers that take rows; column affinity restores numbers."""
    return [batch.column(c).cast(pa.string()).to_numpy(zero_copy_only=False).tolist() for c in columns]


def _fit(column: Any, kind: Any) -> Any:
    column = column.cast(kind)
    if not pa.types.is_string(kind):
        return column
    empty = pc.equal(pc.binary_length(column), 0)
    if pc.any(empty).as_py():
        return pc.if_else(empty, pa.scalar(None, kind), column)
    return column
