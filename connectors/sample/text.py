"""Columns of text made without a Python call per row: digit matrices, ID numbers, dates, timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.sample.dice import Bools, Ints, Texts

Bytes = npt.NDArray[np.uint8]

_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
_CHECK = np.frombuffer(b"10X98765432", dtype=np.uint8)
_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def digits(values: Ints, width: int) -> Bytes:
    """(n, width) ASCII digits, zero-padded; values must fit."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return ((values[:, None] // powers) % 10 + 48).astype(np.uint8)


def letters(prefix: str, count: int) -> Bytes:
    """The same ASCII prefix on every row."""
    return np.tile(np.frombuffer(prefix.encode("ascii"), dtype=np.uint8), (count, 1))


def text(*parts: Bytes) -> Texts:
    """Rows of the side-by-side matrices as Python strings."""
    matrix = np.ascontiguousarray(np.hstack(parts))
    count, width = matrix.shape
    offsets = np.arange(count + 1, dtype=np.int32) * width
    array = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(matrix))
    return texts(array.to_pylist())


def texts(values: Sequence[str | None]) -> Texts:
    """A Python sequence as an object column."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def same(value: str | None, count: int) -> Texts:
    """The same value on every row."""
    return np.full(count, value, dtype=object)


def take(choices: Sequence[str | None], index: Ints) -> Texts:
    """One of the choices per row."""
    return texts(choices)[index]


def where(mask: Bools, yes: Texts | str | None, no: Texts | str | None) -> Texts:
    """Row-wise choice between two columns or constants."""
    count = len(mask)
    left = yes if isinstance(yes, np.ndarray) else same(yes, count)
    right = no if isinstance(no, np.ndarray) else same(no, count)
    out = right.copy()
    out[mask] = left[mask]
    return out


def id_numbers(county: Ints, birth: Ints, serial: Ints) -> Bytes:
    """(n, 18) GB 11643 numbers of 6-digit division, yyyymmdd and 3-digit serial (odd for men)."""
    body = np.hstack([digits(county, 6), digits(birth, 8), digits(serial, 3)])
    total = ((body.astype(np.int64) - 48) * _WEIGHTS).sum(axis=1) % 11
    return np.hstack([body, _CHECK[total][:, None]])


def check_char(body: str) -> str:
    """The ISO 7064 MOD 11-2 check character of 17 digits."""
    return "10X98765432"[sum(int(d) * int(w) for d, w in zip(body, _WEIGHTS, strict=True)) % 11]


def credit_code(body: str) -> str:
    """A GB 32100 code of its first 17 characters."""
    total = sum(_CREDIT.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + _CREDIT[(31 - total % 31) % 31]


def dates(start: date, count: int) -> Ints:
    """yyyymmdd of `count` days from `start`, to be indexed by day offset."""
    days = (start + timedelta(days=i) for i in range(count))
    return np.array([d.year * 10000 + d.month * 100 + d.day for d in days], dtype=np.int64)


def day_numbers(days: Ints) -> Ints:
    """Days since 1970-01-01 as yyyymmdd."""
    stamp = days.astype("datetime64[D]")
    month = stamp.astype("datetime64[M]")
    year = stamp.astype("datetime64[Y]")
    years = year.astype(np.int64) + 1970
    months = (month - year.astype("datetime64[M]")).astype(np.int64) + 1
    result: Ints = years * 10000 + months * 100 + (stamp - month.astype("datetime64[D]")).astype(np.int64) + 1
    return result


def stamps(day: Ints, second: Ints) -> Texts:
    """`YYYY-MM-DD HH:MM:SS` of yyyymmdd and the second of the day."""
    dash, colon, blank = (letters(c, len(day)) for c in "-: ")
    parts = [digits(day // 10000, 4), dash, digits(day // 100 % 100, 2), dash, digits(day % 100, 2), blank]
    parts += [digits(second // 3600, 2), colon, digits(second // 60 % 60, 2), colon, digits(second % 60, 2)]
    return text(*parts)
