"""What an incremental round finds over its scope is what judging everything anew finds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb

from quality.standing import JUDGED_BY
from tests.rules.province import plant
from tests.settling.handmade import people as p
from tests.settling.handmade.layout import TABLE
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import World

# (entity, column, values as the source writes them): what the rules over several rows look at.
EDITS: tuple[tuple[str, str, tuple[str | None, ...]], ...] = (
    ("bj", "BJZTM", ("1", "2")), ("bj", "ZYDM", ("090100", "710201")), ("bj", "NJDM", ("2024", "2025")),
    ("jzg", "DQZTM", ("在职", "退休")), ("jzg", "SFZB", ("是", "否")), ("jzg", "XM", ("王小峰", "李大海", "赵六")),
    ("xs", "XM", ("欧阳同名", "李小海", "王小峯")), ("xs", "ZZMMM", ("01", "13")), ("xs", "CSRQ", ("20080315",)),
    ("xs_sx", "SYDXZQHM", ("411002", "410102")), ("xs_sx", "ZSDXM", ("111", "211")), ("xs_sx", "XSJZDLXM", ("1", "4")),
    ("xs_xj", "NJDM", ("2024", "2025")), ("xs_xj", "BH", ("2401", "2402", "2101")), ("xs_xj", "ZCZKM", ("1", "3")),
    ("xs_xj", "XXXSM", ("1", "2")), ("xs_jz", "TFNY", (None, "202512")), ("xs_yd", "YDRQ", ("20250930", "20251231")),
    ("xx", "XXMC", ("同名学校", "甲校", "丙校")), ("xx", "XZQHM", ("411002", "410102")),
    ("zy", "ZYMC", ("会计", "计算机应用")),
)  # fmt: skip


def edit(world: World, dice: random.Random, day: int) -> None:
    """Changes some cells and takes away or brings back some rows, as a day's work at the sources would."""
    for entity, column, values in EDITS:
        rows = world.tables[TABLE[entity]]
        for row in dice.sample(rows, max(1, len(rows) // 12)):
            row[column] = dice.choice(values)
            row["GXSJ"] = f"2026-03-{day:02d} 09:00:00"
    for entity in ("xs_yd", "jzg", "zy"):
        row = dice.choice(world.tables[TABLE[entity]])
        row["SJZT"] = "0" if row["SJZT"] == "1" else "1"
        row["GXSJ"] = f"2026-03-{day:02d} 09:00:01"


def findings(node: Settled) -> list[tuple[Any, ...]]:
    return node.ask(
        "SELECT entity, pk, rule, field, natural_key, school, severity, detail FROM known_finding "
        "WHERE entity <> 'run' ORDER BY ALL"
    )


def test_incremental_findings_equal_those_of_everything_judged_anew(tmp_path: Path) -> None:
    dice, world = random.Random(1), plant().world
    node = Settled(tmp_path, world)
    node.day("2026-03-10")
    seen = findings(node)
    moved = 0
    for day in range(11, 13):
        edit(world, dice, day)
        done = node.day(f"2026-03-{day}", world, allow_deletes=True)
        assert not done.whole
        found = findings(node)
        moved += len(set(found) ^ set(seen))
        with duckdb.connect(str(node.node.state)) as con:
            con.execute("DELETE FROM meta WHERE name = ?", [JUDGED_BY])
        assert node.day(f"2026-03-{day}", world).settled.changes.counts.rows == 0
        seen = findings(node)
        assert found == seen, (set(found) - set(seen), set(seen) - set(found))
    assert moved > 20, "the edits open and close findings"


def test_a_finding_is_closed_when_its_record_is_corrected_or_gone(tmp_path: Path) -> None:
    cases = plant()
    node = Settled(tmp_path, cases.world)
    node.day("2026-03-10")
    key = cases.falls["YX15"][0][1][0]
    assert node.ask("SELECT rule FROM known_finding WHERE natural_key = ?", [key]) == [("YX15",)]
    row = next(r for r in cases.world.tables["S1", "XS_JBXX"] if r["GRBSM"] == key)
    row |= {"XM": "张三丰", "GXSJ": "2026-03-10 12:00:00"}
    gone = cases.falls["YX16"][0][1][0]
    for (_, table), rows in cases.world.tables.items():
        if table.startswith("XS_"):
            for one in (r for r in rows if r["GRBSM"] == gone):
                one |= {"SJZT": "0", "GXSJ": "2026-03-10 12:00:00"}
    done = node.day("2026-03-11", cases.world)
    assert node.ask("SELECT rule FROM known_finding WHERE natural_key IN (?, ?)", [key, gone]) == []
    closed = duckdb.execute(f"SELECT rule FROM '{done.folder}/_closed_finding.parquet' ORDER BY ALL").fetchall()
    assert {("YX15",), ("YX16",)} <= set(closed)


def test_a_supplement_that_names_a_person_otherwise_is_a_finding_of_the_next_increment(tmp_path: Path) -> None:
    world = plant().world
    node = Settled(tmp_path, world)
    node.day("2026-03-10")
    named = "SELECT count(*) FROM known_finding WHERE rule = 'YZ18' AND entity = 'jzg'"
    before = node.ask(named)
    who = next(r for r in world.tables["S2", "JZG_JBXX"] if r["GH"] == p.teacher(1)["GH"] or r["DQZTM"] == "在职")
    with duckdb.connect(str(node.node.state)) as con:  # as a reviewed template would have left it
        con.execute(
            "INSERT INTO l_jzg (XM, _school, _id_type, _id_no, _ext, _line, _reviewed) "
            "VALUES ('另名', ?, '1', ?, 999, 1, FALSE)",
            [who["XXDM"], who["SFZJH"]],
        )
    node.day("2026-03-11")
    assert node.ask(named) > before
