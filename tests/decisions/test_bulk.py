"""Bulk by query: what a preview counts, what an apply does under one 操作号, what an undo brings back."""

from __future__ import annotations

import pytest

from hub.errors import UsageError
from hub.roles import Operator, Scope
from hub.store import Store
from quality import decisions_apply
from quality.decisions import Action, Move
from quality.decisions_apply import apply, undo
from quality.decisions_bulk import Bulk, Order, Preview, preview
from quality.decisions_query import Filter, count
from quality.decisions_store import DecisionRefusedError
from tests.decisions.people import AUDITOR, CLERK, CLERK_AS_REVIEWER, OTHER_CLERK, REVIEWER, SUPERVISOR
from tests.decisions.rows import OWN, acting, decision, move, planted, proposed, table

RULE = Order(Filter(entity=("xs",)), Bulk.BY_RULE, "R03", "按权威源统一处理")
APPROVE = Order(Filter(state=("待复核",)), Bulk.APPROVE, "", "批量复核")


def seen(store: Store, order: Order = RULE, by: Operator = CLERK) -> Preview:
    with store.reading() as reader:
        return preview(reader, acting(by), order)


def fill(store: Store, rows: int = 12) -> None:
    for number in range(1, rows + 1):
        planted(store, number, **({"suggest_source": None, "suggest_value": None} if number % 4 == 0 else {}))


def test_a_preview_counts_what_can_be_handled_and_what_not_and_writes_nothing(store: Store) -> None:
    fill(store)
    move(store, 1, Move(Action.PROPOSE, "R01", "核实", OWN), OTHER_CLERK)
    before = {n: table(store, n) for n in ("decision", "decision_event", "bulk_operation", "audit_event")}
    found = seen(store)
    assert (found.hits, found.able) == (12, 8)
    assert found.skipped == {"无唯一权威源": 3, "状态不是待处理": 1}
    assert found.hits == found.able + sum(found.skipped.values())
    assert len(found.samples) == 5
    assert {n: table(store, n) for n in before} == before


def test_an_apply_proposes_in_chunks_and_undo_brings_the_same_rows_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 4)
    fill(store)
    done = apply(store, acting(CLERK), RULE, seen(store).token)
    assert (done.done, done.missed, done.op_no) == (9, 0, "20261123-00001")
    rows = [r for r in table(store, "decision", "decision_no") if r["state"] == "待复核"]
    assert [r["op_no"] for r in rows] == [done.op_no] * 9
    assert {(r["kind"], r["chosen_value"], r["proposer"]) for r in rows} == {("采用来源值", "01", "p1")}
    audit = [a for a in table(store, "audit_event", "i") if a["object"] == f"operation {done.op_no}"]
    assert len(audit) == 3, "one record per chunk"
    move(store, 2, Move(Action.APPROVE), REVIEWER)
    with pytest.raises(DecisionRefusedError, match="只有提交该批处理的人"):
        undo(store, acting(SUPERVISOR), done.op_no)
    back = undo(store, acting(CLERK), done.op_no)
    assert (back.done, back.kept) == (8, 1)
    assert decision(store, 2)["state"] == "已生效"
    assert {r["state"] for r in table(store, "decision") if r["decision_no"] != 2} == {"待处理"}
    assert undo(store, acting(CLERK), done.op_no).done == 0


def test_rows_changed_since_the_preview_are_skipped_and_reported(store: Store) -> None:
    fill(store)
    token = seen(store).token
    move(store, 1, Move(Action.PROPOSE, "R01", "核实", OWN), OTHER_CLERK)
    move(store, 1, Move(Action.WITHDRAW), OTHER_CLERK)
    move(store, 2, Move(Action.COMMENT, note="已联系学校"), OTHER_CLERK)
    planted(store, 20, stamp=10**6)
    done = apply(store, acting(CLERK), RULE, token)
    assert (done.done, done.missed) == (8, 1)
    assert decision(store, 1)["state"] == "待处理"
    assert decision(store, 20)["state"] == "待处理", "a conflict that no preview showed"


def test_nobody_approves_his_own_bulk_but_a_second_person_does(store: Store) -> None:
    fill(store, 3)
    planted(store, 9, suggest_source="L", suggest_value="02")
    apply(store, acting(CLERK), RULE, seen(store).token)
    own = seen(store, APPROVE, CLERK_AS_REVIEWER)
    assert (own.able, own.skipped) == (0, {"不能复核本人提交的处理意见": 4})
    assert apply(store, acting(CLERK_AS_REVIEWER), APPROVE, own.token).done == 0
    assert {r["state"] for r in table(store, "decision")} == {"待复核"}
    done = apply(store, acting(REVIEWER), APPROVE, seen(store, APPROVE, REVIEWER).token)
    assert done.done == 4
    states = {r["decision_no"]: (r["state"], r["effect"]) for r in table(store, "decision")}
    assert states == {1: ("已生效", "1"), 2: ("已生效", "1"), 3: ("已生效", "1"), 9: ("退回源头平台", "0")}
    assert [(c["decision_no"], c["wanted_value"]) for c in table(store, "correction")] == [(9, "02")]


def test_a_bulk_without_right_text_or_preview_changes_nothing(store: Store) -> None:
    fill(store, 3)
    token = seen(store).token
    before = table(store, "decision")
    with pytest.raises(DecisionRefusedError, match="不能批量"):
        seen(store, RULE, AUDITOR)
    with pytest.raises(DecisionRefusedError, match="说明文字"):
        apply(store, acting(CLERK), Order(RULE.chosen, Bulk.BY_RULE, "R03", " "), token)
    with pytest.raises(UsageError, match="预览号与本次条件不符"):
        apply(store, acting(CLERK), Order(Filter(), Bulk.BY_RULE, "R03", "说明"), token)
    with pytest.raises(UsageError, match="预览号与本次条件不符"):
        apply(store, acting(OTHER_CLERK), RULE, token)
    proposed(store, 1, OWN, CLERK)
    assert [r for r in table(store, "decision") if r["decision_no"] > 1] == before[1:]
    assert table(store, "bulk_operation") == []


def test_an_operation_is_found_by_the_range_of_numbers_it_took_and_nothing_of_another_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 2)
    fill(store)
    some = Order(Filter(numbers=(3, 5, 6, 9)), Bulk.BY_RULE, "R03", "第一批")
    first = apply(store, acting(CLERK), some, seen(store, some).token)
    rest = apply(store, acting(CLERK), RULE, seen(store).token)
    ranges = [(r["op_no"], r["first_no"], r["last_no"]) for r in table(store, "bulk_operation", "op_no")]
    assert ranges == [(first.op_no, 3, 9), (rest.op_no, 1, 11)]
    with store.reading() as reader:
        for op_nos, want in (((first.op_no,), 4), ((rest.op_no,), 5), ((first.op_no, rest.op_no), 9), (("none",), 0)):
            assert count(reader, "13", [Scope()], Filter(op_no=op_nos)) == want
    assert undo(store, acting(CLERK), first.op_no).done == 4
    assert {r["decision_no"] for r in table(store, "decision") if r["op_no"] == rest.op_no} == {1, 2, 7, 10, 11}


def test_an_undo_that_is_interrupted_counts_what_it_restored_when_it_is_taken_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 4)
    fill(store)
    done = apply(store, acting(CLERK), RULE, seen(store).token)

    def fail(_restored: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo(store, acting(CLERK), done.op_no, progress=fail)
    assert [(r["state"], r["undone"]) for r in table(store, "bulk_operation")] == [("已完成", 4)]
    again = undo(store, acting(CLERK), done.op_no)
    assert (again.done, again.kept) == (5, 0)
    assert [(r["state"], r["undone"], r["kept"]) for r in table(store, "bulk_operation")] == [("已撤销", 9, 0)]
    assert {r["state"] for r in table(store, "decision")} == {"待处理"}
