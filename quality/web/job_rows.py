"""Bulk operations as pages show them: SQL to values.

Decides who sees an operation: the person who started it; supervisors, reviewers and auditors of the whole node see all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.roles import Operator
from hub.store import Reader
from hub.store.decision_tables import BULK_OPERATION, DECISION, DECISION_EVENT
from hub.web.filters import moment
from quality.decisions_bulk import FINISHED, PROPOSES, RUNNING, STOPPED, STOPPING, UNDONE, Bulk
from quality.decisions_query import in_states, taken_by, within
from quality.reasons import reasons
from quality.web.wording import entity_name, field_name, school_names

_OVERSEERS = ("assign", "review", "audit")


@dataclass(frozen=True)
class Job:
    """One operation. `rest`: able and not yet looked at while it runs."""

    op_no: str
    action: str
    state: str
    actor: str
    person: str
    reason: str
    note: str
    detail: str
    hits: int
    able: int
    done: int
    missed: int
    undone: int
    kept: int
    skipped: Mapping[str, int]
    started: str
    ended: str
    undone_at: str

    @property
    def running(self) -> bool:
        return self.state in (RUNNING, STOPPING)

    @property
    def revocable(self) -> bool:
        """Proposals not yet taken back as a whole."""
        return (
            Bulk(self.action) in PROPOSES
            and self.done > self.undone
            and self.state in (FINISHED, STOPPED, UNDONE, RUNNING)
        )

    @property
    def passed_over(self) -> int:
        return sum(self.skipped.values())


def jobs(reader: Reader, by: Operator, *, limit: int = 50, before: str = "") -> tuple[Job, ...]:
    """The newest operations this person may see."""
    query = sa.select(BULK_OPERATION).where(_seen(by)).order_by(BULK_OPERATION.c.op_no.desc()).limit(limit)
    if before:
        query = query.where(BULK_OPERATION.c.op_no < before)
    return tuple(_job(dict(r)) for r in reader.connection.execute(query).mappings())


def job(reader: Reader, by: Operator, op_no: str) -> Job | None:
    """One of them."""
    query = sa.select(BULK_OPERATION).where(_seen(by), BULK_OPERATION.c.op_no == op_no)
    found = reader.connection.execute(query).mappings().first()
    return _job(dict(found)) if found is not None else None


def _seen(by: Operator) -> Any:
    oversees = any(s.whole and not s.categories for verb in _OVERSEERS for s in by.scopes(verb))
    return sa.true() if oversees else BULK_OPERATION.c.person == by.person


def _job(row: Mapping[str, Any]) -> Job:
    known = reasons().get(row["reason"] or "")
    numbers = {n: int(row[n] or 0) for n in ("hits", "able", "done", "missed", "undone", "kept")}
    return Job(
        op_no=row["op_no"], action=row["action"], state=row["state"], actor=row["actor"], person=row["person"],
        reason=known.cn if known else row["reason"] or "", note=row["note"] or "",
        detail=row["assignee"] or row["due"] or "", skipped=json.loads(row["skipped"] or "{}"),
        started=row["started"] or "", ended=row["ended"] or "", undone_at=row["undone_at"] or "", **numbers,
    )  # fmt: skip


def job_lines(reader: Reader, catalog: Catalog, node: str, by: Operator, op_no: str) -> Iterator[tuple[str, ...]]:
    """(number, kind of data, code and name of the field, code and name of the school, action, from, to, when, state
    now, version now) of everything an operation did. The time is Beijing's."""
    e, d = DECISION_EVENT.c, DECISION.c
    query = (
        sa.select(
            e.decision_no, d.entity, d.field, d.school, e.action, e.from_state, e.to_state, e.ts, d.state, d.version
        )
        .join_from(DECISION_EVENT, DECISION, d.decision_no == e.decision_no)
        .where(e.op_no == op_no, *taken_by((op_no,), e.decision_no), within(reader, node, by.scopes("query")))
        .order_by(e.decision_no, e.event_no)
    )
    for rows in reader.connection.execute(query.execution_options(yield_per=1000)).partitions():
        names = school_names(reader, node, [r.school for r in rows])
        for number, entity, field, school, action, before, after, ts, *now in rows:
            cells = (
                number, entity_name(catalog, entity), field, field_name(catalog, entity, field), school,
                names.get(school or "", ""), action, before, after, moment(ts), *now,
            )  # fmt: skip
            yield tuple("" if v is None else str(v) for v in cells)


@dataclass(frozen=True)
class Submitted:
    """Proposals that wait for review: one operation, or what one person submitted row by row. `own`: by the visitor."""

    op_no: str
    person: str
    kind: str
    rows: int
    since: str
    own: bool


def submitted(reader: Reader, node: str, by: Operator) -> tuple[Submitted, ...]:
    """What waits in the reviewer's scope, by 操作号, person and kind; oldest first."""
    d = DECISION.c
    inner = (
        sa.select(sa.func.coalesce(d.op_no, "-").label("op"), d.proposer, d.kind, d.proposed_at)
        .where(*in_states(("待复核",)), within(reader, node, by.scopes("review")))
        .subquery()
    )
    since = sa.func.min(inner.c.proposed_at).label("since")
    query = (
        sa.select(inner.c.op, inner.c.proposer, inner.c.kind, sa.func.count().label("n"), since)
        .group_by(inner.c.op, inner.c.proposer, inner.c.kind)
        .order_by(since)
    )
    return tuple(
        Submitted(r["op"], r["proposer"], r["kind"], int(r["n"]), r["since"] or "", r["proposer"] == by.person)
        for r in reader.connection.execute(query).mappings()
    )
