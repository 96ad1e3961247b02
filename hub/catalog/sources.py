"""Source layouts (`schemas/sources/*.yaml`): the files a site edits where a platform looks otherwise there.

Decides what a layout may say, and that it says it of fields that exist. A layout is the site's file: whatever is wrong
with it raises `InputError` E1115 with table and column. Reading through it is the connectors' affair.

- `name` of a column is always the canonical field it feeds, `name` under `table` what the code calls the table. Where
  the site's own name differs, `site` says it; all other keys (`key`, `updated`, `state`, `approval`) keep to `name`.
- A column that a site does not have is left out, unless the key names it.
- `absence: delete` is what absence means everywhere: golden records follow their sources (ruling 1), under the brake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hub.catalog.model import Entity, SourceColumn, SourceSystem, SourceTable
from hub.errors import InputError

FORMS: Final = (
    "text", "code", "label", "date8", "date-dash", "yyyymm", "month-dash", "yyyy", "yyyy-yyyy", "number", "timestamp",
)  # fmt: skip
TYPES: Final = ("C", "N", "TS")
_SYSTEM: Final = ({"system", "name", "letter", "version", "tables"}, set[str]())
_TABLE: Final = (
    {"table", "name", "key", "columns"},
    {"entity", "purpose", "updated", "state", "approval", "absence", "site"},
)
_COLUMN: Final = ({"name", "cn", "type", "form"}, {"length", "scale", "compare", "site"})


def read_system(document: Any, entities: Mapping[str, Entity], path: Path) -> SourceSystem:
    """The layout of one system out of its parsed file; `InputError` E1115 names the first fault."""
    doc = _checked(document, _SYSTEM, "", path)
    tables = tuple(_table(t, doc["system"], entities, path) for t in _listed(doc["tables"], "tables", path))
    _once([t.table for t in tables], "表", "", path)
    return SourceSystem(doc["system"], doc["name"], doc["letter"], _number(doc["version"], "version", path), tables)


def _table(entry: Any, system: str, entities: Mapping[str, Entity], path: Path) -> SourceTable:
    where = f"表 {entry.get('table', '')}" if isinstance(entry, Mapping) else "tables"
    doc = _checked(entry, _TABLE, where, path)
    columns = tuple(_column(c, where, path) for c in _listed(doc["columns"], where, path))
    names = {c.name for c in columns}
    _once([c.name for c in columns], "列", where, path)
    _once([(c.site or c.name).casefold() for c in columns], "实际列名", where, path)
    for word in ("updated", "state", "approval"):
        if word in doc and doc[word] not in names:
            raise _wrong(f"{word} 所指的列 {doc[word]} 不在 columns 中", where, path)
    _feeds(doc, columns, entities, where, path)
    for key in _listed(doc["key"], where, path):
        if key not in names:
            raise _wrong(f"主键列 {key} 不在 columns 中", where, path)
    if doc.get("absence", "delete") != "delete":
        raise _wrong("absence 只能是 delete（行消失即删除，受删除刹车约束）", where, path)
    rest = {k: v for k, v in doc.items() if k not in ("columns", "key", "name")}
    return SourceTable(system=system, cn=doc["name"], key=tuple(doc["key"]), columns=columns, **rest)


def _feeds(
    doc: Mapping[str, Any], columns: tuple[SourceColumn, ...], entities: Mapping[str, Entity], where: str, path: Path
) -> None:
    """Every column of a table of records feeds a field, or is one that says something of the row."""
    if "entity" not in doc:
        return
    if doc["entity"] not in entities:
        raise _wrong(f"没有实体 {doc['entity']}", where, path)
    fields = entities[doc["entity"]].by_name
    marks = {doc.get(word) for word in ("updated", "state", "approval")}
    for column in columns:
        if column.name not in fields and column.name not in marks and column.compare is None:
            said = f"没有数据项 {column.name}；列的实际名称写在 site 中，name 保持数据项名"
            raise _wrong(said, f"{where}，列 {column.name}", path)


def _column(entry: Any, table: str, path: Path) -> SourceColumn:
    where = f"{table}，列 {entry.get('name', '')}" if isinstance(entry, Mapping) else table
    doc = _checked(entry, _COLUMN, where, path)
    if doc["form"] not in FORMS:
        raise _wrong(f"form 不能是 {doc['form']}，只能是 {'、'.join(FORMS)}", where, path)
    if doc["type"] not in TYPES:
        raise _wrong(f"type 不能是 {doc['type']}，只能是 {'、'.join(TYPES)}", where, path)
    sizes: dict[str, Any] = {k: _number(doc[k], where, path) for k in ("length", "scale") if k in doc}
    return SourceColumn(**(doc | sizes))


def _checked(entry: Any, words: tuple[set[str], set[str]], where: str, path: Path) -> dict[str, Any]:
    """The entry, with every word it must have and none that nobody reads."""
    must, may = words
    if not isinstance(entry, Mapping):
        raise _wrong("应为“名称: 值”的形式", where, path)
    if lacking := sorted(must - entry.keys()):
        raise _wrong(f"缺少 {'、'.join(lacking)}", where, path)
    if unknown := sorted(str(k) for k in entry.keys() - must - may):
        raise _wrong(f"不认识 {'、'.join(unknown)}，可写 {'、'.join(sorted(must | may))}", where, path)
    return dict(entry)


def _listed(value: Any, where: str, path: Path) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _wrong("tables、columns、key 应为不空的列表", where, path)
    return value


def _number(value: Any, where: str, path: Path) -> int:
    if not str(value).isascii() or not str(value).isdigit():
        raise _wrong("length、scale、version 应为整数", where, path)
    return int(value)


def _once(names: list[str], what: str, where: str, path: Path) -> None:
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise _wrong(f"{what}重复：{'、'.join(twice)}", where, path)


def _wrong(what: str, where: str, path: Path) -> InputError:
    place = f"schemas/sources/{path.name}" + (f"，{where}" if where else "")
    return InputError("E1115", f"源系统版式有误：{what}", where=place, step="改正该文件后重试；写法见 CONTRIBUTING.md")
