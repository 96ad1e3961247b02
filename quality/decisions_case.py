"""A case of the ministry in the conflict queue (来源：部级核查): what its messages do, and what a decision answers.

Decides as values, like `quality.decisions`: a case waits for the province until it answers or the ministry closes it; a
ruling sends back what contradicts it; closing ends it in any state. What people do to it is the one state machine of
all conflicts, four-eyes included. Storing is the province's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hub.case_form import Answer
from quality.decisions import Conflict, Kind, State, cleared

FOUND, BACK, RULED, CLOSED = "部级核查", "部级核查重开", "部级裁定", "部级已关闭"
CONFIRMED: Final = "源头已更新"
_ANSWERS: Final = {Kind.KEEP: Answer.KEEP, Kind.RETURN: Answer.YIELD, Kind.OTHER_PERSON: Answer.OTHER_PERSON}


def opened_again(conflict: Conflict, round_no: int) -> Conflict:
    """The registration came back: a new round, history kept."""
    return replace(_next(cleared(conflict, State.WAITING, BACK)), round_no=round_no)


def asked_again(conflict: Conflict) -> Conflict:
    """Another province joined: nobody approves a case they did not see."""
    return _next(conflict)


def ruled(conflict: Conflict, *, keeps: bool) -> Conflict:
    """The ministry said who keeps the student; a decision, or a proposal, that says otherwise starts again."""
    kind = conflict.proposal.kind if conflict.proposal is not None else None
    if kind is None or kind is (Kind.KEEP if keeps else Kind.RETURN):
        return replace(_next(conflict), cause=RULED) if kind is None else _next(conflict)
    return _next(cleared(conflict, State.WAITING, RULED))


def closed(conflict: Conflict) -> Conflict:
    """The ministry closed it: what was sent to the source is confirmed, anything else ends where it stands."""
    if conflict.state is State.RETURNED:
        return replace(_next(conflict), state=State.EFFECTIVE, cause=CONFIRMED)
    if conflict.state is State.EFFECTIVE:
        return _next(conflict)
    return _next(cleared(conflict, State.EFFECTIVE, CLOSED))


def answer_of(state: State, kind: Kind | None, *, touched: bool, before: Answer | None) -> Answer | None:
    """What the province says now, None while nobody has touched the case. `before`: what it said last."""
    if state in (State.EFFECTIVE, State.RETURNED) and kind in _ANSWERS:
        return _ANSWERS[kind]
    if before is not None and before is not Answer.OPENED:
        return Answer.WITHDRAWN
    return before or (Answer.OPENED if touched else None)


def _next(conflict: Conflict) -> Conflict:
    return replace(conflict, version=conflict.version + 1)
