"""A province's own systems among the sources (自建系统融合): field by field beside the schools' supplements.

Decides the rank of what is not the national owner's: an own system stands above a school's supplement and below the
owner, unless the registry's order names it (then where it stands there); a value that breaks a rule is left out. The
result takes the place of `m_<entity>`, so filling, founding and refusing are those of supplements; `mu_<entity>` keeps
what each of them said, so that no losing value is lost (`quality.own_conflicts`).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from hub.catalog import Catalog, Entity, Field, SourceSystem, SourceTable
from quality.contributions import holding
from quality.expressions import ident, text
from quality.keys import natural_key, school

SCHOOL = "L"
BELOW_OWNER = 50
LAST = 99


def own_tables(catalog: Catalog, entity: Entity) -> list[tuple[SourceSystem, SourceTable]]:
    """The own systems that deliver an entity, with their table."""
    return [(s, t) for s in catalog.own for t in s.tables if t.entity == entity.name]


def own_holdings(catalog: Catalog, entities: Sequence[str]) -> list[str]:
    """Where the own systems' rows of these entities lie."""
    return [holding(t) for s in catalog.own for t in s.tables if t.entity in entities]


def founder(catalog: Catalog, entity: Entity, src_rid: str, platform: str) -> str:
    """SQL of who founded a record, by its `src_rid`: `L`, an own system, or `platform` (SQL)."""
    cases = [f"WHEN {text(s.letter)} THEN {text(s.system)}" for s, _ in own_tables(catalog, entity)]
    return f"CASE left({src_rid}, 1) WHEN 'L' THEN 'L' {' '.join(cases)} ELSE {platform} END"


def above_owner(catalog: Catalog, entity: Entity, field: Field) -> list[str]:
    """Letters of own systems the registry ranks before everyone else for this field."""
    order = catalog.registry.owners[entity.name, field.name].order
    letters = {s.system: s.letter for s, _ in own_tables(catalog, entity)}
    first: list[str] = []
    for source in order:
        if source not in letters:
            break
        first.append(letters[source])
    return first


def may_fill(catalog: Catalog, entity: Entity, field: Field) -> bool:
    """Whether anything but the national owner may stand in this field."""
    authority = catalog.registry.owners[entity.name, field.name]
    listed = {s.system for s, _ in own_tables(catalog, entity)} & set(authority.order)
    return authority.fill or bool(listed)


def merge_own(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity) -> None:
    """Turns `m_<entity>` (schools) into schools and own systems together, with `_letters` (one per field) and `_tag`."""
    own = own_tables(catalog, entity)
    if not own:
        return
    con.execute(f"CREATE OR REPLACE TEMP TABLE ml_{entity.name} AS SELECT * FROM m_{entity.name}")
    names = ", ".join(ident(f.name) for f in entity.fields)
    parts = [
        f"SELECT {names}, _school, _ext, _line, _bad, _soft, {text(SCHOOL)} AS _tag, {LAST} AS _rank FROM ml_{entity.name}"
    ]
    for at, (system, table) in enumerate(own, start=1):
        parts.append(
            f"SELECT {names}, {school(entity)} AS _school, _ext, _line, _bad, _soft, {text(system.letter)} AS _tag, {at} "
            f"AS _rank FROM ({named_person(entity, holding(table))}) WHERE _state <> '0' AND {_whole_key(entity)} "
            f"QUALIFY row_number() OVER (PARTITION BY {_key(entity)} ORDER BY _ext DESC, _line DESC) = 1"
        )
    union = " UNION ALL ".join(f"({p})" for p in parts)
    con.execute(f"CREATE OR REPLACE TEMP TABLE mu_{entity.name} AS {union}")
    values, letters = [], []
    for field in entity.fields:
        if field.name in entity.key:
            values.append(f"{ident(field.name)}")
            letters.append("arg_min(_tag, _rank)")
            continue
        good = f"CASE WHEN _n = 1 OR NOT {broken(field)} THEN {ident(field.name)} END"
        rank = _rank(catalog, entity, field, own)
        values.append(f"arg_min({good}, {rank}) AS {ident(field.name)}")
        letters.append(f"coalesce(arg_min(CASE WHEN {good} IS NOT NULL THEN _tag END, {rank}), '-')")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE m_{entity.name} AS SELECT {', '.join(values)}, arg_min(_school, _rank) AS _school, "
        "arg_min(_ext, _rank) AS _ext, arg_min(_line, _rank) AS _line, "
        "CASE WHEN max(_n) = 1 THEN any_value(_bad) END AS _bad, CASE WHEN max(_n) = 1 THEN any_value(_soft) END AS _soft, "
        f"{' || '.join(letters)} AS _letters, arg_min(_tag, _rank) AS _tag FROM "
        f"(SELECT *, count(*) OVER (PARTITION BY {_key(entity)}) AS _n FROM mu_{entity.name}) GROUP BY {_key(entity)}"
    )
    _note_bad(con, entity, own)
    _note_unknown(con, entity, own)


def broken(field: Field, prefix: str = "") -> str:
    """SQL that holds where a row's own judgement names the field."""
    return f"list_contains(list_transform(coalesce({prefix}_bad, []), lambda x: split_part(x, ':', 2)), {text(field.name)})"


def named_person(entity: Entity, table: str) -> str:
    """SELECT of an own system's rows with the person's number in place: of students the number the platform knows, else
    the one whose card it is; of staff the card first (MODEL §6). A number nobody knows stays as it is."""
    if "GRBSM" in entity.key:
        number = "coalesce(a.new, h.GRBSM)"
        known = f"{number} IN (SELECT GRBSM FROM c_xs)"
        return (
            f"SELECT h.* REPLACE (CASE WHEN {known} THEN {number} ELSE coalesce(s.GRBSM, {number}) END AS GRBSM) FROM {table} h "
            "LEFT JOIN student_alias a ON a.old = h.GRBSM "
            "LEFT JOIN known_student s ON s.SFZJLXM = h._id_type AND s.SFZJH = h._id_no"
        )
    if "GH" in entity.key:
        return (
            f"SELECT h.* REPLACE (coalesce(s.GH, h.GH) AS GH) FROM {table} h LEFT JOIN known_teacher s "
            "ON s.XXDM = h.XXDM AND s.SFZJLXM = h._id_type AND s.SFZJH = h._id_no"
        )
    return f"SELECT * FROM {table}"


def _rank(catalog: Catalog, entity: Entity, field: Field, own: Sequence[tuple[SourceSystem, SourceTable]]) -> str:
    """SQL of a row's rank for one field: its place in the registry's order, else own systems before the school."""
    order = catalog.registry.owners[entity.name, field.name].order
    cases = []
    for at, (source, letter) in enumerate([*((s.system, s.letter) for s, _ in own), ("L", SCHOOL)]):
        rank = order.index(source) if source in order else (LAST if source == "L" else BELOW_OWNER + at)
        cases.append(f"WHEN {text(letter)} THEN {rank}")
    return f"CASE _tag {' '.join(cases)} END"


def _note_bad(con: duckdb.DuckDBPyConnection, entity: Entity, own: Sequence[tuple[SourceSystem, SourceTable]]) -> None:
    """What own systems deliver and cannot be taken is listed, never silent (house rule 6)."""
    for system, table in own:
        con.execute(
            f"INSERT INTO issue SELECT {text(entity.name)}, _ext, _line, {natural_key(entity)}, {school(entity)}, "
            f"split_part(hit, ':', 1), split_part(hit, ':', 2), '自建系统的值无效，未采用', '警告', {text(system.system)}, "
            f"'提示' FROM (SELECT *, unnest(_bad) AS hit FROM {holding(table)} WHERE _bad IS NOT NULL AND _state <> '0')"
        )


def _note_unknown(
    con: duckdb.DuckDBPyConnection, entity: Entity, own: Sequence[tuple[SourceSystem, SourceTable]]
) -> None:
    """Rows of people whom neither number nor card finds are listed; they count as soon as the platform has the person."""
    person = next((k for k in entity.key if k in ("GRBSM", "GH")), None)
    if person is None:
        return
    for system, table in own:
        con.execute(
            f"INSERT INTO issue SELECT {text(entity.name)}, _ext, _line, '', NULL, '主记录未入库', {text(person)}, "
            f"'自建系统的记录按编号和证件号都找不到人', '提示', {text(system.system)}, '提示' "
            f"FROM ({named_person(entity, holding(table))}) WHERE _state <> '0' AND {ident(person)} IS NULL"
        )


def _key(entity: Entity) -> str:
    return ", ".join(ident(k) for k in entity.key)


def _whole_key(entity: Entity) -> str:
    return " AND ".join(f"{ident(k)} IS NOT NULL" for k in entity.key)
