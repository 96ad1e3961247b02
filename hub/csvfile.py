"""Arrow blocks to a CSV file a spreadsheet may open: minimal quotes, no formula, all or nothing.

Format: UTF-8 without mark, `,`, LF after every row; NULL is nothing; a value stands in quotes only where it holds a
comma, quote or line break. A text that a spreadsheet would run as a formula gets a `'` in front (protocol 11.3); what
is stored stays unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hub.errors import UsageError

_FORMULA = tuple(b"=+-@\t\r'")
_RUN = re.compile(r"'+[=+\-@\t\r]")
_QUOTED = np.zeros(256, dtype=bool)
_QUOTED[list(b',"\n\r')] = True


@contextmanager
def new_file(path: Path, *, private: bool) -> Iterator[IO[bytes]]:
    """A file that appears under its name whole or not at all; `private`: only its owner can read it.

    Raises `UsageError` E1022 when it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        "E1022",
        f"文件写不了：{os.strerror(error.errno or 0)}",
        where=path.name,
        step="检查 --out 的目录、权限与磁盘空间",
    )


def write_csv(file: IO[bytes], columns: Sequence[str], batches: Iterable[Any]) -> int:
    """Header and rows; returns the rows. Batches hold the named columns in that order."""
    file.write((",".join(columns) + "\n").encode())
    rows = 0
    for batch in batches:
        if batch.num_rows:
            file.write(csv_bytes(batch))
            rows += batch.num_rows
    return rows


def csv_bytes(batch: Any) -> memoryview:
    """The rows of a record batch as CSV bytes."""
    cells = [_cell(column) for column in batch.columns]
    lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    ended = pc.binary_join_element_wise(lines, pa.scalar("", pa.string()), "\n")
    _validity, offsets, data = ended.buffers()
    bounds = np.frombuffer(offsets, np.int32)
    return memoryview(data)[bounds[ended.offset] : bounds[ended.offset + len(ended)]]


def _cell(column: Any) -> Any:
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    _validity, offsets, data = column.buffers()
    if data is None:
        return column
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    content = np.frombuffer(data, np.uint8)
    column = _defused(column, content, bounds)
    if not _QUOTED[content[bounds[0] : bounds[-1]]].any():
        return column
    inner = pc.replace_substring(column, '"', '""')
    quoted = pc.binary_join_element_wise('"', inner, '"', pa.scalar("", pa.string()))
    return pc.if_else(pc.match_substring_regex(column, '[,"\n\r]'), quoted, column)


def _defused(column: Any, content: Any, bounds: Any) -> Any:
    """`'` before what would be run as a formula, and before what looks as if it had the mark already."""
    filled = bounds[1:] > bounds[:-1]
    first = content[bounds[:-1][filled]]
    if not np.isin(first, _FORMULA).any():
        return column
    marked = pc.binary_join_element_wise("'", column, pa.scalar("", pa.string()))
    return pc.if_else(pc.match_substring_regex(column, r"^'*[=+\-@\t\r]"), marked, column)


def unmarked(text: str) -> str:
    """The value a cell of our CSV stands for: without the mark against formulas (protocol 11.3)."""
    return text[1:] if _RUN.match(text) else text
