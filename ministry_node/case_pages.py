"""What the ministry sees of its cases (console 5, 跨省核查): lists, one case with answers and history, counts.

SQL to frozen dataclasses; no route, no decision, nothing of the person. A list is read by key (case number), a page
at a time; what the answers amount to is `case_states`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from hub.case_form import CaseState
from hub.errors import UsageError
from hub.masking import swept
from hub.store.case_tables import CASE_EVENT, CASE_PARTY, CROSS_CASE
from ministry_node.case_states import Outlook, overdue
from ministry_node.case_store import Stored, load, unknown

STATES: Final = tuple(str(s) for s in CaseState)
OPEN: Final = tuple(str(s) for s in CaseState if s is not CaseState.CLOSED)
TOLD: Final = (str(CaseState.ISSUED), str(CaseState.ANSWERED))
MAX_PAGE: Final = 5_000


@dataclass(frozen=True)
class Filter:
    """Conditions of a list; empty means all. `node`: a province that has a part; `overdue`: late on the day given;
    `within`: provinces the reader may see, None for all (console 1)."""

    state: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    overdue: bool = False
    within: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Line:
    """One case in a list. `provinces`: `13 保留本省学籍` each; `stage`: 0, 1 reminded, 2 taken up a level."""

    case_no: str
    state: str
    outlook: str
    provinces: tuple[str, ...]
    reason: str
    cause: str
    round_no: int
    opened_at: str
    issued_at: str | None
    due: str | None
    overdue: bool
    reminders: int
    stage: int
    keeper: str | None


@dataclass(frozen=True)
class Cases:
    """A page of cases in order of number; `after`: where the next one begins, None at the end."""

    lines: tuple[Line, ...]
    after: str | None


@dataclass(frozen=True)
class Part:
    """One record of a case: whose, where, whether it stands, what its province said and in which batch."""

    node: str
    pk: str
    school: str | None
    standing: bool
    told: bool
    opened_at: str | None
    answer: str | None
    answer_reason: str | None
    answered_at: str | None
    answer_batch: str | None
    left_cause: str | None
    left_by: str | None


@dataclass(frozen=True)
class Happened:
    """One line of a case's history."""

    ts: str
    action: str
    state: str
    cause: str | None
    node: str | None
    person: str
    second: str | None
    evidence: str | None
    note: str | None

    @property
    def people(self) -> str:
        """Who did it, and who looked over the shoulder."""
        return "、".join(x for x in (self.person, self.second) if x)


@dataclass(frozen=True)
class Detail:
    """A case as one page shows it."""

    line: Line
    closed_at: str | None
    closed_by: str | None
    evidence: str | None
    parts: tuple[Part, ...]
    history: tuple[Happened, ...]


def list_cases(
    connection: sa.Connection, chosen: Filter, *, today: date, after: str = "", offset: int = 0, size: int = 50
) -> Cases:
    """One page: cases with a number above `after`, or from the `offset`-th on, at most `size`."""
    if not 1 <= size <= MAX_PAGE:
        raise UsageError("E3817", f"每页条数须在 1 与 {MAX_PAGE} 之间", step="改正 --size")
    number = CROSS_CASE.c.case_no
    terms = [*_terms(chosen, today), *([number > after] if after else [])]
    query = sa.select(number).where(*terms).order_by(number).limit(size + 1)
    numbers = [str(n) for n in connection.execute(query if after else query.offset(offset)).scalars()]
    more, numbers = len(numbers) > size, numbers[:size]
    return Cases(lines_of(connection, numbers, today), numbers[-1] if more else None)


def lines_of(connection: sa.Connection, numbers: list[str], today: date) -> tuple[Line, ...]:
    """Lines of the cases with these numbers."""
    if not numbers:
        return ()
    rows = connection.execute(sa.select(CROSS_CASE).where(CROSS_CASE.c.case_no.in_(numbers))).mappings()
    moments = {row["case_no"]: row for row in rows}
    return tuple(_line(case, moments[case.case_no], today) for case in load(connection, numbers))


def count_cases(connection: sa.Connection, chosen: Filter, *, today: date) -> int:
    """How many cases meet the conditions."""
    query = sa.select(sa.func.count()).select_from(CROSS_CASE).where(*_terms(chosen, today))
    return int(connection.execute(query).scalar_one())


def by_state(connection: sa.Connection, chosen: Filter, *, today: date) -> dict[str, int]:
    """Cases per state, without the filter's own state (a facet ignores itself)."""
    free = replace(chosen, state=())
    c = CROSS_CASE.c
    rows = connection.execute(sa.select(c.state, sa.func.count()).where(*_terms(free, today)).group_by(c.state)).all()
    return {str(s): int(n) for s, n in sorted(rows)}


def by_province(connection: sa.Connection, chosen: Filter, *, today: date) -> dict[str, int]:
    """Cases per province that has a part in them."""
    free = replace(chosen, node=())
    number = sa.func.count(sa.distinct(CASE_PARTY.c.case_no))
    query = (
        sa.select(CASE_PARTY.c.node, number)
        .join(CROSS_CASE, CROSS_CASE.c.case_no == CASE_PARTY.c.case_no)
        .where(*_terms(free, today))
        .group_by(CASE_PARTY.c.node)
    )
    return {str(node): int(n) for node, n in sorted(connection.execute(query).all())}


def late_provinces(connection: sa.Connection, *, today: date) -> dict[str, int]:
    """Per province, the cases it has not answered by the day: whom to remind."""
    p = CASE_PARTY.c
    final = ("保留本省学籍", "退回源头平台", "非同一人")
    query = (
        sa.select(p.node, sa.func.count(sa.distinct(p.case_no)))
        .join(CROSS_CASE, CROSS_CASE.c.case_no == p.case_no)
        .where(CROSS_CASE.c.state.in_(TOLD), CROSS_CASE.c.due < today.isoformat(), p.standing == "1")
        .where(sa.or_(p.answer.is_(None), p.answer.not_in(final)))
        .group_by(p.node)
    )
    return {str(node): int(n) for node, n in sorted(connection.execute(query).all())}


def show_case(connection: sa.Connection, number: str, *, today: date, within: tuple[str, ...] | None = None) -> Detail:
    """One case with its records and history. UsageError E3811 when there is none, or none `within` these provinces."""
    (case,) = load(connection, [number])
    if within is not None and not {r.node for r in case.records} & set(within):
        raise unknown([number])
    row = connection.execute(sa.select(CROSS_CASE).where(CROSS_CASE.c.case_no == number)).mappings().one()
    p, e = CASE_PARTY.c, CASE_EVENT.c
    parts = connection.execute(sa.select(CASE_PARTY).where(p.case_no == number).order_by(p.node, p.pk)).mappings()
    said = connection.execute(sa.select(CASE_EVENT).where(e.case_no == number).order_by(e.event_no)).mappings()
    return Detail(
        _line(case, row, today), row["closed_at"], row["closed_by"], row["evidence"],
        tuple(_part(r) for r in parts), tuple(_happened(r) for r in said),
    )  # fmt: skip


def _terms(chosen: Filter, today: date) -> list[Any]:
    c = CROSS_CASE.c
    terms: list[Any] = []
    if chosen.state:
        terms.append(c.state.in_(chosen.state))
    if chosen.numbers:
        terms.append(c.case_no.in_(chosen.numbers))
    if chosen.node:
        terms.append(_of_provinces(chosen.node))
    if chosen.within is not None:
        terms.append(_of_provinces(chosen.within))
    if chosen.overdue:
        terms += [c.state == str(CaseState.ISSUED), c.due < today.isoformat()]
    return terms


def _of_provinces(nodes: Sequence[str]) -> Any:
    """Cases with a record of one of these provinces; under a name of its own, for a list may join the records too."""
    party = CASE_PARTY.alias("seen")
    held = sa.select(party.c.case_no).where(party.c.case_no == CROSS_CASE.c.case_no, party.c.node.in_(nodes))
    return held.correlate(CROSS_CASE).exists()


def _line(case: Stored, row: Mapping[Any, Any], today: date) -> Line:
    told = case.state in (CaseState.ISSUED, CaseState.ANSWERED)
    provinces = tuple(
        f"{v.node} {v.answer or ('未答复' if v.told == case.round_no else '未下发')}"
        if v.standing
        else f"{v.node} 已不在读"
        for v in case.voices
    )
    return Line(
        case_no=case.case_no, state=str(case.state), outlook=str(case.outlook) if told else "", provinces=provinces,
        reason=case.reason, cause=case.cause, round_no=case.round_no, opened_at=row["opened_at"],
        issued_at=row["issued_at"], due=case.due,
        overdue=case.outlook is Outlook.WAITING and told and overdue(case.due, today),
        reminders=case.reminders, stage=case.stage, keeper=case.keeper,
    )  # fmt: skip


def _part(row: Mapping[Any, Any]) -> Part:
    names = ["node", "pk", "school", "opened_at", "answer", "answer_reason", "answered_at", "answer_batch"]
    names += ["left_cause", "left_by"]
    return Part(standing=row["standing"] == "1", told=bool(row["told_round"]), **{n: row[n] for n in names})


def _happened(row: Mapping[Any, Any]) -> Happened:
    names = ("ts", "action", "cause", "node", "person", "second", "evidence")
    note = swept(row["note"]) if row["note"] else None
    return Happened(state=row["to_state"], note=note, **{n: row[n] for n in names})
