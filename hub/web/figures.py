"""What the node's own tables say about its health: for `/metrics`, the workbench and the help page.

SQL to frozen dataclasses; no value of a record. Decides what counts as an alarm: a closed list of audit events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from hub.audit import Event
from hub.store import Reader
from hub.store.decision_tables import DECISION
from hub.store.ledger import AUDIT_EVENT, EXTRACT, INBOX, OUTBOX, QUARANTINE, RUN

ALARMS: Final = (
    Event.TRUST_LIST_REFUSED, Event.RUN_HELD, Event.SOURCE_ALARM, Event.BATCH_REFUSED, Event.BATCH_HELD,
    Event.BATCH_VOID, Event.STREAM_FROZEN, Event.HEAD_ALARM, Event.RESTORE_FOUND, Event.RECEIPT_IGNORED,
    Event.DOWN_REFUSED, Event.UNEXPECTED_FILE,
)  # fmt: skip
VERIFY_FAILURES: Final = (
    Event.BATCH_REFUSED, Event.TRUST_LIST_REFUSED, Event.RECEIPT_IGNORED, Event.DOWN_REFUSED, Event.GRANT_REFUSED,
)  # fmt: skip
# A mark of this length in the audit log is looked at for alarms; older ones are in 审计日志.
_RECENT: Final = 20_000
# The marker of `decision.closed`, and the one state that closed ones stand in.
_OPEN, _CLOSED, _SETTLED = "0", "1", "已生效"


@dataclass(frozen=True)
class Batch:
    """One exchange batch of either direction. `party`: whose stream."""

    party: str
    direction: str
    batch_id: str
    state: str
    rows: int
    at: str


@dataclass(frozen=True)
class Alarm:
    """An audited event that asks for a person."""

    number: int
    ts: str
    action: str
    object: str


@dataclass(frozen=True)
class Figures:
    """All figures of `/metrics`. Moments are UTC texts; ages are left to the caller, who knows the time."""

    sources: Mapping[str, str]
    last_run: str | None
    conflicts: Mapping[str, int]
    oldest_open: str | None
    quarantined: int
    outbox: Mapping[str, int]
    last_sent: str | None
    inbox: Mapping[str, str]
    inbox_verdicts: Mapping[str, int]
    verify_failures: int


def figures(reader: Reader) -> Figures:
    """Reads them all; a handful of grouped counts."""
    ask = reader.connection.execute
    by_system = (
        sa.select(EXTRACT.c.system, sa.func.max(RUN.c.ended))
        .join_from(EXTRACT, RUN, RUN.c.run_no == EXTRACT.c.run_no)
        .where(EXTRACT.c.state == "done", RUN.c.state == "done")
        .group_by(EXTRACT.c.system)
    )
    # Open ones by their marker, for which there is an index; closed ones stand in one state and are the many.
    open_ones = DECISION.c.closed == _OPEN
    conflicts = sa.select(DECISION.c.state, sa.func.count()).where(open_ones).group_by(DECISION.c.state)
    closed = sa.select(sa.func.count()).select_from(DECISION).where(DECISION.c.closed == _CLOSED)
    by_peer = sa.select(INBOX.c.party, INBOX.c.verdict, sa.func.count(), sa.func.max(INBOX.c.decided_at)).group_by(
        INBOX.c.party, INBOX.c.verdict
    )
    failures = sa.select(sa.func.count()).where(AUDIT_EVENT.c.action.in_([e.value for e in VERIFY_FAILURES]))
    open_run = sa.select(sa.func.min(DECISION.c.opened_run)).where(open_ones).scalar_subquery()
    settled = int(ask(closed).scalar_one())
    peers = [(str(p), str(v or ""), int(n), str(t or "")) for p, v, n, t in ask(by_peer)]
    return Figures(
        sources={s: e for s, e in ask(by_system) if s and e},
        last_run=ask(sa.select(sa.func.max(RUN.c.ended))).scalar_one(),
        conflicts={s or "": n for s, n in ask(conflicts)} | ({_SETTLED: settled} if settled else {}),
        oldest_open=ask(sa.select(RUN.c.ended).where(RUN.c.run_no == open_run)).scalar_one_or_none(),
        quarantined=ask(sa.select(sa.func.count()).select_from(QUARANTINE).where(_open())).scalar_one(),
        outbox={s or "": n for s, n in ask(sa.select(OUTBOX.c.state, sa.func.count()).group_by(OUTBOX.c.state))},
        last_sent=ask(sa.select(sa.func.max(OUTBOX.c.sealed_at))).scalar_one(),
        inbox={p: t for p, _, _, t in sorted(peers, key=lambda peer: peer[3]) if t},
        inbox_verdicts=_summed_by((v, n) for _, v, n, _ in peers),
        verify_failures=ask(failures).scalar_one(),
    )


def _summed_by(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, n in pairs:
        found[name] = found.get(name, 0) + n
    return found


@dataclass(frozen=True)
class Run:
    """One round of the node."""

    number: int
    mode: str
    today: str
    state: str
    ended: str
    counts: Mapping[str, int]


_TOLD: Final = ("inserted", "updated", "unchanged", "deleted", "quarantined", "held")


def _summed(counts: str | None) -> dict[str, int]:
    """Totals over all entities of a round's balance."""
    balance = json.loads(counts or "{}").get("balance", {}).values()
    return {name: sum((one.get(name) or one.get("outcomes", {}).get(name) or 0) for one in balance) for name in _TOLD}


def last_runs(reader: Reader, most: int = 20) -> tuple[Run, ...]:
    """The newest rounds first."""
    c = RUN.c
    query = sa.select(c.run_no, c.run_mode, c.today, c.state, c.ended, c.counts).order_by(c.run_no.desc()).limit(most)
    rows = reader.connection.execute(query)
    return tuple(Run(r[0], r[1] or "", r[2] or "", r[3] or "", r[4] or "", _summed(r[5])) for r in rows)


def last_batches(reader: Reader, most: int = 8) -> tuple[Batch, ...]:
    """The newest batches sent and received."""
    sent = reader.connection.execute(
        sa.select(OUTBOX).order_by(OUTBOX.c.sealed_at.desc(), OUTBOX.c.seq.desc()).limit(most)
    ).mappings()
    taken = reader.connection.execute(
        sa.select(INBOX).order_by(INBOX.c.received_at.desc(), INBOX.c.seq.desc()).limit(most)
    ).mappings()
    found = [
        Batch(r["stream"][:2], "发出", r["batch_id"], r["verdict"] or r["state"], _rows(r), r["sealed_at"] or "")
        for r in sent
    ]
    found += [
        Batch(r["party"], "接收", r["batch_id"], r["verdict"] or "", _rows(r), r["decided_at"] or "") for r in taken
    ]
    return tuple(sorted(found, key=lambda b: b.at, reverse=True)[:most])


def alarms(reader: Reader, since: str, most: int = 8) -> tuple[Alarm, ...]:
    """Alarms after a moment (UTC text), newest first, among the newest records of the log."""
    c = AUDIT_EVENT.c
    newest = reader.connection.execute(sa.select(sa.func.max(c.i))).scalar_one() or 0
    query = (
        sa.select(c.i, c.ts, c.action, c.object)
        .where(c.i > newest - _RECENT, c.ts >= since, c.action.in_([e.value for e in ALARMS]))
        .order_by(c.i.desc())
        .limit(most)
    )
    return tuple(Alarm(i, ts, action, what or "") for i, ts, action, what in reader.connection.execute(query))


def _open() -> sa.ColumnElement[bool]:
    return QUARANTINE.c.closed_run.is_(None)


def _rows(row: sa.RowMapping) -> int:
    return sum(row[name] or 0 for name in ("rows_i", "rows_u", "rows_d"))
