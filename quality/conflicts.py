"""Conflicts: good rows that disagree, with the losing values kept (rulings 3, 18, 21).

Decides which disagreements are recorded (已由权威源定值: the authority won, nobody is asked) and which wait for a person
(待处理). A conflict's identity is a digest of what it is about, so the same disagreement keeps its number over rounds.
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog, Entity, Field, SourceTable
from quality.decisions_effect import prior, source_values
from quality.expressions import FULL_WIDTH, HALF_WIDTH, ident, record_number, text, texts
from quality.keys import natural_key
from quality.own import above_owner, own_tables
from quality.survivorship import Round

DECIDED = "已由权威源定值"
WAITING = "待处理"
COLUMNS = (
    "entity VARCHAR, natural_key VARCHAR, field VARCHAR, rule VARCHAR, state VARCHAR, source VARCHAR, value VARCHAR, "
    "winner_source VARCHAR, winner_value VARCHAR, clash VARCHAR, _ext INTEGER, _line BIGINT, rows_named BIGINT"
)
PLACE = "pk VARCHAR, school VARCHAR, division VARCHAR, basis VARCHAR"
_NOWHERE = ", NULL, NULL, NULL, NULL"


def begin_conflicts(con: duckdb.DuckDBPyConnection) -> None:
    """Empties the table of disagreements of this round."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE disagreement ({COLUMNS}, {PLACE})")


def losing_values(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity, table: SourceTable) -> None:
    """A supplement that differs from the platform's valid value is recorded; against an invalid one a person is asked."""
    if entity.name not in round_.has_local:
        return
    shared = [
        f
        for f in entity.fields
        if f.name in table.column_names and f.name not in entity.key and _ask(round_, entity, f)
    ]
    if not shared:
        return
    match = " AND ".join(f"l.{ident(k)} = k.{ident(k)}" for k in entity.key)
    invalid = "list_transform(coalesce(k._judged, []), lambda x: split_part(x, ':', 2))"
    pairs = ", ".join(
        f"CASE WHEN (k.{ident(f.name)} <> l.{ident(f.name)} OR k.{ident(f.name)} IS NULL AND l.{ident(f.name)} IS NOT NULL "
        f"AND list_contains({invalid}, {text(f.name)})) AND NOT list_contains("
        f"list_transform(coalesce(l._bad, []), lambda x: split_part(x, ':', 2)), {text(f.name)}) "
        f"{_heard(round_, entity, f)} THEN {{'f': {text(f.name)}, 'own': k.{ident(f.name)}::VARCHAR, 'other': l.{ident(f.name)}::VARCHAR, "
        f"'bad': list_contains({invalid}, {text(f.name)}), 'src': {_loser(round_.catalog, entity, f)}}} END"
        for f in shared
    )
    con.execute(
        f"INSERT INTO disagreement SELECT {text(entity.name)}, nk, p.f, '', CASE WHEN p.bad THEN {text(WAITING)} ELSE "
        f"{text(DECIDED)} END, p.src, p.other, {text(table.system)}, p.own, '', _ext, _line, 1{_NOWHERE} FROM ("
        f"SELECT {natural_key(entity, 'k.')} AS nk, l._ext, l._line, unnest(list_filter([{pairs}], lambda x: x IS NOT NULL)) AS p, "
        f"k._judged IS NOT NULL AS refused FROM k_{entity.name} k JOIN m_{entity.name} l ON {match} "
        "WHERE k._state <> '0' AND k._approval NOT IN ('1', '3')) WHERE p.bad OR NOT refused"
    )


def _loser(catalog: Catalog, entity: Entity, field: Field) -> str:
    """SQL of the source whose value lost: the school, or the own system whose letter stands for the field."""
    own = own_tables(catalog, entity)
    if not own:
        return "'L'"
    cases = " ".join(f"WHEN {text(s.letter)} THEN {text(s.system)}" for s, _ in own)
    return f"CASE substr(l._letters, {entity.columns.index(field.name) + 1}, 1) {cases} ELSE 'L' END"


def _ask(round_: Round, entity: Entity, field: Field) -> bool:
    fill = round_.catalog.registry.owners[entity.name, field.name].fill or field.name == "XM"
    return fill or bool(own_tables(round_.catalog, entity))


def _heard(round_: Round, entity: Entity, field: Field) -> str:
    """SQL, to be appended: what an own system says always counts unless it ranks above the platform, what a school says
    of a field it may fill."""
    if not own_tables(round_.catalog, entity):
        return ""
    letter = f"substr(l._letters, {entity.columns.index(field.name) + 1}, 1)"
    above = above_owner(round_.catalog, entity, field)
    fill = round_.catalog.registry.owners[entity.name, field.name].fill or field.name == "XM"
    return (f" AND {letter} NOT IN {texts(above)}" if above else "") + ("" if fill else f" AND {letter} <> 'L'")


def invalid_against_prior(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable) -> None:
    """The authority sent an invalid value where a valid one stands from before: a person is asked (ruling 21).

    A school's own fill is no value from before: `losing_values` names it, for as long as the school says so.
    """
    match = " AND ".join(f"g.{ident(k)} = k.{ident(k)}" for k in entity.key)
    fields = [f for f in entity.fields if f.name in table.column_names and f.name not in entity.key]
    own = " ".join(f"WHEN {text(f.name)} THEN k.{ident(f.name)}::VARCHAR" for f in fields)
    at = {name: index for index, name in enumerate(entity.columns, start=1)}
    kept = " ".join(
        f"WHEN {text(f.name)} THEN CASE WHEN substr(g.prov, {at[f.name]}, 1) <> 'L' THEN g.{ident(f.name)}::VARCHAR END"
        for f in fields
    )
    con.execute(
        f"INSERT INTO disagreement SELECT {text(entity.name)}, nk, f, rule, {text(WAITING)}, {text(table.system)}, own, 'P', prior, '', "
        f"_ext, _line, 1{_NOWHERE} FROM (SELECT nk, f, rule, _ext, _line, CASE f {own} END AS own, CASE f {kept} END AS prior FROM ("
        f"SELECT k.*, {natural_key(entity, 'k.')} AS nk, split_part(h, ':', 2) AS f, split_part(h, ':', 1) AS rule "
        f"FROM (SELECT k.*, unnest(k._judged) AS h FROM k_{entity.name} k WHERE k._judged IS NOT NULL) k) k "
        f"JOIN {prior(con, entity)} g ON {match}) WHERE prior IS NOT NULL "
        "AND prior IS DISTINCT FROM own AND rule IN ('YX05', 'YX14', 'YX18')"
    )


def clashes(con: duckdb.DuckDBPyConnection) -> None:
    """One conflict per clash names its rows together (ruling 3): the rows share `clash`."""
    con.execute(
        f"INSERT INTO disagreement SELECT entity, natural_key, field, rule, {text(WAITING)}, source, NULL, NULL, NULL, "
        "substr(sha256(clash), 1, 16), _ext, _line, count(*) OVER (PARTITION BY clash)"
        f"{_NOWHERE} FROM clash"
    )


def copied_names(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """School names that S1 and S2 carry as copies, where they differ from S3's: one row per school, source and name."""
    for table in catalog.source_tables():
        if table.entity is None or not any(c.compare for c in table.columns):
            continue
        name = f"trim(translate(_copy, {text(FULL_WIDTH + chr(0x3000))}, {text(HALF_WIDTH + ' ')}))"
        copies = (
            "SELECT XXDM, _copy, count(*) AS n, min(_ext) AS _ext, min(_line) AS _line "
            f"FROM c_{table.entity} WHERE _state <> '0' AND _copy IS NOT NULL GROUP BY XXDM, _copy"
        )
        con.execute(
            f"INSERT INTO disagreement SELECT 'xx', s.XXDM, 'XXMC', '', {text(DECIDED)}, {text(table.system)}, c.name, 'S3', "
            f"s.XXMC, '', min(c._ext), min(c._line), sum(c.n){_NOWHERE} FROM "
            f"(SELECT XXDM, {name} AS name, n, _ext, _line FROM ({copies})) c JOIN alive_xx_name s ON s.XXDM = c.XXDM "
            "WHERE c.name <> s.XXMC AND c.name <> '' GROUP BY s.XXDM, s.XXMC, c.name"
        )


def unconfirmed_codes(con: duckdb.DuckDBPyConnection) -> None:
    """Old/new school codes not yet confirmed: not applied, a person is asked (ruling 18)."""
    con.execute(
        f"INSERT INTO disagreement SELECT 'xx', new, 'JXXDM', '', {text(WAITING)}, 'S1', old, NULL, NULL, '', _ext, _line, 1"
        f"{_NOWHERE} FROM crosswalk WHERE NOT confirmed"
    )


def place(con: duckdb.DuckDBPyConnection, round_: Round) -> None:
    """Record number, school, its division and the digest of the source values, for every disagreement of the round.

    A conflict is one field of one record; who may see it follows its school, and a decision on it holds as long as the
    source values are those decided on (console 1, 3).
    """
    pairs = con.execute("SELECT DISTINCT entity, CASE WHEN clash = '' THEN field END FROM disagreement").fetchall()
    for name, field in pairs:
        entity = round_.catalog.entities[name]
        mine = f"entity = {text(name)} AND " + (f"clash = '' AND field = {text(field)}" if field else "clash <> ''")
        found = source_values(con, entity, field, f"SELECT natural_key AS nk FROM disagreement WHERE {mine}")
        number = record_number(round_.secret, name, "f.kt")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE placed AS SELECT f.nk, f.school, f.basis, coalesce(a.pk, f.number) AS pk FROM "
            f"(SELECT f.*, {number} AS number FROM ({found}) f) f "
            f"LEFT JOIN key_alias a ON a.entity = {text(name)} AND a.key_pk = f.number"
        )
        con.execute(
            f"UPDATE disagreement d SET pk = p.pk, school = p.school, basis = {'p.basis' if field else 'NULL'} "
            f"FROM placed p WHERE p.nk = d.natural_key AND {mine.replace('entity', 'd.entity', 1)}"
        )
    _place_in_schools(con)


def _place_in_schools(con: duckdb.DuckDBPyConnection) -> None:
    """Records that carry no school lie in their student's; a school lies in the division its platform names."""
    con.execute(
        "UPDATE disagreement d SET school = s.XXDM FROM (SELECT coalesce(a.new, c.GRBSM) AS GRBSM, min(c.XXDM) AS XXDM "
        "FROM c_xs c LEFT JOIN student_alias a ON a.old = c.GRBSM WHERE coalesce(a.new, c.GRBSM) IN (SELECT "
        "split_part(natural_key, '|', 1) FROM disagreement WHERE school IS NULL AND starts_with(entity, 'xs')) GROUP BY 1) s "
        "WHERE d.school IS NULL AND starts_with(d.entity, 'xs') AND s.GRBSM = split_part(d.natural_key, '|', 1)"
    )
    con.execute(
        "UPDATE disagreement d SET division = x.XZQHM FROM (SELECT XXDM, min(XZQHM) AS XZQHM FROM c_xx WHERE _state <> '0' "
        "GROUP BY 1) x WHERE x.XXDM = d.school"
    )
