"""The suites and the SQL gate say the same of every row: on a sample's dirt, hostile text, missing fields."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from hub.catalog import Catalog, Entity
from quality import gate
from quality.contributions import load_lookups, payload_ddl
from quality.expressions import text, valid_date
from quality.judge import judge_block
from quality.rules import RowRule, hard_rules
from quality.soft import row_rules
from quality.suites import Check, checks
from quality.survivorship import Round
from tests.quality_suites.conftest import TODAY, Settled

Hits = dict[tuple[str, str], set[str]]
# Judged on settled rows or on several rows; compared by the other tests of this folder.
NOT_OF_ONE_CONTRIBUTION = ("WZ01", "WZ02", "WZ03", "WZ05", "WZ06", "WY01")
SETTLED_RULES = ("WZ01", "WZ02", "WZ03", "WZ05", "WZ06")


def _by_suite(entity: Entity, found: list[Check], frame: Any) -> Hits:
    opinions = judge_block(entity.name, found, frame)
    assert all(len(o.records) == o.failed for o in opinions)
    return {(o.rule, o.field): set(o.records) for o in opinions if o.failed}


def _row_checks(catalog: Catalog, entity: Entity) -> list[Check]:
    return [c for c in checks(catalog, entity, today=TODAY) if c.rule not in NOT_OF_ONE_CONTRIBUTION]


def _shown_by_a_typed_column(catalog: Catalog, entity: Entity, rule: str, field: str) -> bool:
    """False for what normalising already emptied (unknown labels, numbers that are none) and for notes no suite has."""
    table = catalog.platform_table(entity.name)
    assert table is not None
    form = {c.name: c.form for c in table.columns}.get(field)
    if rule == "YX05" and form == "label" and entity[field].code:
        return False
    noted_only = not catalog.rules[rule].blocks and rule not in {c.rule for c in _row_checks(catalog, entity)}
    return not (rule in SETTLED_RULES or noted_only or (rule == "YX14" and entity[field].type == "N"))


@pytest.fixture(scope="module")
def state(settled: Settled) -> Any:
    con = duckdb.connect(str(settled.node.state), read_only=True)
    load_lookups(con, settled.catalog)
    con.execute(f"SET VARIABLE today = '{TODAY}'")
    yield con
    con.close()


def _by_gate(con: Any, catalog: Catalog, entity: Entity) -> Hits:
    """What the contributions carry, and the rules that do not block asked of the same rows."""
    hits: Hits = defaultdict(set)
    for soft in row_rules(catalog, entity):
        rows = con.execute(f"SELECT _ext || ':' || _line FROM c_{entity.name} WHERE {soft.condition}").fetchall()
        if rows:
            hits[soft.rule, soft.field] |= {r[0] for r in rows}
    for column in ("_bad", "_soft"):
        rows = con.execute(
            f"SELECT unnest({column}), _ext || ':' || _line FROM c_{entity.name} WHERE {column} IS NOT NULL"
        ).fetchall()
        for hit, record in rows:
            rule, field = hit.split(":")
            hits[rule, field].add(record)
    return hits


PLATFORM = ("xx", "zy", "bj", "jzg", "jzg_gz", "xs", "xs_sx", "xs_xj", "xs_yd", "xs_jz", "xs_jtcy", "xs_by")


def _compare(settled: Settled, state: Any, entity: Entity) -> Hits:
    frame = (
        state.sql(f"SELECT *, _ext || ':' || _line AS pk, _ext || ':' || _line AS src_rid FROM c_{entity.name}")
        .to_arrow_table()
        .drop_columns(["_bad", "_soft"])
    )
    said = _by_suite(entity, _row_checks(settled.catalog, entity), _plain(frame))
    known = {
        k: v
        for k, v in _by_gate(state, settled.catalog, entity).items()
        if _shown_by_a_typed_column(settled.catalog, entity, *k)
    }
    assert said == known
    return said


def _plain(table: pa.Table) -> Any:
    for at, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(at, column.name, table.column(at).cast(pa.float64()))
    return table.to_pandas()


def test_every_dirty_contribution_is_refused_by_both_judges_or_by_none(settled: Settled, state: Any) -> None:
    rules = set()
    for name in PLATFORM:
        rules |= {rule for rule, _ in _compare(settled, state, settled.catalog.entities[name])}
    planted = {"YX01", "YX02", "YX04", "YX05", "YX07", "YX08", "YX12", "YX13", "YX14", "YX18", "YZ01", "YZ02"}
    assert planted <= rules, "the sample plants each of these, so agreement on nothing would not be noticed"


CARDS = (
    "110105194912310021", "11010519491231002X", "130102200902300013", "130102200913010013", "999999200901010013",
    "13010220090101001x", "13010220090101001", "1301022009010100155", "１３０１０２２００９０１０１００１３",
    "13010220990101001X", "130102000001010010", "", None,
)  # fmt: skip
TEXTS: dict[str, tuple[str | None, ...]] = {
    "SFZJLXM": ("1", "Z", "2", None),
    "SFZJH": CARDS,
    "CSRQ": ("19491231", "20240229", "20230229", "19000229", "20000229", "2024-1-1", "20240101\n",
             "00000101", "00010101", "99991231", "20241301", "20240100", "２０２４０１０１", None),
    "XBM": ("1", "2", "0", "9", "3", "", None),
    "GRBSM": ("G110105194912310021", "G11010519491231002X", "J130102200901010013", "L130102200901010013",
              "G1301022009010100", "g11010519491231002X", "G11010519491231002X\n", None),
    "XM": ("张三", "张 三", "张3", "买买提·艾力", "A", "张三!", "张" * 37, "O'Neil", "张三\t", None),
    "LXDH": ("13800138000", "0311-88888888", "88888888-123", "12345", "1380013800０", "03118888888", None),
    "XXDM": ("3613000001", "3666000001", "3699000001", "4113000001", "361300000", "3613000001\n", "A613000001", None),
    "XXBXLXM": ("368", "369", "361", "", None),
    "JXNY": ("202413", "202412", "189912", "2024-1", "20241", "20２412", None),
    "XXJBZM": ("811", "360", "899", "8110", None),
    "XZQHM": ("130102", "130182", "990101", "66", None),
    "TYSHXYDM": ("91110000600037341L", "91110000600037341A", "91110000600037341", "9111000060003734IL", "１", "", None),
    "ZZMMM": ("01", "02", "03", "13", None),
    "HYZKM": ("10", "20", "", None),
    "DQZTM": ("11", "01", None),
    "XSDQZTM": ("01", "07", None),
    "ZCZKM": ("1", "3", "", None),
    "RXNY": ("202609", "202602", "201909", "202111", "2021", "20210x", "202309\n", "", None),
    "CJGZNY": ("199807", "200709", "20070", "", None),
    "LXNY": ("199906", "200709", "200708", "x", None),
    "HKXZM": ("1", "2", "4", None),
    "XSJZDLXM": ("1", "4", "", None),
    "YDRQ": ("20260101", "20260230", "20260301", "2026", "", None),
    "SPRQ": ("20260131", "20260201", "20260331", "x", "", None),
    "ZYMLBB": ("2010", "2021", "", None),
    "ZYDM": ("090100", "710201", "999999", "710299", "", None),
    "ZYMC": ("计算机应用", "计算机 应用", "计算机应用（网络）", "会计事务", "", None),
}  # fmt: skip


def _hostile(entity: Entity, rows: int) -> pa.Table:
    """Rows that run through all values of each column at different speeds, so that many combinations occur."""
    columns: dict[str, Any] = {"pk": [str(i) for i in range(rows)], "src_rid": ["1:1"] * rows}
    for at, field in enumerate(entity.fields):
        if field.type == "N":
            columns[field.name] = pa.array([float(i % 9) / 2 for i in range(rows)], pa.float64())
            continue
        values = TEXTS.get(field.name) or (
            "",
            "0",
            "1",
            "01",
            "x" * (field.length or 9),
            "学" * ((field.length or 9) + 1),
            None,
        )
        cycle = itertools.cycle(itertools.chain.from_iterable(itertools.repeat(v, 1 + at % 5) for v in values))
        columns[field.name] = pa.array([next(cycle) for _ in range(rows)], pa.string())
    return pa.table(columns)


def _by_sql(con: Any, rules: list[RowRule], shared: set[str]) -> Hits:
    hits: Hits = defaultdict(set)
    for rule in rules:
        if "list_contains(" in rule.condition or rule.rule not in shared:
            continue  # notes of normalising, which hostile rows have not been through; notes no suite has
        found = con.execute(f"SELECT pk FROM hostile WHERE {rule.condition}").fetchall()
        if found:
            hits[rule.rule, rule.field] |= {r[0] for r in found}
    return dict(hits)


@pytest.mark.parametrize("name", ["xx", "zy", "jzg", "xs", "xs_sx", "xs_xj", "xs_yd", "bj", "xs_jtcy"])
def test_hostile_text_is_read_alike_by_sql_and_pandas(settled: Settled, name: str) -> None:
    catalog = settled.catalog
    entity = catalog.entities[name]
    table = _hostile(entity, 4000)
    con = duckdb.connect()
    codes = ", ".join(text(c) for c in sorted(catalog.codes.divisions))
    con.execute(f"CREATE TYPE division AS ENUM ({codes})")
    con.execute(f"SET VARIABLE today = '{TODAY}'")
    load_lookups(con, catalog)
    con.register("hostile", table)
    fields = list(entity.fields)
    hard, soft = hard_rules(catalog, entity, fields, set()), row_rules(catalog, entity)
    shared = {r.rule for r in hard} | {c.rule for c in _row_checks(catalog, entity)}
    by_sql = _by_sql(con, hard + soft, shared - set(SETTLED_RULES))
    by_suite = _by_suite(entity, _row_checks(catalog, entity), table.to_pandas())
    for key in by_sql.keys() | by_suite.keys():
        only = by_suite.get(key, set()) ^ by_sql.get(key, set())
        assert not only, (key, table.take([int(i) for i in sorted(only)[:3]]).to_pylist())
    assert len(by_sql) > 5
    assert {r.rule for r in soft} <= {rule for rule, _ in by_sql}, "each of the rules is broken by some row"


def test_a_blank_inside_a_date_is_seen_by_both_judges() -> None:
    found = duckdb.execute(f"SELECT {valid_date('day')} FROM (SELECT chr(9) || '2024011' AS day)").fetchone()
    assert found == (False,)


def _settled_table(con: Any, entity: Entity, rows: int) -> None:
    """`s_<entity>` and what `gate.complete` reads beside it; cells are empty here and there."""
    marks = "pk VARCHAR, src_rid VARCHAR, _src VARCHAR, _ext INTEGER, _line BIGINT"
    con.execute(f"CREATE TABLE s_{entity.name} ({marks}, {payload_ddl(entity)})")
    con.execute(f"CREATE TABLE k_{entity.name} (rid BIGINT, _ext INTEGER, _line BIGINT)")
    con.execute(f"CREATE TABLE x_{entity.name} (rid BIGINT, outcome VARCHAR)")
    filled = {"ZSFSM": ("1", "2"), "LZHZLXM": ("1", "2"), "SFZJLXM": ("1", "Z"), "XSDQZTM": ("01", "02")}
    for i in range(rows):
        origin = "L" if i % 11 == 0 else "T" if entity.name.startswith("jzg") else "O" if entity.name == "xx" else "S"
        values: list[Any] = []
        for at, field in enumerate(entity.fields):
            given = filled.get(field.name, ("1", "1"))[(i // 7) % 2]
            values.append(None if (i * 31 + at * 17) % 13 == 0 and field.name not in entity.key else given)
        rid = ("L" if origin == "L" else "") + f"1:{i}"
        row = [str(i), rid, origin, 1, i, *values]
        con.execute(f"INSERT INTO s_{entity.name} VALUES ({', '.join('?' * len(row))})", row)


@pytest.mark.parametrize("name", ["xs_sx", "xs", "jzg", "xs_xj", "xx", "bj", "xq", "jg"])
def test_missing_fields_are_missed_by_both_judges(settled: Settled, name: str) -> None:
    catalog = settled.catalog
    entity = catalog.entities[name]
    con = duckdb.connect()
    gate.begin_issues(con)
    _settled_table(con, entity, 260)
    table = _plain(con.sql(f"SELECT * FROM s_{entity.name}").to_arrow_table())
    found = [c for c in checks(catalog, entity, today=TODAY) if c.rule in SETTLED_RULES]
    said = _by_suite(entity, found, table)
    gate.complete(con, Round(catalog, b"", True, False, frozenset()), entity, catalog.platform_table(name))
    known: Hits = defaultdict(set)
    for rule, field, line in con.execute("SELECT rule, field, _line FROM issue").fetchall():
        known[rule, field].add(str(line))
    assert said == known
    assert len(said) > 1
