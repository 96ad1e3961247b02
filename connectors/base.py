"""What every source can be asked, and the shape of the answers.

Decides: how a value of any database is written as text, and how a source says that it cannot be read. Leaves meaning
to the rooms above: nothing is trimmed, mapped or judged here.

- A block is an Arrow record batch with every column of the `SourceTable` under its own name, all strings; NULL is null.
- Columns and tables are matched without regard to case; columns outside the layout are reported and not read.
- Timestamps are `YYYY-MM-DD HH:MM:SS[.ffffff]` (China has one time zone), numbers plain decimal text.
- A refusal names source, table, column and the next step, and never a value (house rule 13).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa

from hub.catalog import SourceTable
from hub.errors import InputError

BLOCK_ROWS = 65_536
CHINA = ZoneInfo("Asia/Shanghai")
# How a date-typed column is written where the layout expects text; `{form: (strftime, SQL to_char)}`.
DATE_FORMS = {
    "date8": ("%Y%m%d", "YYYYMMDD"),
    "date-dash": ("%Y-%m-%d", "YYYY-MM-DD"),
    "yyyymm": ("%Y%m", "YYYYMM"),
    "month-dash": ("%Y-%m", "YYYY-MM"),
    "yyyy": ("%Y", "YYYY"),
}
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?")


@dataclass(frozen=True)
class Probe:
    """What a source holds of one table. `rows` is None where the table is absent."""

    present: bool
    missing_columns: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    rows: int | None = None


class Source(Protocol):
    """A source system, read-only. One open source of a database that can do so shows one snapshot until `close`."""

    @property
    def name(self) -> str:
        """The URL without its password and options: what people and errors call this source."""

    def probe(self, table: SourceTable) -> Probe:
        """Whether the table is there, which layout columns it lacks, which it adds, how many rows it has."""

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Every row in blocks of at most `block_rows`; with `since`, those with `updated >= since` or no `updated`."""

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        """Only the key columns of every row."""

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows having one of `keys` (the table's key columns as strings, null matches NULL)."""

    def count(self, table: SourceTable) -> int:
        """Number of rows."""

    def high_mark(self, table: SourceTable) -> str | None:
        """The greatest `updated`, as text; None for an empty table or one without such a column."""

    def close(self) -> None:
        """Lets go of connections and of the snapshot."""


def block_schema(names: tuple[str, ...]) -> pa.Schema:
    """The schema of a block: all strings."""
    return pa.schema([(n, pa.string()) for n in names])


def check_since(since: str) -> str:
    """A watermark as text; anything but `YYYY-MM-DD HH:MM:SS[.ffffff]` is our own mistake."""
    if not _STAMP.fullmatch(since):
        raise RuntimeError("since must be YYYY-MM-DD HH:MM:SS[.ffffff]")
    return since


def text_of(value: object, form: str) -> str | None:
    """A database value as text; `form` is the layout's form of the column, which decides how dates are written."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, dt.date):
        return _date_text(value, form)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8")
    return str(value)


def _date_text(value: dt.date, form: str) -> str:
    if form in DATE_FORMS:
        return value.strftime(DATE_FORMS[form][0])
    if not isinstance(value, dt.datetime):
        return f"{value.isoformat()} 00:00:00" if form == "timestamp" else value.isoformat()
    return (value.astimezone(CHINA).replace(tzinfo=None) if value.tzinfo else value).isoformat(sep=" ")


def table_missing(source: str, table: SourceTable) -> InputError:
    return InputError(
        "E2106",
        f"数据源中没有表 {table.table}（{table.cn}）",
        where=f"数据源 {source}，表 {table.name}",
        step=f"核对账号能否看到该表；表名不同的，在 schemas/sources/{table.system.lower()}.yaml 该表写 site: 实际表名",
    )


def columns_missing(source: str, table: SourceTable, missing: tuple[str, ...]) -> InputError:
    return InputError(
        "E2107",
        f"表 {table.table} 缺少约定的列：{'、'.join(missing)}",
        where=f"数据源 {source}，表 {table.name}，列 {'、'.join(missing)}",
        step=f"请数据源补列；列名不同的，在 schemas/sources/{table.system.lower()}.yaml 该列写 site: 实际列名",
    )


def undecodable(source: str, table: SourceTable) -> InputError:
    return InputError(
        "E2108",
        f"表 {table.table} 中有不能按字符集解码的文本",
        where=f"数据源 {source}，表 {table.name}",
        step="请数据源将该库转换为 UTF-8（或核对导出时声明的字符集）后重试",
    )
