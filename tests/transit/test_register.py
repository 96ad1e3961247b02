"""Every row that was in transit, rejected or held is followed until it came back or its source withdrew it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hub.catalog import load_catalog
from hub.store import open_store
from pipelines.lab.setup import Lab, init_lab
from province_node.cli import refused_in_transit
from province_node.publish import publish_pending
from province_node.rebuild import rebuild
from province_node.settle import Options, Round, run_round
from province_node.transit_cli import proof
from tests.round.labs import AT
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.world import FIRST_DAY, HELD, SECOND_DAY, Expect, World, quarantined, write

APPROVED, WITHDRAWN, CANCELLED, REFUSED, FAULTY, STAYS = (p.student(n, p.A) for n in range(700, 706))
ORPHAN = p.student(710, p.A)
TODAY = "2026-03-11 08:00:00"


def province() -> World:
    """Clean students with one leave each in transit, and one student whose main record falls to a rule."""
    w = base.clean()
    for n, who in enumerate((APPROVED, WITHDRAWN, CANCELLED, REFUSED, FAULTY, STAYS)):
        w.student(f"s{n}", who)
        w.put("xs_yd", base.event(who, "12", "20251010"), {"SPZTM": "1"}, HELD, f"yd{n}")
    w.student("orphan", ORPHAN, src={"xs": {"MZM": "77"}}, out={"xs": quarantined("YX05")})
    w.put("xs_yd", base.event(p.student(1, p.B), "12", "20251010"), {"SPZTM": "3"}, Expect("挂起"), "rejected")
    return w


def second_day(w: World) -> World:
    later = w.copy()
    kept = []
    for row in later.tables["S1", "XS_XJYD"]:
        number = row["GRBSM"]
        change: dict[str, Any] = {}
        if number == APPROVED.xs["GRBSM"]:
            change = {"SPZTM": "2"}
        elif number == CANCELLED.xs["GRBSM"]:
            change = {"SJZT": "0"}
        elif number == REFUSED.xs["GRBSM"]:
            change = {"SPZTM": "3"}
        elif number == FAULTY.xs["GRBSM"]:
            change = {"SPZTM": "2", "YDYYM": "??"}
        row.update(change | ({"GXSJ": TODAY} if change else {}))
        if number != WITHDRAWN.xs["GRBSM"]:
            kept.append(row)
    later.tables["S1", "XS_XJYD"] = kept
    for row in later.tables["S1", "XS_JBXX"]:
        if row["GRBSM"] == ORPHAN.xs["GRBSM"]:
            row.update(MZM="01", GXSJ=TODAY)
    return later


def settle(lab: Lab, day: str = FIRST_DAY, **options: Any) -> Round:
    done = run_round(lab.province, Options(today=day, judge=False, **options), nonce=lambda: os.urandom(32).hex())
    if not options.get("plan"):
        publish_pending(lab.province, at=AT, rng=os.urandom)
    return done


def prove(lab: Lab) -> dict[str, Any]:
    catalog = load_catalog()
    store = open_store(lab.province.database_url, catalog)
    with store.reading() as reader:
        found = proof(reader, catalog, "41")
    store.close()
    return found


def waiting(found: dict[str, Any]) -> dict[str, int]:
    return {f"{g['entity']}/{g['kind']}": g["rows"] for g in found["groups"]}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("transit")
    write(province(), folder / "src")
    lab = init_lab(folder / "lab", sources=folder / "src", province="41", at=AT, rng=os.urandom)
    plan = settle(lab, plan=True, full=True)
    # Asked of the plan alone: the first load would leave rows behind, and says how many and where.
    refusal = refused_in_transit(load_catalog(), plan)
    assert refusal is not None
    assert refusal.code == "E3730"
    assert "学籍异动 6 行" in refusal.sentence()
    assert refused_in_transit(load_catalog(), settle(lab)) is not None
    return lab


def test_after_the_first_load_everything_held_is_registered_and_open(first: Lab) -> None:
    found = prove(first)
    assert waiting(found) == {"xs_sx/主记录未入库": 1, "xs_xj/主记录未入库": 1, "xs_yd/在途": 6, "xs_yd/驳回": 1}
    assert not found["complete"]


@pytest.fixture(scope="module")
def second(first: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    write(second_day(province()), first.folder.parent / "src")
    settle(first, SECOND_DAY)
    return first


def test_each_row_ends_as_its_source_ended_it_and_a_faulty_one_stays_open(second: Lab) -> None:
    found = prove(second)
    assert found["ended"] == {"已入库": 3, "已撤回": 1, "已注销": 1}
    assert waiting(found) == {"xs_yd/在途": 1, "xs_yd/隔离": 1, "xs_yd/驳回": 2}
    assert found["stored_and_gone_later"] == 0


def test_a_round_without_news_moves_nothing(second: Lab) -> None:
    before = prove(second)
    assert settle(second, SECOND_DAY).transit.opened == 0
    assert settle(second, SECOND_DAY, full=True).transit.closed == {}
    assert prove(second) == before


def test_a_lost_state_goes_on_with_the_register_and_the_last_row_closes_it(second: Lab, tmp_path: Path) -> None:
    second.province.state.unlink()
    rebuild(second.province, today=SECOND_DAY, at=AT)
    last = second_day(province())
    rows = last.tables["S1", "XS_XJYD"]
    for row in rows:
        if row["GRBSM"] == STAYS.xs["GRBSM"]:
            row.update(SPZTM="2", GXSJ="2026-03-11 09:00:00")
    gone = {REFUSED.xs["GRBSM"], FAULTY.xs["GRBSM"], p.student(1, p.B).xs["GRBSM"]}
    last.tables["S1", "XS_XJYD"] = [r for r in rows if r["GRBSM"] not in gone]
    shutil.rmtree(second.folder.parent / "src")
    write(last, second.folder.parent / "src")
    settle(second, SECOND_DAY, full=True)
    found = prove(second)
    assert found["complete"]
    assert found["total"] == 9
    assert found["ended"] == {"已入库": 4, "已撤回": 4, "已注销": 1}
