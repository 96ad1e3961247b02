"""Three ways to find change, as expressions and decisions: watermark with overlap, row hash, key sets under a brake.

Decides nothing about what a change means. Pure: no clock, no database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from connectors.base import check_since

UPDATE_TIME = "GXSJ"  # changes with every touch of a row, so it would make every touch a change


def row_hash_sql(columns: Iterable[str], *, without: tuple[str, ...] = (UPDATE_TIME,)) -> str:
    """A DuckDB expression (UBIGINT) over raw text columns, the same for the same row in every run and version.

    Columns count in the order of their names, so a reordered layout changes nothing; NULL has a token of its own and
    differs from ''. DuckDB's own `hash` is three times faster and promised by nobody to stay the same, so stored
    hashes use MD5 (bytes 8 to 15, little-endian; a changed row stays unseen once in 2^64). Values are taken to be free
    of the control characters U+001E and U+001F.
    """
    taken = sorted({c for c in columns if c not in without})
    if not taken:
        raise RuntimeError("a row hash needs at least one column")
    values = ", ".join(f"coalesce({_quoted(c)}, chr(30))" for c in taken)
    return f"md5_number_lower(concat_ws(chr(31), {values}))"


def since_with_overlap(high_mark: str, overlap: dt.timedelta) -> str:
    """The watermark to read from: `high_mark` minus an overlap that covers rows committed late with an older GXSJ."""
    if overlap < dt.timedelta(0):
        raise RuntimeError("the overlap is not negative")
    mark = dt.datetime.fromisoformat(check_since(high_mark))
    return (mark - min(overlap, mark - dt.datetime.min)).isoformat(sep=" ")


def brake(deleted: int, stock: int, share: float) -> bool:
    """True when a run would delete more than `share` (0..1) of `stock` rows and must be held for a person."""
    if deleted < 0 or stock < 0 or not 0 <= share <= 1:
        raise RuntimeError("deleted and stock count rows, share is between 0 and 1")
    return deleted > stock * share


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
