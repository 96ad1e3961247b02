"""Decisions in the database: one conflict read as a value, one transition written with its event, audit and correction.

Decides that a transition, its history row, its audit record and the correction it causes commit together or not at all,
and that the row still has the version that was decided on. The state machine itself is `quality.decisions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, Result, append, next_number
from hub.errors import HubError
from hub.roles import Operator
from hub.store import Reader, Store, Transaction
from hub.store.decision_tables import CORRECTION, DECISION, DECISION_EVENT
from hub.store.ledger import CONFLICT
from quality.decisions import Action, Conflict, Kind, Move, Proposal, Refusal, Source, State, Step, decide
from quality.decisions_query import CASE_SUBJECT, marker, within
from quality.reasons import check_reason

WAITING: Final = "待处理"
PENDING, WITHDRAWN, CONFIRMED = "待源头确认", "已撤回", "已确认"
_BEIJING: Final = timezone(timedelta(hours=8))
SILENT: Final = frozenset({Action.ASSIGN, Action.COMMENT, Action.DUE})


class DecisionRefusedError(HubError):
    """A decision that may not be made; nothing was written. `status`: what a web page answers (403, 404, 409, 422)."""

    exit_code = 3

    def __init__(self, refusal: Refusal, number: int) -> None:
        where = f"冲突 {number}" if number else ""  # 0: of a whole operation
        super().__init__(refusal.code, refusal.sentence, where=where, step=_NEXT.get(refusal.status, ""))
        self.status = refusal.status
        self.refusal = refusal


_NEXT: Final = {
    403: "换由有权处理的另一人办理",
    404: "核对冲突编号与本人的数据范围",
    409: "重新查看该冲突的当前内容与版本号后再处理",
    422: "按提示改正后重试",
}


@dataclass(frozen=True)
class Acting:
    """Under which node, operator and moment something is done. `at`: aware; `today`: YYYY-MM-DD; `op_no`: the 操作号."""

    node: str
    by: Operator
    at: datetime
    today: str
    op_no: str = ""

    @property
    def ts(self) -> str:
        """As the tables hold it: UTC, ISO 8601, `Z`, milliseconds."""
        if self.at.tzinfo is None:
            raise RuntimeError("times are aware")
        return self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def act(store: Store, acting: Acting, number: int, move: Move, *, version: int) -> Step:
    """Makes one transition in its own transaction.

    Raises `DecisionRefusedError`; a refusal for want of right (403, four-eyes among them) leaves an audit record, and
    nothing else.
    """
    return act_all(store, acting, number, (move,), version=version)


def act_all(
    store: Store, acting: Acting, number: int, moves: Sequence[Move], *, version: int, seen: int | None = None
) -> Step:
    """Several transitions of one conflict, together or not at all (提议 and 提交); the last one. Raises as `act`.

    `seen`: see `transition`.
    """
    tried = moves[0]
    try:
        with store.begin() as tx:
            for tried in moves:
                step = transition(tx, acting, number, tried, version=version, seen=seen)
                version = step.after.version
            return step
    except DecisionRefusedError as refused:
        if refused.status == 403:
            with store.begin() as tx:
                _audit(tx, acting, f"conflict {number}", tried, {"code": refused.code}, Result.REFUSED)
        raise


def transition(
    tx: Transaction, acting: Acting, number: int, move: Move, *, version: int, seen: int | None = None
) -> Step:
    """The same within the caller's transaction.

    `seen`: how many events the form's page showed. What leaves the version alone (备注, 分派, 截止日期) cannot be told
    from its own repetition by it, so the same words of the same person after that event are the form sent twice: they
    are in the history already, and nothing is written.

    The audit head is taken before the row, as bulk operations and rounds take it: writers queue and cannot block each
    other crosswise.
    """
    next_number(tx.connection)
    row = _row(tx, number, acting, lock=True)
    conflict = as_value(row, sources_of(tx, [number]).get(number, []))
    if version != conflict.version:
        conflict = replace(conflict, last=_last_word(tx, number) or conflict.last)
    verdict = check_reason(move) or decide(conflict, move, acting.by, version=version, today=acting.today)
    if isinstance(verdict, Refusal):
        raise DecisionRefusedError(verdict, number)
    if seen is not None and move.action in SILENT and _told_already(tx, acting, number, move, seen):
        return verdict
    stamp = _audit(tx, acting, f"conflict {number}", move, {"to": str(verdict.after.state)})
    _write(tx, acting, row, verdict, stamp)
    return verdict


def _told_already(reader: Reader, acting: Acting, number: int, move: Move, seen: int) -> bool:
    """Whether this person's move stands among the events after the `seen`: any of the comments, the last of the days."""
    c = DECISION_EVENT.c
    query = sa.select(c.note).where(
        c.decision_no == number, c.event_no > seen, c.person == acting.by.person, c.action == str(move.action)
    )
    told = list(reader.connection.execute(query.order_by(c.event_no)).scalars())
    return _said(move) in (told if move.action is Action.COMMENT else told[-1:])


def _last_word(reader: Reader, number: int) -> str:
    """Who changed a conflict last, what and when (console 3); empty before the first transition."""
    c = DECISION_EVENT.c
    newest = sa.select(sa.func.max(c.event_no)).where(c.decision_no == number).scalar_subquery()
    query = sa.select(c.ts, c.actor, c.action).where(c.decision_no == number, c.event_no == newest)
    found = reader.connection.execute(query).first()
    return " ".join(word for word in (_told_at(found[0]), *found[1:]) if word) if found else ""


def _told_at(ts: str | None) -> str:
    """The moment as people read it: 2026-11-23 13:51 in Beijing; empty for none."""
    return datetime.fromisoformat(ts).astimezone(_BEIJING).strftime("%Y-%m-%d %H:%M") if ts else ""


def load(reader: Reader, number: int, acting: Acting | None = None) -> tuple[dict[str, Any], Conflict]:
    """The stored row and the conflict as a value. `DecisionRefusedError` 404 when there is none in the operator's scope."""
    row = _row(reader, number, acting, lock=False)
    return row, as_value(row, sources_of(reader, [number]).get(number, []))


def _row(reader: Reader, number: int, acting: Acting | None, *, lock: bool) -> dict[str, Any]:
    query = sa.select(DECISION).where(DECISION.c.decision_no == number)
    if acting is not None:
        query = query.where(within(reader, acting.node, acting.by.scopes("query")))
    found = reader.connection.execute(query.with_for_update() if lock else query).mappings().first()
    if found is None:
        raise DecisionRefusedError(Refusal("E3331", "没有这个冲突，或不在您的数据范围内", 404), number)
    return dict(found)


def sources_of(reader: Reader, numbers: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The losing values that stand, by conflict number, oldest first."""
    query = sa.select(CONFLICT).where(CONFLICT.c.decision_no.in_(list(numbers)), CONFLICT.c.closed_run.is_(None))
    found: dict[int, list[dict[str, Any]]] = {}
    for row in reader.connection.execute(query.order_by(CONFLICT.c.conflict_no)).mappings():
        found.setdefault(int(row["decision_no"]), []).append(dict(row))
    return found


def history(reader: Reader, number: int) -> list[dict[str, Any]]:
    """Every transition of a conflict over all its rounds, oldest first."""
    query = sa.select(DECISION_EVENT).where(DECISION_EVENT.c.decision_no == number).order_by(DECISION_EVENT.c.event_no)
    return [dict(r) for r in reader.connection.execute(query).mappings()]


def as_value(row: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Conflict:
    """The conflict as the state machine sees it."""
    kind = row["kind"]
    return Conflict(
        number=int(row["decision_no"]),
        state=State(row["state"]),
        version=int(row["version"]),
        round_no=int(row["round_no"]),
        cause=row["cause"] or "",
        sources=_sources(rows),
        authority=row["authority"] or None,
        clash=bool(row["clash"]),
        case=is_case(row["subject"]),
        proposal=Proposal(Kind(kind), row["chosen_source"], row["chosen_value"]) if kind else None,
        proposer=row["proposer"],
        reviewer=row["reviewer"],
        effect=row["effect"] == "1",
        state_before=State(row["state_before"]) if row["state_before"] else None,
        until=row["until"],
        assignee=row["assignee"],
        due=row["due"],
        last=f"{_told_at(row['changed_at'])} {row['cause'] or ''}".strip(),
    )


def is_case(subject: str | None) -> bool:
    """The conflict is a case of the ministry (来源：部级核查)."""
    return bool(subject) and str(subject).startswith(CASE_SUBJECT)


def _sources(rows: Iterable[Mapping[str, Any]]) -> tuple[Source, ...]:
    found: dict[tuple[str, str | None], Source] = {}
    for row in rows:
        against = row["state"] == WAITING and row["winner_source"]
        kept = row["winner_source"] == "P"
        for source, value, valid in (
            (row["source"], row["value"], not (against and kept)),
            (row["winner_source"], row["winner_value"], not against or kept),
        ):
            if source:
                found.setdefault((source, value), Source(source, value, bool(valid)))
    return tuple(found.values())


def _write(tx: Transaction, acting: Acting, row: Mapping[str, Any], step: Step, stamp: int) -> None:
    number, before, after, move = step.before.number, step.before, step.after, step.move
    values: dict[str, Any] = {
        "events": int(row["events"]) + 1, "version": after.version, "round_no": after.round_no,
        "assignee": after.assignee, "due": after.due,
    }  # fmt: skip
    if move.action not in SILENT:
        values |= {
            "stamp": stamp, "state": str(after.state), "cause": str(after.cause), "proposer": after.proposer, "reviewer": after.reviewer,
            "state_before": str(after.state_before) if after.state_before else None, "until": after.until,
            "effect": "1" if after.effect else "0",
            "closed": marker(after.state), "op_no": acting.op_no or None, "changed_at": acting.ts,
            **_proposal(after),
        }  # fmt: skip
    values |= _moments(acting, move)
    changed = tx.connection.execute(
        sa.update(DECISION)
        .where(DECISION.c.decision_no == number, DECISION.c.version == before.version)
        .values(**values)
    )
    if changed.rowcount != 1:
        raise DecisionRefusedError(Refusal("E3322", "已被他人更新，请重新查看后再处理", 409), number)
    chosen = move.proposal or after.proposal
    tx.connection.execute(
        sa.insert(DECISION_EVENT),
        {
            "decision_no": number, "event_no": values["events"], "round_no": after.round_no, "version": after.version,
            "action": str(move.action), "from_state": str(before.state), "to_state": str(after.state),
            "cause": str(after.cause), "person": acting.by.person, "actor": acting.by.name,
            "role": acting.by.role_for(_verb(move)), "kind": str(chosen.kind) if chosen else None,
            "chosen_source": chosen.source if chosen else None, "chosen_value": chosen.value if chosen else None,
            "reason": move.reason or None, "note": _said(move), "op_no": acting.op_no or None, "ts": acting.ts,
        },
    )  # fmt: skip
    _corrections(tx, acting, row, step)


def _said(move: Move) -> str | None:
    extra = move.until or move.due or move.assignee
    return "；".join(t for t in (extra, move.note.strip()) if t) or None


def _verb(move: Move) -> str:
    from quality.decisions import LINES

    return "return" if move.proposal and move.proposal.kind is Kind.RETURN else LINES[move.action].verb


def _proposal(after: Conflict) -> dict[str, Any]:
    if after.proposal is None:
        return {"kind": None, "chosen_source": None, "chosen_value": None}
    return {
        "kind": str(after.proposal.kind),
        "chosen_source": after.proposal.source,
        "chosen_value": after.proposal.value,
    }


def _moments(acting: Acting, move: Move) -> dict[str, Any]:
    if move.action is Action.PROPOSE:
        return {"proposed_at": acting.ts, "reason": move.reason, "note": move.note.strip() or None}
    if move.action is Action.APPROVE:
        return {"reviewed_at": acting.ts}
    if move.action in (Action.WITHDRAW, Action.REOPEN):
        return {"reason": None, "note": None, "proposed_at": None, "reviewed_at": None}
    return {}


def _corrections(tx: Transaction, acting: Acting, row: Mapping[str, Any], step: Step) -> None:
    """Approved against the authority: a request to the platform. Reopened: the open request is withdrawn."""
    number, move = step.before.number, step.move
    if move.action is Action.REOPEN:
        tx.connection.execute(
            sa.update(CORRECTION)
            .where(CORRECTION.c.decision_no == number, CORRECTION.c.state == PENDING)
            .values(state=WITHDRAWN, closed_at=acting.ts)
        )
    if move.action is Action.DUE:
        asked = CORRECTION.c.decision_no == number
        tx.connection.execute(sa.update(CORRECTION).where(asked, CORRECTION.c.state == PENDING).values(due=move.due))
    if move.action is Action.APPROVE and step.after.state is State.RETURNED:
        last = tx.connection.execute(sa.select(sa.func.max(CORRECTION.c.correction_no))).scalar_one() or 0
        tx.connection.execute(
            sa.insert(CORRECTION),
            {
                "correction_no": int(last) + 1, "decision_no": number, "round_no": step.after.round_no,
                **{c: row[c] for c in ("entity", "pk", "natural_key", "field", "rule", "school", "reason", "note", "due")},
                "system": row["authority"], "old_value": row["authority_value"],
                "wanted_value": row["chosen_value"], "state": PENDING,
                "asked_by": acting.by.person, "asked_at": acting.ts,
            },
        )  # fmt: skip


def _audit(
    tx: Transaction,
    acting: Acting,
    subject: str,
    move: Move,
    detail: Mapping[str, str | int],
    result: Result = Result.DONE,
) -> int:
    """One audit record; free texts and values stay in the workflow's own tables."""
    return append(
        tx.connection,
        Event.DECISION_RECORDED,
        ts=acting.at,
        node=acting.node,
        actor=acting.by.name,
        actor_role=acting.by.role_for(_verb(move)),
        object=subject,
        result=result,
        detail={
            "action": str(move.action),
            **({"reason": move.reason} if move.reason else {}),
            **({"op": acting.op_no} if acting.op_no else {}),
            **detail,
        },
    )
