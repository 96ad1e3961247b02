"""Files of codes that are published with a version of the authority registry: read, checked, laid over those before.

Decides what a file must look like, by its header: the layouts of `schemas/codes` (code tables, divisions, majors of an
edition, old to new majors, labels). A table stands in a file whole or not at all. Leaves to `hub.catalog.codes` and
`hub.catalog.shelves` what the tables mean.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hub.catalog.codes import Tables
from hub.catalog.shelves import (
    LABEL,
    Shelves,
    division_shelves,
    is_shelf,
    label_shelves,
    major_shelf,
    map_shelf,
)
from hub.errors import InputError

_SHOWN: Final = 20
_DIVISION: Final = re.compile("[0-9]{6}")
_EDITION: Final = re.compile("(?:19|20)[0-9]{2}(?=[^0-9]*$)")
_OWN: Final = "LOCAL_XSLB"
Rows = list[tuple[int, dict[str, str]]]


@dataclass(frozen=True)
class CodeFile:
    """Codes to publish: `text` of a CSV file, `name` for faults and for the edition of a catalogue of majors."""

    text: str
    name: str


@dataclass(frozen=True)
class _Layout:
    """Columns that tell a layout, those of them that may be empty, and the columns of which a key is made."""

    columns: tuple[str, ...]
    empty: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


_TABLES: Final = _Layout(("table", "code", "name"), key=("table", "code"))
_LABELS: Final = _Layout(("table", "label", "code"), key=("table", "label"))
_DIVISIONS: Final = _Layout(("code", "name", "status", "new_code"), empty=("new_code",))
_MAJORS: Final = _Layout(("major_code", "major_name"), key=("major_code",))
_MAP: Final = _Layout(("old_code", "new_code", "relation"), empty=("new_code",))
_LAYOUTS: Final = (_DIVISIONS, _MAJORS, _MAP, _LABELS, _TABLES)


def overlaid(base: Tables, files: Iterable[CodeFile]) -> Tables:
    """`base` with the tables of CSV files in place of its own.

    Raises `InputError` E1114 naming every faulty line of the first faulty file: a table that is not defined, an empty
    cell, a code twice, a code or name that is too long, a division that is none.
    """
    tables = dict(base)
    for file in files:
        tables.update(_tables(tables, file))
    return tables


def _tables(base: Tables, file: CodeFile) -> Shelves:
    reader = csv.DictReader(io.StringIO(file.text.removeprefix("\ufeff")))
    layout = _layout(reader.fieldnames or (), file.name)
    columns = reader.fieldnames or ()
    rows = [(n, {c: (row[c] or "").strip() for c in columns}) for n, row in enumerate(reader, start=2)]
    faults = [f"第 {line} 行 {fault}" for line, fault in _faults(base, layout, rows)]
    if not rows:
        faults.append("没有代码")
    edition = _EDITION.search(file.name.rpartition(".")[0])
    if layout is _MAJORS and edition is None:
        faults.append("文件名中没有专业目录的年份，如 majors_2021.csv")
    if faults:
        raise _faulty(faults, file.name)
    return _read(base, layout, [row for _, row in rows], edition.group() if edition else "")


def _layout(columns: Iterable[str], name: str) -> _Layout:
    given = set(columns)
    for layout in _LAYOUTS:
        if set(layout.columns) <= given:
            return layout
    nearest = max(_LAYOUTS, key=lambda one: (len(given & set(one.columns)), one is _TABLES))
    raise _faulty([f"缺少列 {'、'.join(c for c in nearest.columns if c not in given)}"], name)


def _read(base: Tables, layout: _Layout, rows: list[dict[str, str]], edition: str) -> Shelves:
    if layout is _DIVISIONS:
        return division_shelves(rows)
    if layout is _MAJORS:
        return major_shelf(edition, rows)
    if layout is _MAP:
        return map_shelf(rows)
    if layout is _LABELS:
        return label_shelves(rows)
    given: Shelves = {}
    for row in rows:
        given.setdefault(row["table"], {})[row["code"]] = row["name"]
    # The one student category of our own stands in the table of categories, as in the installed definitions.
    if _OWN in given:
        own = given.pop(_OWN)
        given["XSLB"] = {**given.get("XSLB", base.get("XSLB", {})), **own}
    return given


def _faults(base: Tables, layout: _Layout, rows: Rows) -> Iterable[tuple[int, str]]:
    seen: set[tuple[str, ...]] = set()
    for line, row in rows:
        if fault := _fault(base, layout, row, seen):
            yield line, fault
        if layout.key:
            seen.add(tuple(row[c] for c in layout.key))


def _fault(base: Tables, layout: _Layout, row: Mapping[str, str], seen: set[tuple[str, ...]]) -> str | None:
    if any(not row[c] for c in layout.columns if c not in layout.empty):
        return "有空单元格"
    if "table" in layout.columns and not _is_defined(base, row["table"]):
        return f"没有代码表 {row['table'][:20]}"
    if layout.key and (key := tuple(row[c] for c in layout.key)) in seen:
        word, of = ("标签" if layout is _LABELS else "代码"), (f"代码表 {key[0]} 中" if len(key) > 1 else "")
        return f"{of}{word} {key[-1][:20]} 出现两次"
    if any(len(row[c]) > (20 if c.endswith("code") and c != "new_code" else 200) for c in layout.columns):
        return "代码长于 20 个字符或名称长于 200 个字符"
    if layout is _DIVISIONS and not _DIVISION.fullmatch(row["code"]):
        return f"行政区划码 {row['code'][:20]} 不是 6 位数字"
    return None


def _is_defined(base: Tables, table: str) -> bool:
    return table == _OWN or (table in base and not is_shelf(table)) or LABEL + table in base


def _faulty(faults: Iterable[str], where: str) -> InputError:
    some = list(faults)
    more = f"；另有 {len(some) - _SHOWN} 处" if len(some) > _SHOWN else ""
    return InputError(
        "E1114",
        "代码表文件有误：" + "；".join(some[:_SHOWN]) + more,
        where=where,
        step="按 schemas/codes 中同类文件的列更正后重新发布",
    )
