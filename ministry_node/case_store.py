"""Cases in the database: one read whole, its history written (protocol 14.5).

Decides that a change to a case, its history row and its audit record are one transaction, that a person's action and a
batch that follows the case never overtake each other, and that nothing is written over a case that changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from hub.batch import wire
from hub.case_form import Answer, CaseState
from hub.errors import UsageError
from hub.store.case_tables import CASE_EVENT, CASE_PARTY, CROSS_CASE
from hub.store.ledger import NODE_STATE
from ministry_node.case_states import Outlook, Voice, outlook
from ministry_node.down import Sender
from ministry_node.matching_keys import NAME


@dataclass(frozen=True)
class Record:
    """One record of the person: province, record number, school, whether it stands, what its province was told."""

    node: str
    pk: str
    school: str
    standing: bool
    told: int
    told_close: int
    answer: Answer | None
    answer_no: int


@dataclass(frozen=True)
class Stored:
    """A case as it stands, with its records by province and record number."""

    case_no: str
    state: CaseState
    cause: str
    reason: str
    round_no: int
    version: int
    events: int
    reminders: int
    stage: int
    due: str | None
    keeper: str | None
    evidence: str | None
    records: tuple[Record, ...] = field(default_factory=tuple)

    @property
    def voices(self) -> tuple[Voice, ...]:
        """One per province: its standing record speaks, else any."""
        found: dict[str, Record] = {}
        for record in sorted(self.records, key=lambda r: not r.standing):
            found.setdefault(record.node, record)
        return tuple(Voice(n, r.standing, r.told, r.answer) for n, r in sorted(found.items()))

    @property
    def outlook(self) -> Outlook:
        return outlook(self.voices, self.keeper)

    def nodes(self, *, standing: bool = True) -> tuple[str, ...]:
        """The provinces, those whose record stands unless told otherwise."""
        return tuple(v.node for v in self.voices if v.standing or not standing)


def lock_cases(connection: sa.Connection) -> None:
    """Nobody else changes cases until this transaction ends; intake takes the same row."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == NAME)
    connection.execute(query.with_for_update())


def load(connection: sa.Connection, numbers: Sequence[str] | None = None, *conditions: Any) -> list[Stored]:
    """Cases by number, or all that meet the conditions, in order of number. UsageError E3811 for an unknown number."""
    query = sa.select(CROSS_CASE).where(*conditions).order_by(CROSS_CASE.c.case_no)
    parties = sa.select(CASE_PARTY).order_by(CASE_PARTY.c.case_no, CASE_PARTY.c.node, CASE_PARTY.c.pk)
    if numbers is None:
        chosen = sa.select(CROSS_CASE.c.case_no).where(*conditions)
        rows = connection.execute(query).mappings().all()
        found = connection.execute(parties.where(CASE_PARTY.c.case_no.in_(chosen))).mappings().all()
    else:
        rows = connection.execute(query.where(CROSS_CASE.c.case_no.in_(list(numbers)))).mappings().all()
        found = connection.execute(parties.where(CASE_PARTY.c.case_no.in_(list(numbers)))).mappings().all()
        if strange := set(numbers) - {r["case_no"] for r in rows}:
            raise unknown(strange)
    by_case: dict[str, list[Record]] = {}
    for row in found:
        by_case.setdefault(row["case_no"], []).append(_record(row))
    return [_stored(row, by_case.get(row["case_no"], [])) for row in rows]


def unknown(numbers: Iterable[str]) -> UsageError:
    """E3811 for numbers that are no case's."""
    listed = "、".join(sorted(numbers))[:80]
    return UsageError("E3811", "没有这个核查编号", where=listed, step="用 hub case ls 查看编号")


def change(
    connection: sa.Connection,
    sender: Sender,
    case: Stored,
    action: str,
    *,
    state: CaseState | None = None,
    person: str,
    second: str = "",
    node: str | None = None,
    note: str = "",
    cause: str | None = None,
    evidence: str | None = None,
    **values: Any,
) -> int:
    """Writes a new version of a case with its history; the version. RuntimeError when it changed since it was read."""
    version, events, now = case.version + 1, case.events + 1, state or case.state
    moved = connection.execute(
        sa.update(CROSS_CASE)
        .where(CROSS_CASE.c.case_no == case.case_no, CROSS_CASE.c.version == case.version)
        .values(state=str(now), version=version, events=events, **({"cause": cause} if cause else {}), **values)
    )
    if moved.rowcount != 1:
        raise RuntimeError("the case changed although cases were locked")
    connection.execute(
        sa.insert(CASE_EVENT),
        {
            "case_no": case.case_no, "event_no": events, "round_no": case.round_no, "version": version,
            "action": action, "node": node, "to_state": str(now), "cause": cause, "person": person,
            "second": second or None, "evidence": evidence, "ts": wire.write_utc(sender.at), "note": note or None,
        },
    )  # fmt: skip
    return version


def tell(connection: sa.Connection, case: Stored, nodes: Sequence[str], **values: Any) -> None:
    """Notes on the records of these provinces what was told."""
    c = CASE_PARTY.c
    mine = sa.and_(c.case_no == case.case_no, c.node.in_(list(nodes)))
    connection.execute(sa.update(CASE_PARTY).where(mine).values(**values))


def _stored(row: Mapping[Any, Any], records: Sequence[Record]) -> Stored:
    numbers = {n: int(row[n] or 0) for n in ("round_no", "version", "events", "reminders", "stage")}
    return Stored(
        case_no=row["case_no"], state=CaseState(row["state"]), cause=row["cause"] or "", reason=row["reason"] or "",
        due=row["due"], keeper=row["keeper"], evidence=row["evidence"], records=tuple(records), **numbers,
    )  # fmt: skip


def _record(row: Mapping[Any, Any]) -> Record:
    answer = Answer(row["answer"]) if row["answer"] else None
    return Record(
        row["node"], row["pk"], row["school"] or "", row["standing"] == "1", int(row["told_round"] or 0),
        int(row["told_close"] or 0), answer, int(row["answer_no"] or 0),
    )  # fmt: skip
