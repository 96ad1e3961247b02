"""Rules over several rows or entities that do not block (severity 警告, 提示; MODEL §7), as SQL over what stands.

Decides, per rule, which standing records break it: each query yields (pk, field) and reads the records to look at from
`look_<entity>` (all of them, or those whose finding may have changed: `quality.soft_scope`) and everything else from
the golden image `g_<entity>`. `quality.standing` executes them.

Leaves WY03 and its like, which block, to `quality.gate` and `quality.cross`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub.catalog import Catalog
from quality.expressions import text, texts
from quality.own import own_holdings
from quality.soft import day, folded, months

# Students who are at school: 在读 and, after a return, 复学 (YZ10: 12→01/05).
AT_SCHOOL = "('01', '05')"
# Changes after which year of entry and grade differ rightly (YZ06): 留级, 复学, 转入.
REGRADED = "('02', '12', '22')"
Query = Callable[[Catalog], str]


def of_schools(_catalog: Catalog) -> str:
    """WZ09: a school with students or staff lacks majors, units or campuses."""
    people = (
        "(EXISTS (SELECT 1 FROM g_xs x WHERE x.XXDM = s.XXDM) OR EXISTS (SELECT 1 FROM g_jzg j WHERE j.XXDM = s.XXDM))"
    )
    lacks = " UNION ALL ".join(
        f"SELECT s.pk, '{name}' AS field FROM look_xx s WHERE NOT EXISTS (SELECT 1 FROM g_{name} p WHERE p.XXDM = s.XXDM)"
        f" AND {people}"
        for name in ("zy", "jg", "xq")
    )
    return lacks


def of_school_names(_catalog: Catalog) -> str:
    """WY10: two schools of one name in one province."""
    place = "coalesce(substr({0}.XZQHM, 1, 2), substr({0}.XXDM, 3, 2))"
    return (
        f"SELECT s.pk, 'XXMC' AS field FROM look_xx s WHERE EXISTS (SELECT 1 FROM g_xx o WHERE o.XXMC = s.XXMC "
        f"AND o.XXDM <> s.XXDM AND {place.format('o')} = {place.format('s')})"
    )


def of_majors(_catalog: Catalog) -> str:
    """YZ20: a school has a major of one name under a 2010 and a 2021 code, and grades that carry both."""
    twins = (
        f"SELECT a.pk, a.XXDM, a.ZYBH, b.ZYBH AS other FROM look_zy a JOIN g_zy b ON b.XXDM = a.XXDM "
        f"AND {folded('b.ZYMC')} = {folded('a.ZYMC')} AND b.ZYMLBB <> a.ZYMLBB "
        "WHERE a.ZYMLBB IN ('2010', '2021') AND b.ZYMLBB IN ('2010', '2021')"
    )
    grades = " UNION ".join(
        f"SELECT XXDM, ZYBH, NJDM FROM g_{t} SEMI JOIN (SELECT XXDM, ZYBH FROM twin) USING (XXDM, ZYBH)"
        for t in ("bj", "xs_xj")
    )
    return (
        f"WITH twin AS MATERIALIZED ({twins}), grade AS MATERIALIZED ({grades}) "
        "SELECT DISTINCT t.pk, 'ZYDM' AS field FROM twin t JOIN grade g ON g.XXDM = t.XXDM AND g.ZYBH = t.ZYBH "
        "JOIN grade o ON o.XXDM = t.XXDM AND o.ZYBH = t.other AND o.NJDM = g.NJDM"
    )


def of_head_teachers(_catalog: Catalog) -> str:
    """GL05: a class's head teacher is not on the staff of the school."""
    return (
        "SELECT s.pk, 'BZRGH' AS field FROM look_bj s WHERE s.BZRGH IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM g_jzg j WHERE j.XXDM = s.XXDM AND j.GH = s.BZRGH AND j.DQZTM = '11')"
    )


def of_class_sizes(catalog: Catalog) -> str:
    """YZ19: the number of a class's students is not the number of its enrolments in reading state.

    The number that stands is counted (authority D); what differs is what a school or an own system says it is.
    """
    said = ["SELECT XXDM, BH, ZRS FROM g_bj", "SELECT coalesce(XXDM, _school), BH, ZRS FROM l_bj WHERE _reviewed"]
    said += [f"SELECT XXDM, BH, ZRS FROM {table} WHERE _state <> '0'" for table in own_holdings(catalog, ["bj"])]
    return (
        f"SELECT DISTINCT s.pk, 'ZRS' AS field FROM look_bj s JOIN ({' UNION ALL '.join(said)}) t USING (XXDM, BH) "
        "LEFT JOIN (SELECT XXDM, BH, count(*) AS n FROM g_xs_xj WHERE XSDQZTM = '01' AND BH IS NOT NULL "
        "GROUP BY XXDM, BH) c USING (XXDM, BH) WHERE t.ZRS <> coalesce(c.n, 0)"
    )


def of_two_posts(_catalog: Catalog) -> str:
    """WY07: one person on the permanent staff of several schools (ruling 14: both rows stand)."""
    post = "DQZTM = '11' AND SFZB = '1' AND SFZJH IS NOT NULL"
    return (
        f"SELECT s.pk, 'SFZJH' AS field FROM look_jzg s WHERE {post} AND EXISTS (SELECT 1 FROM g_jzg o "
        f"WHERE o.SFZJLXM = s.SFZJLXM AND o.SFZJH = s.SFZJH AND o.XXDM <> s.XXDM AND o.DQZTM = '11' AND o.SFZB = '1')"
    )


def of_one_person(_catalog: Catalog) -> str:
    """WY04: name, birth date, sex and origin agree, the identity documents do not."""
    person = "XM, CSRQ, XBM"
    return (
        f"WITH same AS MATERIALIZED (SELECT g.pk, g.GRBSM, g.XM, g.CSRQ, g.XBM, coalesce(g.SFZJLXM || g.SFZJH, g.pk) AS card "
        f"FROM g_xs g SEMI JOIN look_xs USING ({person}) QUALIFY count(*) OVER (PARTITION BY {person}) > 1), "
        f"placed AS MATERIALIZED (SELECT s.*, a.SYDXZQHM AS origin FROM same s JOIN g_xs_sx a USING (GRBSM)) "
        f"SELECT p.pk, 'XM' AS field FROM placed p SEMI JOIN look_xs USING (pk) SEMI JOIN "
        f"(SELECT {person}, origin FROM placed GROUP BY ALL HAVING count(DISTINCT card) > 1) USING ({person}, origin)"
    )


def of_names(_catalog: Catalog, entity: str) -> str:
    """YZ18: one identity document, different names (without blanks, dots and variant characters) in S1, S2 and supplements.

    A source row that waits or is refused says nothing here; of a supplement, every reviewed row does.
    """
    wanted = f"SEMI JOIN (SELECT SFZJLXM, SFZJH FROM look_{entity} WHERE SFZJH IS NOT NULL) USING (SFZJLXM, SFZJH)"
    said = (
        "SELECT SFZJLXM, SFZJH, XM FROM g_xs UNION ALL SELECT SFZJLXM, SFZJH, XM FROM g_jzg UNION ALL "
        "SELECT _id_type, _id_no, XM FROM l_xs WHERE _reviewed UNION ALL SELECT _id_type, _id_no, XM FROM l_jzg WHERE _reviewed"
    )
    differing = (
        f"SELECT SFZJLXM, SFZJH FROM (SELECT * FROM ({said}) {wanted} WHERE XM IS NOT NULL) "
        f"GROUP BY ALL HAVING count(DISTINCT XM) > 1"
    )
    plain = "coalesce((SELECT v.plain FROM variant_character v WHERE v.variant = u.c), u.c)"
    letters = "replace(replace(XM, ' ', ''), '·', '')"
    return (
        f"WITH rough AS MATERIALIZED ({differing}), told AS MATERIALIZED (SELECT SFZJLXM, SFZJH, XM FROM ({said}) "
        f"SEMI JOIN rough USING (SFZJLXM, SFZJH) WHERE XM IS NOT NULL), spelt AS MATERIALIZED (SELECT XM, "
        f"string_agg({plain}, '' ORDER BY u.i) AS name FROM (SELECT XM, unnest(string_split({letters}, '')) AS c, "
        f"generate_subscripts(string_split({letters}, ''), 1) AS i FROM (SELECT DISTINCT XM FROM told)) u GROUP BY XM) "
        f"SELECT s.pk, 'XM' AS field FROM look_{entity} s SEMI JOIN (SELECT SFZJLXM, SFZJH FROM told JOIN spelt USING (XM) "
        f"GROUP BY ALL HAVING count(DISTINCT name) > 1) USING (SFZJLXM, SFZJH)"
    )


def of_entry_age(catalog: Catalog) -> str:
    """YZ05, the narrower range: full-time students straight from school (ruling 10; the wider one blocks)."""
    rule = catalog.rules["YZ05"]
    age = f"({months('s.RXNY')} - {months('substr(x.CSRQ, 1, 6)')})"
    low, high = (round(12 * rule.number(n)) for n in ("narrow_youngest", "narrow_oldest"))
    return (
        "SELECT s.pk, 'RXNY' AS field FROM look_xs_xj s JOIN g_xs x USING (GRBSM) JOIN g_xs_sx a USING (GRBSM) "
        f"WHERE s.XXXSM = '1' AND a.ZSDXM = '111' AND ({age} < {low} OR {age} >= {high + 12})"
    )


def of_grades(_catalog: Catalog) -> str:
    """YZ06: year of entry and grade differ, and no change of the student says why."""
    return (
        "SELECT s.pk, 'NJDM' AS field FROM look_xs_xj s WHERE substr(s.RXNY, 1, 4) <> s.NJDM AND s.RXFSM <> '09' "
        f"AND s.XSDQZTM <> '05' AND NOT EXISTS (SELECT 1 FROM g_xs_yd y WHERE y.GRBSM = s.GRBSM AND y.YDLBM IN {REGRADED})"
    )


def of_class_majors(_catalog: Catalog) -> str:
    """YZ07: major of the student and of the class; an old code and the new one that follows it are the same."""
    own, theirs = (
        f"coalesce((SELECT max(m.new) FROM major_map m WHERE m.old = d.{c}), d.{c})" for c in ("own", "of_class")
    )
    differing = (
        "SELECT s.pk, s.ZYDM AS own, b.ZYDM AS of_class FROM look_xs_xj s JOIN g_bj b ON b.XXDM = s.XXDM AND b.BH = s.BH "
        "WHERE b.ZYDM <> s.ZYDM"
    )
    return f"SELECT d.pk, 'ZYDM' AS field FROM ({differing}) d WHERE {own} <> {theirs}"


def of_class_states(catalog: Catalog) -> str:
    """YZ08: a student in reading state in a class that has left, or one who has left in a class that has not."""
    left = texts(str(v) for v in catalog.rules["YZ08"].several("left"))
    return (
        "SELECT s.pk, 'XSDQZTM' AS field FROM look_xs_xj s JOIN g_bj b ON b.XXDM = s.XXDM AND b.BH = s.BH "
        f"WHERE b.BJZTM <> '1' AND s.XSDQZTM = '01' OR b.BJZTM = '1' AND s.XSDQZTM IN {left}"
    )


def of_stopped_aid(_catalog: Catalog) -> str:
    """WZ07: the student is no longer at school and the aid has no month in which it stopped."""
    return (
        "SELECT s.pk, 'TFNY' AS field FROM look_xs_jz s JOIN g_xs_xj x USING (GRBSM) "
        f"WHERE s.TFNY IS NULL AND x.XSDQZTM NOT IN {AT_SCHOOL}"
    )


def of_stipends(catalog: Catalog) -> str:
    """YZ17: the national stipend is for formal full-time students at school in their first years."""
    grades = catalog.rules["YZ17"].number("grades")
    year = "try_cast(substr(s.XN, 1, 4) AS INTEGER) - try_cast(x.NJDM AS INTEGER)"
    return (
        "SELECT s.pk, 'JZLBM' AS field FROM look_xs_jz s JOIN g_xs_xj x USING (GRBSM) WHERE s.JZLBM = '1' AND "
        f"(x.XXXSM <> '1' OR substr(s.GRBSM, 1, 1) = 'L' OR {year} NOT BETWEEN 0 AND {grades - 1} "
        f"OR s.TFNY IS NULL AND x.XSDQZTM NOT IN {AT_SCHOOL})"
    )


def of_household(_catalog: Catalog) -> str:
    """YZ16: household register and ID card name different provinces; counted, never wrong."""
    return (
        "SELECT s.pk, 'HKSZDXZQHM' AS field FROM look_xs_sx s JOIN g_xs x USING (GRBSM) WHERE x.SFZJLXM = '1' "
        "AND substr(s.HKSZDXZQHM, 1, 2) <> substr(x.SFZJH, 1, 2)"
    )


def of_transfers(catalog: Catalog) -> str:
    """GL07: a transfer out without the transfer in within the days set, or the other way round."""
    days = catalog.rules["GL07"].number("days")
    return (
        "SELECT s.pk, 'YDLBM' AS field FROM look_xs_yd s WHERE s.YDLBM IN ('21', '22') AND NOT EXISTS "
        "(SELECT 1 FROM g_xs_yd o WHERE o.GRBSM = s.GRBSM AND o.YDLBM = CASE s.YDLBM WHEN '21' THEN '22' ELSE '21' END "
        f"AND abs({day('o.YDRQ')} - {day('s.YDRQ')}) <= {days})"
    )


# (rule, entity whose records break it) → its query.
QUERIES: Mapping[tuple[str, str], Query] = {
    ("WZ09", "xx"): of_schools,
    ("WY10", "xx"): of_school_names,
    ("YZ20", "zy"): of_majors,
    ("GL05", "bj"): of_head_teachers,
    ("YZ19", "bj"): of_class_sizes,
    ("WY07", "jzg"): of_two_posts,
    ("YZ18", "jzg"): lambda c: of_names(c, "jzg"),
    ("WY04", "xs"): of_one_person,
    ("YZ18", "xs"): lambda c: of_names(c, "xs"),
    ("YZ05", "xs_xj"): of_entry_age,
    ("YZ06", "xs_xj"): of_grades,
    ("YZ07", "xs_xj"): of_class_majors,
    ("YZ08", "xs_xj"): of_class_states,
    ("WZ07", "xs_jz"): of_stopped_aid,
    ("YZ17", "xs_jz"): of_stipends,
    ("YZ16", "xs_sx"): of_household,
    ("GL07", "xs_yd"): of_transfers,
}


def detail_sql(catalog: Catalog) -> str:
    """What a finding says beside its rule, over columns `rule`, `field`, `hint`: WZ09 names what is missing."""
    cases = " ".join(f"WHEN {text(r.id)} THEN {text(r.message)}" for r in catalog.rules.values())
    missing = " ".join(
        f"WHEN {text(n)} THEN {text(f'（缺{cn}）')}"
        for n, cn in (("zy", "专业设置"), ("jg", "校内机构"), ("xq", "校区"))
    )
    return f"CASE rule {cases} END || CASE WHEN rule = 'WZ09' THEN CASE field {missing} END ELSE coalesce(hint, '') END"
