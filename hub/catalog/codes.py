"""Code tables that travel with a version of the authority registry: in place of the installed ones, compared, read.

Decides how a version's tables stand in a catalogue (a site's own additions stay on top, ruling 8) and what differs
between two sets of tables. Divisions, majors and labels are among them as shelves (`hub.catalog.shelves`). Leaves to
`hub.registry` which version is in force, to `hub.catalog.code_files` what files of tables look like and to
`quality.recode` which records a change touches.

Tables are values `{table: {code: name}}`; as text they are JSON in one fixed form, so that equal tables are equal text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from hub.catalog.model import Catalog, CodeTable
from hub.catalog.shelves import is_shelf, shelved, title, with_shelves

Tables = Mapping[str, Mapping[str, str]]


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
    """Every table with its codes and every shelf as they stand in this catalogue, a site's own included."""
    return {**{name: table.codes for name, table in catalog.codes.tables.items()}, **shelved(catalog.codes)}


def name_of(catalog: Catalog, table: str) -> str:
    """The Chinese name of a code table or shelf."""
    names = {n: t.cn for n, t in catalog.codes.tables.items()}
    return title(table, names) if is_shelf(table) else names.get(table, table)


def with_tables(catalog: Catalog, tables: Tables) -> Catalog:
    """The catalogue with these national tables; what a site added stands on top, an open table with codes is closed."""
    before = catalog.codes
    found: dict[str, CodeTable] = {}
    for name in [*before.tables, *(n for n in tables if n not in before.tables and not is_shelf(n))]:
        old = before.tables.get(name) or CodeTable(name, name, {})
        shipped, codes = before.national.get(name, {}), dict(tables.get(name, {}))
        site = {c: label for c, label in old.codes.items() if shipped.get(c) != label}
        closed = bool(codes) and not shipped
        found[name] = replace(old, codes={**codes, **site}, open=old.open and not closed)
    shelves = {name: dict(tables[name]) for name in tables if is_shelf(name)}
    national = {**{name: dict(tables.get(name, {})) for name in found}, **shelves}
    ruled = with_shelves(before, shelves) if shelves else before
    return replace(catalog, codes=replace(ruled, tables=found, national=national))


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
