"""Cases of the ministry at the province: taken in from the stream `case` into the conflict queue (console 3).

Decides that a message counts once and in the order of the case's versions, that a case about a record this province
never had is refused with its whole batch, and that a case is one conflict of the queue under one number for ever. What
a message does to the conflict is `quality.decisions_case`'s; here it is stored with history and corrections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append, next_number
from hub.case_form import TABLE, Kind, Message, read_message
from hub.catalog import Entity, load_catalog
from hub.store import Transaction
from hub.store.case_tables import CASE_NOTICE
from hub.store.decision_tables import CORRECTION, DECISION, DECISION_EVENT
from hub.store.ledger import TOMBSTONE
from hub.verdict import refused
from province_node.down_parts import Received
from province_node.ledger import moment
from quality import decisions_case as cases
from quality.decisions import Conflict, State
from quality.decisions_query import CASE_SUBJECT, marker
from quality.decisions_store import CONFIRMED, PENDING, WITHDRAWN, as_value

STUDENT: Final = "xs"
FIELD, RULE, AUTHORITY = "SFZJH", "WY03", "S1"
# Conflicts of this province are numbered from 1 by its rounds; a case's number is far above them and follows its own.
NUMBERS: Final = 900_000_000
OPEN, DONE = "处理中", "已关闭"
_MINISTRY: Final = "moe"
_WORDS: Final = {
    Kind.OPEN: "部级下发", Kind.REMIND: "催办", Kind.ESCALATE: "升级催办", Kind.RULING: "部级裁定",
    Kind.PARTICULARS: "对方资料", Kind.CLOSE: "部级关闭",
}  # fmt: skip


def number_of(case_no: str) -> int:
    """The conflict's number of a case."""
    return NUMBERS + int(case_no[1:])


def take_cases(tx: Transaction, received: Received) -> None:
    """The handler of stream `case`. RefusedError E_SCHEMA for a message that is malformed or not this province's."""
    party, where = received.manifest.stream_id.party, received.batch_id
    rows = received.tables[TABLE].to_pylist() if TABLE in received.tables else []
    messages = sorted((read_message(r, party=party, where=where) for r in rows), key=lambda m: (m.case_no, m.number))
    entity = load_catalog().entities[STUDENT]
    found = _ours(tx, entity, party, messages, where)
    next_number(tx.connection)  # writers of decisions queue at the audit head, before they hold a row
    for message in messages:
        _take(tx, received, message, found.get(message.pk, {}))


def _ours(
    tx: Transaction, entity: Entity, party: str, messages: Iterable[Message], where: str
) -> dict[str, Mapping[str, Any]]:
    """Key and school of the records named; E_SCHEMA unless each stands here or stood here."""
    named = sorted({m.pk for m in messages})
    columns = ["pk", *entity.key, "XXDM"]
    held = {
        str(row["pk"]): row
        for block in tx.read(entity, node=party, columns=columns, pks=named)
        for row in block.to_pylist()
    }
    c = TOMBSTONE.c
    lost = [pk for pk in named if pk not in held]
    buried = sa.select(c.pk).where(c.node == party, c.entity == STUDENT, c.pk.in_(lost))
    if set(lost) - {str(pk) for pk in tx.connection.execute(buried).scalars()}:
        raise refused("E_SCHEMA", "核查针对的记录不属于本省", where=where)
    return held


def _take(tx: Transaction, received: Received, message: Message, record: Mapping[str, Any]) -> None:
    query = sa.select(CASE_NOTICE).where(CASE_NOTICE.c.case_no == message.case_no).with_for_update()
    notice = tx.connection.execute(query).mappings().first()
    if notice is not None and message.number <= int(notice["last_no"]):
        return  # said before, or overtaken by what was said since
    if notice is None and message.kind is not Kind.OPEN:
        raise refused("E_SCHEMA", "尚未下发的核查不能催办、裁定或关闭", where=received.batch_id)
    if notice is None:
        _found(tx, received, message, record)
    else:
        _follow(tx, received, message, notice)
    append(tx.connection, Event.CASE_TAKEN, ts=received.at, node=received.manifest.stream_id.party, actor="hub",
           object=f"case {message.case_no}", detail={"kind": str(message.kind), "no": message.number})  # fmt: skip


def _found(tx: Transaction, received: Received, message: Message, record: Mapping[str, Any]) -> None:
    """A new conflict in the queue, and what the ministry said of it."""
    entity, at = load_catalog().entities[STUDENT], moment(received.at)
    number = number_of(message.case_no)
    key = "|".join(str(record[k] or "") for k in entity.key)[:255] if record else None
    tx.connection.execute(
        sa.insert(DECISION),
        {
            "decision_no": number, "subject": f"{CASE_SUBJECT}{message.case_no}", "entity": STUDENT, "pk": message.pk,
            "natural_key": key, "field": FIELD, "rule": RULE, "clash": message.case_no, "school": record.get("XXDM"),
            "state": str(State.WAITING), "cause": cases.FOUND, "version": 1, "stamp": 0, "events": 1,
            "round_no": message.round_no, "open_rows": 1, "waiting": 1, "authority": AUTHORITY, "effect": "0",
            "due": message.body.get("due"), "changed_at": at,
        },
    )  # fmt: skip
    tx.connection.execute(
        sa.insert(CASE_NOTICE), {"case_no": message.case_no, "decision_no": number, **_said(received, message)}
    )
    before = {"state": str(State.WAITING), "events": 0}
    _event(tx, received, message, number, before, State.WAITING, cases.FOUND, 1, message.round_no)


def _follow(tx: Transaction, received: Received, message: Message, notice: Mapping[Any, Any]) -> None:
    number = int(notice["decision_no"])
    query = sa.select(DECISION).where(DECISION.c.decision_no == number).with_for_update()
    row = dict(tx.connection.execute(query).mappings().one())
    before = as_value(row, ())
    after = _effect(received, message, before)
    tx.connection.execute(sa.update(DECISION).where(DECISION.c.decision_no == number).values(
        version=after.version, round_no=after.round_no, state=str(after.state), cause=str(after.cause),
        closed=marker(after.state), events=int(row["events"]) + 1, evidence=received.batch_id,
        changed_at=moment(received.at), due=message.body.get("due") or row["due"], **_decided(before, after),
    ))  # fmt: skip
    _corrections(tx, received, number, before, after)
    tx.connection.execute(
        sa.update(CASE_NOTICE).where(CASE_NOTICE.c.case_no == message.case_no).values(
            **_said(received, message, notice)
        )
    )  # fmt: skip
    _event(tx, received, message, number, row, after.state, str(after.cause), after.version, after.round_no)


def _effect(received: Received, message: Message, conflict: Conflict) -> Conflict:
    """The conflict after a message."""
    party = received.manifest.stream_id.party
    effects: dict[Kind, Callable[[], Conflict]] = {
        Kind.OPEN: lambda: (
            cases.opened_again(conflict, message.round_no)
            if message.round_no > conflict.round_no
            else cases.asked_again(conflict)
        ),
        Kind.RULING: lambda: cases.ruled(conflict, keeps=message.body["keeper"] == party),
        Kind.CLOSE: lambda: cases.closed(conflict),
    }
    return effects.get(message.kind, lambda: conflict)()


def _decided(before: Conflict, after: Conflict) -> dict[str, Any]:
    """Columns of a proposal that was taken back; none when it stands."""
    over = {"state_before": None, "until": None} if after.state is not State.POSTPONED else {}
    if before.proposal is None or after.proposal is not None:
        return over
    gone = ("kind", "chosen_source", "chosen_value", "proposer", "proposed_at", "reviewer", "reviewed_at", "reason",
            "note", "op_no")  # fmt: skip
    return {**over, **dict.fromkeys(gone), "effect": "0"}


def _corrections(tx: Transaction, received: Received, number: int, before: Conflict, after: Conflict) -> None:
    """A request to the platform that the ministry saw carried out, or that is no longer asked."""
    if before.state is not State.RETURNED or after.state is State.RETURNED:
        return
    confirmed = after.state is State.EFFECTIVE
    values = {"state": CONFIRMED if confirmed else WITHDRAWN, "closed_at": moment(received.at),
              "evidence": received.batch_id}  # fmt: skip
    c = CORRECTION.c
    tx.connection.execute(sa.update(CORRECTION).where(c.decision_no == number, c.state == PENDING).values(**values))


def _said(received: Received, message: Message, before: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    """What a message says, as `case_notice` keeps it."""
    body, kind = message.body, message.kind
    late = kind in (Kind.REMIND, Kind.ESCALATE)
    stage = 2 if kind is Kind.ESCALATE else 1 if late else 0
    new_round = before is None or message.round_no > int(before["round_no"])
    reminders, level, keeper = 0, 0, None
    if before is not None and not new_round:
        reminders, level, keeper = int(before["reminders"]), int(before["stage"]), before["keeper"]
    told: dict[str, Any] = {
        "round_no": message.round_no, "last_no": message.number, "pk": message.pk, "reason": body.get("reason"),
        "counterpart": ",".join(message.counterpart)[:120], "schools": ",".join(message.schools)[:400],
        "state": DONE if kind is Kind.CLOSE else OPEN, "due": body.get("due"), "batch_id": received.batch_id,
        "received_at": moment(received.at), "reminders": reminders + late, "stage": max(level, stage),
        "keeper": body.get("keeper") or keeper,
    }  # fmt: skip
    if kind is Kind.CLOSE:
        told |= {"closed_at": moment(received.at), "cause": body.get("cause"), "evidence": body.get("evidence")}
    elif kind is Kind.OPEN:
        told |= {"closed_at": None, "cause": None, "evidence": None}
    if kind is Kind.PARTICULARS:
        told["particulars"] = json.dumps(body.get("persons") or [], ensure_ascii=False)
    return told


def _event(
    tx: Transaction, received: Received, message: Message, number: int, before: Mapping[str, Any], state: State,
    cause: str, version: int, round_no: int,
) -> None:  # fmt: skip
    tx.connection.execute(
        sa.insert(DECISION_EVENT),
        {
            "decision_no": number, "event_no": int(before["events"]) + 1, "round_no": round_no, "version": version,
            "action": _WORDS[message.kind], "from_state": before["state"], "to_state": str(state), "cause": cause,
            "person": _MINISTRY, "actor": _MINISTRY, "evidence": received.batch_id, "ts": moment(received.at),
        },
    )  # fmt: skip
