"""The gate: every contribution of the round ends in exactly one outcome, each refused one with rule, field and reason.

Decides, per entity and in the order of ruling 20: what is cancelled, rejected, in transit or bad on its own; identical
copies and clashes (ruling 3); required fields of the settled row (rulings 4, 5); missing main records (ruling 1).
Rules between entities are in `quality.cross`.

Tables: `x_<entity>` (rid, outcome) holds every contribution that did not stand; `issue` every reason why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from hub.catalog import Catalog, Entity, SourceTable
from quality.expressions import ident, key_text, text
from quality.keys import NEVER_FOUNDED_BY_SCHOOLS, natural_key, school
from quality.matching import unknown_to_platform
from quality.spared import spare_values
from quality.survivorship import Round

NOT_IN_STORE = "主记录未入库"
OUTCOMES = ("cancelled", "rejected", "in_transit", "superseded", "duplicate", "quarantined", "held")
ISSUE = (
    "entity VARCHAR, _ext INTEGER, _line BIGINT, natural_key VARCHAR, school VARCHAR, rule VARCHAR, field VARCHAR, "
    "reason VARCHAR, severity VARCHAR, source VARCHAR, state VARCHAR"
)


def begin_issues(con: duckdb.DuckDBPyConnection) -> None:
    """Empties the tables of reasons, findings, clashes and gaps of this round."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE issue ({ISSUE})")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE clash (entity VARCHAR, rule VARCHAR, field VARCHAR, clash VARCHAR, natural_key VARCHAR, _ext INTEGER, _line BIGINT, source VARCHAR)"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE gap (entity VARCHAR, field VARCHAR, missing BIGINT)")
    con.execute("CREATE OR REPLACE TEMP TABLE excluded_local (entity VARCHAR, _ext INTEGER, _line BIGINT)")
    con.execute("CREATE OR REPLACE TEMP TABLE own_letter (letter VARCHAR, system VARCHAR)")


def open_entity(
    con: duckdb.DuckDBPyConnection,
    entity: Entity,
    table: SourceTable | None,
    *,
    has_golden: bool = False,
    retired: Mapping[str, frozenset[str]] | None = None,
) -> None:
    """Fills `x_<entity>` with what does not stand on its own and makes the view `open_<entity>` of what does.

    `retired`: codes that went, by table (`quality.recode`).
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE x_{entity.name} (rid BIGINT, outcome VARCHAR)")
    source = text(table.system if table else "L")
    spared = spare_values(con, entity, source, retired or {}) if table is not None and has_golden else []
    con.execute(
        f"INSERT INTO x_{entity.name} SELECT rid, CASE WHEN _state = '0' THEN 'cancelled' WHEN _superseded THEN 'superseded' "
        "WHEN _approval = '3' THEN 'rejected' WHEN _approval = '1' THEN 'in_transit' ELSE 'quarantined' END "
        f"FROM k_{entity.name} WHERE _state = '0' OR _superseded OR _approval IN ('1', '3') OR _bad IS NOT NULL"
        + (f" AND rid NOT IN (SELECT rid FROM spared_{entity.name})" if spared else "")
    )
    head = f"{text(entity.name)}, k._ext, k._line, {natural_key(entity, 'k.')}, {school(entity, 'k.')}"
    con.execute(
        f"INSERT INTO issue SELECT {head}, split_part(k.hit, ':', 1), split_part(k.hit, ':', 2), '', '错误', {source}, '隔离' "
        f"FROM (SELECT k.*, unnest(k._bad) AS hit FROM k_{entity.name} k JOIN x_{entity.name} x ON x.rid = k.rid "
        "AND x.outcome = 'quarantined') k"
    )
    con.execute(
        f"INSERT INTO issue SELECT {head}, CASE x.outcome WHEN 'in_transit' THEN '在途' ELSE '驳回' END, 'SPZTM', "
        f"CASE x.outcome WHEN 'in_transit' THEN '在途数据，审批通过后自动入库' ELSE '审批未通过，不入库' END, '提示', {source}, "
        f"'挂起' FROM k_{entity.name} k JOIN x_{entity.name} x ON x.rid = k.rid AND x.outcome IN ('in_transit', 'rejected')"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW open_{entity.name} AS {_standing(entity, spared)}")


def _standing(entity: Entity, spared: Sequence[str]) -> str:
    """SQL of the contributions that were not put out; a spared row stands without the values that felled it."""
    stands = f"NOT EXISTS (SELECT 1 FROM x_{entity.name} x WHERE x.rid = k.rid)"
    rows = f"SELECT * FROM k_{entity.name} k WHERE {stands}"
    if not spared:
        return rows
    emptied = ", ".join(
        f"CASE WHEN list_contains(s.fields, {text(f)}) THEN NULL ELSE k.{ident(f)} END AS {ident(f)}" for f in spared
    )
    return (
        f"{rows} AND _bad IS NULL UNION ALL SELECT k.* REPLACE ({emptied}) FROM k_{entity.name} k "
        f"JOIN spared_{entity.name} s ON s.rid = k.rid WHERE {stands}"
    )


def refuse_contributions(
    con: duckdb.DuckDBPyConnection, entity: Entity, hits: str, *, outcome: str, severity: str, state: str, source: str
) -> None:
    """Puts contributions out: `hits` is SQL of (rid, rule, field, reason), one row per reason."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE hit AS {hits}")
    con.execute(
        f"INSERT INTO issue SELECT {text(entity.name)}, k._ext, k._line, {natural_key(entity, 'k.')}, {school(entity, 'k.')}, "
        f"h.rule, h.field, h.reason, {text(severity)}, {text(source)}, {text(state)} FROM hit h JOIN k_{entity.name} k ON k.rid = h.rid"
    )
    con.execute(f"INSERT INTO x_{entity.name} SELECT DISTINCT rid, {text(outcome)} FROM hit")


def refuse_local(
    con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable | None, *, own: bool = False
) -> None:
    """Supplement rows that would found a record but are bad in themselves are quarantined (rulings 9, 15).

    Where the platform has the record, a bad supplement value is left out and noted; nobody's row falls for it. `own`:
    an own system supplies the entity too, and is named where the row is its.
    """
    source = _own_system("m._tag") if own else "'L'"
    head = f"{text(entity.name)}, m._ext, m._line, {natural_key(entity, 'm.')}, m._school"
    hits = f"SELECT m.*, unnest(m._bad) AS hit FROM m_{entity.name} m WHERE m._bad IS NOT NULL"
    founding = "FALSE"
    if entity.name not in NEVER_FOUNDED_BY_SCHOOLS:
        founding = "TRUE" if table is None else unknown_to_platform(entity)
    con.execute(
        f"INSERT INTO issue SELECT {head}, split_part(hit, ':', 1), split_part(hit, ':', 2), '', '错误', {source}, '隔离' "
        f"FROM ({hits}) m WHERE {founding}"
    )
    con.execute(
        f"INSERT INTO issue SELECT {head}, split_part(hit, ':', 1), split_part(hit, ':', 2), '补录值无效，未采用', '警告', {source}, "
        f"'提示' FROM ({hits}) m WHERE NOT ({founding}) AND NOT starts_with(hit, 'WZ01')"
    )
    con.execute(
        f"INSERT INTO excluded_local SELECT DISTINCT {text(entity.name)}, m._ext, m._line FROM m_{entity.name} m "
        f"WHERE m._bad IS NOT NULL AND {founding}"
    )


def _own_system(letter: str) -> str:
    """SQL of the own system with a letter, `L` where it is none's: the school."""
    return f"coalesce((SELECT o.system FROM own_letter o WHERE o.letter = {letter}), 'L')"


def refuse_settled(con: duckdb.DuckDBPyConnection, entity: Entity, hits: str, *, held: bool = False) -> int:
    """Takes settled rows out again: `hits` is SQL of (pk, rule, field, reason). Returns how many rows left.

    A supplement row that founded the record is put out with its source; a platform row by its contribution.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE hit AS {hits}")
    row = con.execute("SELECT count(DISTINCT pk) FROM hit").fetchone()
    count = int(row[0]) if row else 0
    if not count:
        return 0
    state, outcome = ("挂起", "held") if held else ("隔离", "quarantined")
    con.execute(
        f"INSERT INTO issue SELECT {text(entity.name)}, s._ext, s._line, {natural_key(entity, 's.')}, {school(entity, 's.')}, "
        f"h.rule, h.field, h.reason, '错误', CASE s._src WHEN 'S' THEN 'S1' WHEN 'T' THEN 'S2' WHEN 'O' THEN 'S3' ELSE {_own_system('left(s.src_rid, 1)')} END, "
        f"{text(state)} FROM hit h JOIN s_{entity.name} s ON s.pk = h.pk"
    )
    con.execute(
        f"INSERT INTO x_{entity.name} SELECT DISTINCT k.rid, {text(outcome)} FROM hit h JOIN s_{entity.name} s ON s.pk = h.pk "
        f"JOIN k_{entity.name} k ON k._ext = s._ext AND k._line = s._line WHERE s._src <> 'L'"
    )
    con.execute(
        f"INSERT INTO excluded_local SELECT DISTINCT {text(entity.name)}, s._ext, s._line FROM hit h "
        f"JOIN s_{entity.name} s ON s.pk = h.pk WHERE s._src = 'L'"
    )
    con.execute(f"DELETE FROM s_{entity.name} WHERE pk IN (SELECT pk FROM hit)")
    return count


def same_key(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable, *, has_golden: bool) -> None:
    """WY01 (and WY02, WY06, WY08 where the key is what they speak of): several rows of one key (ruling 3)."""
    key = ", ".join(ident(k) for k in entity.key)
    carried = [c.name for c in table.columns if c.name in entity.by_name]
    row = con.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM open_{entity.name} GROUP BY {key} HAVING count(*) > 1)"
    ).fetchone()
    if not row or not row[0]:
        return
    signature = "hash(" + ", ".join(ident(c) for c in carried) + ")"
    golden = "FALSE"
    if has_golden:
        same = " AND ".join(f"(k.{ident(c)} IS NULL OR k.{ident(c)} = g.{ident(c)})" for c in carried)
        golden = f"EXISTS (SELECT 1 FROM g_{entity.name} g WHERE {same})"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE twin AS SELECT k.rid, {key_text(entity.key, 'k.')} AS _key, {natural_key(entity, 'k.')} AS nk, "
        f"{signature} AS sig, {golden} AS golden, {school(entity, 'k.')} AS school, k._ext, k._line FROM open_{entity.name} k "
        f"SEMI JOIN (SELECT {key} FROM open_{entity.name} GROUP BY {key} HAVING count(*) > 1) d USING ({key})"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE verdict AS SELECT *, row_number() OVER (PARTITION BY _key, sig ORDER BY rid) AS nth, "
        "count(DISTINCT sig) OVER (PARTITION BY _key) AS kinds, "
        "count(DISTINCT school) OVER (PARTITION BY _key) AS schools FROM twin"
    )
    con.execute(
        f"INSERT INTO x_{entity.name} SELECT rid, 'duplicate' FROM verdict WHERE nth > 1 AND (kinds = 1 OR golden)"
    )
    _name_twins(con, entity, table)


def _name_twins(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable) -> None:
    """Names the differing copies of a key by every rule they break.

    The conflict that holds them together is one, under the rule that says most; it stays the same one when that changes.
    """
    field = text(entity.key[-1])
    rules = {"jzg": "WY06", "bj": "WY08"}
    named = [
        f"SELECT rid, 'WY01' AS rule, {field} AS field, '主键重复且内容不同' AS reason, * EXCLUDE rid FROM verdict"
    ]
    if entity.name in rules:
        named.append(f"SELECT rid, {text(rules[entity.name])}, {field}, '同校编号重复', * EXCLUDE rid FROM verdict")
    if entity.name == "xs":
        named.append(f"SELECT rid, 'WY02', {field}, '学籍号跨校重复', * EXCLUDE rid FROM verdict WHERE schools > 1")
    clashing = f"SELECT * FROM ({' UNION ALL '.join(named)}) WHERE kinds > 1 AND NOT golden"
    nearest = {"xs": "CASE WHEN schools > 1 THEN 'WY02' ELSE 'WY01' END"}.get(
        entity.name, text(rules.get(entity.name, "WY01"))
    )
    con.execute(
        f"INSERT INTO clash SELECT {text(entity.name)}, {nearest}, {field}, {text(entity.name)} || chr(31) || _key, nk, _ext, "
        f"_line, {text(table.system)} FROM verdict WHERE kinds > 1"
    )
    refuse_contributions(
        con, entity, f"SELECT rid, rule, field, reason FROM ({clashing})",
        outcome="quarantined", severity="错误", state="隔离", source=table.system,
    )  # fmt: skip


def clash(
    con: duckdb.DuckDBPyConnection, entity: Entity, rule: str, columns: Sequence[str], reason: str, *, where: str = "TRUE",
    has_golden: bool,
) -> int:  # fmt: skip
    """Rows of different keys that share `columns` (WY03, WY05, WY08, WY09; ruling 3); golden ones stay.

    One conflict names all the rows together, the golden one among them. Returns how many rows were put out.
    """
    group = ", ".join(f"s.{ident(c)}" for c in columns)
    filled = " AND ".join(f"s.{ident(c)} IS NOT NULL" for c in columns)
    golden = "FALSE"
    if has_golden:
        same = " AND ".join(f"g.{ident(c)} = s.{ident(c)}" for c in columns)
        golden = f"EXISTS (SELECT 1 FROM g_{entity.name} g WHERE g.pk = s.pk AND {same})"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE rival AS SELECT s.pk, {key_text(columns, 's.')} AS shared, {natural_key(entity, 's.')} AS nk, "
        f"s._ext, s._line, s._src, {golden} AS golden FROM s_{entity.name} s WHERE {filled} AND {where} "
        f"QUALIFY count(*) OVER (PARTITION BY {group}) > 1"
    )
    field = text(columns[-1])
    con.execute(
        f"INSERT INTO clash SELECT {text(entity.name)}, {text(rule)}, {field}, {text(rule)} || shared, nk, _ext, _line, "
        "CASE _src WHEN 'S' THEN 'S1' WHEN 'T' THEN 'S2' WHEN 'O' THEN 'S3' ELSE _src END FROM rival"
    )
    return refuse_settled(
        con,
        entity,
        f"SELECT pk, {text(rule)} AS rule, {field} AS field, {text(reason)} AS reason FROM rival WHERE NOT golden",
    )


CONDITIONAL = {
    "xs_sx": (
        ("WZ02", "ZKZH", "ZSFSM = '1' AND ZKZH IS NULL", "统一招生须填准考证号"),
        ("WZ02", "KSH", "ZSFSM = '1' AND KSH IS NULL", "统一招生须填考生号"),
        ("WZ02", "KSZF", "ZSFSM = '1' AND KSZF IS NULL", "统一招生须填考试总分"),
        ("WZ03", "LZHZBXXSM", "LZHZLXM <> '1' AND LZHZBXXSM IS NULL", "联合办学须填办学形式"),
        ("WZ03", "LZHZXXDM", "LZHZLXM <> '1' AND LZHZXXDM IS NULL", "联合办学须填合作学校"),
    ),
    "xs": (("WZ05", "SFZJH", "SFZJLXM <> 'Z' AND SFZJH IS NULL", "有证件类型而无证件号"),),
    "jzg": (("WZ05", "SFZJH", "SFZJLXM <> 'Z' AND SFZJH IS NULL", "有证件类型而无证件号"),),
    "xs_xj": (("WZ06", "BH", "XSDQZTM = '01' AND BH IS NULL", "在读学生无班级"),),
}


def complete(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity, table: SourceTable | None) -> None:
    """WZ01 on the settled row and the conditional WZ02, WZ03, WZ05, WZ06 (rulings 4, 5); counts gaps that do not block."""
    letter = text(round_.catalog.systems[table.system].letter) if table else "'L'"
    checks = [(r, f, c, why) for r, f, c, why in CONDITIONAL.get(entity.name, ())]
    gaps = []
    covered = {f for _, f, _, _ in checks}
    for field in entity.fields:
        if field.required != "M":
            continue
        order = round_.catalog.registry.owners[entity.name, field.name].order
        owner = order[0]
        empty = f"{ident(field.name)} IS NULL"
        carried = table is not None and field.name in table.column_names
        if owner == "D" or field.name in entity.key:
            continue
        if "L" in order:  # a school that founds a record owns these itself
            checks.append(("WZ01", field.name, f"_src = 'L' AND {empty}", f"{field.cn}为空"))
        if owner == "L" or not carried:
            gaps.append((field.name, empty))
        elif field.name not in covered:
            checks.append(("WZ01", field.name, f"_src = {letter} AND {empty}", f"{field.cn}为空"))
    if checks:
        _refuse_incomplete(con, entity, checks)
    if gaps:
        counts = ", ".join(f"count(*) FILTER (WHERE {c})" for _, c in gaps)
        row = con.execute(f"SELECT {counts} FROM s_{entity.name}").fetchone() or ()
        rows = [[entity.name, f, n] for (f, _), n in zip(gaps, row, strict=True) if n]
        if rows:
            con.executemany("INSERT INTO gap VALUES (?, ?, ?)", rows)


def _refuse_incomplete(
    con: duckdb.DuckDBPyConnection, entity: Entity, checks: Sequence[tuple[str, str, str, str]]
) -> None:
    """One pass finds the rows that miss anything; only those are looked at rule by rule."""
    anything = " OR ".join(f"({c})" for _, _, c, _ in checks)
    con.execute(f"CREATE OR REPLACE TEMP TABLE lacking AS SELECT * FROM s_{entity.name} WHERE {anything}")
    hits = " UNION ALL ".join(
        f"SELECT pk, {text(r)} AS rule, {text(f)} AS field, {text(why)} AS reason FROM lacking WHERE {c}"
        for r, f, c, why in checks
    )
    refuse_settled(con, entity, hits)


def hold_orphans(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity) -> None:
    """Holds rows whose main record is not in the store (ruling 1)."""
    hits = []
    for parent in entity.parents:
        main = catalog.entities[parent.entity]
        match = " AND ".join(f"a.{ident(theirs)} = s.{ident(own)}" for own, theirs in parent.by)
        filled = " AND ".join(f"s.{ident(own)} IS NOT NULL" for own, _ in parent.by)
        reason = f"{NOT_IN_STORE}：{main.cn}（{parent.entity}）"
        hits.append(
            f"SELECT s.pk, {text(parent.rule or NOT_IN_STORE)} AS rule, {text(parent.by[-1][0])} AS field, "
            f"{text(reason)} AS reason FROM s_{entity.name} s "
            f"WHERE {filled} AND NOT EXISTS (SELECT 1 FROM alive_{parent.entity} a WHERE {match})"
        )
    if hits:
        refuse_settled(con, entity, " UNION ALL ".join(hits), held=True)
