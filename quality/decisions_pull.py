"""What a pull of the sources does to a conflict: confirmed, agreed, reverted, changed (console 3, "next pull …").

The reference as values; `quality.decisions_follow` does the same to all conflicts of a round in SQL, and a test compares
the two over every combination.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from quality.decisions import Cause, Conflict, State, cleared, resumed


@dataclass(frozen=True)
class Pull:
    """What a settling round found about one conflict.

    `moved`: its losing values are not those of before; `open_rows`: how many stand; `waiting`: how many of them ask a
    person; `waited`: the same before this round. `confirmed`: the owning platform itself now delivers the value decided
    on; `contradicted`: it delivers another one; `old_value`: the one the correction was about; `gone`: the record is in
    no source any more; `lapsed`: settling found other source values than those decided on.
    """

    moved: bool = False
    open_rows: int = 0
    waiting: int = 0
    waited: int = 0
    confirmed: bool = False
    contradicted: bool = False
    old_value: bool = False
    gone: bool = False
    lapsed: bool = False
    evidence: str = field(default="", compare=False)


def follow(conflict: Conflict, pull: Pull, *, today: str) -> Conflict:
    """The conflict after a pull (console 3, lines "next pull …"); the same value when nothing happened to it."""
    after = _followed(conflict, pull, today)
    if pull.moved or after != conflict:
        return replace(after, version=conflict.version + 1)
    return conflict


def _followed(conflict: Conflict, pull: Pull, today: str) -> Conflict:
    state = conflict.state
    if state in (State.WAITING, State.POSTPONED) and pull.open_rows == 0:
        return cleared(conflict, State.EFFECTIVE, Cause.AGREED)
    if state is State.WAITING and pull.moved and pull.waiting == 0 and pull.waited:
        return cleared(conflict, State.EFFECTIVE, Cause.BY_AUTHORITY)
    if state is State.POSTPONED and conflict.until is not None and conflict.until <= today:
        return resumed(conflict)
    if state is State.RETURNED:
        return _returned(conflict, pull)
    if state is State.EFFECTIVE:
        return _effective(conflict, pull)
    return conflict


def _returned(conflict: Conflict, pull: Pull) -> Conflict:
    valued = conflict.proposal is not None and conflict.proposal.value is not None
    if pull.confirmed or (pull.open_rows == 0 and (not valued or pull.gone)):
        return replace(conflict, state=State.EFFECTIVE, cause=Cause.CONFIRMED)
    if pull.moved:
        return replace(conflict, cause=Cause.AWAITING if pull.old_value else Cause.OTHER_VALUE)
    return conflict


def _effective(conflict: Conflict, pull: Pull) -> Conflict:
    if conflict.cause == Cause.CONFIRMED:
        valued = conflict.proposal is not None and conflict.proposal.value is not None
        again = pull.moved and pull.open_rows > 0 and (pull.waiting > 0 or not valued)
        if pull.contradicted or again:
            back = pull.old_value or not valued
            return cleared(conflict, State.WAITING, Cause.REVERTED if back else Cause.CHANGED)
        return conflict
    if conflict.proposal is not None:
        if not (pull.moved or pull.lapsed):
            return conflict
        if pull.open_rows == 0:
            return cleared(conflict, State.EFFECTIVE, Cause.AGREED)
        return cleared(conflict, State.WAITING, Cause.CHANGED)
    if pull.moved and pull.waiting > 0:
        return cleared(conflict, State.WAITING, Cause.CHANGED)
    if pull.moved and pull.open_rows > 0 and conflict.cause != Cause.BY_AUTHORITY:
        return replace(conflict, cause=Cause.BY_AUTHORITY)
    return conflict
