"""A case from the ministry to two provinces and back: told once, decided by two people, answered, ruled, closed."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from hub.errors import UsageError
from ministry_node import case_pages as pages
from ministry_node.case_states import Outlook
from ministry_node.case_store import Stored, load
from ministry_node.cases import Done, case_desk, close, issue, remind, rule, today_of
from ministry_node.matching import rescan
from quality.decisions import Action, Kind, Move, Proposal
from quality.decisions_store import Acting, DecisionRefusedError, act
from quality.decisions_store import load as conflict_of
from tests.cases.network import HEBEI, JIANGSU, Two, forge
from tests.decisions.people import CLERK, CLERK_AS_REVIEWER, REVIEWER
from tests.round.labs import audit_holds, rows, store_of

REASONS = {Kind.KEEP: "R41", Kind.RETURN: "R42", Kind.OTHER_PERSON: "R43"}


def number(case_no: str) -> int:
    return 900_000_000 + int(case_no[1:])


def at_ministry(two: Two, action: Any, *given: Any, **named: Any) -> Done:
    with case_desk(two.ministry, at=two.now, rng=os.urandom) as sender:
        done: Done = action(sender, *given, **named)
        return done


def issued(two: Two, *numbers: str) -> Done:
    done = at_ministry(two, issue, list(numbers) or None, by="李明")
    for party in (HEBEI, JIANGSU):
        two.listen(party)
    return done


def decide(two: Two, party: str, case_no: str, kind: Kind) -> str:
    """Proposed by one person, approved by another; the conflict's state."""
    node = two.province(party)
    store = store_of(node)
    try:
        for by, action in ((CLERK, Action.PROPOSE), (CLERK, Action.SUBMIT), (REVIEWER, Action.APPROVE)):
            acting = Acting(node.party, by, two.now, f"{two.now:%Y-%m-%d}")
            with store.reading() as reader:
                _, conflict = conflict_of(reader, number(case_no), acting)
            move = Move(action)
            if action is Action.PROPOSE:
                move = Move(action, REASONS[kind], "", Proposal(kind))
            step = act(store, acting, conflict.number, move, version=conflict.version)
        return str(step.after.state)
    finally:
        store.close()


def conflict(two: Two, party: str, case_no: str) -> dict[str, Any]:
    (row,) = (r for r in rows(two.province(party), "decision") if r["clash"] == case_no)
    return dict(row)


def notice(two: Two, party: str, case_no: str) -> dict[str, Any]:
    (row,) = (r for r in rows(two.province(party), "case_notice") if r["case_no"] == case_no)
    return dict(row)


def stored(two: Two, case_no: str) -> Stored:
    store = store_of(two.ministry)
    try:
        with store.reading() as reader:
            (case,) = load(reader.connection, [case_no])
            return case
    finally:
        store.close()


def answers(two: Two, case_no: str) -> list[str | None]:
    return [p["answer"] for p in two.parties(case_no)]


def test_a_case_is_told_to_both_provinces_once_and_stands_in_their_queues(two: Two) -> None:
    done = issued(two)
    assert (len(done.cases), len(done.batches), done.left) == (4, 2, ())
    for party, other in ((HEBEI, JIANGSU), (JIANGSU, HEBEI)):
        found = [r for r in rows(two.province(party), "decision") if r["subject"].startswith("case:")]
        assert [(r["decision_no"], r["state"], r["cause"], r["rule"]) for r in found] == [
            (number(f"K0000000{n}"), "待处理", "部级核查", "WY03") for n in (1, 2, 3, 4)
        ]
        told = notice(two, party, "K00000002")
        assert (told["counterpart"], told["state"], told["due"]) == (other, "处理中", "2026-12-08")
        assert told["pk"] == next(p["pk"] for p in two.parties("K00000002") if p["node"] == party)
        assert len(told["schools"]) == 10
    assert {c["state"] for c in two.cases()} == {"已下发"}
    before = (rows(two.ministry, "down_batch"), two.cases())
    assert at_ministry(two, issue, None, by="李明") == Done()  # all were told: nothing is told again
    with pytest.raises(UsageError, match="E3812"):
        at_ministry(two, issue, ["K00000001"], by="李明")
    assert (rows(two.ministry, "down_batch"), two.cases()) == before
    for node in (two.ministry, two.province(HEBEI), two.province(JIANGSU)):
        assert audit_holds(node)


def test_the_province_that_gives_way_puts_it_right_at_the_source_and_the_case_closes_everywhere(told: Two) -> None:
    assert decide(told, HEBEI, "K00000001", Kind.KEEP) == "已生效"
    assert decide(told, JIANGSU, "K00000001", Kind.RETURN) == "退回源头平台"
    assert [d.verdict for d in told.answer(HEBEI, JIANGSU).decisions] == ["APPLIED", "APPLIED"]
    assert answers(told, "K00000001") == ["保留本省学籍", "退回源头平台"]
    assert (stored(told, "K00000001").state, stored(told, "K00000001").outlook) == ("已答复", Outlook.AT_SOURCE)
    (asked,) = rows(told.province(JIANGSU), "correction")
    assert (asked["system"], asked["state"]) == ("S1", "待源头确认")
    batch = forge(told, JIANGSU, "xs_xj", told.parties("K00000001")[1]["pk"], XSDQZTM="10")
    for party in (HEBEI, JIANGSU):
        told.listen(party)
        end = notice(told, party, "K00000001")
        assert (end["state"], end["cause"], end["evidence"]) == ("已关闭", "32 已转出", batch)
    mine = conflict(told, JIANGSU, "K00000001")
    assert (mine["state"], mine["cause"]) == ("已生效", "源头已更新")
    assert rows(told.province(JIANGSU), "correction")[0]["state"] == "已确认"
    assert [a for a, _, _ in told.said("K00000001")] == [
        "发现", "下发", "保留本省学籍", "退回源头平台", "互通资料", "自动关闭",
    ]  # fmt: skip


def test_both_keep_the_student_and_two_persons_rule_for_one(told: Two) -> None:
    for party in (HEBEI, JIANGSU):
        decide(told, party, "K00000002", Kind.KEEP)
    told.answer(HEBEI, JIANGSU)
    assert stored(told, "K00000002").outlook is Outlook.DISPUTED
    ruling = {"keeper": HEBEI, "by": "李明", "reason": "学生在该省就读并领取资助"}
    before = (told.cases(), rows(told.ministry, "down_batch"))
    with pytest.raises(UsageError, match="E3814"):
        at_ministry(told, rule, "K00000002", second="李明", **ruling)
    with pytest.raises(UsageError, match="E3815"):
        at_ministry(told, rule, "K00000002", second="王芳", **{**ruling, "keeper": "44"})
    assert (told.cases(), rows(told.ministry, "down_batch")) == before
    at_ministry(told, rule, "K00000002", second="王芳", **ruling)
    for party in (HEBEI, JIANGSU):
        told.listen(party)
    assert conflict(told, HEBEI, "K00000002")["state"] == "已生效"
    assert notice(told, HEBEI, "K00000002")["keeper"] == HEBEI
    again = conflict(told, JIANGSU, "K00000002")
    assert (again["state"], again["cause"], again["kind"], again["reviewer"]) == ("待处理", "部级裁定", None, None)
    told.answer(JIANGSU)
    assert answers(told, "K00000002") == ["保留本省学籍", "重新处理"]
    theirs = told.parties("K00000002")[1]
    person = {k: told.record(JIANGSU, theirs["pk"])[k.lower()] for k in ("XXDM", "XM", "XBM", "CSRQ")}
    assert json.loads(notice(told, HEBEI, "K00000002")["particulars"]) == [person]
    assert [a for a, _, _ in told.said("K00000002")].count("互通资料") == 1
    assert notice(told, HEBEI, "K00000001")["particulars"] is None
    assert stored(told, "K00000002").state == "已下发"


def test_reminders_go_to_those_who_owe_an_answer_and_late_ones_go_up_a_level(told: Two) -> None:
    decide(told, HEBEI, "K00000003", Kind.KEEP)
    told.answer(HEBEI)
    assert at_ministry(told, remind, None, by="李明") == Done()  # nobody is late yet
    told.days = 16
    with told.desk() as desk, desk.store.reading() as reader:
        today = today_of(told.now)
        assert pages.late_provinces(reader.connection, today=today) == {HEBEI: 3, JIANGSU: 4}
        line = pages.list_cases(reader.connection, pages.Filter(overdue=True), today=today).lines[2]
        assert (line.case_no, line.overdue, line.provinces) == ("K00000003", True, ("13 保留本省学籍", "32 未答复"))
    sent = at_ministry(told, remind, ["K00000003"], by="李明")
    assert (sent.cases, len(sent.batches)) == (("K00000003",), 1)
    told.listen(JIANGSU)
    assert (notice(told, JIANGSU, "K00000003")["reminders"], notice(told, JIANGSU, "K00000003")["stage"]) == (1, 1)
    assert (conflict(told, JIANGSU, "K00000003")["version"], notice(told, HEBEI, "K00000003")["reminders"]) == (1, 0)
    told.days = 24
    at_ministry(told, remind, ["K00000003"], by="李明")
    told.listen(JIANGSU)
    assert notice(told, JIANGSU, "K00000003")["stage"] == 2
    assert stored(told, "K00000003").stage == 2
    assert [a for a, _, _ in told.said("K00000003")][-2:] == ["催办", "升级催办"]


def test_a_case_closed_by_two_persons_stays_closed_until_the_registration_leaves_and_returns(told: Two) -> None:
    with pytest.raises(UsageError, match="E3814"):
        at_ministry(told, close, "K00000004", cause="非同一人", by="李明", second="李明", reason="核实")
    at_ministry(told, close, "K00000004", cause="非同一人", by="李明", second="王芳", reason="公安核实为两人")
    for party in (HEBEI, JIANGSU):
        told.listen(party)
        assert (conflict(told, party, "K00000004")["state"], conflict(told, party, "K00000004")["cause"]) == (
            "已生效", "部级已关闭",
        )  # fmt: skip
    there = told.parties("K00000004")[1]["pk"]
    forge(told, JIANGSU, "xs", there)  # a new version of the same record: nothing is new about it
    with told.desk() as desk:
        assert not rescan(desk, desk.parties)
    assert stored(told, "K00000004").state == "已关闭"
    forge(told, JIANGSU, "xs_xj", there, XSDQZTM="02")
    forge(told, JIANGSU, "xs_xj", there)
    assert (stored(told, "K00000004").state, stored(told, "K00000004").round_no) == ("待下发", 2)
    issued(told, "K00000004")
    again = conflict(told, HEBEI, "K00000004")
    assert (again["decision_no"], again["state"], again["cause"], again["round_no"]) == (
        number("K00000004"), "待处理", "部级核查重开", 2,
    )  # fmt: skip
    found = rows(told.province(HEBEI), "decision_event", "event_no")
    assert [r["action"] for r in found if r["decision_no"] == number("K00000004")] == [
        "部级下发",
        "部级关闭",
        "部级下发",
    ]


def test_four_eyes_hold_for_a_case_and_it_takes_no_value(told: Two) -> None:
    node, before = told.province(HEBEI), conflict(told, HEBEI, "K00000001")
    store, acting = store_of(node), Acting(HEBEI, CLERK, told.now, "2026-11-23")
    try:
        for proposal in (Proposal(Kind.MANUAL, None, "x"), Proposal(Kind.ADOPT, "S1", "x")):
            move = Move(Action.PROPOSE, "R01", "说明", proposal)
            with pytest.raises(DecisionRefusedError, match="E3327"):
                act(store, acting, before["decision_no"], move, version=1)
        assert conflict(told, HEBEI, "K00000001") == before
        step = act(
            store, acting, before["decision_no"], Move(Action.PROPOSE, "R41", "", Proposal(Kind.KEEP)), version=1
        )
        step = act(store, acting, before["decision_no"], Move(Action.SUBMIT), version=step.after.version)
        own = Acting(HEBEI, CLERK_AS_REVIEWER, told.now, "2026-11-23")
        with pytest.raises(DecisionRefusedError, match="E3329"):
            act(store, own, before["decision_no"], Move(Action.APPROVE), version=step.after.version)
        assert conflict(told, HEBEI, "K00000001")["state"] == "待复核"
    finally:
        store.close()


def test_a_settling_round_leaves_cases_alone_and_their_answers_out_of_golden_rows(told: Two) -> None:
    decide(told, HEBEI, "K00000001", Kind.KEEP)
    decide(told, HEBEI, "K00000002", Kind.RETURN)
    before = rows(told.province(HEBEI), "decision")
    told.days = 1
    told.pull(HEBEI)
    assert rows(told.province(HEBEI), "decision") == before
    assert not rows(told.province(HEBEI), "conflict")
