"""What comes before the thing it names waits for it and is taken up, whichever of the two came first."""

from __future__ import annotations

from pathlib import Path

from tests.settling.handmade import people as p
from tests.settling.handmade.base import OLD
from tests.settling.handmade.fresh import new, restart
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import SECOND_DAY, World


def test_students_under_an_old_school_code_enter_when_the_codes_and_schools_come_after_them(tmp_path: Path) -> None:
    restart()
    world = World()
    one = new()
    for entity, row in (("xs", one.xs), ("xs_sx", one.sx), ("xs_xj", one.xj)):
        assert row is not None
        world.put(entity, row, {"XXDM": OLD} if "XXDM" in row else None)
    node = Settled(tmp_path, world)
    node.day()
    assert node.golden("xs") == {}, "no school, no code: the student waits"
    world.put("xx", p.school(p.A, "甲校"))
    world.put("zy", p.major(p.A, "01", "090100", "计算机应用"))
    world.put("bj", p.klass(p.A, "2401", "1班"))
    world.raw("S1", "XX_DZ", {"JXXDM": OLD, "XXDM": p.A, "QRZTM": "1"})
    node.day(SECOND_DAY, world)
    for entity in ("xs", "xs_sx", "xs_xj"):
        assert (one.xs["GRBSM"],) in node.golden(entity)
    assert node.golden("xs")[one.xs["GRBSM"],]["XXDM"] == p.A
