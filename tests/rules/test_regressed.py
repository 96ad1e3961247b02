"""What outlives changed definitions: the mark of a row that went back in time (JS05), and an open issue of a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.settings import open_node
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import SECOND_DAY, Expect, write

ONE, TWO = p.student(5, p.A), p.student(10, p.A, woman=True)


@pytest.mark.long
def test_a_full_reading_under_changed_definitions_keeps_marks_and_open_issues(tmp_path: Path) -> None:
    world = base.clean()
    teacher = world.put("jzg", p.teacher(60), {"XM": "/"}, Expect("隔离", ("WZ01",)), "nameless")
    world.raw("S2", "JZG_JBXX", p.told("jzg", p.teacher(61)))
    world.raw("S2", "JZG_JBXX", p.told("jzg", p.teacher(61)) | {"XM": "某某某"})
    world.sheets[f"校内机构_{p.A}.xlsx"] = [
        ["机构号", "机构名称", "隶属上级机构号", "机构有效标识", "是否实体", "负责人号"],
        ["02", "无根处", "99", "是", "是", "T0001"],
    ]
    node = Settled(tmp_path, world)
    node.day()
    row, other = (next(r for r in world.tables["S1", "XS_JBXX"] if r["GRBSM"] == s.xs["GRBSM"]) for s in (ONE, TWO))
    row |= {"DZXX": "back@example.cn", "GXSJ": "2026-03-01 08:00:00"}

    def marked() -> int:
        return int(node.ask("SELECT count(*) FROM known_issue WHERE rule = 'JS05'")[0][0])

    def kept() -> int:
        return int(node.ask("SELECT count(*) FROM c_xs WHERE list_contains(_soft, 'JS05:GXSJ')")[0][0])

    def issues() -> list[tuple[object, ...]]:
        return node.ask(
            "SELECT natural_key, src_rid, rule, field, run_no FROM known_issue WHERE state = '隔离' ORDER BY ALL"
        )

    node.day(SECOND_DAY, world, full=True)
    assert kept() == 1
    assert (listed := marked()) == 1
    opened = issues()
    assert {f"{teacher['XXDM']}|{teacher['GH']}", f"{p.A}|02"} <= {i[0] for i in opened}
    away = tmp_path / "src" / "s2.db"
    away.rename(tmp_path / "away")
    other |= {"DZXX": "back@example.cn", "GXSJ": "2026-03-01 08:00:00"}
    write(world, tmp_path / "src")
    away.unlink()
    hub = tmp_path / "node" / "hub.toml"
    hub.write_text(hub.read_text(encoding="utf-8") + "\n[rules.YZ05]\noldest = 61\n", encoding="utf-8")
    node.node = open_node(tmp_path / "node")
    again = node.day(SECOND_DAY)
    assert again.whole, "another definition: everything is judged anew"
    assert (kept(), marked()) == (2, listed + 1), "one went back in that very round"
    assert issues() == opened, "the same row under the same rule stays the same open issue"
    node.day(SECOND_DAY)
    assert issues() == opened
    (tmp_path / "away").rename(away)
    back = node.day(SECOND_DAY)
    assert back.whole, "the staff were out of reach under the new definitions: they are judged anew when they answer"
    assert not node.day(SECOND_DAY).whole
    assert issues() == opened
    row |= {"GXSJ": "2026-03-10 20:00:00"}
    other |= {"GXSJ": "2026-03-10 20:00:00"}
    node.day(SECOND_DAY, world, full=True)
    assert kept() == 0
