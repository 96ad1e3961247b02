"""What a database in ZHS16GBK cannot hold, found before it is written: Oracle would store `?` and report nothing.

Decides that such a write is refused as a whole (E3118), whether rows come by array binds or one by one, and what is
said of it: entity, column, record numbers, how many; never a value. GBK holds some 21,000 汉字; rare characters of
names (生僻字) lie outside it. Columns are sized in characters (`VARCHAR2(n CHAR)`), so that a 汉字 of two bytes in GBK
and of three in AL32UTF8 fits alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from hub.errors import HubError

GBK: Final = "ZHS16GBK"
_WRITES: Final = re.compile(r"\s*(INSERT\s+INTO|UPDATE|MERGE\s+INTO)\s+(\w+)", re.I)
# Golden table, stage, shadow and history of an entity.
_OF_ENTITY: Final = re.compile(r"[gszh]_(\w+)")
_SHOWN: Final = 3


def holds(text: str) -> bool:
    """Whether GBK has every character."""
    try:
        text.encode("gbk")
    except UnicodeEncodeError:
        return False
    return True


def unholdable(batch: Any) -> dict[int, str]:
    """Rows of a record batch that GBK cannot hold, each with the first column that is why; good columns stay whole."""
    found: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type):
            continue
        values = column.to_pylist()
        if holds("".join(v for v in values if v)):
            continue
        for row, value in enumerate(values):
            if value and not holds(value):
                found.setdefault(row, name)
    return found


def refusal(table: str, rows: dict[int, str], batch: Any, listed: str) -> HubError:
    """E3118 of a bulk write. `listed`: where every row is named."""
    numbers = batch.column("pk").to_pylist() if "pk" in batch.schema.names else ()
    first = [f"记录号 {numbers[r]}" if numbers else f"第 {r + 1} 行" for r in sorted(rows)[:_SHOWN]]
    columns = "、".join(sorted({rows[r].upper() for r in rows}))
    return _refused(f"{_place(table)}，字段 {columns}，{'、'.join(first)}，共 {len(rows)} 行", listed)


def guard(character_set: Callable[[sa.Connection], str]) -> Callable[..., None]:
    """A listener of `before_cursor_execute` that refuses single writes; `character_set` says the database's."""

    def listen(
        connection: sa.Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> None:
        written = _WRITES.match(statement)
        if written is None or character_set(connection) != GBK:
            return
        if rare := sorted({name for name, value in _texts(parameters) if not holds(value)}):
            raise _refused(f"{_place(written.group(2))}，{'、'.join(rare)}", "")

    return listen


def _texts(parameters: Any) -> Iterator[tuple[str, str]]:
    """(name of a bind, its value) of every text that is not plain ASCII."""
    for row in parameters if isinstance(parameters, list) else [parameters]:
        pairs = row.items() if isinstance(row, dict) else ((str(n), v) for n, v in enumerate(row or (), 1))
        for name, value in pairs:
            if isinstance(value, str) and not value.isascii():
                yield str(name), value


def _place(table: str) -> str:
    entity = _OF_ENTITY.fullmatch(table.lower())
    return f"实体 {entity.group(1)}" if entity else f"表 {table.lower()}"


def _refused(where: str, listed: str) -> HubError:
    return HubError(
        "E3118",
        f"有汉字不在数据库字符集 {GBK} 内，写入会变成问号",
        where=where,
        step=f"本次没有写入任何数据{listed}；请数据库管理员把库迁移到 AL32UTF8，之后照常运行，已整理的数据会接着入库",
    )
