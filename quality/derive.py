"""Derived fields (authority D): computed from other fields, provenance letter F (MODEL §3, §5; ruling 7).

Decides the formulas. Those over one row run right after survivorship; totals over other entities (XXXQS, ZRS, SFBZR)
run when everything they count is settled.
"""

from __future__ import annotations

from functools import lru_cache

import duckdb

from hub.catalog import Entity

VERSION = (
    "CASE WHEN substr(ZYDM, 1, 2) BETWEEN '01' AND '19' THEN '2010' "
    "WHEN substr(ZYDM, 1, 2) BETWEEN '61' AND '79' OR substr(ZYDM, 1, 2) BETWEEN '41' AND '59' THEN '2021' END"
)
ROW_FORMULAS = {
    "xx": {
        "TBLXM": "CASE WHEN XXBXLXM = '368' THEN '3' WHEN XXBXLXM = '369' THEN '4' WHEN BXZTM = '2' THEN '2' ELSE '1' END",
    },
    "zy": {
        "ZYMLBB": VERSION,
        "ZYLDM": f"CASE WHEN {VERSION} = '2021' THEN substr(ZYDM, 1, 4) END",
        "ZYDLDM": "substr(ZYDM, 1, 2)",
        "DYXZYDM": "(SELECT max(m.new) FROM major_map m WHERE m.old = ZYDM)",
    },
    "xs_xj": {
        "ZYMLBB": VERSION,
        "YJBYNY": (
            "CASE WHEN RXNY IS NOT NULL AND XZ IS NOT NULL THEN "
            "strftime(try_strptime(RXNY || '01', '%Y%m%d') + to_months((XZ * 12)::INTEGER), '%Y%m') END"
        ),
    },
}
# Pinyin of surnames that the general dictionary reads wrongly (MODEL §4).
SURNAMES = {
    "单": "shan", "仇": "qiu", "查": "zha", "曾": "zeng", "解": "xie", "乐": "yue", "尉迟": "yuchi", "朴": "piao", "区": "ou",
    "任": "ren", "华": "hua", "盖": "ge", "召": "shao", "翟": "zhai", "缪": "miao", "员": "yun", "折": "she", "黑": "he",
    "秘": "bi", "冼": "xian", "覃": "qin", "种": "chong", "洗": "xian", "万俟": "moqi", "长孙": "zhangsun", "宁": "ning",
    "吕": "lyu",
}  # fmt: skip


def _mark(prov: str, index: int, letter: str) -> str:
    return f"substr({prov}, 1, {index - 1}) || {letter} || substr({prov}, {index + 1})"


def set_field(
    con: duckdb.DuckDBPyConnection, entity: Entity, field: str, value: str, source: str = "", *, letter: str = "F"
) -> None:
    """Sets one derived field of every settled row; `value` is SQL over `s_<entity>` (and `source`, a FROM clause)."""
    index = entity.columns.index(field) + 1
    mark = f"CASE WHEN ({value}) IS NULL THEN '-' ELSE '{letter}' END"
    con.execute(f"UPDATE s_{entity.name} SET {field} = {value}, prov = {_mark('prov', index, mark)} {source}")


def derive_rows(con: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """The formulas over one row, and the pinyin of names whose source sent none."""
    for field, value in ROW_FORMULAS.get(entity.name, {}).items():
        set_field(con, entity, field, value)
    if entity.name == "xx":
        _old_code(con, entity)
    if entity.name in ("xs", "jzg"):
        _pinyin(con, entity)


def _old_code(con: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """JXXDM from the confirmed crosswalk (authority S1); the newest old code where several schools were merged."""
    index = entity.columns.index("JXXDM") + 1
    con.execute(
        f"UPDATE s_xx SET JXXDM = w.old, prov = {_mark('prov', index, chr(39) + 'S' + chr(39))} "
        "FROM (SELECT new, max(old) AS old FROM crosswalk WHERE confirmed GROUP BY new) w WHERE w.new = s_xx.XXDM"
    )


def _pinyin(con: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """XMPY where the source left it empty (authority S1→D, S2→D); only those rows are visited."""
    names = [
        r[0]
        for r in con.execute(
            f"SELECT DISTINCT XM FROM s_{entity.name} WHERE XMPY IS NULL AND XM IS NOT NULL"
        ).fetchall()
    ]
    if not names:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE spelled (name VARCHAR, pinyin VARCHAR)")
    con.executemany("INSERT INTO spelled VALUES (?, ?)", [[n, spell(n)] for n in names])
    index = entity.columns.index("XMPY") + 1
    con.execute(
        f"UPDATE s_{entity.name} SET XMPY = p.pinyin, prov = {_mark('prov', index, chr(39) + 'F' + chr(39))} "
        f"FROM spelled p WHERE s_{entity.name}.XMPY IS NULL AND p.name = s_{entity.name}.XM AND p.pinyin <> ''"
    )


@lru_cache(maxsize=65536)
def spell(name: str) -> str:
    """Pinyin of a Chinese name, lower case without tones; surnames by the override table."""
    from pypinyin import lazy_pinyin

    first = next((s for s in (name[:2], name[:1]) if s in SURNAMES), "")
    rest = name[len(first) :]
    return (SURNAMES.get(first, "") + "".join(lazy_pinyin(rest))).replace("·", "").replace("ü", "v")[:60]


def derive_totals(con: duckdb.DuckDBPyConnection, entities: dict[str, Entity], *, has_golden: bool) -> None:
    """XXXQS (campuses of a school), ZRS (students at school in a class), SFBZR (is a class teacher).

    A golden record whose total may have moved, though nothing else of it did, is brought in to be settled again.
    """
    if has_golden:
        _bring_in(con, entities["xx"], _moved("xq", "XXDM", "XXDM"), ("XXDM",))
        _bring_in(con, entities["bj"], _moved("xs_xj", "XXDM, BH", "XXDM, BH, XSDQZTM"), ("XXDM", "BH"))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE total AS SELECT XXDM, count(*) AS n FROM "
        f"({_standing('xq', 'XXDM', has_golden)}) GROUP BY XXDM"
    )
    set_field(con, entities["xx"], "XXXQS", "coalesce((SELECT t.n FROM total t WHERE t.XXDM = s_xx.XXDM), 0)")
    students = _standing("xs_xj", "XXDM, BH, XSDQZTM", has_golden)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE total AS SELECT x.XXDM, x.BH, count(*) AS n FROM ({students}) x "
        "SEMI JOIN s_bj USING (XXDM, BH) WHERE XSDQZTM = '01' GROUP BY x.XXDM, x.BH"
    )
    set_field(
        con, entities["bj"], "ZRS", "coalesce((SELECT t.n FROM total t WHERE t.XXDM = s_bj.XXDM AND t.BH = s_bj.BH), 0)"
    )
    if has_golden:
        teachers = _moved("bj", "XXDM, BZRGH AS GH", "XXDM, BH, BZRGH")
        _bring_in(con, entities["jzg_gz"], teachers, ("XXDM", "GH"))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE total AS SELECT DISTINCT XXDM, BZRGH FROM "
        f"({_standing('bj', 'XXDM, BZRGH', has_golden)}) WHERE BZRGH IS NOT NULL"
    )
    head_teacher = "EXISTS (SELECT 1 FROM total t WHERE t.XXDM = s_jzg_gz.XXDM AND t.BZRGH = s_jzg_gz.GH)"
    set_field(con, entities["jzg_gz"], "SFBZR", f"CASE WHEN {head_teacher} THEN '1' ELSE '0' END")


def _standing(name: str, columns: str, has_golden: bool) -> str:
    """Rows of an entity as they stand after this round."""
    rows = f"SELECT {columns} FROM s_{name}"
    if has_golden:
        rows += (
            f" UNION ALL SELECT {columns} FROM g_{name} g WHERE NOT EXISTS (SELECT 1 FROM s_{name} t WHERE t.pk = g.pk) "
            f"AND NOT EXISTS (SELECT 1 FROM gone_{name} d WHERE d.pk = g.pk)"
        )
    return rows


def _moved(name: str, keys: str, watched: str) -> str:
    """Keys of rows that came, went, or changed in the watched columns (old and new side)."""
    new = f"SELECT pk, {keys}, hash({watched}) AS h FROM s_{name}"
    old = f"SELECT pk, {keys}, hash({watched}) AS h FROM g_{name} WHERE pk IN (SELECT pk FROM s_{name} UNION ALL SELECT pk FROM gone_{name})"
    return (
        f"SELECT * EXCLUDE (pk, h) FROM (SELECT n.* FROM ({new}) n ANTI JOIN ({old}) o ON o.pk = n.pk AND o.h = n.h "
        f"UNION ALL SELECT o.* FROM ({old}) o ANTI JOIN ({new}) n ON n.pk = o.pk AND n.h = o.h)"
    )


def _bring_in(con: duckdb.DuckDBPyConnection, entity: Entity, moved: str, keys: tuple[str, ...]) -> None:
    columns = ", ".join(f"g.{c}" for c in entity.columns)
    con.execute(
        f"INSERT INTO s_{entity.name} SELECT g.pk, g.src_rid, g.prov, '', 0, 0, {columns} FROM g_{entity.name} g "
        f"SEMI JOIN ({moved}) m USING ({', '.join(keys)}) WHERE NOT EXISTS (SELECT 1 FROM s_{entity.name} s WHERE s.pk = g.pk) "
        f"AND NOT EXISTS (SELECT 1 FROM gone_{entity.name} d WHERE d.pk = g.pk)"
    )
