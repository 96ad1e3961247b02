"""A case from the ministry to two provinces and back: told once, decided by two people, answered, ruled, closed."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hub.errors import UsageError
from ministry_node.case_states import Outlook
from ministry_node.case_store import Stored, load
from ministry_node.cases import Done, case_desk, issue
from quality.decisions import Action, Kind, Move, Proposal
from quality.decisions_store import Acting, act
from quality.decisions_store import load as conflict_of
from tests.cases.network import HEBEI, JIANGSU, Two, forge
from tests.decisions.people import CLERK, REVIEWER
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


def test_the_province_that_gives_way_puts_it_right_at_the_source_and_the_case_closes_everywhere(two: Two) -> None:
    issued(two, "K00000001")
    assert decide(two, HEBEI, "K00000001", Kind.KEEP) == "已生效"
    assert decide(two, JIANGSU, "K00000001", Kind.RETURN) == "退回源头平台"
    for party in (HEBEI, JIANGSU):
        assert [d.verdict for d in two.answer(party).decisions] == ["APPLIED"]
    assert answers(two, "K00000001") == ["保留本省学籍", "退回源头平台"]
    assert (stored(two, "K00000001").state, stored(two, "K00000001").outlook) == ("已答复", Outlook.AT_SOURCE)
    (asked,) = rows(two.province(JIANGSU), "correction")
    assert (asked["system"], asked["state"]) == ("S1", "待源头确认")
    batch = forge(two, JIANGSU, "xs_xj", two.parties("K00000001")[1]["pk"], XSDQZTM="10")
    for party in (HEBEI, JIANGSU):
        two.listen(party)
        told = notice(two, party, "K00000001")
        assert (told["state"], told["cause"], told["evidence"]) == ("已关闭", "32 已转出", batch)
    mine = conflict(two, JIANGSU, "K00000001")
    assert (mine["state"], mine["cause"]) == ("已生效", "源头已更新")
    assert rows(two.province(JIANGSU), "correction")[0]["state"] == "已确认"
    assert [a for a, _, _ in two.said("K00000001")] == ["发现", "下发", "保留本省学籍", "退回源头平台", "自动关闭"]
