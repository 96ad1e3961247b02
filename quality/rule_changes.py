"""Changes of a node's quality rules by two persons: one drafts, another confirms, then the next round applies them.

Decides who may do which (never the same person, console 3), what may be changed (`hub.catalog.tuning`: thresholds of the
rule, `enabled` of one that does not block), and the settings that follow from all confirmed changes in order. Where they
are kept for whatever opens the node is decided by the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.catalog import Catalog
from hub.catalog.tuning import tuned
from hub.errors import InputError, UsageError
from hub.roles import Operator, same_person
from hub.store import Reader, Store, Transaction
from hub.store.page_tables import RULE_CHANGE
from hub.web.accounts import stamp

_C: Final = RULE_CHANGE.c
REASON: Final = (4, 400)


class State(StrEnum):
    """Where a change stands."""

    WAITING = "待确认"
    CONFIRMED = "已确认"
    REFUSED = "已驳回"
    WITHDRAWN = "已撤回"


class SecondPersonError(UsageError):
    """One's own change is not confirmed by oneself."""

    status = 403


class SettledError(InputError):
    """Another was faster."""

    status = 409


@dataclass(frozen=True)
class Change:
    """One change: the settings it makes, who asked for it and why, who decided."""

    number: int
    rule: str
    settings: Mapping[str, Any]
    reason: str
    state: str
    asked_by: str
    asked_actor: str
    asked_at: str
    decided_by: str
    decided_actor: str
    decided_at: str
    decided_note: str


def changes(reader: Reader, *, rule: str = "", state: str = "") -> tuple[Change, ...]:
    """Changes, newest first."""
    query = sa.select(RULE_CHANGE).order_by(_C.change_no.desc())
    if rule:
        query = query.where(_C.rule == rule)
    if state:
        query = query.where(_C.state == state)
    return tuple(_change(row) for row in reader.connection.execute(query).mappings())


def _change(row: Any) -> Change:
    texts = {n: str(row[n] or "") for n in Change.__dataclass_fields__ if n not in ("number", "settings")}
    return Change(number=int(row["change_no"]), settings=json.loads(row["settings"] or "{}"), **texts)


def approved(reader: Reader) -> dict[str, dict[str, Any]]:
    """Settings by rule as all confirmed changes together leave them, later ones over earlier."""
    query = (
        sa.select(_C.rule, _C.settings).where(_C.state == str(State.CONFIRMED)).order_by(_C.decided_at, _C.change_no)
    )
    found: dict[str, dict[str, Any]] = {}
    for rule, settings in reader.connection.execute(query):
        found.setdefault(str(rule), {}).update(json.loads(settings))
    return found


def draft(
    store: Store, catalog: Catalog, rule: str, settings: Mapping[str, Any], *, by: Operator, node: str, reason: str,
    at: datetime,
) -> int:  # fmt: skip
    """Asks for a change; its number. Raises `UsageError` E1103 for one that cannot be, E3525 without a reason or when
    nothing changes, E3526 while another change of the rule waits."""
    words = reason.strip()
    if not REASON[0] <= len(words) <= REASON[1]:
        raise UsageError("E3525", f"须写明理由（{REASON[0]} 至 {REASON[1]} 字）", step="填写理由后再提交")
    if not settings:
        raise UsageError("E3525", "没有改动任何设置", step="改变阈值或启用状态后再提交")
    tuned(catalog, {rule: settings})
    with store.begin() as tx:
        if changes(tx, rule=rule, state=str(State.WAITING)):
            raise UsageError("E3526", "这条规则已有一项变更待确认", step="先确认、驳回或撤回那一项")
        number = int(tx.connection.execute(sa.select(sa.func.max(_C.change_no))).scalar() or 0) + 1
        tx.connection.execute(
            sa.insert(RULE_CHANGE),
            {
                "change_no": number, "rule": rule, "settings": json.dumps(settings, ensure_ascii=False),
                "reason": words, "state": str(State.WAITING), "asked_by": by.person, "asked_actor": by.name,
                "asked_at": stamp(at),
            },
        )  # fmt: skip
        detail = {"settings": json.dumps(settings, ensure_ascii=False, sort_keys=True), "reason": words}
        _note(tx, Event.RULE_CHANGE_ASKED, number, rule, by, "draft_rule", node, at, detail)
    return number


def decide(
    store: Store, number: int, *, confirm: bool, by: Operator, node: str, note: str, at: datetime
) -> dict[str, dict[str, Any]]:
    """Confirms or refuses a waiting change, by another person; the settings that follow. Raises `SecondPersonError`
    E3527, `UsageError` E3525 for a refusal without a reason, `SettledError` E3528 for one that does not wait."""
    if not confirm and len(note.strip()) < REASON[0]:
        raise UsageError("E3525", f"驳回须写明原因（至少 {REASON[0]} 字）", step="填写原因后再提交")
    with store.begin() as tx:
        one = _waiting(tx, number)
        if same_person(one.asked_by, by.person):
            raise SecondPersonError("E3527", "不能确认本人提出的规则变更", step="请另一位有确认规则权限的人确认")
        state = State.CONFIRMED if confirm else State.REFUSED
        _settle(tx, number, state, by, note.strip(), at)
        detail = {"decision": str(state), "settings": json.dumps(one.settings, ensure_ascii=False, sort_keys=True)}
        _note(tx, Event.RULE_CHANGE_DECIDED, number, one.rule, by, "confirm_rule", node, at, detail)
        return approved(tx)


def withdraw(store: Store, number: int, *, by: Operator, node: str, at: datetime) -> None:
    """Takes back one's own waiting change; `UsageError` E3529 for another's."""
    with store.begin() as tx:
        one = _waiting(tx, number)
        if not same_person(one.asked_by, by.person):
            raise UsageError("E3529", "只有提出人可以撤回", step="请提出人撤回，或由确认人驳回")
        tx.connection.execute(
            sa.update(RULE_CHANGE)
            .where(_C.change_no == number)
            .values(state=str(State.WITHDRAWN), decided_at=stamp(at))
        )
        detail = {"decision": str(State.WITHDRAWN)}
        _note(tx, Event.RULE_CHANGE_DECIDED, number, one.rule, by, "draft_rule", node, at, detail)


def _waiting(tx: Transaction, number: int) -> Change:
    row = tx.connection.execute(sa.select(RULE_CHANGE).where(_C.change_no == number)).mappings().first()
    if row is None:
        raise UsageError("E3526", "没有这项规则变更", step="返回质量规则页核对")
    one = _change(row)
    if one.state != str(State.WAITING):
        raise SettledError(
            "E3528", f"这项变更{one.state}（{one.decided_actor or one.asked_actor}）", step="刷新本页查看现在的设置"
        )
    return one


def _settle(tx: Transaction, number: int, state: State, by: Operator, note: str, at: datetime) -> None:
    done = tx.connection.execute(
        sa.update(RULE_CHANGE)
        .where(_C.change_no == number, _C.state == str(State.WAITING))
        .values(
            state=str(state),
            decided_by=by.person,
            decided_actor=by.name,
            decided_at=stamp(at),
            decided_note=note or None,
        )
    )
    if done.rowcount != 1:
        raise SettledError("E3528", "这项变更刚被他人处理", step="刷新本页查看现在的设置")


def _note(
    tx: Transaction, event: Event, number: int, rule: str, by: Operator, verb: str, node: str, at: datetime,
    detail: Mapping[str, str],
) -> None:  # fmt: skip
    append(
        tx.connection, event, ts=at, node=node, actor=by.name, actor_role=by.role_for(verb),
        object=f"rule {rule} change {number}", detail=dict(detail),
    )  # fmt: skip
