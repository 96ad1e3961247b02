"""Decisions over the rounds of a small province: confirmed, reverted, in effect, laid aside, rebuilt."""

from __future__ import annotations

import sqlalchemy as sa

from hub.catalog import Catalog
from province_node.rebuild import rebuild
from quality.decisions import Action, Kind, Move, Proposal
from tests.decisions.labs import Province
from tests.decisions.people import CLERK, REVIEWER, SUPERVISOR
from tests.decisions.rows import decision, move, proposed, table
from tests.round.labs import AT

NOW = "GXSJ = '2026-11-24 08:00:00'"


def test_a_source_confirms_a_correction_and_takes_it_back(province: Province, catalog: Catalog) -> None:
    conflict = province.conflicts("xs", "MZM")[0]
    number, pk = int(conflict["decision_no"]), conflict["pk"]
    assert (conflict["state"], conflict["cause"]) == ("已生效", "已由权威源定值")
    before = province.golden("xs", pk)
    assert before is not None
    move(province.store, number, Move(Action.REOPEN, "R31"), SUPERVISOR)
    local = next(c for c in table(province.store, "conflict") if c["decision_no"] == number)
    proposed(province.store, number, Proposal(Kind.ADOPT, "L", local["value"]), CLERK)
    move(province.store, number, Move(Action.APPROVE), REVIEWER)
    province.pull()
    assert decision(province.store, number)["state"] == "退回源头平台"
    assert province.golden("xs", pk) == before, "published before the source confirmed"

    change = f"UPDATE XS_JBXX SET MZM = ?, {NOW} WHERE GRBSM = ?"
    province.source("s1", change, local["value"], conflict["natural_key"])
    province.pull(full=False)
    row = decision(province.store, number)
    assert (row["state"], row["cause"]) == ("已生效", "源头已更新")
    assert row["evidence"].startswith("13-up-main-")
    (asked,) = table(province.store, "correction")
    assert (asked["state"], asked["evidence"]) == ("已确认", row["evidence"])
    after = province.golden("xs", pk)
    assert after is not None
    assert after["mzm"] == local["value"]
    assert province.letter("xs", pk, "MZM", catalog.entities["xs"].columns) == "S"

    province.source("s1", change.replace("24 08", "25 08"), before["mzm"], conflict["natural_key"])
    province.pull(full=False)
    row = decision(province.store, number)
    assert (row["state"], row["cause"], row["kind"]) == ("待处理", "源头回退", None)
    assert [c["state"] for c in table(province.store, "correction")] == ["已回退"]
    told = [e["cause"] for e in table(province.store, "decision_event", "event_no") if e["action"] == "同步"]
    assert told == ["源头已更新", "源头回退"]


def test_a_decision_in_effect_stands_as_d_survives_a_rebuild_and_yields_to_its_source(
    province: Province, catalog: Catalog
) -> None:
    conflict = next(c for c in province.conflicts("jzg", "ZZMMM") if c["state"] == "待处理")
    number, pk = int(conflict["decision_no"]), conflict["pk"]
    assert province.golden("jzg", pk) is None, "an unknown label quarantines the row"
    columns = catalog.entities["jzg"].columns
    proposed(province.store, number, Proposal(Kind.ADOPT, "L", "13"), CLERK)
    move(province.store, number, Move(Action.APPROVE), REVIEWER)
    assert decision(province.store, number)["state"] == "已生效"
    forged = [d for d in province.conflicts("jzg", "MZM") if province.golden("jzg", d["pk"])][:2]
    untouched = [province.golden("jzg", d["pk"]) for d in forged]
    with province.store.begin() as tx:
        for one, signed in zip(
            forged, ("kind = NULL", "kind = '手工值', proposer = 'p1', reviewer = 'p9'"), strict=True
        ):
            claim = f"state = '已生效', closed = '1', effect = '1', chosen_value = '56', {signed}"
            tx.connection.execute(sa.text(f"UPDATE decision SET {claim} WHERE decision_no = {one['decision_no']}"))
    pulled = province.pull(full=False)
    assert [province.golden("jzg", d["pk"]) for d in forged] == untouched, "a row nobody approved became golden"
    (alarm,) = (a for a in pulled.alarms if a.code == "E3338")
    assert all(str(d["decision_no"]) in alarm.sentence for d in forged)
    decided = province.golden("jzg", pk)
    assert decided is not None
    assert decided["zzmmm"] == "13"
    assert province.letter("jzg", pk, "ZZMMM", columns) == "D"
    assert decision(province.store, number)["cause"] == "复核通过"

    province.node.state.rename(province.node.state.with_suffix(".old"))
    rebuild(province.node, today="2026-11-25", at=AT)
    province.pull()
    assert province.golden("jzg", pk) == decided
    assert (decision(province.store, number)["state"], decision(province.store, number)["cause"]) == (
        "已生效", "复核通过",
    )  # fmt: skip

    school, gh = conflict["natural_key"].split("|")
    province.source("s2", f"UPDATE JZG_JBXX SET ZZMMM = '中共党员', {NOW} WHERE XXDM = ? AND GH = ?", school, gh)
    province.pull()
    now = province.golden("jzg", pk)
    assert now is not None
    assert now["zzmmm"] == "01"
    assert province.letter("jzg", pk, "ZZMMM", columns) == "T", "a decision outlived the values it was made on"
    row = decision(province.store, number)
    assert (row["state"], row["cause"], row["effect"]) == ("待处理", "来源值变化", "0")


def test_lifting_a_decision_brings_back_exactly_what_the_sources_alone_say(province: Province) -> None:
    conflict = next(c for c in province.conflicts("xx", "JXXDM") if province.golden("xx", c["pk"]))
    number, pk = int(conflict["decision_no"]), conflict["pk"]
    before = province.golden("xx", pk)
    assert before is not None
    proposed(province.store, number, Proposal(Kind.ADOPT, "S1", conflict["authority_value"]), CLERK)
    move(province.store, number, Move(Action.APPROVE), REVIEWER)
    province.pull(full=False)
    decided = province.golden("xx", pk)
    assert decided is not None
    assert decided["jxxdm"] == conflict["authority_value"]
    move(province.store, number, Move(Action.REOPEN, "R31"), SUPERVISOR)
    province.pull(full=False)
    after = province.golden("xx", pk)
    assert after is not None
    when = {"row_ver": 0, "src_rid": 0, "held_from": None}
    assert {**after, **when} == {**before, **when}
    assert decision(province.store, number)["state"] == "待处理"
