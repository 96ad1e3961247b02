"""Transitions in the database: four-eyes, versions, scope, history and audit, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub.audit import verify
from hub.errors import HubError
from hub.roles import Scope, area, reporting_to, reports_to
from hub.store import Store
from quality.decisions import Action, Kind, Move, Proposal
from quality.decisions_query import Filter, count, facet, page
from quality.decisions_store import DecisionRefusedError
from tests.decisions.people import CLERK, CLERK_AS_REVIEWER, REVIEWER, SUPERVISOR, someone
from tests.decisions.rows import LOCAL, OWN, decision, move, planted, proposed, table


def test_a_proposal_approved_by_a_second_person_stands_with_its_history_and_audit(store: Store) -> None:
    planted(store, 1)
    proposed(store, 1, OWN, CLERK)
    move(store, 1, Move(Action.APPROVE), REVIEWER)
    row = decision(store, 1)
    assert (row["state"], row["version"], row["proposer"], row["reviewer"]) == ("已生效", 4, "p1", "p4")
    assert row["effect"] == "1"
    events = table(store, "decision_event", "event_no")
    assert [(e["action"], e["person"], e["version"]) for e in events] == [
        ("提议", "p1", 2), ("提交", "p1", 3), ("通过", "p4", 4),
    ]  # fmt: skip
    audit = [a for a in table(store, "audit_event", "i") if a["action"] == "冲突裁决"]
    assert [a["object"] for a in audit] == ["conflict 1"] * 3
    assert row["stamp"] == audit[-1]["i"]
    with store.reading() as reader:
        assert verify(reader.connection) is None


def test_approving_against_the_authority_asks_the_platform_and_changes_nothing_published(store: Store) -> None:
    planted(store, 1)
    proposed(store, 1, LOCAL, CLERK)
    move(store, 1, Move(Action.APPROVE), REVIEWER)
    assert (decision(store, 1)["state"], decision(store, 1)["effect"]) == ("退回源头平台", "0")
    (asked,) = table(store, "correction")
    assert (asked["system"], asked["old_value"], asked["wanted_value"], asked["state"]) == (
        "S1", "01", "02", "待源头确认",
    )  # fmt: skip
    move(store, 1, Move(Action.DUE, due="2026-12-01"), SUPERVISOR)
    (asked,) = table(store, "correction")
    assert asked["due"] == "2026-12-01"


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT])
def test_a_person_with_two_accounts_cannot_review_his_own_proposal(store: Store, action: Action) -> None:
    planted(store, 1)
    proposed(store, 1, OWN, CLERK)
    before = decision(store, 1)
    with pytest.raises(DecisionRefusedError, match="不能复核本人提交的处理意见") as refused:
        move(store, 1, Move(action, "R11"), CLERK_AS_REVIEWER)
    assert refused.value.status == 403
    assert decision(store, 1) == before
    assert table(store, "audit_event", "i")[-1]["result"] == "拒绝"


@pytest.mark.parametrize("reviewer", ["NULL", "'p1'"])
@pytest.mark.parametrize("state", ["已生效", "退回源头平台"])
def test_the_database_itself_refuses_a_decision_without_a_second_person(
    store: Store, reviewer: str, state: str
) -> None:
    planted(store, 1)
    proposed(store, 1, OWN, CLERK)
    before = decision(store, 1)
    with pytest.raises(HubError, match="E3108"), store.begin() as tx:
        tx.connection.execute(
            sa.text(f"UPDATE decision SET state = '{state}', reviewer = {reviewer} WHERE decision_no = 1")
        )
    assert decision(store, 1) == before


def test_the_second_writer_is_refused_and_the_first_ones_word_stands(store: Store) -> None:
    planted(store, 1)
    move(store, 1, Move(Action.PROPOSE, "R01", "核实", OWN), CLERK, version=1)
    before = decision(store, 1)
    with pytest.raises(DecisionRefusedError, match="已被他人更新") as refused:
        move(store, 1, Move(Action.PROPOSE, "R01", "核实", OWN), SUPERVISOR, version=1)
    assert refused.value.status == 409
    assert decision(store, 1) == before


def test_a_reason_is_one_of_the_configured_codes(store: Store) -> None:
    planted(store, 1)
    for what in (
        Move(Action.PROPOSE, "R11", "x", OWN),
        Move(Action.PROPOSE, "X", "x", OWN),
        Move(Action.PROPOSE, "R99", " ", OWN),
        Move(Action.PROPOSE, "R03", "x", Proposal(Kind.RETURN)),
    ):
        with pytest.raises(DecisionRefusedError, match="E3326"):
            move(store, 1, what, CLERK)
    assert decision(store, 1)["version"] == 1


def test_a_reopened_conflict_keeps_its_history_and_is_still_one(store: Store) -> None:
    planted(store, 1)
    proposed(store, 1, LOCAL, CLERK)
    move(store, 1, Move(Action.APPROVE), REVIEWER)
    move(store, 1, Move(Action.REOPEN, "R31"), SUPERVISOR)
    proposed(store, 1, OWN, CLERK)
    move(store, 1, Move(Action.APPROVE), REVIEWER)
    row = decision(store, 1)
    assert (row["state"], row["round_no"], row["kind"]) == ("已生效", 2, "采用来源值")
    assert [e["round_no"] for e in table(store, "decision_event", "event_no")] == [1, 1, 1, 2, 2, 2, 2]
    assert [c["state"] for c in table(store, "correction")] == ["已撤回"]
    with store.reading() as reader:
        assert count(reader, "13", [Scope()], Filter()) == 1


def test_a_conflict_outside_the_scope_is_not_there(store: Store) -> None:
    planted(store, 1)
    planted(store, 2, school="3613000002", division="130202")
    baoding = Scope(divisions=frozenset({"130600"}))
    clerk = someone("bd", "p20", "业务员", scope=baoding)
    with store.reading() as reader:
        assert [r["decision_no"] for r in page(reader, "13", clerk.scopes("query"), Filter()).rows] == [1]
        assert facet(reader, "13", clerk.scopes("query"), Filter(entity=("jzg",)), "entity") == {"xs": 1}
        assert count(reader, "13", [], Filter()) == 0
    before = decision(store, 2)
    with pytest.raises(DecisionRefusedError, match="没有这个冲突") as refused:
        move(store, 2, Move(Action.PROPOSE, "R01", "核实", OWN), clerk)
    assert refused.value.status == 404
    assert decision(store, 2) == before


def test_dingzhou_and_xinji_report_to_the_province() -> None:
    assert {"130602", "130600"} <= reporting_to("130600")
    assert "130682" not in reporting_to("130600")
    assert "130181" not in reporting_to("130100")
    assert {"130682", "130181", "130602"} <= reporting_to("130000")
    # A county that a newer version of the registry brings reports by how its code begins.
    assert "130699" in area("130600")
    assert "130682" not in area("130600")
    assert "130699" in area("130000")
    assert "130699" not in area("130602")
    assert (reports_to("130699"), reports_to("130682")) == ("130600", "130000")


def test_pages_follow_one_another_without_gap_or_repeat(store: Store) -> None:
    for number in range(1, 26):
        planted(store, number)
    seen: list[int] = []
    after: int | None = 0
    with store.reading() as reader:
        while after is not None:
            found = page(reader, "13", [Scope()], Filter(), after=after, size=10)
            seen += [r["decision_no"] for r in found.rows]
            after = found.after
    assert seen == list(range(1, 26))
