"""The life of a conflict as values: states, actions, and for each transition a new value or a refusal that says why.

Decides every line of console §3 that a person causes (what a pull causes: `quality.decisions_pull`). Pure: who acts, the version they saw and the day are arguments; storing, auditing and
set-based work (`quality.decisions_store`, `_bulk`, `_follow`) say the same in SQL, and tests hold the two together.

Four-eyes is by person, not account or role. The version must be the one that was shown: decisions raise it, and so does
a pull that changes the sources, so nobody approves unseen values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from hub.roles import Operator, same_person


class State(StrEnum):
    """Where a conflict stands; the words are what people see."""

    WAITING = "待处理"
    PROPOSED = "已提议"
    IN_REVIEW = "待复核"
    EFFECTIVE = "已生效"
    RETURNED = "退回源头平台"
    POSTPONED = "暂缓"


class Action(StrEnum):
    """What a person does."""

    PROPOSE = "提议"
    SUBMIT = "提交"
    WITHDRAW = "撤回"
    REJECT = "驳回"
    APPROVE = "通过"
    POSTPONE = "暂缓"
    RESUME = "恢复"
    REOPEN = "重开"
    ASSIGN = "分派"
    COMMENT = "备注"
    DUE = "截止日期"


class Kind(StrEnum):
    """What is proposed."""

    ADOPT = "采用来源值"
    MANUAL = "手工值"
    RETURN = "退回源头平台"
    KEEP = "保留本省学籍"
    OTHER_PERSON = "非同一人"


class Cause(StrEnum):
    """Why a conflict stands where it stands."""

    FOUND = "来源不一致"
    BY_AUTHORITY = "已由权威源定值"
    APPROVED = "复核通过"
    AWAITING = "等待源头更新"
    OTHER_VALUE = "源头改为其他值"
    CONFIRMED = "源头已更新"
    AGREED = "各源已一致"
    REVERTED = "源头回退"
    CHANGED = "来源值变化"
    REOPENED = "重开"
    WITHDRAWN = "撤回"
    REJECTED = "驳回"
    EXPIRED = "暂缓到期"
    RESUMED = "恢复"


@dataclass(frozen=True)
class Source:
    """What one source says: source id (`S1`, `L`, `P` the value kept from before), value, whether it may be adopted."""

    source: str
    value: str | None
    valid: bool = True


@dataclass(frozen=True)
class Proposal:
    """What shall become true: a source's value, a value by hand, or nothing (退回源头平台)."""

    kind: Kind
    source: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Conflict:
    """One field of one record on which good rows disagree, as it stands. `authority`: the owning platform, if any.

    `clash`: rows that exclude each other (ruling 3): no value can be adopted, only the source can put it right.
    `case`: the ministry's question (来源：部级核查), which is answered by `CASE_KINDS` and changes no value.
    """

    number: int
    state: State = State.WAITING
    version: int = 1
    round_no: int = 1
    cause: str = Cause.FOUND
    sources: tuple[Source, ...] = ()
    authority: str | None = None
    clash: bool = False
    case: bool = False
    proposal: Proposal | None = None
    proposer: str | None = None
    reviewer: str | None = None
    effect: bool = False
    state_before: State | None = None
    until: str | None = None
    assignee: str | None = None
    due: str | None = None
    last: str = ""
    """Who changed it last, what and when, for the second writer."""

    @property
    def authority_value(self) -> str | None:
        """What the owning platform says now."""
        return next((s.value for s in self.sources if s.source == self.authority), None)


@dataclass(frozen=True)
class Move:
    """An action with what it carries. `reason`: a code of `schemas/reasons.yaml`; dates `YYYY-MM-DD`."""

    action: Action
    reason: str = ""
    note: str = ""
    proposal: Proposal | None = None
    until: str | None = None
    due: str | None = None
    assignee: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Why not. `code` is stable; `status` is what a web page answers (403 right, 409 version, 422 the rest)."""

    code: str
    sentence: str
    status: int = 422


@dataclass(frozen=True)
class Step:
    """A transition that happened: the conflict after it."""

    before: Conflict
    after: Conflict
    move: Move

    @property
    def changed_version(self) -> bool:
        return self.after.version != self.before.version


@dataclass(frozen=True)
class Line:
    """One line of the table in console §3: from which states, by which right."""

    states: frozenset[State]
    verb: str
    raises: bool = True


CASE_KINDS: Final = (Kind.KEEP, Kind.RETURN, Kind.OTHER_PERSON)
_OPEN: Final = frozenset({State.WAITING, State.PROPOSED, State.IN_REVIEW})
_ALL: Final = frozenset(State)
LINES: Final[Mapping[Action, Line]] = {
    Action.PROPOSE: Line(frozenset({State.WAITING, State.PROPOSED}), "propose"),
    Action.SUBMIT: Line(frozenset({State.PROPOSED}), "propose"),
    Action.WITHDRAW: Line(frozenset({State.PROPOSED, State.IN_REVIEW}), "propose"),
    Action.REJECT: Line(frozenset({State.IN_REVIEW}), "review"),
    Action.APPROVE: Line(frozenset({State.IN_REVIEW}), "review"),
    Action.POSTPONE: Line(_OPEN, "postpone"),
    Action.RESUME: Line(frozenset({State.POSTPONED}), "postpone"),
    Action.REOPEN: Line(frozenset({State.EFFECTIVE, State.RETURNED}), "reopen"),
    Action.ASSIGN: Line(_ALL - {State.EFFECTIVE}, "assign", raises=False),
    Action.COMMENT: Line(_ALL, "comment", raises=False),
    Action.DUE: Line(_ALL - {State.EFFECTIVE}, "due", raises=False),
}


def decide(conflict: Conflict, move: Move, by: Operator, *, version: int, today: str) -> Step | Refusal:
    """The conflict after the move, or why not; nothing else happens. `today`: YYYY-MM-DD.

    Reason codes are checked before by `quality.reasons`; here stands what the state machine itself asks for.
    """
    line = LINES[move.action]
    verb = "return" if move.proposal is not None and move.proposal.kind is Kind.RETURN else line.verb
    if not by.may(verb):
        return Refusal("E3321", f"您的角色不能{move.action}", 403)
    if version != conflict.version:
        return stale(conflict)
    if conflict.state not in line.states:
        return Refusal("E3323", f"当前状态为{conflict.state}，不能{move.action}", 409)
    refusal = _CHECKS.get(move.action, _nothing)(conflict, move, by, today)
    if refusal is not None:
        return refusal
    after = _EFFECTS[move.action](conflict, move, by)
    return Step(conflict, replace(after, version=conflict.version + 1) if line.raises else after, move)


def stale(conflict: Conflict) -> Refusal:
    """The second writer: who changed what and when (console 3)."""
    last = f"：{conflict.last}" if conflict.last else ""
    return Refusal("E3322", f"已被他人更新{last}，请重新查看后再处理", 409)


def contradicts(conflict: Conflict, proposal: Proposal) -> bool:
    """True when approving asks the owning platform to change: 退回, or a value other than the one it delivers."""
    if proposal.kind is Kind.RETURN:
        return True
    own = conflict.authority_value
    return conflict.authority is not None and own is not None and own != proposal.value


def _nothing(_conflict: Conflict, _move: Move, _by: Operator, _today: str) -> Refusal | None:
    return None


def _own(conflict: Conflict, by: Operator) -> bool:
    return conflict.proposer is not None and same_person(conflict.proposer, by.person)


def _may_propose(conflict: Conflict, move: Move, by: Operator, _today: str) -> Refusal | None:
    if conflict.state is State.PROPOSED and not _own(conflict, by):
        return Refusal("E3324", "该冲突已由他人提议，只有提议人可以修改；请提议人撤回后再处理", 403)
    proposal = move.proposal
    if proposal is None:
        return Refusal("E3325", "没有给出处理意见：采用来源值、手工值或退回源头平台")
    if not move.reason:
        return Refusal("E3326", "处理意见须给出原因")
    if (proposal.kind in CASE_KINDS) if conflict.case else proposal.kind is Kind.RETURN:
        return None
    if conflict.case or proposal.kind in CASE_KINDS:
        answers = "、".join(CASE_KINDS)
        return Refusal("E3327", f"{answers}是对部级核查的答复，部级核查也只能这样答复")
    if conflict.clash:
        return Refusal("E3327", "多行互相排斥，无唯一权威源，只能退回源头平台")
    if proposal.kind is Kind.MANUAL:
        if not move.note.strip():
            return Refusal("E3326", "手工值须写明说明文字")
        return None if proposal.value else Refusal("E3325", "手工值不能为空")
    said = [s for s in conflict.sources if s.source == proposal.source and s.value is not None]
    if not said:
        return Refusal("E3325", "没有这个来源，或该来源没有值")
    found = next((s for s in said if s.value == proposal.value), None)
    if found is None:
        return stale(conflict)
    return None if found.valid else Refusal("E3328", "该来源的值无效，不能采用")


def _may_act_on_own(conflict: Conflict, move: Move, by: Operator, _today: str) -> Refusal | None:
    if not _own(conflict, by):
        return Refusal("E3324", f"只有提议人可以{move.action}", 403)
    return None


def _may_review(conflict: Conflict, move: Move, by: Operator, _today: str) -> Refusal | None:
    if conflict.proposer is None or same_person(conflict.proposer, by.person):
        return Refusal("E3329", "不能复核本人提交的处理意见", 403)
    if move.action is Action.REJECT and not move.reason:
        return Refusal("E3326", "驳回须给出原因")
    return None


def _may_postpone(_conflict: Conflict, move: Move, _by: Operator, today: str) -> Refusal | None:
    if not move.until or move.until <= today:
        return Refusal("E3330", "暂缓须给出今天以后的日期")
    return None if move.reason else Refusal("E3326", "暂缓须给出原因")


def _may_reopen(_conflict: Conflict, move: Move, _by: Operator, _today: str) -> Refusal | None:
    return None if move.reason else Refusal("E3326", "重开须给出原因")


def _may_comment(_conflict: Conflict, move: Move, _by: Operator, _today: str) -> Refusal | None:
    return None if move.note.strip() else Refusal("E3326", "备注没有内容")


def _may_assign(_conflict: Conflict, move: Move, _by: Operator, _today: str) -> Refusal | None:
    return None if move.assignee else Refusal("E3325", "没有给出承办人")


def _may_date(_conflict: Conflict, move: Move, _by: Operator, today: str) -> Refusal | None:
    return None if move.due and move.due >= today else Refusal("E3330", "截止日期须是今天或以后的日期")


_CHECKS: Final[Mapping[Action, Callable[[Conflict, Move, Operator, str], Refusal | None]]] = {
    Action.PROPOSE: _may_propose,
    Action.SUBMIT: _may_act_on_own,
    Action.WITHDRAW: _may_act_on_own,
    Action.REJECT: _may_review,
    Action.APPROVE: _may_review,
    Action.POSTPONE: _may_postpone,
    Action.REOPEN: _may_reopen,
    Action.COMMENT: _may_comment,
    Action.ASSIGN: _may_assign,
    Action.DUE: _may_date,
}


def cleared(conflict: Conflict, state: State, cause: str) -> Conflict:
    """The conflict without a proposal: what was decided lives on in the history."""
    return replace(
        conflict, state=state, cause=cause, proposal=None, proposer=None, reviewer=None, effect=False,
        state_before=None, until=None,
    )  # fmt: skip


def _proposed(conflict: Conflict, move: Move, by: Operator) -> Conflict:
    return replace(
        conflict, state=State.PROPOSED, proposal=move.proposal, proposer=by.person, reviewer=None, cause=Cause.FOUND
    )


def _approved(conflict: Conflict, _move: Move, by: Operator) -> Conflict:
    if conflict.proposal is None:
        raise RuntimeError("a conflict in review has a proposal")
    if contradicts(conflict, conflict.proposal):
        return replace(conflict, state=State.RETURNED, reviewer=by.person, cause=Cause.AWAITING, effect=False)
    return replace(conflict, state=State.EFFECTIVE, reviewer=by.person, cause=Cause.APPROVED, effect=not conflict.case)


def _resumed(conflict: Conflict, _move: Move, _by: Operator) -> Conflict:
    return resumed(conflict, Cause.RESUMED)


def resumed(conflict: Conflict, cause: Cause = Cause.EXPIRED) -> Conflict:
    """暂缓 is over: back to the state before."""
    before = conflict.state_before or State.WAITING
    return replace(conflict, state=before, state_before=None, until=None, cause=cause)


_EFFECTS: Final[Mapping[Action, Callable[[Conflict, Move, Operator], Conflict]]] = {
    Action.PROPOSE: _proposed,
    Action.SUBMIT: lambda c, _m, _b: replace(c, state=State.IN_REVIEW),
    Action.WITHDRAW: lambda c, _m, _b: cleared(c, State.WAITING, Cause.WITHDRAWN),
    Action.REJECT: lambda c, _m, _b: replace(c, state=State.PROPOSED, cause=Cause.REJECTED),
    Action.APPROVE: _approved,
    Action.POSTPONE: lambda c, m, _b: replace(c, state=State.POSTPONED, state_before=c.state, until=m.until),
    Action.RESUME: _resumed,
    Action.REOPEN: lambda c, _m, _b: replace(cleared(c, State.WAITING, Cause.REOPENED), round_no=c.round_no + 1),
    Action.ASSIGN: lambda c, m, _b: replace(c, assignee=m.assignee),
    Action.COMMENT: lambda c, _m, _b: c,
    Action.DUE: lambda c, m, _b: replace(c, due=m.due),
}
