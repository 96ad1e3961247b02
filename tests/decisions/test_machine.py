"""Every line of console §3 as a table, and a hypothesis machine that walks where no table thought of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.roles import Operator
from quality.decisions import (
    Action,
    Cause,
    Conflict,
    Kind,
    Move,
    Proposal,
    Refusal,
    Source,
    State,
    Step,
    decide,
)
from quality.decisions_pull import Pull, follow
from tests.decisions.people import (
    ADMIN,
    AUDITOR,
    CLERK,
    CLERK_AS_REVIEWER,
    ENGINEER,
    EVERYONE,
    OTHER_CLERK,
    REVIEWER,
    SCHOOL,
    SUPERVISOR,
)

TODAY = "2026-11-23"
SOURCES = (Source("S1", "01"), Source("L", "02"))
FRESH = Conflict(7, sources=SOURCES, authority="S1")
ADOPT_OWN = Proposal(Kind.ADOPT, "S1", "01")
ADOPT_LOCAL = Proposal(Kind.ADOPT, "L", "02")
MANUAL = Proposal(Kind.MANUAL, None, "03")
RETURN = Proposal(Kind.RETURN)


def propose(proposal: Proposal, note: str = "已电话核实") -> Move:
    return Move(Action.PROPOSE, "R01", note, proposal)


def done(conflict: Conflict, move: Move, by: Operator, *, today: str = TODAY) -> Conflict:
    step = decide(conflict, move, by, version=conflict.version, today=today)
    assert isinstance(step, Step), step
    return step.after


def refused(conflict: Conflict, move: Move, by: Operator, code: str, *, version: int | None = None) -> Refusal:
    found = decide(conflict, move, by, version=conflict.version if version is None else version, today=TODAY)
    assert isinstance(found, Refusal), found
    assert found.code == code, found
    return found


def proposed(proposal: Proposal = ADOPT_OWN) -> Conflict:
    return done(FRESH, propose(proposal), CLERK)


def in_review(proposal: Proposal = ADOPT_OWN) -> Conflict:
    return done(proposed(proposal), Move(Action.SUBMIT), CLERK)


def effective() -> Conflict:
    return done(in_review(), Move(Action.APPROVE), REVIEWER)


def returned(proposal: Proposal = ADOPT_LOCAL) -> Conflict:
    return done(in_review(proposal), Move(Action.APPROVE), REVIEWER)


@pytest.mark.parametrize("proposal", [ADOPT_OWN, ADOPT_LOCAL, MANUAL, RETURN])
@pytest.mark.parametrize("by", [CLERK, SUPERVISOR])
def test_a_clerk_or_supervisor_proposes_and_the_conflict_is_proposed(proposal: Proposal, by: Operator) -> None:
    after = done(FRESH, propose(proposal), by)
    assert (after.state, after.proposal, after.proposer, after.version) == (State.PROPOSED, proposal, by.person, 2)


@pytest.mark.parametrize(
    ("proposal", "state", "effect"),
    [
        (ADOPT_OWN, State.EFFECTIVE, True),
        (ADOPT_LOCAL, State.RETURNED, False),
        (MANUAL, State.RETURNED, False),
        (RETURN, State.RETURNED, False),
    ],
)
def test_an_approved_value_takes_effect_unless_the_authority_says_otherwise(
    proposal: Proposal, state: State, effect: bool
) -> None:
    after = done(in_review(proposal), Move(Action.APPROVE), REVIEWER)
    assert (after.state, after.effect, after.reviewer) == (state, effect, REVIEWER.person)


@pytest.mark.parametrize("proposal", [ADOPT_LOCAL, MANUAL])
def test_a_field_without_an_authority_or_with_a_silent_one_takes_the_value(proposal: Proposal) -> None:
    for ground in (
        replace(FRESH, authority=None),
        replace(FRESH, sources=(Source("S1", None, valid=False), Source("L", "02"))),
    ):
        waiting = done(done(ground, propose(proposal), CLERK), Move(Action.SUBMIT), CLERK)
        assert done(waiting, Move(Action.APPROVE), REVIEWER).state is State.EFFECTIVE


def test_the_proposer_withdraws_and_nothing_of_the_proposal_stays() -> None:
    for conflict in (proposed(), in_review()):
        after = done(conflict, Move(Action.WITHDRAW), CLERK)
        assert (after.state, after.proposal, after.proposer) == (State.WAITING, None, None)
        refused(conflict, Move(Action.WITHDRAW), OTHER_CLERK, "E3324")


def test_only_the_proposer_submits_or_revises() -> None:
    refused(proposed(), Move(Action.SUBMIT), OTHER_CLERK, "E3324")
    refused(proposed(), propose(MANUAL), OTHER_CLERK, "E3324")
    assert done(proposed(), propose(MANUAL), CLERK).proposal == MANUAL


def test_a_rejection_needs_a_reason_and_sends_the_proposal_back() -> None:
    refused(in_review(), Move(Action.REJECT), REVIEWER, "E3326")
    after = done(in_review(), Move(Action.REJECT, "R11"), REVIEWER)
    assert (after.state, after.proposal) == (State.PROPOSED, ADOPT_OWN)


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT])
def test_nobody_reviews_his_own_proposal_under_whatever_account(action: Action) -> None:
    found = refused(in_review(), Move(action, "R11"), CLERK_AS_REVIEWER, "E3329")
    assert found.sentence == "不能复核本人提交的处理意见"
    assert found.status == 403
    own = done(done(FRESH, propose(ADOPT_OWN), SUPERVISOR), Move(Action.SUBMIT), SUPERVISOR)
    refused(own, Move(action, "R11"), SUPERVISOR, "E3329")
    assert isinstance(decide(own, Move(action, "R11"), REVIEWER, version=own.version, today=TODAY), Step)


def test_the_second_writer_is_told_and_nothing_is_lost() -> None:
    changed = replace(proposed(), last="2026-11-23 业务员 提议")
    found = refused(changed, propose(MANUAL), CLERK, "E3322", version=1)
    assert found.status == 409
    assert "已被他人更新" in found.sentence
    assert changed.last in found.sentence


@pytest.mark.parametrize("conflict", [FRESH, proposed(), in_review()])
def test_postponing_returns_to_the_state_before(conflict: Conflict) -> None:
    move = Move(Action.POSTPONE, "R21", until="2026-12-01")
    paused = done(conflict, move, SUPERVISOR)
    assert (paused.state, paused.until) == (State.POSTPONED, "2026-12-01")
    assert follow(paused, Pull(open_rows=1), today="2026-11-30") == paused
    back = follow(paused, Pull(open_rows=1), today="2026-12-01")
    assert (back.state, back.proposal, back.until) == (conflict.state, conflict.proposal, None)
    assert back.version == paused.version + 1
    resumed = done(paused, Move(Action.RESUME), CLERK)
    assert (resumed.state, resumed.cause, back.cause) == (conflict.state, Cause.RESUMED, Cause.EXPIRED)
    refused(conflict, replace(move, until=TODAY), SUPERVISOR, "E3330")


@pytest.mark.parametrize("conflict", [effective(), returned()])
def test_a_supervisor_reopens_with_a_reason_into_a_new_round(conflict: Conflict) -> None:
    refused(conflict, Move(Action.REOPEN, "R31"), CLERK, "E3321")
    refused(conflict, Move(Action.REOPEN), SUPERVISOR, "E3326")
    after = done(conflict, Move(Action.REOPEN, "R31"), SUPERVISOR)
    assert (after.state, after.round_no, after.proposal, after.effect) == (State.WAITING, 2, None, False)


def test_values_that_may_not_be_adopted_are_refused_with_their_reason() -> None:
    invalid = replace(FRESH, sources=(Source("S1", "99", valid=False), Source("L", "02")))
    refused(invalid, propose(Proposal(Kind.ADOPT, "S1", "99")), CLERK, "E3328")
    refused(FRESH, propose(Proposal(Kind.ADOPT, "S2", "01")), CLERK, "E3325")
    refused(FRESH, propose(Proposal(Kind.ADOPT, "L", "01")), CLERK, "E3322")
    refused(FRESH, propose(MANUAL, note=""), CLERK, "E3326")
    refused(FRESH, Move(Action.PROPOSE, "", "", ADOPT_OWN), CLERK, "E3326")
    clash = replace(FRESH, clash=True)
    refused(clash, propose(ADOPT_OWN), CLERK, "E3327")
    assert done(clash, propose(RETURN), CLERK).state is State.PROPOSED


def test_comments_assignments_and_dates_do_not_spoil_a_colleagues_form() -> None:
    for move in (
        Move(Action.COMMENT, note="已联系学校"),
        Move(Action.ASSIGN, assignee="wang"),
        Move(Action.DUE, due="2026-12-01"),
    ):
        after = done(in_review(), move, SUPERVISOR)
        assert (after.version, after.state) == (in_review().version, State.IN_REVIEW)
    refused(FRESH, Move(Action.ASSIGN, assignee="wang"), CLERK, "E3321")
    refused(FRESH, Move(Action.DUE, due="2026-12-01"), CLERK, "E3321")
    assert done(FRESH, Move(Action.COMMENT, note="本校情况属实"), SCHOOL).version == 1


@pytest.mark.parametrize("by", [REVIEWER, SCHOOL, AUDITOR, ADMIN, ENGINEER])
def test_who_may_not_propose_cannot(by: Operator) -> None:
    assert refused(FRESH, propose(ADOPT_OWN), by, "E3321").status == 403
    refused(FRESH, propose(RETURN), by, "E3321")


@pytest.mark.parametrize("by", [CLERK, SCHOOL, AUDITOR, ADMIN, ENGINEER])
def test_who_may_not_review_cannot(by: Operator) -> None:
    submitted = done(done(FRESH, propose(ADOPT_OWN), SUPERVISOR), Move(Action.SUBMIT), SUPERVISOR)
    refused(submitted, Move(Action.APPROVE), by, "E3321")


STATES = {
    State.WAITING: FRESH,
    State.PROPOSED: proposed(),
    State.IN_REVIEW: in_review(),
    State.EFFECTIVE: effective(),
    State.RETURNED: returned(),
    State.POSTPONED: done(FRESH, Move(Action.POSTPONE, "R21", until="2026-12-01"), CLERK),
}
ALLOWED = {
    (State.WAITING, Action.PROPOSE), (State.PROPOSED, Action.PROPOSE), (State.PROPOSED, Action.SUBMIT),
    (State.PROPOSED, Action.WITHDRAW), (State.IN_REVIEW, Action.WITHDRAW), (State.IN_REVIEW, Action.REJECT),
    (State.IN_REVIEW, Action.APPROVE), (State.WAITING, Action.POSTPONE), (State.PROPOSED, Action.POSTPONE),
    (State.IN_REVIEW, Action.POSTPONE), (State.POSTPONED, Action.RESUME), (State.EFFECTIVE, Action.REOPEN),
    (State.RETURNED, Action.REOPEN),
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("action", [a for a in Action if a not in (Action.ASSIGN, Action.COMMENT, Action.DUE)])
def test_no_other_transition_exists(state: State, action: Action) -> None:
    move = Move(action, "R01", "说明", ADOPT_OWN if action is Action.PROPOSE else None, until="2026-12-01")
    found = [decide(STATES[state], move, by, version=STATES[state].version, today=TODAY) for by in EVERYONE]
    assert any(isinstance(f, Step) for f in found) == ((state, action) in ALLOWED)


def test_a_waiting_conflict_closes_when_all_sources_agree() -> None:
    for conflict in (FRESH, STATES[State.POSTPONED]):
        after = follow(conflict, Pull(moved=True, waited=1), today=TODAY)
        assert (after.state, after.cause, after.version) == (State.EFFECTIVE, Cause.AGREED, conflict.version + 1)


def test_a_pull_that_changes_the_sources_raises_the_version_of_a_proposal_under_review() -> None:
    seen = in_review()
    after = follow(seen, Pull(moved=True, open_rows=1, waiting=1, waited=1), today=TODAY)
    assert (after.state, after.version) == (State.IN_REVIEW, seen.version + 1)
    refused(after, Move(Action.APPROVE), REVIEWER, "E3322", version=seen.version)


def test_a_source_confirms_then_reverts() -> None:
    asked = returned()
    assert follow(asked, Pull(open_rows=1), today=TODAY) == asked
    confirmed = follow(asked, Pull(moved=True, confirmed=True), today=TODAY)
    assert (confirmed.state, confirmed.cause) == (State.EFFECTIVE, Cause.CONFIRMED)
    quiet = follow(confirmed, Pull(), today=TODAY)
    assert quiet == confirmed
    back = follow(confirmed, Pull(moved=True, open_rows=1, contradicted=True, old_value=True), today=TODAY)
    assert (back.state, back.cause, back.proposal) == (State.WAITING, Cause.REVERTED, None)
    other = follow(confirmed, Pull(moved=True, open_rows=1, contradicted=True), today=TODAY)
    assert other.cause == Cause.CHANGED


def test_a_third_value_of_the_source_does_not_count_as_the_correction() -> None:
    after = follow(returned(), Pull(moved=True, open_rows=1), today=TODAY)
    assert (after.state, after.cause) == (State.RETURNED, Cause.OTHER_VALUE)


def test_a_decision_in_effect_is_examined_again_when_its_sources_change() -> None:
    after = follow(effective(), Pull(moved=True, open_rows=1), today=TODAY)
    assert (after.state, after.cause, after.effect) == (State.WAITING, Cause.CHANGED, False)
    agreed = follow(effective(), Pull(moved=True), today=TODAY)
    assert (agreed.state, agreed.cause, agreed.effect) == (State.EFFECTIVE, Cause.AGREED, False)


MOVES = st.builds(
    Move,
    action=st.sampled_from(list(Action)),
    reason=st.sampled_from(["", "R01"]),
    note=st.sampled_from(["", "说明"]),
    proposal=st.sampled_from([None, ADOPT_OWN, ADOPT_LOCAL, MANUAL, RETURN]),
    until=st.sampled_from([None, TODAY, "2026-12-01"]),
    due=st.sampled_from([None, "2026-12-01"]),
    assignee=st.sampled_from([None, "wang"]),
)
PULLS = st.builds(
    Pull, moved=st.booleans(), open_rows=st.integers(0, 2), waiting=st.integers(0, 1), waited=st.integers(0, 1),
    confirmed=st.booleans(), contradicted=st.booleans(), old_value=st.booleans(), gone=st.booleans(),
    lapsed=st.booleans(),
)  # fmt: skip
WALK = st.lists(st.one_of(st.tuples(MOVES, st.sampled_from(EVERYONE), st.booleans()), PULLS), max_size=25)


@settings(max_examples=300, deadline=None)
@given(WALK)
def test_whatever_people_and_pulls_do_the_house_stands(walk: list[tuple[Move, Operator, bool] | Pull]) -> None:
    conflict = FRESH
    for item in walk:
        before = conflict
        if isinstance(item, Pull):
            conflict = follow(conflict, item, today=TODAY)
        else:
            move, by, current = item
            version = conflict.version if current else conflict.version - 1
            found = decide(conflict, move, by, version=version, today=TODAY)
            if isinstance(found, Refusal):
                assert found.sentence
                assert found.code.startswith("E33")
                continue
            assert current, "a stale version passed"
            conflict = found.after
            if move.action in (Action.APPROVE, Action.REJECT):
                assert by.person != before.proposer
        assert conflict.version >= before.version
        assert (conflict.version > before.version) or before.state is conflict.state
        if conflict.proposal and conflict.state in (State.EFFECTIVE, State.RETURNED):
            assert conflict.reviewer not in (None, conflict.proposer)
        if conflict.effect:
            assert conflict.state is State.EFFECTIVE
        if conflict.state in (State.WAITING,):
            assert conflict.proposal is None
        assert (conflict.state is State.POSTPONED) == (conflict.until is not None)
