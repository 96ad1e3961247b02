"""Matching: which rows of different sources speak of one record (MODEL §6 match keys; rulings 9, 18, 19).

Decides: old → new school codes by the confirmed crosswalk; which record a school's supplement row belongs to; which
temporary student number (L) became a formal one (G, J). Suspects are never merged here.

Tables made: `student_alias` (old → new student number, kept in the state), `m_<entity>` (supplement rows with the key
of the record they fill), `f_<entity>` (keys of those read or reviewed in this round), `review` (supplement rows that belong to no record yet).
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog, Entity
from quality.expressions import ident, text
from quality.own import merge_own, own_holdings

STUDENT = ("xs", "xs_sx", "xs_xj", "xs_yd", "xs_jz", "xs_jtcy", "xs_by")
# Schools supply these for students the platform already knows.
STUDENT_LOCAL = ("xs", "xs_sx", "xs_xj", "xs_jz", "xs_jtcy")


def load_crosswalk(con: duckdb.DuckDBPyConnection, file: str, extract_no: int) -> None:
    """Takes the old/new school codes (S1.XX_DZ, raw Parquet); only confirmed rows apply (ruling 18).

    `crosswalk` holds what applies: of several new codes of one old one, the latest. `crosswalk_row` holds every row as
    the source has it, with since when (GXSJ), for the check report.
    """
    con.execute("DROP TABLE IF EXISTS crosswalk_row")
    con.execute(
        "CREATE TABLE crosswalk_row AS SELECT DISTINCT upper(replace(JXXDM, ' ', '')) AS old, "
        "upper(replace(XXDM, ' ', '')) AS new, coalesce(trim(QRZTM), '0') = '1' AS confirmed, "
        f"coalesce(left(GXSJ::VARCHAR, 10), '') AS since FROM read_parquet({text(file)})"
    )
    con.execute("DELETE FROM crosswalk")
    con.execute(
        "INSERT INTO crosswalk SELECT old, new, confirmed, ext, line FROM (SELECT upper(replace(JXXDM, ' ', '')) AS old, "
        f"upper(replace(XXDM, ' ', '')) AS new, coalesce(trim(QRZTM), '0') = '1' AS confirmed, {extract_no} AS ext, "
        "file_row_number + 1 AS line, row_number() OVER (PARTITION BY upper(replace(JXXDM, ' ', '')), "
        "coalesce(trim(QRZTM), '0') = '1' ORDER BY GXSJ DESC, XXDM) AS nth "
        f"FROM read_parquet({text(file)}, file_row_number = true)) WHERE nth = 1 AND old <> new"
    )


def unknown_to_platform(entity: Entity) -> str:
    """SQL that holds for a row of `m_<entity> m` whose record no platform row names, under its own number or an older one."""
    rest = [f"c.{ident(k)} = m.{ident(k)}" for k in entity.key if k != "GRBSM"]
    own = [f"c.{ident(k)} = m.{ident(k)}" for k in entity.key]
    unknown = f"NOT EXISTS (SELECT 1 FROM c_{entity.name} c WHERE {' AND '.join(own)})"
    if entity.name in STUDENT:
        renamed = " AND ".join(["a.new = m.GRBSM", *rest])
        unknown += (
            f" AND NOT EXISTS (SELECT 1 FROM c_{entity.name} c JOIN student_alias a ON a.old = c.GRBSM WHERE {renamed})"
        )
    return f"({unknown})"


def find_aliases(con: duckdb.DuckDBPyConnection) -> int:
    """Temporary numbers whose 证件 and name equal a formal row's join it (ruling 19); returns how many are new.

    The formal row must be valid; the temporary one is either still delivered or golden from before.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE new_alias AS "
        "WITH formal AS (SELECT GRBSM, SFZJLXM, SFZJH, XM FROM c_xs WHERE substr(GRBSM, 1, 1) IN ('G', 'J') "
        "AND _state = '1' AND _bad IS NULL AND SFZJH IS NOT NULL), "
        "temporary AS (SELECT GRBSM, SFZJLXM, SFZJH, XM FROM c_xs WHERE substr(GRBSM, 1, 1) = 'L' AND SFZJH IS NOT NULL "
        "AND _bad IS NULL UNION SELECT GRBSM, SFZJLXM, SFZJH, XM FROM g_xs WHERE substr(GRBSM, 1, 1) = 'L' AND SFZJH IS NOT NULL) "
        "SELECT t.GRBSM AS old, min(f.GRBSM) AS new FROM temporary t JOIN formal f "
        "ON f.SFZJLXM = t.SFZJLXM AND f.SFZJH = t.SFZJH AND f.XM = t.XM "
        "WHERE t.GRBSM NOT IN (SELECT old FROM student_alias) GROUP BY t.GRBSM HAVING count(DISTINCT f.GRBSM) = 1"
    )
    con.execute("INSERT INTO student_alias SELECT old, new FROM new_alias")
    row = con.execute("SELECT count(*) FROM new_alias").fetchone()
    return int(row[0]) if row else 0


def match_locals(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Builds `m_<entity>` for every entity with reviewed supplements: payload, marks, and the matched key columns."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE review (entity VARCHAR, _ext INTEGER, _line BIGINT, _school VARCHAR, reason VARCHAR)"
    )
    tables = [*(f"l_{name}" for name in STUDENT_LOCAL), *own_holdings(catalog, STUDENT)]
    named = " UNION ".join(f"SELECT _id_no FROM {table}" for table in tables)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE known_student AS SELECT SFZJLXM, SFZJH, min(GRBSM) AS GRBSM FROM "
        "(SELECT c.SFZJLXM, c.SFZJH, coalesce(a.new, c.GRBSM) AS GRBSM FROM c_xs c LEFT JOIN student_alias a ON a.old = c.GRBSM "
        f"WHERE _state = '1' AND SFZJH IS NOT NULL AND SFZJH IN ({named})) "
        "GROUP BY SFZJLXM, SFZJH HAVING count(DISTINCT GRBSM) = 1"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE known_teacher AS SELECT XXDM, SFZJLXM, SFZJH, min(GH) AS GH FROM c_jzg "
        "WHERE _state = '1' AND SFZJH IS NOT NULL GROUP BY ALL HAVING count(DISTINCT GH) = 1"
    )
    for system in catalog.own:
        con.execute("INSERT INTO own_letter VALUES (?, ?)", [system.letter, system.system])
    for entity in catalog.entities.values():
        con.execute(f"CREATE OR REPLACE TEMP TABLE m_{entity.name} AS {_matched(entity)}")
        if entity.name == "xs":
            con.execute("CREATE OR REPLACE TEMP TABLE ml_xs AS SELECT _ext, _line FROM m_xs")
        key = ", ".join(ident(k) for k in entity.key)
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE f_{entity.name} AS SELECT {key} FROM m_{entity.name} "
            "WHERE _ext IN (SELECT _ext FROM fresh_local)"
        )
        merge_own(con, catalog, entity)
        con.execute(
            f"INSERT INTO review SELECT {text(entity.name)}, l._ext, l._line, l._school, '待数据复核员复核' "
            f"FROM l_{entity.name} l WHERE NOT l._reviewed"
        )
    con.execute(
        "INSERT INTO review SELECT 'xs', l._ext, l._line, l._school, '待学籍系统下发学籍号' FROM l_xs l "
        "WHERE l._reviewed AND NOT EXISTS (SELECT 1 FROM ml_xs m WHERE m._ext = l._ext AND m._line = l._line)"
    )


def _matched(entity: Entity) -> str:
    """SELECT of an entity's reviewed supplement rows with their record's natural key in place, the newest of each key."""
    own = {"XXDM": "l._school AS XXDM"} if entity.name not in STUDENT_LOCAL else {}
    join = ""
    if entity.name in STUDENT_LOCAL:
        own["GRBSM"] = "s.GRBSM AS GRBSM"
        join = "JOIN known_student s ON s.SFZJLXM = l._id_type AND s.SFZJH = l._id_no"
    elif entity.name in ("jzg", "jzg_gz"):
        own["GH"] = "coalesce(s.GH, l.GH) AS GH"
        join = "LEFT JOIN known_teacher s ON s.XXDM = l._school AND s.SFZJLXM = l._id_type AND s.SFZJH = l._id_no"
    columns = ", ".join(own.get(f.name, f"l.{ident(f.name)}") for f in entity.fields)
    key = ", ".join(ident(k) for k in entity.key)
    return (
        f"SELECT * FROM (SELECT {columns}, l._school, l._ext, l._line, l._bad, l._soft FROM l_{entity.name} l {join} "
        f"WHERE l._reviewed) QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _ext DESC, _line DESC) = 1"
    )
