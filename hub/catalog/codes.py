"""Code tables that travel with a version of the authority registry: in place of the installed ones, compared, read.

Decides how a version's tables stand in a catalogue (a site's own additions stay on top, ruling 8), what differs between
two sets of tables, and what a file of tables must look like. Leaves to `hub.registry` which version is in force and to
`quality.recode` which records a change touches.

Tables are values `{table: {code: name}}`; as text they are JSON in one fixed form, so that equal tables are equal text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from hub.catalog.model import Catalog, CodeTable
from hub.errors import InputError

Tables = Mapping[str, Mapping[str, str]]
_NEED = ("table", "code", "name")
_SHOWN = 20


@dataclass(frozen=True)
class CodeChange:
    """What differs in one table: codes that came, that went, and that mean something else now."""

    table: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[str, ...]


def emit(tables: Tables) -> str:
    """The tables as JSON text: tables in order of name, codes in their own order, which templates show."""
    return json.dumps({n: dict(tables[n]) for n in sorted(tables)}, ensure_ascii=False)


@lru_cache(maxsize=16)
def parse(text: str) -> Tables:
    """The tables of a text that `emit` wrote."""
    return {str(n): {str(c): str(v) for c, v in codes.items()} for n, codes in json.loads(text).items()}


def installed(catalog: Catalog) -> Tables:
    """Every table with its codes as they stand in this catalogue, a site's own included."""
    return {name: table.codes for name, table in catalog.codes.tables.items()}


def with_tables(catalog: Catalog, tables: Tables) -> Catalog:
    """The catalogue with these national tables; what a site added stands on top, an open table with codes is closed."""
    before = catalog.codes
    found: dict[str, CodeTable] = {}
    for name in [*before.tables, *(n for n in tables if n not in before.tables)]:
        old = before.tables.get(name) or CodeTable(name, name, {})
        shipped, codes = before.national.get(name, {}), dict(tables.get(name, {}))
        site = {c: label for c, label in old.codes.items() if shipped.get(c) != label}
        closed = bool(codes) and not shipped
        found[name] = replace(old, codes={**codes, **site}, open=old.open and not closed)
    national = {name: dict(tables.get(name, {})) for name in found}
    return replace(catalog, codes=replace(before, tables=found, national=national))


def missing_tables(catalog: Catalog, tables: Tables) -> tuple[str, ...]:
    """Tables with codes here that the given ones lack altogether: a version of another generation of definitions."""
    return tuple(n for n, codes in catalog.codes.national.items() if codes and not tables.get(n))


def changed_tables(before: Tables, after: Tables) -> tuple[CodeChange, ...]:
    """What differs, by table, in the order of `after`; tables that are equal are left out."""
    found = []
    for name in [*after, *(n for n in before if n not in after)]:
        old, new = before.get(name, {}), after.get(name, {})
        change = CodeChange(
            name,
            tuple(c for c in new if c not in old),
            tuple(c for c in old if c not in new),
            tuple(c for c in new if c in old and old[c] != new[c]),
        )
        if change.added or change.removed or change.renamed:
            found.append(change)
    return tuple(found)


def overlaid(base: Tables, text: str, *, where: str) -> Tables:
    """`base` with the tables of a CSV file in place of its own; a table stands in the file whole or not at all.

    `text`: columns `table`, `code`, `name` as in schemas/codes/tables.csv. Raises `InputError` E1114 naming every
    faulty line: a table that is not defined, an empty cell, a code twice, a code or name that is too long.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if lacking := [c for c in _NEED if c not in (reader.fieldnames or ())]:
        raise _faulty([f"缺少列 {'、'.join(lacking)}"], where)
    given: dict[str, dict[str, str]] = {}
    faults: list[str] = []
    for line, row in enumerate(reader, start=2):
        table, code, name = ((row[c] or "").strip() for c in _NEED)
        if fault := _fault(base, given, table, code, name):
            faults.append(f"第 {line} 行 {fault}")
        else:
            given.setdefault(table, {})[code] = name
    if not given and not faults:
        faults.append("没有代码")
    if faults:
        raise _faulty(faults, where)
    # The one student category of our own stands in the table of categories, as in the installed definitions.
    if "LOCAL_XSLB" in given:
        own = given.pop("LOCAL_XSLB")
        given["XSLB"] = {**given.get("XSLB", base.get("XSLB", {})), **own}
    return {**base, **given}


def _fault(base: Tables, given: Tables, table: str, code: str, name: str) -> str | None:
    if not (table and code and name):
        return "有空单元格"
    if table not in base and table != "LOCAL_XSLB":
        return f"没有代码表 {table[:20]}"
    if code in given.get(table, {}):
        return f"代码表 {table} 中代码 {code[:20]} 出现两次"
    if len(code) > 20 or len(name) > 200:
        return "代码长于 20 个字符或名称长于 200 个字符"
    return None


def _faulty(faults: Iterable[str], where: str) -> InputError:
    some = list(faults)
    more = f"；另有 {len(some) - _SHOWN} 处" if len(some) > _SHOWN else ""
    return InputError(
        "E1114",
        "代码表文件有误：" + "；".join(some[:_SHOWN]) + more,
        where=where,
        step="按 schemas/codes/tables.csv 的列 table、code、name 更正后重新发布",
    )
