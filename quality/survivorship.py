"""Survivorship (一数一源): one true value per field from its one authoritative source (MODEL §6; rulings 4, 21).

Decides, per field: a valid value of the owning platform wins; else the valid prior value (an empty value never blanks);
else the reviewed school supplement; else what is derived. One provenance letter per field says which it was.

Leaves required-field and cross-row judgement to `quality.gate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute

import duckdb

from hub.catalog import Catalog, Entity, Field, SourceTable
from quality.authority import own_speaks
from quality.contributions import sql_type
from quality.decisions_effect import prior
from quality.expressions import ident, key_text, record_number, text, texts
from quality.keys import NEVER_FOUNDED_BY_SCHOOLS
from quality.matching import unknown_to_platform
from quality.own import above_owner, may_fill, own_tables
from quality.recode import still_valid


@dataclass(frozen=True)
class Round:
    """What every settling step needs to know of this round."""

    catalog: Catalog
    secret: bytes
    whole: bool
    """True when every record is settled again; otherwise only the keys in `scope_<entity>`."""
    has_golden: bool
    has_local: frozenset[str]
    retired: Mapping[str, frozenset[str]] = attribute(default_factory=dict)
    """Codes that went with a version of the code tables, by table: a value from before that has one is valid no more."""
    gave_way: frozenset[str] = frozenset()
    """Entities with records whose supplement was withdrawn (`gave_way`): its value is no value from before."""


def settle_entity(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    """Builds `s_<entity>`: pk, src_rid, prov, `_src` (main source letter), payload; one row per settled key.

    Reads `open_<entity>` (contributions still standing), `m_<entity>` (matched supplements), `g_<entity>` (golden).
    """
    table = round_.catalog.platform_table(entity.name)
    letter = round_.catalog.systems[table.system].letter if table else "L"
    local = entity.name in round_.has_local
    spine = _spine(round_, entity, table, local)
    number = record_number(round_.secret, entity.name, key_text(entity.key, "b."))
    aliased = (
        f"SELECT b.*, coalesce(a.pk, b._pk) AS pk FROM (SELECT b.*, {number} AS _pk FROM ({spine}) b) b "
        f"LEFT JOIN key_alias a ON a.entity = {text(entity.name)} AND a.key_pk = b._pk"
    )
    joins = ""
    if local:
        joins += f" LEFT JOIN m_{entity.name} l ON " + " AND ".join(f"l.{ident(k)} = b.{ident(k)}" for k in entity.key)
    if round_.has_golden:
        joins += f" LEFT JOIN {prior(con, entity)} g ON g.pk = b.pk"
    values, letters = [], []
    for index, field in enumerate(entity.fields, start=1):
        value, mark = _field(round_, entity, field, index, letter, local)
        values.append(f"{value} AS {ident(field.name)}")
        letters.append(mark)
    # Who supplied what no platform did: the school, or an own system by its letter.
    tag = "l._tag" if local and own_tables(round_.catalog, entity) else "'L'"
    trace = f"CASE WHEN b._src = 'L' THEN {tag} ELSE '' END || b._ext || ':' || b._line"
    if local:
        other = f"' ' || {tag} || l._ext || ':' || l._line"
        trace += f" || CASE WHEN l._line IS NULL OR b._src = 'L' THEN '' ELSE {other} END"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE s_{entity.name} AS SELECT b.pk, {trace} AS src_rid, "
        f"{' || '.join(letters)} AS prov, b._src, b._ext, b._line, {', '.join(values)} FROM ({aliased}) b{joins}"
    )


def _spine(round_: Round, entity: Entity, table: SourceTable | None, local: bool) -> str:
    """Rows that found a record: standing platform rows, then supplement rows of keys no platform row names."""
    names = [f.name for f in entity.fields]
    columns = ", ".join(ident(n) for n in names)
    parts = []
    if table is not None:
        letter = round_.catalog.systems[table.system].letter
        parts.append(f"SELECT {columns}, _ext, _line, {text(letter)} AS _src FROM open_{entity.name}")
    if local and entity.name not in NEVER_FOUNDED_BY_SCHOOLS:
        complete = " AND ".join(f"m.{ident(k)} IS NOT NULL" for k in entity.key)
        absent = "TRUE" if table is None else unknown_to_platform(entity)
        empty = ", ".join(ident(k) if k in entity.key else f"NULL::{sql_type(entity[k])} AS {ident(k)}" for k in names)
        parts.append(
            f"SELECT {empty}, _ext, _line, 'L' AS _src FROM m_{entity.name} m WHERE {absent} AND {complete} "
            f"AND NOT EXISTS (SELECT 1 FROM excluded_local x WHERE x.entity = {text(entity.name)} "
            "AND x._ext = m._ext AND x._line = m._line)"
        )
    if not parts:
        empty = ", ".join(f"NULL::{sql_type(f)} AS {ident(f.name)}" for f in entity.fields)
        return f"SELECT {empty}, 0 AS _ext, 0::BIGINT AS _line, 'L' AS _src WHERE FALSE"
    return " UNION ALL ".join(parts)


def _field(round_: Round, entity: Entity, field: Field, index: int, letter: str, local: bool) -> tuple[str, str]:
    """(value SQL, provenance letter SQL) of one field.

    The sources that may own the field are asked in the registry's order, each with its own prior value behind it (an
    empty value never blanks); then the supplement that may fill, then whatever stood before.
    """
    name = ident(field.name)
    authority = round_.catalog.registry.owners[entity.name, field.name]
    catalog, others = round_.catalog, local and bool(own_tables(round_.catalog, entity))
    filler = f"substr(l._letters, {index}, 1)" if others else "'L'"
    founder = f"CASE WHEN b._src = 'L' THEN {filler} ELSE b._src END" if others else "b._src"
    own = (f"b.{name} IS NOT NULL", f"b.{name}", founder)
    cases: list[tuple[str, str, str]] = []
    if others and (first := above_owner(catalog, entity, field)):
        cases.append((f"l.{name} IS NOT NULL AND {filler} IN {texts(first)}", f"l.{name}", filler))
    speaks = own_speaks(entity, field, catalog.platform_table(entity.name), authority)
    if speaks and authority.order[0] != "L":
        cases += [own, *_prior(round_, field, index, letter)]
    if local and may_fill(catalog, entity, field):
        cases.append(_supplement(field, filler))
    if authority.order[0] == "L":
        cases += _prior(round_, field, index, "L")
        if speaks:
            cases += [own, *_prior(round_, field, index, letter)]
    if round_.has_golden and authority.order != ("D",):
        stood = f"g.{name} IS NOT NULL AND substr(g.prov, {index}, 1) <> 'F'{still_valid(field, round_.retired)}"
        if entity.name in round_.gave_way:
            withdrawn = f"(SELECT pk FROM gave_way WHERE entity = {text(entity.name)})"
            stood += f" AND NOT (substr(g.prov, {index}, 1) = 'L' AND g.pk IN {withdrawn})"
        cases.append((stood, f"g.{name}", "'P'"))
    if not cases:
        return f"NULL::{sql_type(field)}", "'-'"
    value = " ".join(f"WHEN {c} THEN {v}" for c, v, _ in cases)
    mark = " ".join(f"WHEN {c} THEN {m}" for c, _, m in cases)
    return f"CASE {value} END", f"CASE {mark} ELSE '-' END"


def _prior(round_: Round, field: Field, index: int, letter: str) -> list[tuple[str, str, str]]:
    """The owner's own earlier value. A supplement's newer word replaces its older one, so it has none behind itself."""
    if not round_.has_golden or letter == "L":
        return []
    name, mark = ident(field.name), f"substr(g.prov, {index}, 1)"
    valid = still_valid(field, round_.retired)
    return [(f"g.{name} IS NOT NULL AND {mark} IN ({text(letter)}, 'P', 'D'){valid}", f"g.{name}", "'P'")]


def _supplement(field: Field, letter: str) -> tuple[str, str, str]:
    """What a school or an own system supplied, unless it is invalid; `letter`: SQL of which of them it was."""
    name = ident(field.name)
    bad = f"list_contains(list_transform(l._bad, lambda x: split_part(x, ':', 2)), {text(field.name)})"
    return f"l.{name} IS NOT NULL AND NOT coalesce({bad}, FALSE)", f"l.{name}", letter
