"""What is wrong with the rows of a supplement before anyone reviews it, by the rules the round itself applies.

Decides, per row: red cells that are empty, what a sheet must say of a record no platform has, words that name no class
or major, and every row rule of severity 错误 over the normalised values (the projection of `quality.changed`, so a row
that passes here normalises the same in the round). Needs no database: the caller brings what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from connectors.templates import IDENTITY_LOOKUP
from connectors.xlsx_rows import Reject
from hub.catalog import Catalog, Entity, Template, TemplateColumn
from province_node.local import local_parts
from province_node.supplement_words import resolve_words
from quality.changed import local_projection, says_something
from quality.contributions import load_lookups
from quality.expressions import ident
from quality.normalise import NONE_IS_VALUE, PLACEHOLDERS

EMPTY, NEW_RECORD = "E3703", "E3704"
MARKS = {"_ext": "_ext", "_line": "_row", "_id_type": "_id_type", "_id_no": "_id_no"}
# (entity, key values as the sheet gives them) → whether the store has the record.
Founded = Callable[[str, tuple[str, ...]], bool]


@contextmanager
def judging(catalog: Catalog, today: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine in memory with the code tables of the catalogue; `today` is what dated rules see (YYYY-MM-DD)."""
    con = duckdb.connect(config={"memory_limit": "512MB", "threads": 1})
    try:
        con.execute(f"SET VARIABLE today = '{today}'")
        con.execute("CREATE TEMP TABLE crosswalk (old VARCHAR, new VARCHAR, confirmed BOOLEAN)")
        codes = ", ".join(f"'{c}'" for c in sorted(catalog.codes.divisions))
        con.execute(f"CREATE TYPE division AS ENUM ({codes})")
        load_lookups(con, catalog)
        yield con
    finally:
        con.close()


def judge_rows(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, template: Template, rows: pa.Table, founded: Founded
) -> list[Reject]:
    """Everything wrong with the rows (raw text by target, `_row`, `_school`, `_id_type`, `_id_no`).

    The tables of words must be filled (`supplement_words`). Order: by row, then as found.
    """
    rows = rows.append_column("_ext", pa.array([0] * rows.num_rows, pa.int32()))
    found = _empty_red(template, rows)
    headers = {c.target: c.header for c in template.columns}
    worded, unresolved = resolve_words(con, rows, template)
    found += [Reject(u.row, headers[u.target], u.code, u.reason) for u in unresolved]
    worded, parts = local_parts(worded, template)
    con.register("supplied", worded)
    for entity_name, columns in parts:
        entity = catalog.entities[entity_name]
        found += _broken_rules(con, catalog, entity, columns, headers)
        found += _unfounded(con, catalog, template, entity, columns, founded)
    con.unregister("supplied")
    return sorted(dict.fromkeys(found), key=lambda r: r.row)


def is_empty(name: str, value: str | None) -> bool:
    """Nothing, blanks or a placeholder (ruling 6)."""
    plain = (value or "").strip()
    return not plain or (plain.upper() in PLACEHOLDERS and not (plain == "无" and name in NONE_IS_VALUE))


def _empty_red(template: Template, rows: pa.Table) -> list[Reject]:
    found = []
    numbers = rows["_row"].to_pylist()
    for column in template.columns:
        if column.required != "M" or column.parts is None or column.target not in rows.column_names:
            continue
        name = column.parts[2]
        for number, value in zip(numbers, rows[column.target].to_pylist(), strict=True):
            if is_empty(name, value):
                found.append(Reject(int(number), column.header, EMPTY, "必填项为空"))
    return found


def _broken_rules(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    entity: Entity,
    columns: dict[str, str],
    headers: dict[str | None, str],
) -> list[Reject]:
    raw = f"SELECT * FROM supplied WHERE {says_something(columns)}"
    select = local_projection(catalog, entity, columns).sql(raw, MARKS)
    hits = con.execute(f"SELECT _line, unnest(_bad) FROM ({select}) WHERE _bad IS NOT NULL").fetchall()
    header = {name: headers.get(raw_name, entity[name].cn) for raw_name, name in columns.items()}
    found = []
    for line, hit in hits:
        rule, _, name = str(hit).partition(":")
        if rule == "WZ01":  # an empty key is an empty red cell, said already
            continue
        words = catalog.rules[rule].name if rule in catalog.rules else rule
        found.append(Reject(int(line), header.get(name, name), rule, words))
    return found


def _unfounded(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    template: Template,
    entity: Entity,
    columns: dict[str, str],
    founded: Founded,
) -> list[Reject]:
    """Cells a platform would have filled (C), empty in a row about a record the store does not have."""
    needed = [c for c in template.columns if _needed_to_found(catalog, entity, c)]
    if not needed:
        return []
    keys = [k for k in entity.key if k in columns.values()]
    target = {name: raw for raw, name in columns.items()}
    by_person = entity.name.startswith("xs")
    shown = ["_id_type", "_id_no"] if by_person else [ident(target[k]) for k in keys if k != "XXDM"]
    cells = ", ".join(["_row", *shown, *(ident(str(c.target)) for c in needed)])
    found = []
    for number, *values in con.execute(f"SELECT {cells} FROM supplied").fetchall():
        key = tuple(str(v or "").strip() for v in values[: len(shown)])
        empty = [
            c
            for c, v in zip(needed, values[len(shown) :], strict=True)
            if c.parts is not None and is_empty(c.parts[2], v)
        ]
        if empty and not founded(entity.name, key):
            reason = f"正式库中没有该{entity.cn}记录，须填写本项"
            found += [Reject(int(number), c.header, NEW_RECORD, reason) for c in empty]
    return found


def _needed_to_found(catalog: Catalog, entity: Entity, column: TemplateColumn) -> bool:
    if column.parts is None or column.required != "C" or column.parts[3] == IDENTITY_LOOKUP:
        return False
    of, member, name, _ = column.parts
    return of == entity.name and member is None and catalog.entities[of][name].required == "M"


def by_row(rejects: Sequence[Reject]) -> dict[int, tuple[Reject, ...]]:
    """Reasons by sheet row."""
    grouped: dict[int, list[Reject]] = {}
    for reject in rejects:
        grouped.setdefault(reject.row, []).append(reject)
    return {row: tuple(some) for row, some in grouped.items()}
