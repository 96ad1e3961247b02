"""Approved decisions in settling: golden is a function of contributions and decisions (house rule 4).

Decides that a decided value stands in the golden row under letter D while the sources say what they said when it was
decided on (`basis`), and no longer: a decision whose sources changed is laid aside in the very round that sees the
change. What the sources alone would have settled is kept beneath, so lifting a decision brings exactly that back,
whatever order things arrived in. A value that only a decision made valid pardons its row at the gate.

State tables: `decided` (what is in effect, replaced each round from the store), `beneath` (entity, pk, field, value,
letter). Temporary: `ruling` (decided, and whether its basis holds now).
"""

from __future__ import annotations

from typing import Any

import duckdb

from hub.catalog import Catalog, Entity
from quality.changed import scalar
from quality.contributions import sql_type
from quality.expressions import ident, key_text, text
from quality.keys import natural_key
from quality.matching import STUDENT

COLUMNS = ("decision_no", "entity", "pk", "natural_key", "field", "value", "basis")


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """The tables of an empty state."""
    con.execute(
        "CREATE TABLE IF NOT EXISTS decided (decision_no BIGINT, entity VARCHAR, pk VARCHAR, natural_key VARCHAR, "
        "field VARCHAR, value VARCHAR, basis VARCHAR)"
    )
    con.execute(
        "CREATE TABLE IF NOT EXISTS beneath (entity VARCHAR, pk VARCHAR, field VARCHAR, value VARCHAR, letter VARCHAR)"
    )


def take_decisions(con: duckdb.DuckDBPyConnection, catalog: Catalog, rows: Any) -> int:
    """Replaces `decided` by the decisions in effect (Arrow, `COLUMNS`); returns how many came, went or changed.

    Their records are noted as touched, so that an increment settles them again. Call after `begin_round`.
    """
    create_tables(con)
    con.register("incoming_decided", rows)
    con.execute("CREATE OR REPLACE TEMP TABLE fresh_decided AS SELECT * FROM incoming_decided")
    con.unregister("incoming_decided")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE moved_decided AS (SELECT * FROM fresh_decided EXCEPT SELECT * FROM decided) "
        "UNION (SELECT * FROM decided EXCEPT SELECT * FROM fresh_decided)"
    )
    con.execute("DELETE FROM decided")
    con.execute("INSERT INTO decided SELECT * FROM fresh_decided")
    for (name,) in con.execute("SELECT DISTINCT entity FROM moved_decided").fetchall():
        entity = catalog.entities[name]
        columns = ", ".join(f"{ident(f.name)}::VARCHAR" for f in entity.fields)
        moved = f"FROM moved_decided WHERE entity = {text(name)}"
        con.execute(
            f"INSERT INTO t_{name} SELECT {columns} FROM c_{name} WHERE {natural_key(entity)} IN (SELECT natural_key {moved})"
        )
        con.execute(f"INSERT INTO t_{name} SELECT {columns} FROM g_{name} WHERE pk IN (SELECT pk {moved})")
    return int(scalar(con, "SELECT count(*) FROM moved_decided"))


def standing_contributions(con: duckdb.DuckDBPyConnection, entity: Entity) -> str:
    """SQL of all platform rows of an entity under current keys, not only those in scope."""
    base = f"SELECT * FROM c_{entity.name} WHERE _state <> '0'"
    if entity.name in STUDENT and scalar(con, "SELECT count(*) FROM student_alias"):
        return f"SELECT c.* REPLACE (coalesce(a.new, c.GRBSM) AS GRBSM) FROM ({base}) c LEFT JOIN student_alias a ON a.old = c.GRBSM"
    return base


def source_values(con: duckdb.DuckDBPyConnection, entity: Entity, field: str | None, wanted: str) -> str:
    """SQL of (nk, kt, school, basis) for the natural keys of `wanted` (SQL of one column `nk`).

    `kt`: the key as record numbers take it; `school`: of the record itself, NULL where it carries none; `basis`: digest
    of what platform and supplement say of the field, which is what a person decides on.
    """
    value = f"min({ident(field)}::VARCHAR)" if field else "NULL"
    school = "min(XXDM)" if "XXDM" in entity.by_name else "NULL::VARCHAR"

    def said(rows: str) -> str:
        return (
            f"(SELECT {natural_key(entity)} AS nk, min({key_text(entity.key)}) AS kt, {school} AS school, {value} AS v "
            f"FROM ({rows}) WHERE {natural_key(entity)} IN (SELECT nk FROM ({wanted})) GROUP BY 1)"
        )

    own, local = said(standing_contributions(con, entity)), said(f"SELECT * FROM m_{entity.name}")
    return (
        "SELECT w.nk, coalesce(o.kt, l.kt, replace(w.nk, '|', chr(31))) AS kt, coalesce(o.school, l.school) AS school, "
        "substr(sha256(coalesce(o.v, '') || chr(31) || coalesce(l.v, '')), 1, 24) AS basis "
        f"FROM (SELECT DISTINCT nk FROM ({wanted})) w LEFT JOIN {own} o ON o.nk = w.nk LEFT JOIN {local} l ON l.nk = w.nk"
    )


def weigh(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """`ruling`: every decision in effect and whether its sources still say what was decided on. After matching."""
    create_tables(con)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE ruling (decision_no BIGINT, entity VARCHAR, pk VARCHAR, natural_key VARCHAR, "
        "field VARCHAR, value VARCHAR, holds BOOLEAN)"
    )
    con.execute(
        "UPDATE decided SET natural_key = a.new || substr(natural_key, length(a.old) + 1) FROM student_alias a "
        f"WHERE entity IN ({', '.join(text(e) for e in STUDENT)}) AND split_part(natural_key, '|', 1) = a.old"
    )
    for name, field in con.execute("SELECT DISTINCT entity, field FROM decided").fetchall():
        mine = f"FROM decided WHERE entity = {text(name)} AND field = {text(field)}"
        now = source_values(con, catalog.entities[name], field, f"SELECT natural_key AS nk {mine}")
        con.execute(
            "INSERT INTO ruling SELECT d.decision_no, d.entity, d.pk, d.natural_key, d.field, d.value, "
            f"n.basis = d.basis FROM (SELECT * {mine}) d JOIN ({now}) n ON n.nk = d.natural_key"
        )


def _ruled(con: duckdb.DuckDBPyConnection, entity: Entity) -> list[str]:
    rows = con.execute("SELECT DISTINCT field FROM ruling WHERE holds AND entity = ?", [entity.name]).fetchall()
    return sorted(str(row[0]) for row in rows)


def pardoned(con: duckdb.DuckDBPyConnection, entity: Entity, base: str) -> str:
    """`base` with the errors of decided fields taken out of `_bad`; `_judged` keeps what the row's own rules said."""
    judged = f"SELECT *, _bad AS _judged FROM ({base})"
    if not _ruled(con, entity):
        return judged
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE pardon_{entity.name} AS SELECT natural_key AS nk, list(field) AS fields FROM ruling "
        f"WHERE holds AND entity = {text(entity.name)} GROUP BY 1"
    )
    kept = "list_filter(k._bad, lambda x: NOT list_contains(p.fields, split_part(x, ':', 2)))"
    return (
        f"SELECT k.* REPLACE (CASE WHEN p.nk IS NULL THEN k._bad ELSE nullif({kept}, []) END AS _bad) FROM ({judged}) k "
        f"LEFT JOIN pardon_{entity.name} p ON p.nk = {natural_key(entity, 'k.')}"
    )


def prior(con: duckdb.DuckDBPyConnection, entity: Entity) -> str:
    """The golden image as the sources alone settled it: `g_<entity>`, or SQL that puts back what lies beneath decisions."""
    rows = con.execute("SELECT DISTINCT field FROM beneath WHERE entity = ?", [entity.name]).fetchall()
    if not rows:
        return f"g_{entity.name}"
    order = {f.name: i for i, f in enumerate(entity.fields, start=1)}
    joins, values, prov = "", [], "g.prov"
    for at, name in enumerate(sorted(str(r[0]) for r in rows)):
        joins += (
            f" LEFT JOIN (SELECT pk, value, letter FROM beneath WHERE entity = {text(entity.name)} "
            f"AND field = {text(name)}) b{at} ON b{at}.pk = g.pk"
        )
        kind = sql_type(entity[name])
        values.append(f"CASE WHEN b{at}.pk IS NULL THEN g.{ident(name)} ELSE b{at}.value::{kind} END AS {ident(name)}")
        prov = f"CASE WHEN b{at}.pk IS NULL THEN {prov} ELSE {_lettered(prov, order[name], f'b{at}.letter')} END"
    return f"(SELECT g.* REPLACE ({', '.join([*values, f'{prov} AS prov'])}) FROM g_{entity.name} g{joins})"


def honour(con: duckdb.DuckDBPyConnection, entity: Entity, *, derived: bool = False) -> None:
    """Lays the decided values over `s_<entity>` (letter D) and keeps what was settled beneath.

    Called before derived fields are computed, so that they follow the decided values, and after (`derived`), for fields
    that deriving itself has filled.
    """
    if not derived:
        con.execute(
            f"DELETE FROM beneath WHERE entity = {text(entity.name)} AND pk IN (SELECT pk FROM s_{entity.name})"
        )
    order = {f.name: i for i, f in enumerate(entity.fields, start=1)}
    for name in _ruled(con, entity):
        at, kind = order[name], sql_type(entity[name])
        mine = (
            f"ruling r WHERE r.holds AND r.entity = {text(entity.name)} AND r.field = {text(name)} AND r.pk = s.pk "
            f"AND substr(s.prov, {at}, 1) <> 'D'"
        )
        key = f"entity = {text(entity.name)} AND field = {text(name)}"
        con.execute(f"DELETE FROM beneath WHERE {key} AND pk IN (SELECT s.pk FROM s_{entity.name} s, {mine})")
        con.execute(
            f"INSERT INTO beneath SELECT {text(entity.name)}, s.pk, {text(name)}, s.{ident(name)}::VARCHAR, "
            f"substr(s.prov, {at}, 1) FROM s_{entity.name} s, {mine}"
        )
        con.execute(
            f"UPDATE s_{entity.name} s SET {ident(name)} = r.value::{kind}, prov = {_lettered('s.prov', at, text('D'))} FROM {mine}"
        )


def _lettered(prov: str, at: int, letter: str) -> str:
    return f"(substr({prov}, 1, {at - 1}) || {letter} || substr({prov}, {at + 1}))"


def forget_beneath(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """After a rebuild: what lay beneath the golden letters D is not known, so nothing is taken for a prior value."""
    create_tables(con)
    for entity in catalog.entities.values():
        for at, field in enumerate(entity.fields, start=1):
            con.execute(
                f"INSERT INTO beneath SELECT {text(entity.name)}, pk, {text(field.name)}, NULL, '-' FROM g_{entity.name} "
                f"WHERE substr(prov, {at}, 1) = 'D'"
            )
