"""Bulk decisions by query: what a preview counts, which rows an order takes, and how it becomes an operation (console 3).

Decides what of a query can be handled and what is skipped by which cause; that a preview writes nothing; that the order
which is carried out is the one that was previewed. Carrying it out, stopping and undoing: `quality.decisions_apply`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import next_number
from hub.errors import UsageError
from hub.store import Reader, Store
from hub.store.decision_tables import BULK_OPERATION, DECISION
from quality.decisions import LINES, Action, Kind, Move, Proposal, Refusal
from quality.decisions_query import Filter, conditions, in_states, within
from quality.decisions_store import Acting, DecisionRefusedError
from quality.reasons import check_reason

SAMPLES: Final = 5
RUNNING, FINISHED, UNDONE, STOPPING, STOPPED = "进行中", "已完成", "已撤销", "取消中", "已取消"


class Bulk(StrEnum):
    """What a bulk does to each row."""

    BY_RULE = "按规则处理"
    RETURN = "退回源头平台"
    APPROVE = "通过"
    REJECT = "驳回"
    ASSIGN = "分派"
    DUE = "截止日期"


_VERBS: Final[Mapping[Bulk, str]] = {
    Bulk.BY_RULE: "propose", Bulk.RETURN: "return", Bulk.APPROVE: "review", Bulk.REJECT: "review",
    Bulk.ASSIGN: "assign", Bulk.DUE: "due",
}  # fmt: skip
REVIEWS: Final = frozenset({Bulk.APPROVE, Bulk.REJECT})
PROPOSES: Final = frozenset({Bulk.BY_RULE, Bulk.RETURN})


@dataclass(frozen=True)
class Order:
    """One bulk: which rows, what, and why. The free text is compulsory. `due`: YYYY-MM-DD."""

    chosen: Filter
    what: Bulk
    reason: str = ""
    note: str = ""
    assignee: str = ""
    due: str = ""

    def move(self) -> Move:
        """The person's move each row stands for."""
        if self.what is Bulk.BY_RULE:
            return Move(Action.PROPOSE, self.reason, self.note, Proposal(Kind.ADOPT))
        if self.what is Bulk.RETURN:
            return Move(Action.PROPOSE, self.reason, self.note, Proposal(Kind.RETURN))
        action = {
            Bulk.APPROVE: Action.APPROVE, Bulk.REJECT: Action.REJECT, Bulk.ASSIGN: Action.ASSIGN, Bulk.DUE: Action.DUE,
        }[self.what]  # fmt: skip
        return Move(action, self.reason, self.note, assignee=self.assignee or None, due=self.due or None)

    @property
    def verb(self) -> str:
        return _VERBS[self.what]


@dataclass(frozen=True)
class Preview:
    """What an apply would do: 命中 = 可处理 + 跳过. `as_of`: the audit number up to which rows may have changed.

    `fields`: what can be handled per (entity, field), from which the page says how many are private.
    """

    hits: int
    able: int
    skipped: Mapping[str, int]
    samples: tuple[dict[str, Any], ...]
    as_of: int
    token: str
    fields: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Done:
    """What an apply or an undo did. `missed`: able at the preview, changed since; `kept`: what an undo could not restore."""

    op_no: str
    done: int
    missed: int = 0
    kept: int = 0


def preview(reader: Reader, acting: Acting, order: Order) -> Preview:
    """Counts and five samples in one scan; writes nothing. Raises `DecisionRefusedError` 403 without the right."""
    allowed(acting, order)
    cause = _skipped(order, acting)
    scope = within(reader, acting.node, acting.by.scopes(order.verb))
    keys = (cause.label("cause"), DECISION.c.entity, DECISION.c.field)
    able_or_not = sa.select(*keys).where(*conditions(order.chosen), scope).subquery()  # Oracle groups by no bind
    query = sa.select(*able_or_not.c, sa.func.count()).group_by(*able_or_not.c)
    fields: dict[tuple[str, str], int] = {}
    skipped: dict[str, int] = {}
    for why, entity, field, n in reader.connection.execute(query).all():
        if why is None:
            fields[entity, field or ""] = int(n)
        else:
            skipped[why] = skipped.get(why, 0) + int(n)
    able = sum(fields.values())
    rows = reader.connection.execute(
        sa.select(DECISION).where(*able_terms(reader, acting, order)).order_by(DECISION.c.decision_no).limit(SAMPLES)
    ).mappings()
    head = sa.text("SELECT value FROM node_state WHERE name = 'audit.head'")
    as_of = int(str(reader.connection.execute(head).scalar_one()).split(" ")[0])
    hits, token = able + sum(skipped.values()), _token(order, acting, as_of, able)
    return Preview(hits, able, skipped, tuple(dict(r) for r in rows), as_of, token, fields)


def open_operation(store: Store, acting: Acting, order: Order, token: str) -> str:
    """The 操作号 of a previewed order, ready to be carried out. Nothing of the rows has changed yet.

    The same order of the same preview sent again (a double click) is the operation that stands: two of them at once
    would share the rows out between two numbers, and neither could be undone as one.
    Raises `UsageError` E1057 when the token is not this order's, `DecisionRefusedError` for right, reason and text.
    """
    allowed(acting, order)
    move = order.move()
    refusal = check_reason(move, bulk=True) or _incomplete(order, acting.today)
    if refusal is not None:
        raise DecisionRefusedError(refusal, 0)
    as_of, able = _redeemed(order, acting, token)
    with store.reading() as reader:
        seen = preview(reader, acting, order)
    day = acting.today.replace("-", "")
    with store.begin() as tx:
        next_number(tx.connection)  # one at a time: two operations never share a number
        if (standing := _standing(tx, acting, order, as_of)) is not None:
            return standing
        last = tx.connection.execute(
            sa.select(sa.func.max(BULK_OPERATION.c.op_no)).where(BULK_OPERATION.c.op_no.like(f"{day}-%"))
        ).scalar_one()
        op_no = f"{day}-{int(str(last).split('-')[1]) + 1 if last else 1:05d}"
        tx.connection.execute(
            sa.insert(BULK_OPERATION),
            {
                "op_no": op_no, "action": str(order.what), "kind": str(order.what), "filter": order.chosen.text(),
                "reason": order.reason or None, "note": order.note, "assignee": order.assignee or None,
                "due": order.due or None, "person": acting.by.person, "actor": acting.by.name,
                "role": acting.by.role_for(order.verb), "state": RUNNING, "as_of": as_of, "able": able,
                "hits": able + sum(seen.skipped.values()), "done": 0, "missed": 0, "undone": 0, "kept": 0,
                "last_no": 0, "skipped": json.dumps(dict(seen.skipped), ensure_ascii=False), "started": acting.ts,
            },
        )  # fmt: skip
    return op_no


def _standing(reader: Reader, acting: Acting, order: Order, as_of: int) -> str | None:
    """The operation that this person began with this very order out of this preview."""
    c = BULK_OPERATION.c
    query = sa.select(BULK_OPERATION).where(c.person == acting.by.person, c.as_of == as_of, c.action == str(order.what))
    found = (dict(row) for row in reader.connection.execute(query).mappings())
    return next((str(row["op_no"]) for row in found if stored_order(row) == order), None)


def stored_order(row: Mapping[str, Any]) -> Order:
    """The order back from its `bulk_operation` row."""
    given = {name: row[name] or "" for name in ("reason", "note", "assignee", "due")}
    return Order(Filter.of(row["filter"]), Bulk(row["action"]), **given)


def allowed(acting: Acting, order: Order) -> None:
    """Raises `DecisionRefusedError` 403 when no role of the operator carries the order."""
    if not acting.by.may(order.verb) or not (order.what not in PROPOSES or acting.by.may("bulk")):
        raise DecisionRefusedError(Refusal("E3321", f"您的角色不能批量{order.what}", 403), 0)


def waiting(order: Order) -> tuple[str, ...]:
    """The states from which the order takes rows."""
    if order.what in REVIEWS:
        return ("待复核",)
    if order.what in PROPOSES:
        return ("待处理",)
    return tuple(sorted(str(s) for s in LINES[order.move().action].states))


def able_terms(reader: Reader, acting: Acting, order: Order) -> list[Any]:
    """WHERE terms of the rows that the order can handle."""
    scope = within(reader, acting.node, acting.by.scopes(order.verb))
    terms = [*conditions(order.chosen), scope, *in_states(waiting(order))]
    if order.what is Bulk.BY_RULE:
        terms.append(DECISION.c.suggest_source.is_not(None))
    if order.what in REVIEWS:
        terms.append(DECISION.c.proposer != acting.by.person)
    return terms


def _skipped(order: Order, acting: Acting) -> Any:
    """Why a hit is not handled, NULL when it is."""
    states = waiting(order)
    why = f"状态不是{states[0]}" if len(states) == 1 else "状态已是已生效"
    causes: list[tuple[Any, str]] = [(DECISION.c.state.not_in(states), why)]
    if order.what is Bulk.BY_RULE:
        causes.append((DECISION.c.suggest_source.is_(None), "无唯一权威源"))
    if order.what in REVIEWS:
        causes.append((DECISION.c.proposer == acting.by.person, "不能复核本人提交的处理意见"))
    return sa.case(*causes, else_=None)


def _incomplete(order: Order, today: str) -> Refusal | None:
    if not order.note.strip():
        return Refusal("E3326", "批量处理须写明说明文字")
    if order.what is Bulk.ASSIGN and not order.assignee:
        return Refusal("E3325", "没有给出承办人")
    if order.what is Bulk.DUE and order.due < today:
        return Refusal("E3330", "截止日期须是今天或以后的日期")
    return None


def _token(order: Order, acting: Acting, as_of: int, able: int) -> str:
    body = json.dumps([order.chosen.text(), str(order.what), acting.by.person, as_of, able], ensure_ascii=False)
    return f"{as_of}-{able}-{hashlib.sha256(body.encode()).hexdigest()[:12]}"


def _redeemed(order: Order, acting: Acting, token: str) -> tuple[int, int]:
    parts = token.split("-")
    numbers = [int(p) for p in parts[:2] if p.isdigit()]
    if len(parts) != 3 or len(numbers) != 2 or _token(order, acting, *numbers) != token:
        raise UsageError("E1057", "预览号与本次条件不符", step="以同样的条件重新预览，再用新的预览号提交")
    return numbers[0], numbers[1]
