"""What a changed code table touches: the contributions whose judgement could differ under the new codes.

Decides, table by table and field by field: rows that carry a code which came, went or means something else now, rows
whose label is looked up to another code, and rows whose label was unknown when new labels came. Those are marked so
that the next whole read of their source judges them anew; everything else has the same outcome under both tables and is
left alone. A golden value whose code went is valid no longer, so no prior value either (`retired`); its record is asked
again. So is a major whose place in the new catalogue is another now. Leaves reading to the province's extract step and settling to `quality.settle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from hub.catalog import Catalog, Entity, Field
from hub.catalog.codes import CodeChange, Tables, changed_tables, installed, name_of
from hub.catalog.shelves import DIVISION_KINDS, KNOWN, LABEL, MAP, YEARS, is_shelf
from quality.contributions import holding, spoken
from quality.expressions import ident, text, texts
from quality.normalise import fold_label


@dataclass(frozen=True)
class Recoding:
    """One changed table. `codes`: codes whose rows are asked again; `labels`: whether labels came that were unknown;
    `every`: whether any value is asked again, because the table stood open (ruling 8) or stands open now."""

    change: CodeChange
    codes: frozenset[str]
    labels: bool
    every: bool


@dataclass(frozen=True)
class CodePlan:
    """What a version does to one code table. `rows`: rows judged anew, `golden`: records that stand with a code that
    goes; both by `entity.field`."""

    table: str
    name: str
    added: int
    removed: int
    renamed: int
    rows: Mapping[str, int]
    golden: Mapping[str, int]


def recodings(before: Tables, catalog: Catalog) -> tuple[Recoding, ...]:
    """The tables of the catalogue that differ from `before`, with what of them rows could feel."""
    after = installed(catalog)
    changes = {c.table: c for c in changed_tables(before, after)}
    found = []
    for name in dict.fromkeys(n.removeprefix(LABEL) for n in changes):
        change = changes.get(name) or CodeChange(name, (), (), ())
        old, new = before.get(name, {}), after.get(name, {})
        heard, hears = _heard(before, name), _heard(after, name)
        moved = {heard[label] for label in heard if hears.get(label) != heard[label]}
        codes = frozenset({*change.added, *change.removed, *change.renamed, *moved})
        opened = name in changes and (not old or not new)
        found.append(Recoding(change, codes, bool(set(hears) - set(heard)), opened))
    return tuple(found)


def _heard(tables: Tables, name: str) -> dict[str, str]:
    """Folded label → code, as rows are looked up: names and codes of the table, and the labels beside it."""
    labels = {fold_label(label): code for label, code in tables.get(LABEL + name, {}).items()}
    return labels if is_shelf(name) else spoken(tables.get(name, {})) | labels


def recode(con: duckdb.DuckDBPyConnection, catalog: Catalog, changes: Sequence[Recoding]) -> int:
    """Marks the rows to be judged anew and has their sources, and their schools' files, read whole; returns how many.

    A source that cannot be read this time keeps its marks, and is read whole when it can be.
    """
    marked, schools = 0, set[str]()
    for entity, field, change in _fields(catalog, changes):
        asked = _condition(field, change)
        for name, table in _holdings(catalog, entity):
            done = con.execute(f"UPDATE {name} SET _raw = 0 WHERE {asked}").fetchall()
            if int(done[0][0]):
                marked += int(done[0][0])
                con.execute("DELETE FROM watermark WHERE source_table = ?", [table])
        schools |= {s for (s,) in con.execute(f"SELECT DISTINCT _school FROM l_{entity.name} WHERE {asked}").fetchall()}
    if schools:  # files of the waiting area go by number, the school's others by its code
        con.execute(
            "DELETE FROM local_file WHERE starts_with(name, 'waiting:') OR NOT regexp_matches(name, '[0-9]{10}') "
            f"OR regexp_matches(name, {text('|'.join(sorted(schools)))})"
        )
    return marked


def retire(con: duckdb.DuckDBPyConnection, catalog: Catalog, changes: Sequence[Recoding]) -> None:
    """Takes note of codes that went, and has records that stand with one asked again. Call after `begin_round`."""
    for one in changes:
        gone = [[one.change.table, c] for c in one.change.removed]
        con.execute(
            f"DELETE FROM retired_code WHERE tbl = ? AND code IN {texts([*one.change.added, *one.change.removed, ''])}",
            [one.change.table],
        )
        if gone:
            con.executemany("INSERT INTO retired_code VALUES (?, ?)", gone)
    for entity, field, change in _fields(catalog, [c for c in changes if c.change.removed]):
        columns = ", ".join(f"{ident(f.name)}::VARCHAR" for f in entity.fields)
        con.execute(
            f"INSERT INTO t_{entity.name} SELECT {columns} FROM g_{entity.name} "
            f"WHERE {ident(field.name)} IN {texts(change.change.removed)}"
        )
    _ask_mapped(con, catalog, [c for one in changes if one.change.table == MAP for c in one.codes])


def _ask_mapped(con: duckdb.DuckDBPyConnection, catalog: Catalog, old: Sequence[str]) -> None:
    """Majors set up under an old code that is mapped otherwise now are settled again: 对应新专业代码 is derived."""
    if old:
        columns = ", ".join(f"{ident(f.name)}::VARCHAR" for f in catalog.entities["zy"].fields)
        con.execute(f"INSERT INTO t_zy SELECT {columns} FROM g_zy WHERE ZYDM IN {texts(old)}")


def find_retired(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Fills the register of codes that went from a golden image alone (a settling state that was rebuilt)."""
    for entity in catalog.entities.values():
        for field in entity.fields:
            name = table_of(field)
            table = catalog.codes.tables.get(name or "")
            codes = catalog.codes.divisions if name == KNOWN else table.codes if table and not table.open else {}
            if name and codes:
                con.execute(
                    f"INSERT INTO retired_code SELECT DISTINCT {text(name)}, {ident(field.name)} FROM g_{entity.name} "
                    f"WHERE {ident(field.name)} NOT IN {texts(codes)} AND ({text(name)}, {ident(field.name)}) "
                    "NOT IN (SELECT tbl, code FROM retired_code)"
                )


def table_of(field: Field) -> str | None:
    """The code table or shelf a field's values are of; None for a field of no codes."""
    return KNOWN if field.kind in DIVISION_KINDS else (YEARS if field.name == "XZ" else field.code)


def retired(con: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """Codes that went, by table; empty unless a version ever took one away."""
    found: dict[str, set[str]] = {}
    for table, code in con.execute("SELECT tbl, code FROM retired_code").fetchall():
        found.setdefault(table, set()).add(code)
    return {table: frozenset(codes) for table, codes in found.items()}


def still_valid(field: Field, gone: Mapping[str, frozenset[str]]) -> str:
    """SQL, to be appended to a condition on a golden row `g`: its value's code did not go."""
    codes = gone.get(table_of(field) or "")
    return f" AND g.{ident(field.name)} NOT IN {texts(codes)}" if codes else ""


def code_plans(con: duckdb.DuckDBPyConnection, catalog: Catalog, changes: Sequence[Recoding]) -> tuple[CodePlan, ...]:
    """What `recode` would mark, counted; changes nothing."""
    plans = []
    for one in changes:
        rows: dict[str, int] = {}
        golden: dict[str, int] = {}
        for entity, field, change in _fields(catalog, (one,)):
            asked, label = _condition(field, change), f"{entity.name}.{field.name}"
            names = [*(name for name, _ in _holdings(catalog, entity)), f"l_{entity.name}"]
            if n := sum(_count(con, name, asked) for name in names):
                rows[label] = n
            gone = f"{ident(field.name)} IN {texts(change.change.removed)}" if change.change.removed else "FALSE"
            if n := _count(con, f"g_{entity.name}", gone):
                golden[label] = n
        if one.change.table == MAP and one.codes and (n := _count(con, "g_zy", f"ZYDM IN {texts(one.codes)}")):
            golden["zy.DYXZYDM"] = n
        name, sizes = one.change.table, (len(one.change.added), len(one.change.removed), len(one.change.renamed))
        plans.append(CodePlan(name, name_of(catalog, name), *sizes, rows, golden))
    return tuple(plans)


def _fields(catalog: Catalog, changes: Sequence[Recoding]) -> Iterator[tuple[Entity, Field, Recoding]]:
    """Every data item that one of the changed tables belongs to."""
    of_table = {c.change.table: c for c in changes}
    for entity in catalog.entities.values():
        for field in entity.fields:
            if (name := table_of(field)) in of_table:
                yield entity, field, of_table[name]


def _holdings(catalog: Catalog, entity: Entity) -> Iterator[tuple[str, str]]:
    """(holding table, source table) of everything that feeds an entity, own systems included."""
    tables = [*catalog.source_tables(), *(t for s in catalog.own for t in s.tables)]
    for table in tables:
        if table.entity == entity.name:
            yield holding(table), table.name


def _condition(field: Field, change: Recoding) -> str:
    name, mark = ident(field.name), text(f"{'YX14' if field.type == 'N' else 'YX05'}:{field.name}")
    carries = f"{name} IN {texts(change.codes)}" if change.codes else "FALSE"
    said = f"{name} IS NOT NULL" if change.every else carries
    if not (change.labels or change.every):
        return said
    noted = " OR ".join(f"list_contains(coalesce({m}, []), {mark})" for m in ("_bad", "_soft"))
    return f"({said} OR {name} IS NULL AND ({noted}))"


def _count(con: duckdb.DuckDBPyConnection, table: str, condition: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchall()[0][0])
