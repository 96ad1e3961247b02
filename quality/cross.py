"""Rules between entities of severity 错误: WZ08, WY03, WY05, WY08, WY09, YZ05, YZ10, GL04, GL06 (MODEL §7; rulings 2, 3, 10, 11, 13).

Each function takes settled rows out through `quality.gate`; the order is the caller's (ruling 20: last).
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog
from quality.gate import clash, refuse_settled
from quality.keys import natural_key, not_of_platform

# YZ10: last change of a student → the status that goes with it.
STATUS_AFTER = {"11": ("02",), "12": ("01", "05"), "31": ("03",), "42": ("14",), "21": ("10",)}


def schools(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """GL06: a school struck off (BXZTM 4) that still has students at school or staff in post (ruling 13).

    A row in transit or rejected does not count; what stands from before in its place does.
    """
    waits = "c._approval IN ('1', '3')"
    refuse_settled(
        con,
        catalog.entities["xx"],
        "SELECT s.pk, 'GL06' AS rule, 'BXZTM' AS field, '已撤销学校仍有在读学生或在职教职工' AS reason FROM s_xx s "
        f"WHERE s.BXZTM = '4' AND (EXISTS (SELECT 1 FROM c_xs_xj c WHERE c._state = '1' AND c.XXDM = s.XXDM AND c.XSDQZTM = '01' "
        f"AND NOT {waits}) OR EXISTS (SELECT 1 FROM g_xs_xj g JOIN c_xs_xj c ON c.GRBSM = g.GRBSM WHERE g.XXDM = s.XXDM "
        f"AND g.XSDQZTM = '01' AND c._state = '1' AND {waits}) "
        "OR EXISTS (SELECT 1 FROM c_jzg c WHERE c._state = '1' AND c.XXDM = s.XXDM AND c.DQZTM = '11'))",
    )


def classes(con: duckdb.DuckDBPyConnection, catalog: Catalog, *, has_golden: bool) -> None:
    """WY08: two classes of one name in one school and grade."""
    clash(
        con, catalog.entities["bj"], "WY08", ("XXDM", "NJDM", "BJMC"), "同校同年级班级名称重复", has_golden=has_golden
    )


def units(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """GL04: the parent unit does not exist, or units contain each other in a ring.

    A unit that is put out takes those below it along, so that none stands under a parent there is none of.
    """
    ring = (
        "WITH RECURSIVE up AS (SELECT XXDM, JGH, LSSJJGH AS above, 1 AS steps FROM s_jg WHERE LSSJJGH <> '000000' "
        "UNION ALL SELECT u.XXDM, u.JGH, s.LSSJJGH, u.steps + 1 FROM up u JOIN s_jg s ON s.XXDM = u.XXDM AND s.JGH = u.above "
        "WHERE u.above <> u.JGH AND s.LSSJJGH <> '000000' AND u.steps < 64) "
        "SELECT s.pk, 'GL04' AS rule, 'LSSJJGH' AS field, '机构隶属关系成环' AS reason FROM s_jg s "
        "WHERE EXISTS (SELECT 1 FROM up u WHERE u.XXDM = s.XXDM AND u.JGH = s.JGH AND u.above = s.JGH)"
    )
    rootless = (
        "SELECT s.pk, 'GL04' AS rule, 'LSSJJGH' AS field, '上级机构不存在' AS reason FROM s_jg s WHERE s.LSSJJGH <> '000000' "
        "AND NOT EXISTS (SELECT 1 FROM s_jg p WHERE p.XXDM = s.XXDM AND p.JGH = s.LSSJJGH) "
        "AND NOT EXISTS (SELECT 1 FROM g_jg p WHERE p.XXDM = s.XXDM AND p.JGH = s.LSSJJGH)"
    )
    refuse_settled(con, catalog.entities["jg"], ring)
    while refuse_settled(con, catalog.entities["jg"], rootless):
        pass


def posts(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """GL04 for staff: the unit a person is assigned to does not exist in the school.

    The unit is the school's to say (ruling 5): a supplement that names one there is none of is put out by itself, and the
    platform's row stands without it, whichever of the two came first. A row that only the school has is put out whole, and
    so is one whose unit a person decided on.
    """
    entity = catalog.entities["jzg_gz"]
    at = entity.columns.index("JGH") + 1
    letter = f"substr(s.prov, {at}, 1)"
    absent = "s.JGH IS NOT NULL AND NOT EXISTS (SELECT 1 FROM alive_jg a WHERE a.XXDM = s.XXDM AND a.JGH = s.JGH)"
    spared = f"{letter} <> 'D' AND NOT ({not_of_platform('s.src_rid')}) AND {absent}"
    con.execute(
        f"INSERT INTO issue SELECT 'jzg_gz', m._ext, m._line, {natural_key(entity, 's.')}, s.XXDM, 'GL04', 'JGH', "
        "'所属机构不存在，该值未采用', '错误', coalesce((SELECT o.system FROM own_letter o "
        f"WHERE o.letter = {letter}), 'L'), '隔离' FROM s_jzg_gz s JOIN m_jzg_gz m ON m.XXDM = s.XXDM AND m.GH = s.GH "
        f"WHERE m.JGH = s.JGH AND {spared}"
    )
    con.execute(
        f"UPDATE s_jzg_gz AS s SET JGH = NULL, prov = substr(prov, 1, {at - 1}) || '-' || substr(prov, {at + 1}) "
        f"WHERE {spared}"
    )
    refuse_settled(
        con,
        entity,
        f"SELECT s.pk, 'GL04' AS rule, 'JGH' AS field, '所属机构不存在' AS reason FROM s_jzg_gz s WHERE {absent}",
    )


def students(con: duckdb.DuckDBPyConnection, catalog: Catalog, *, has_golden: bool, has_local: bool) -> None:
    """WZ08 (ruling 2), then WY05 and WY03 among those that are complete."""
    entity = catalog.entities["xs"]
    missing = []
    for part, field, reason in (("xs_sx", "HKSZDXZQHM", "缺学生基本属性"), ("xs_xj", "XSDQZTM", "缺学生学籍信息")):
        delivered = [f"SELECT 1 FROM k_{part} k WHERE k.GRBSM = s.GRBSM AND k._state <> '0'"]
        if has_golden:
            delivered.append(f"SELECT 1 FROM g_{part} g WHERE g.GRBSM = s.GRBSM")
        if has_local and part == "xs_sx":
            delivered.append(f"SELECT 1 FROM m_{part} m WHERE m.GRBSM = s.GRBSM")
        absent = " AND ".join(f"NOT EXISTS ({d})" for d in delivered)
        missing.append(
            f"SELECT s.pk, 'WZ08' AS rule, '{field}' AS field, '{reason}' AS reason FROM s_xs s WHERE {absent}"
        )
    refuse_settled(con, entity, " UNION ALL ".join(missing))
    at_school = (
        "EXISTS (SELECT 1 FROM k_xs_xj k WHERE k.GRBSM = s.GRBSM AND k._state <> '0' "
        "AND k._approval NOT IN ('1', '3') AND k.XSDQZTM = '01')"
    )
    clash(
        con, entity, "WY03", ("SFZJLXM", "SFZJH"), "同一证件有两个以上在读学籍", where=at_school, has_golden=has_golden
    )
    clash(con, entity, "WY05", ("XXDM", "XH"), "同校学号重复", has_golden=has_golden)


def enrolments(con: duckdb.DuckDBPyConnection, catalog: Catalog, *, has_golden: bool) -> None:
    """YZ05: under 12 or over 60 at entry (ruling 10). YZ10: the status does not follow the last change (ruling 11)."""
    entity, ages = catalog.entities["xs_xj"], catalog.rules["YZ05"]
    youngest, oldest = ages.number("youngest"), ages.number("oldest")
    born = "SELECT GRBSM, CSRQ FROM s_xs"
    if has_golden:
        born += " UNION ALL SELECT GRBSM, CSRQ FROM g_xs g WHERE NOT EXISTS (SELECT 1 FROM s_xs t WHERE t.pk = g.pk)"
    months = (
        "((substr(s.RXNY, 1, 4)::INTEGER - substr(b.CSRQ, 1, 4)::INTEGER) * 12 "
        "+ substr(s.RXNY, 5, 2)::INTEGER - substr(b.CSRQ, 5, 2)::INTEGER)"
    )
    refuse_settled(
        con,
        entity,
        f"SELECT s.pk, 'YZ05' AS rule, 'RXNY' AS field, '入学时不满 {youngest} 周岁或超过 {oldest} 周岁' AS reason FROM s_xs_xj s "
        f"JOIN ({born}) b ON b.GRBSM = s.GRBSM WHERE {months} < {round(12 * youngest)} OR {months} >= {round(12 * oldest) + 12}",
    )
    allowed = " OR ".join(
        f"(l.YDLBM = '{change}' AND s.XSDQZTM IN ({', '.join(repr(v) for v in status)}))"
        for change, status in STATUS_AFTER.items()
    )
    changes = (
        "SELECT k.GRBSM, k.YDLBM, k.YDRQ FROM k_xs_yd k WHERE k._state <> '0' AND k._approval NOT IN ('1', '3') "
        "AND k._bad IS NULL AND k.YDRQ IS NOT NULL"
    )
    if has_golden:
        changes += (
            " UNION SELECT g.GRBSM, g.YDLBM, g.YDRQ FROM g_xs_yd g WHERE EXISTS (SELECT 1 FROM k_xs_yd k "
            "WHERE k.GRBSM = g.GRBSM AND k.YDLBM = g.YDLBM AND k.YDRQ = g.YDRQ AND k._state <> '0') "
            "AND g.GRBSM IN (SELECT GRBSM FROM s_xs_xj)"
        )
    refuse_settled(
        con,
        entity,
        f"WITH last AS (SELECT * FROM ({changes}) QUALIFY rank() OVER (PARTITION BY GRBSM ORDER BY YDRQ DESC) = 1) "
        "SELECT s.pk, 'YZ10' AS rule, 'XSDQZTM' AS field, '学生状态与末次异动不一致' AS reason FROM s_xs_xj s "
        f"JOIN last l ON l.GRBSM = s.GRBSM GROUP BY s.pk HAVING bool_and(l.YDLBM IN ({', '.join(repr(c) for c in STATUS_AFTER)})) "
        f"AND NOT bool_or({allowed})",
    )


def graduates(con: duckdb.DuckDBPyConnection, catalog: Catalog, *, has_golden: bool) -> None:
    """WY09: one certificate number, two graduates."""
    clash(con, catalog.entities["xs_by"], "WY09", ("BYZSH",), "毕业证书号重复", has_golden=has_golden)
