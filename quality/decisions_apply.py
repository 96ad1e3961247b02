"""A bulk operation carried out, stopped and undone: set-based, chunk by chunk, under one 操作号 (console 3).

Decides that what a bulk does to a row is what a person's form does to it (propose and submit; review by a second
person), that a chunk commits with its history and one audit record, that rows changed since the preview are skipped and
counted, and that an operation may be stopped between chunks, taken up again, and undone as one.

A chunk is one UPDATE over a range of numbers, marked with the number of its audit record (`stamp`); history and
corrections are then written from the rows so marked. The audit head is taken first: whoever writes decisions queues
there, so a range cannot change under its statements, and two that carry out the same operation take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append, next_number
from hub.errors import UsageError
from hub.store import Reader, Store, Transaction
from hub.store.decision_tables import BULK_OPERATION, CORRECTION, DECISION, DECISION_EVENT
from quality.decisions import CASE_KINDS, Refusal
from quality.decisions_bulk import (
    FINISHED,
    PROPOSES,
    RUNNING,
    STOPPED,
    STOPPING,
    UNDONE,
    Bulk,
    Done,
    Order,
    able_terms,
    allowed,
    open_operation,
    stored_order,
)
from quality.decisions_query import Filter, conditions, in_states
from quality.decisions_store import PENDING, Acting, DecisionRefusedError

CHUNK: Final = 100_000
Told = Callable[[int], None]
_D: Final = DECISION.c
_AGAINST: Final = sa.or_(
    _D.kind == "退回源头平台",
    sa.and_(_D.authority.is_not(None), _D.authority_value.is_not(None), _D.authority_value != _D.chosen_value),
)
_CLEARED: Final[dict[str, Any]] = dict.fromkeys(
    ("kind", "chosen_source", "chosen_value", "proposer", "proposed_at", "reviewer", "reason", "note", "op_no")
)


def apply(store: Store, acting: Acting, order: Order, token: str, *, progress: Told = lambda _done: None) -> Done:
    """Carries out what `preview` showed. A chunk that is committed stays: the operation can be undone as one.

    Raises as `open_operation`.
    """
    return carry_out(store, acting, open_operation(store, acting, order, token), progress=progress)


def carry_out(store: Store, acting: Acting, op_no: str, *, progress: Told = lambda _done: None) -> Done:
    """Goes on with an operation from where it stands until it is finished or stopped.

    By the person who started it only. Raises `UsageError` E1057 for an unknown operation.
    """
    with store.reading() as reader:
        row = operation(reader, acting, op_no, "继续")
    order = stored_order(row)
    allowed(acting, order)
    acting = replace(acting, op_no=op_no)
    while True:
        with store.begin() as tx:
            stamp = next_number(tx.connection)
            row = _operation(tx, op_no)
            if row["state"] != RUNNING:
                break
            done = int(row["done"]) + _chunk(tx, acting, order, row, stamp)
            if done == int(row["done"]):
                missed = max(0, int(row["able"]) - done)
                _note(tx, op_no, state=FINISHED, missed=missed, ended=acting.ts)
                row |= {"missed": missed, "state": FINISHED}
                break
        progress(done)
    if row["state"] == STOPPING:
        with store.begin() as tx:
            _note(tx, op_no, state=STOPPED, ended=acting.ts)
    return Done(op_no, int(row["done"]), int(row["missed"] or 0))


def stop(store: Store, acting: Acting, op_no: str) -> None:
    """Asks a running operation to stop after its chunk; what is done stays and can be undone. By its person only."""
    with store.begin() as tx:
        next_number(tx.connection)
        if operation(tx, acting, op_no, "取消")["state"] == RUNNING:
            _note(tx, op_no, state=STOPPING)


def undo(store: Store, acting: Acting, op_no: str, *, progress: Told = lambda _done: None) -> Done:
    """Restores to 待处理 every row of the operation that is still in 待复核, and says how many it could not.

    By the person who started it only. Raises `UsageError` E1057 for an unknown operation or one that proposed nothing.
    """
    with store.begin() as tx:
        next_number(tx.connection)
        row = operation(tx, acting, op_no, "撤销")
        if stored_order(row).what not in PROPOSES:
            raise UsageError("E1057", f"批量{row['action']}不能撤销", where=op_no, step="逐条重开，或重新分派")
        if row["state"] == RUNNING:
            _note(tx, op_no, state=STOPPED, ended=acting.ts)
    acting = replace(acting, op_no=op_no)
    before, restored, last = int(row["undone"] or 0), 0, 0
    while True:
        with store.begin() as tx:
            stamp = next_number(tx.connection)
            terms = [*conditions(Filter(op_no=(op_no,))), *in_states(("待复核",))]
            span, _, top = _span(tx, terms, last)
            if not span:
                break
            values = {**_CLEARED, "state": "待处理", "cause": "撤回"}
            restored += _write(
                tx, acting, "撤销", Order(stored_order(row).chosen, Bulk.BY_RULE), [*terms, *span], values, stamp
            )
            _note(tx, op_no, undone=before + restored)  # an undo that is interrupted has not forgotten what it restored
            last = top
        progress(restored)
    kept = int(row["done"] or 0) - before - restored
    with store.begin() as tx:
        _note(tx, op_no, state=UNDONE, kept=kept, undone_by=acting.by.person, undone_at=acting.ts)
    return Done(op_no, restored, kept=kept)


def operation(reader: Reader, acting: Acting, op_no: str, action: str) -> dict[str, Any]:
    """The operation's row, for the person who started it. Raises E1057 for an unknown one, 403 for another's."""
    row = _operation(reader, op_no)
    if row["person"] != acting.by.person:
        raise DecisionRefusedError(Refusal("E3324", f"只有提交该批处理的人可以{action}", 403), 0)
    return row


def _operation(reader: Reader, op_no: str) -> dict[str, Any]:
    found = reader.connection.execute(sa.select(BULK_OPERATION).where(BULK_OPERATION.c.op_no == op_no)).mappings()
    if (row := found.first()) is None:
        raise UsageError("E1057", "没有这个操作号", where=op_no, step="核对操作号")
    return dict(row)


def _chunk(tx: Transaction, acting: Acting, order: Order, row: dict[str, Any], stamp: int) -> int:
    """The next range of an operation; how many rows were handled, 0 at the end."""
    terms = [*able_terms(tx, acting, order), sa.func.coalesce(_D.stamp, 0) <= int(row["as_of"])]
    span, first, top = _span(tx, terms, int(row["last_no"] or 0))
    if not span:
        return 0
    action, values = _values(acting, order)
    done = _write(tx, acting, action, order, [*terms, *span], values, stamp)
    if order.what is Bulk.APPROVE:
        _correct(tx, acting, span, stamp)
    first = int(row["first_no"] or 0) if row["last_no"] else first
    _note(tx, acting.op_no, done=int(row["done"]) + done, first_no=first, last_no=top)
    return done


def _span(tx: Transaction, terms: list[Any], last: int) -> tuple[list[Any], int, int]:
    """(terms of the next range of numbers that holds at most `CHUNK` of the rows, its first and last); none left: no terms."""
    chosen = sa.select(_D.decision_no).where(*terms, _D.decision_no > last).order_by(_D.decision_no).limit(CHUNK)
    number = chosen.subquery().c.decision_no
    first, top = tx.connection.execute(sa.select(sa.func.min(number), sa.func.max(number))).one()
    return (
        ([_D.decision_no >= first, _D.decision_no <= top], int(first), int(top)) if first is not None else ([], 0, last)
    )


def _values(acting: Acting, order: Order) -> tuple[str, dict[str, Any]]:
    """(action of the history, what each row becomes), as `quality.decisions.decide` says it of one."""
    if order.what is Bulk.REJECT:
        return "驳回", {"state": "已提议", "cause": "驳回", "op_no": acting.op_no}
    if order.what is Bulk.APPROVE:
        return "通过", {
            "state": sa.case((_AGAINST, "退回源头平台"), else_="已生效"),
            "cause": sa.case((_AGAINST, "等待源头更新"), else_="复核通过"),
            "closed": sa.case((_AGAINST, "0"), else_="1"),
            "effect": sa.case((_AGAINST, "0"), (_D.kind.in_(CASE_KINDS), "0"), else_="1"),
            "reviewer": acting.by.person, "reviewed_at": acting.ts,
        }  # fmt: skip
    if order.what is Bulk.ASSIGN:
        return "分派", {"assignee": order.assignee}
    if order.what is Bulk.DUE:
        return "截止日期", {"due": order.due}
    adopt = order.what is Bulk.BY_RULE
    return "提议并提交", {
        "kind": "采用来源值" if adopt else "退回源头平台",
        "chosen_source": _D.suggest_source if adopt else None,
        "chosen_value": _D.suggest_value if adopt else None,
        "proposer": acting.by.person, "proposed_at": acting.ts, "reviewer": None,
        "reason": order.reason or None, "note": order.note or None,
        "state": "待复核", "cause": "来源不一致", "op_no": acting.op_no,
    }  # fmt: skip


def _write(
    tx: Transaction, acting: Acting, action: str, order: Order, terms: list[Any], values: dict[str, Any], stamp: int
) -> int:
    """Rows, history and one audit record of a range; the rows changed. Unversioned orders leave version and stamp."""
    moves = order.what in PROPOSES or order.what is Bulk.APPROVE or order.what is Bulk.REJECT
    before = sa.literal("待处理" if order.what in PROPOSES else "待复核") if moves else _D.state
    if action == "撤销":
        before = sa.literal("待复核")
    if not moves:  # the mark must not hide a row from another's preview, so the history is written first
        _history(tx, acting, action, order, terms, before, extra=1)
        changed = tx.connection.execute(sa.update(DECISION).where(*terms).values(**values, events=_D.events + 1))
    else:
        marks = {"version": _D.version + 1, "events": _D.events + 1, "stamp": stamp, "changed_at": acting.ts}
        changed = tx.connection.execute(sa.update(DECISION).where(*terms).values(**values, **marks))
        _history(tx, acting, action, order, [*terms[-2:], _D.stamp == stamp], before, extra=0)
    append(
        tx.connection, Event.DECISION_RECORDED, ts=acting.at, node=acting.node, actor=acting.by.name,
        actor_role=acting.by.role_for(order.verb), object=f"operation {acting.op_no}",
        detail={"action": action, "conflicts": int(changed.rowcount), **({"reason": order.reason} if order.reason else {})},
    )  # fmt: skip
    return int(changed.rowcount)


def _history(
    tx: Transaction, acting: Acting, action: str, order: Order, terms: list[Any], before: Any, *, extra: int
) -> None:
    said = "；".join(t for t in (order.due or order.assignee, order.note.strip()) if t)
    given = {
        "decision_no": _D.decision_no, "event_no": _D.events + extra, "round_no": _D.round_no, "version": _D.version,
        "action": sa.literal(action), "from_state": before, "to_state": _D.state, "cause": _D.cause,
        "person": sa.literal(acting.by.person), "actor": sa.literal(acting.by.name),
        "role": sa.literal(acting.by.role_for(order.verb)), "kind": _D.kind, "chosen_source": _D.chosen_source,
        "chosen_value": _D.chosen_value, "reason": sa.literal(order.reason or None, sa.String),
        "note": sa.literal(said or None, sa.String), "op_no": sa.literal(acting.op_no), "ts": sa.literal(acting.ts),
    }  # fmt: skip
    rows = sa.select(*(v.label(k) for k, v in given.items())).where(*terms)
    tx.connection.execute(sa.insert(DECISION_EVENT).from_select(list(given), rows))


def _correct(tx: Transaction, acting: Acting, span: list[Any], stamp: int) -> None:
    """Requests to the platforms for what was just approved against them."""
    last = tx.connection.execute(sa.select(sa.func.max(CORRECTION.c.correction_no))).scalar_one() or 0
    same = (
        "decision_no",
        "round_no",
        "entity",
        "pk",
        "natural_key",
        "field",
        "rule",
        "school",
        "reason",
        "note",
        "due",
    )
    given = {
        "correction_no": int(last) + sa.func.row_number().over(order_by=_D.decision_no),
        **{name: _D[name] for name in same},
        "system": _D.authority, "old_value": _D.authority_value, "wanted_value": _D.chosen_value,
        "state": sa.literal(PENDING), "asked_by": sa.literal(acting.by.person), "asked_at": sa.literal(acting.ts),
    }  # fmt: skip
    rows = sa.select(*(v.label(k) for k, v in given.items())).where(
        *span, _D.stamp == stamp, _D.state == "退回源头平台"
    )
    tx.connection.execute(sa.insert(CORRECTION).from_select(list(given), rows))


def _note(tx: Transaction, op_no: str, **values: Any) -> None:
    tx.connection.execute(sa.update(BULK_OPERATION).where(BULK_OPERATION.c.op_no == op_no).values(**values))
