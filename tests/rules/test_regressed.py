"""JS05: a row whose update time went back stays marked until the time moves on, however it is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.settings import open_node
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import SECOND_DAY

ONE = p.student(5, p.A)


@pytest.mark.long
def test_a_full_reading_under_changed_definitions_keeps_the_mark(tmp_path: Path) -> None:
    world = base.clean()
    node = Settled(tmp_path, world)
    node.day()
    row = next(r for r in world.tables["S1", "XS_JBXX"] if r["GRBSM"] == ONE.xs["GRBSM"])
    row |= {"DZXX": "back@example.cn", "GXSJ": "2026-03-01 08:00:00"}

    def marked() -> int:
        return int(node.ask("SELECT count(*) FROM known_finding WHERE rule = 'JS05'")[0][0])

    def kept() -> int:
        return int(node.ask("SELECT count(*) FROM c_xs WHERE list_contains(_soft, 'JS05:GXSJ')")[0][0])

    node.day(SECOND_DAY, world, full=True)
    assert kept() == 1
    listed = marked()
    hub = tmp_path / "node" / "hub.toml"
    hub.write_text(hub.read_text(encoding="utf-8") + "\n[rules.YZ05]\noldest = 61\n", encoding="utf-8")
    node.node = open_node(tmp_path / "node")
    again = node.day(SECOND_DAY)
    assert again.whole, "another definition: everything is judged anew"
    assert (kept(), marked()) == (1, listed)
    row |= {"GXSJ": "2026-03-10 20:00:00"}
    node.day(SECOND_DAY, world, full=True)
    assert kept() == 0
