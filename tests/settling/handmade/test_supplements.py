"""Supplements: what a school fills, what it loses to the authority, what waits for review."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settling.handmade import people as p
from tests.settling.handmade.layout import FIELDS
from tests.settling.handmade.node import Settled
from tests.settling.handmade.second_day import TODAY
from tests.settling.handmade.supplements import province
from tests.settling.handmade.world import SECOND_DAY, World

GAP, LOST, FRESH, REFUSED = ((p.student(n, p.A).xs["GRBSM"],) for n in (901, 902, 900, 903))
RECORDED, OPEN = "已由权威源定值", "待处理"


@pytest.fixture(scope="module")
def world() -> World:
    return province().finish()


@pytest.fixture(scope="module")
def settled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    node = Settled(tmp_path_factory.mktemp("supplements"), world)
    done = node.day()
    assert done.alarms == ()
    return node


@pytest.mark.parametrize("entity", sorted(FIELDS))
def test_the_golden_table_holds_the_fills(world: World, settled: Settled, entity: str) -> None:
    assert settled.differences(world, entity) == []


def test_every_wrong_row_lies_where_it_belongs(world: World, settled: Settled) -> None:
    assert {c: x for c in world.cases if (x := settled.problem(world, c))} == {}


def test_a_losing_value_is_kept_and_nobody_is_asked(settled: Settled) -> None:
    assert ("JG", RECORDED, "河南郑州", "河南许昌") in settled.conflicts("jzg", (p.A, "T0005"))
    assert settled.conflicts("jzg", (p.A, "T0010")) == []
    assert {(f, s) for f, s, _, _ in settled.conflicts("xs", LOST)} == {("XM", RECORDED), ("MZM", RECORDED)}


def test_an_invalid_authority_value_against_a_valid_fill_is_for_a_person(settled: Settled) -> None:
    assert ("MZM", OPEN) in {(f, s) for f, s, _, _ in settled.conflicts("xs", REFUSED)}
    assert ("ZZMMM", OPEN) in {(f, s) for f, s, _, _ in settled.conflicts("jzg", (p.A, "T0801"))}


def test_a_student_without_a_number_waits_for_review(settled: Settled) -> None:
    assert settled.ask("SELECT count(*) FROM known_issue WHERE rule = '待复核' AND entity = 'xs'") == [(1,)]
    assert FRESH not in settled.golden("xs")


def test_the_next_day_the_platforms_deliver_and_the_school_yields(world: World, tmp_path: Path) -> None:
    node = Settled(tmp_path, world)
    node.day()
    later = world.copy()
    for row in later.tables["S1", "XS_JBXX"]:
        if (row["GRBSM"],) == GAP:
            row.update(JKZKM="2", GXSJ=TODAY)
        if (row["GRBSM"],) == LOST:
            row.update(MZM="77", GXSJ=TODAY)
    later.student("fresh", p.student(900, p.A))
    for table in ("XS_JBXX", "XS_JBSX", "XS_XJXX"):
        later.tables["S1", table][-1]["GXSJ"] = TODAY
    later.put("jzg", p.teacher(800, JG="河南洛阳"), {"GXSJ": TODAY})
    node.day(SECOND_DAY, later)
    students = node.golden("xs")
    assert students[GAP]["JKZKM"] == "2"
    assert ("JKZKM", RECORDED, "1", "2") in node.conflicts("xs", GAP)
    assert students[LOST]["MZM"] == "01"
    assert ("MZM", OPEN) in {(f, s) for f, s, _, _ in node.conflicts("xs", LOST)}
    assert FRESH in students
    assert node.ask("SELECT count(*) FROM known_issue WHERE rule = '待复核'") == [(0,)]
    assert node.golden("jzg")[p.A, "T0800"]["JG"] == "河南洛阳"


def test_without_review_nothing_of_a_supplement_takes_effect(world: World, tmp_path: Path) -> None:
    node = Settled(tmp_path, world)
    node.day(review=False)
    assert node.golden("jg") == {}
    assert node.golden("xq") == {}
    assert GAP not in node.golden("xs")
    assert node.golden("bj")[p.A, "2401"]["BZRGH"] is None
    node.day(SECOND_DAY)
    assert node.golden("bj")[p.A, "2401"]["BZRGH"] == "T0005"
    assert GAP in node.golden("xs")
