"""A record that comes up again for any reason comes up with its rivals: none of a clash slips in alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.planted import graduate
from tests.settling.handmade.world import SECOND_DAY, World

ONE, TWO, THREE = (p.student(n, p.A) for n in (8101, 8102, 8103))
LATER = "2026-03-10 08:00:00"


def province() -> World:
    w = base.clean()
    for name, student in (("one", ONE), ("two", TWO.over(xs={"XH": ONE.xs["XH"]})), ("three", THREE)):
        w.student(name, student)
        w.put("xs_by", graduate(student, "TWICE" if name != "two" else "ONCE"))
    return w


@pytest.mark.parametrize("touched", ["XS_JBSX", "XS_XJXX"])
def test_a_touched_student_does_not_slip_in_beside_a_rival_that_was_not_touched(tmp_path: Path, touched: str) -> None:
    world = province()
    node = Settled(tmp_path, world)
    node.day()
    numbers = [s.xs["GRBSM"] for s in (ONE, TWO, THREE)]
    for row in world.tables["S1", touched]:
        if row["GRBSM"] in numbers[1:]:
            row["GXSJ"] = LATER
            row["HKSZDXXDZ" if touched == "XS_JBSX" else "XWJXD"] = "改"
    done = node.day(SECOND_DAY, world)
    assert not done.whole
    found = {k: node.golden(k) for k in ("xs", "xs_by")}
    assert [(n,) in found["xs"] for n in numbers] == [False, False, True], "one and two share a school number (WY05)"
    assert [(n,) in found["xs_by"] for n in numbers] == [False, False, False], "one and three: WY09"
    assert done.settled.balance["xs"].considered == 3
