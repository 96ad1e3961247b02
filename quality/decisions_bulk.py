"""Bulk decisions by query: preview, apply in chunks under one 操作号, undo as one operation (console 3).

Decides what of a query can be handled and what is skipped by which cause; that a preview writes nothing; that rows
changed since the preview are skipped and counted; and that what a bulk does to a row is what a person's form does to it
(propose and submit; review by a second person). Set-based: a million conflicts are a few statements per chunk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append, next_number
from hub.errors import UsageError
from hub.store import Reader, Store, Transaction
from hub.store.decision_tables import BULK_OPERATION, DECISION
from quality.decisions import Action, Kind, Move, Proposal, Refusal
from quality.decisions_query import Filter, conditions, within
from quality.decisions_store import Acting, DecisionRefusedError
from quality.reasons import check_reason

CHUNK: Final = 50_000
SAMPLES: Final = 5
RUNNING, FINISHED, UNDONE = "进行中", "已完成", "已撤销"
_CHUNK_TABLE: Final = "bulk_chunk"


class Bulk(StrEnum):
    """What a bulk does to each row."""

    BY_RULE = "按规则处理"
    RETURN = "退回源头平台"
    APPROVE = "通过"
    REJECT = "驳回"


@dataclass(frozen=True)
class Order:
    """One bulk: which rows, what, and why. The free text is compulsory."""

    chosen: Filter
    what: Bulk
    reason: str = ""
    note: str = ""

    def move(self) -> Move:
        """The person's move each row stands for."""
        if self.what is Bulk.BY_RULE:
            return Move(Action.PROPOSE, self.reason, self.note, Proposal(Kind.ADOPT))
        if self.what is Bulk.RETURN:
            return Move(Action.PROPOSE, self.reason, self.note, Proposal(Kind.RETURN))
        return Move(Action.APPROVE if self.what is Bulk.APPROVE else Action.REJECT, self.reason, self.note)

    @property
    def verb(self) -> str:
        return {Bulk.BY_RULE: "propose", Bulk.RETURN: "return"}.get(self.what, "review")


@dataclass(frozen=True)
class Preview:
    """What an apply would do: 命中 = 可处理 + 跳过. `as_of`: the audit number up to which rows may have changed."""

    hits: int
    able: int
    skipped: Mapping[str, int]
    samples: tuple[dict[str, Any], ...]
    as_of: int
    token: str


@dataclass(frozen=True)
class Done:
    """What an apply or an undo did. `missed`: able at the preview, changed since; `kept`: what an undo could not restore."""

    op_no: str
    done: int
    missed: int = 0
    kept: int = 0


def preview(reader: Reader, acting: Acting, order: Order) -> Preview:
    """Counts and five samples; writes nothing. Raises `DecisionRefusedError` 403 without the right."""
    _allowed(acting, order)
    cause = _skipped(order, acting)
    query = (
        sa.select(cause.label("cause"), sa.func.count())
        .where(*conditions(order.chosen), within(reader, acting.node, acting.by.scopes(order.verb)))
        .group_by(cause)
    )
    counts = {str(c or ""): int(n) for c, n in reader.connection.execute(query).all()}
    able = counts.pop("", 0)
    rows = reader.connection.execute(
        sa.select(DECISION).where(*_able(reader, acting, order)).order_by(DECISION.c.decision_no).limit(SAMPLES)
    ).mappings()
    head = sa.text("SELECT value FROM node_state WHERE name = 'audit.head'")
    as_of = int(str(reader.connection.execute(head).scalar_one()).split(" ")[0])
    samples = tuple(dict(r) for r in rows)
    return Preview(able + sum(counts.values()), able, counts, samples, as_of, _token(order, acting, as_of, able))


def apply(
    store: Store, acting: Acting, order: Order, token: str, *, progress: Callable[[int], None] = lambda _done: None
) -> Done:
    """Applies what `preview` showed, chunk by chunk, each chunk with its history and audit in one transaction.

    A chunk that is committed stays: the operation can be undone as one. Raises `UsageError` E1057 when the token is not
    this order's, `DecisionRefusedError` for right and reason.
    """
    _allowed(acting, order)
    if (refusal := check_reason(order.move(), bulk=True)) is not None:
        raise DecisionRefusedError(refusal, 0)
    as_of, able = _redeemed(order, acting, token)
    op_no = _opened(store, acting, order, as_of, able)
    acting = Acting(acting.node, acting.by, acting.at, acting.today, op_no)
    done = last = 0
    while True:
        with store.begin() as tx:
            last, rows = _take(tx, acting, order, last, as_of)
            if not rows:
                break
            _apply_chunk(tx, acting, order, rows)
            done += rows
            _note(tx, op_no, done=done, last_no=last)
        progress(done)
    missed = max(0, able - done)
    with store.begin() as tx:
        _note(tx, op_no, state=FINISHED, missed=missed, ended=acting.ts)
    return Done(op_no, done, missed)


def undo(store: Store, acting: Acting, op_no: str, *, progress: Callable[[int], None] = lambda _done: None) -> Done:
    """Restores to 待处理 every row of the operation that is still in 待复核, and says how many it could not.

    By the person who started it only. Raises `UsageError` E1057 for an unknown operation.
    """
    with store.reading() as reader:
        found = reader.connection.execute(sa.select(BULK_OPERATION).where(BULK_OPERATION.c.op_no == op_no))
        operation = found.mappings().first()
    if operation is None:
        raise UsageError("E1057", "没有这个操作号", where=op_no, step="核对操作号")
    if operation["person"] != acting.by.person:
        raise DecisionRefusedError(Refusal("E3324", "只有提交该批处理的人可以撤销", 403), 0)
    acting = Acting(acting.node, acting.by, acting.at, acting.today, op_no)
    restored = 0
    while True:
        with store.begin() as tx:
            _, rows = _chunk(tx, [DECISION.c.op_no == op_no, DECISION.c.state == "待复核"], 0)
            if not rows:
                break
            _write(tx, acting, "撤销", "'待处理'", "'撤回'", {}, rows)
            tx.connection.exec_driver_sql(f"UPDATE decision SET {_CLEARED} WHERE {_CHOSEN}")
            restored += rows
        progress(restored)
    kept = int(operation["done"] or 0) - int(operation["undone"] or 0) - restored
    with store.begin() as tx:
        total = int(operation["undone"] or 0) + restored
        _note(tx, op_no, state=UNDONE, undone=total, kept=kept, undone_by=acting.by.person, undone_at=acting.ts)
    return Done(op_no, restored, kept=kept)


_CHOSEN: Final = f"decision_no IN (SELECT decision_no FROM {_CHUNK_TABLE})"
_CLEARED: Final = (
    "kind = NULL, chosen_source = NULL, chosen_value = NULL, proposer = NULL, proposed_at = NULL, reviewer = NULL, "
    "reason = NULL, note = NULL, op_no = NULL"
)
_AGAINST: Final = "(kind = '退回源头平台' OR (authority IS NOT NULL AND authority_value IS NOT NULL AND authority_value <> chosen_value))"


def _allowed(acting: Acting, order: Order) -> None:
    review = order.what in (Bulk.APPROVE, Bulk.REJECT)
    if not acting.by.may(order.verb) or not (review or acting.by.may("bulk")):
        raise DecisionRefusedError(Refusal("E3321", f"您的角色不能批量{order.what}", 403), 0)


def _skipped(order: Order, acting: Acting) -> Any:
    """Why a hit is not handled, NULL when it is."""
    waiting = "待复核" if order.what in (Bulk.APPROVE, Bulk.REJECT) else "待处理"
    causes = [(DECISION.c.state != waiting, f"状态不是{waiting}")]
    if order.what is Bulk.BY_RULE:
        causes.append((DECISION.c.suggest_source.is_(None), "无唯一权威源"))
    if waiting == "待复核":
        causes.append((DECISION.c.proposer == acting.by.person, "不能复核本人提交的处理意见"))
    return sa.case(*causes, else_=None)


def _able(reader: Reader, acting: Acting, order: Order) -> list[Any]:
    scope = within(reader, acting.node, acting.by.scopes(order.verb))
    waiting = "待复核" if order.what in (Bulk.APPROVE, Bulk.REJECT) else "待处理"
    terms = [*conditions(order.chosen), scope, DECISION.c.state == waiting]
    if order.what is Bulk.BY_RULE:
        terms.append(DECISION.c.suggest_source.is_not(None))
    if waiting == "待复核":
        terms.append(DECISION.c.proposer != acting.by.person)
    return terms


def _token(order: Order, acting: Acting, as_of: int, able: int) -> str:
    body = json.dumps([order.chosen.text(), str(order.what), acting.by.person, as_of, able], ensure_ascii=False)
    return f"{as_of}-{able}-{hashlib.sha256(body.encode()).hexdigest()[:12]}"


def _redeemed(order: Order, acting: Acting, token: str) -> tuple[int, int]:
    parts = token.split("-")
    numbers = [int(p) for p in parts[:2] if p.isdigit()]
    if len(parts) != 3 or len(numbers) != 2 or _token(order, acting, *numbers) != token:
        raise UsageError("E1057", "预览号与本次条件不符", step="以同样的条件重新预览，再用新的预览号提交")
    return numbers[0], numbers[1]


def _opened(store: Store, acting: Acting, order: Order, as_of: int, able: int) -> str:
    day = acting.today.replace("-", "")
    with store.begin() as tx:
        next_number(tx.connection)  # one at a time: two operations never share a number
        last = tx.connection.execute(
            sa.select(sa.func.max(BULK_OPERATION.c.op_no)).where(BULK_OPERATION.c.op_no.like(f"{day}-%"))
        ).scalar_one()
        op_no = f"{day}-{int(str(last).split('-')[1]) + 1 if last else 1:05d}"
        tx.connection.execute(
            sa.insert(BULK_OPERATION),
            {
                "op_no": op_no, "action": str(order.what), "kind": str(order.what), "filter": order.chosen.text(),
                "reason": order.reason, "note": order.note, "person": acting.by.person, "actor": acting.by.name,
                "role": acting.by.role_for(order.verb), "state": RUNNING, "as_of": as_of, "able": able, "done": 0,
                "missed": 0, "undone": 0, "kept": 0, "started": acting.ts,
            },
        )  # fmt: skip
    return op_no


def _take(tx: Transaction, acting: Acting, order: Order, last: int, as_of: int) -> tuple[int, int]:
    terms = [*_able(tx, acting, order), DECISION.c.stamp <= as_of, DECISION.c.decision_no > last]
    return _chunk(tx, terms, last)


def _chunk(tx: Transaction, terms: list[Any], last: int) -> tuple[int, int]:
    """Fills the chunk table; (last number in it, rows)."""
    make = tx.connection.exec_driver_sql
    make(f"DROP TABLE IF EXISTS {_CHUNK_TABLE}")
    make(f"CREATE TEMPORARY TABLE {_CHUNK_TABLE} (decision_no BIGINT PRIMARY KEY)")
    chosen = sa.select(DECISION.c.decision_no).where(*terms).order_by(DECISION.c.decision_no).limit(CHUNK)
    rows = chosen.with_for_update() if tx.connection.dialect.name == "postgresql" else chosen
    target = sa.table(_CHUNK_TABLE, sa.column("decision_no"))
    tx.connection.execute(target.insert().from_select(["decision_no"], rows))
    tx.analyse(_CHUNK_TABLE)
    top, count = tx.connection.execute(sa.select(sa.func.max(target.c.decision_no), sa.func.count())).one()
    return int(top or last), int(count)


def _apply_chunk(tx: Transaction, acting: Acting, order: Order, rows: int) -> None:
    given = {"reason": order.reason or None, "note": order.note or None}
    if order.what is Bulk.REJECT:
        _write(tx, acting, "驳回", "'已提议'", "'驳回'", given, rows)
        return
    if order.what is Bulk.APPROVE:
        state = f"CASE WHEN {_AGAINST} THEN '退回源头平台' ELSE '已生效' END"
        cause = f"CASE WHEN {_AGAINST} THEN '等待源头更新' ELSE '复核通过' END"
        _correct(tx, acting)
        extra = f"effect = CASE WHEN {_AGAINST} THEN '0' ELSE '1' END, reviewer = :person, reviewed_at = :ts"
        _write(tx, acting, "通过", state, cause, given, rows, extra=extra, keep_op=True)
        return
    adopt = order.what is Bulk.BY_RULE
    tx.connection.execute(
        sa.text(
            "UPDATE decision SET kind = :kind, chosen_source = "
            f"{'suggest_source' if adopt else 'NULL'}, chosen_value = {'suggest_value' if adopt else 'NULL'}, "
            f"proposer = :person, proposed_at = :ts, reason = :reason, note = :note WHERE {_CHOSEN}"
        ),
        {"kind": "采用来源值" if adopt else "退回源头平台", "person": acting.by.person, "ts": acting.ts, **given},
    )
    _write(tx, acting, "提议并提交", "'待复核'", "'来源不一致'", given, rows)


def _write(
    tx: Transaction,
    acting: Acting,
    action: str,
    state: str,
    cause: str,
    given: Mapping[str, Any],
    rows: int,
    *,
    extra: str = "",
    keep_op: bool = False,
) -> None:
    """History, rows and one audit record of a chunk."""
    stamp = next_number(tx.connection)
    values = {
        "action": action, "person": acting.by.person, "actor": acting.by.name, "op": acting.op_no, "ts": acting.ts,
        "role": acting.by.grants[0].role if acting.by.grants else "", "reason": None, "note": None, **given,
    }  # fmt: skip
    tx.connection.execute(
        sa.text(
            "INSERT INTO decision_event (decision_no, event_no, round_no, version, action, from_state, to_state, cause, "
            "person, actor, role, kind, chosen_source, chosen_value, reason, note, op_no, ts) SELECT decision_no, events + 1, "
            f"round_no, version + 1, :action, state, {state}, {cause}, :person, :actor, :role, kind, chosen_source, "
            f"chosen_value, :reason, :note, :op, :ts FROM decision WHERE {_CHOSEN}"
        ),
        values,
    )
    sets = [f"state = {state}, cause = {cause}", extra, "" if keep_op else "op_no = :op"]
    tx.connection.execute(
        sa.text(
            f"UPDATE decision SET {', '.join(s for s in sets if s)}, version = version + 1, events = events + 1, "
            f"stamp = :stamp, changed_at = :ts WHERE {_CHOSEN}"
        ),
        {k: v for k, v in {**values, "stamp": stamp}.items() if k in ("op", "ts", "stamp", "person")},
    )
    append(
        tx.connection, Event.DECISION_RECORDED, ts=acting.at, node=acting.node, actor=acting.by.name,
        actor_role=values["role"], object=f"operation {acting.op_no}",
        detail={"action": action, "conflicts": rows, **({"reason": given["reason"]} if given.get("reason") else {})},
    )  # fmt: skip


def _correct(tx: Transaction, acting: Acting) -> None:
    """Requests to the platforms for what is approved against them."""
    tx.connection.execute(
        sa.text(
            "INSERT INTO correction (correction_no, decision_no, round_no, system, entity, pk, natural_key, field, rule, "
            "school, old_value, wanted_value, reason, note, state, asked_by, asked_at, due) SELECT "
            "(SELECT coalesce(max(correction_no), 0) FROM correction) + row_number() OVER (ORDER BY decision_no), "
            "decision_no, round_no, authority, entity, pk, natural_key, field, rule, school, authority_value, chosen_value, "
            f"reason, note, '待源头确认', :person, :ts, due FROM decision WHERE {_CHOSEN} AND {_AGAINST}"
        ),
        {"person": acting.by.person, "ts": acting.ts},
    )


def _note(tx: Transaction, op_no: str, **values: Any) -> None:
    tx.connection.execute(sa.update(BULK_OPERATION).where(BULK_OPERATION.c.op_no == op_no).values(**values))
