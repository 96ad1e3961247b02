"""Operators and their roles in the database.

Decides that an account belongs to exactly one person for ever, and that each change is audited with it. What roles may
do is `hub.roles`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.errors import UsageError
from hub.roles import Grant, Operator, Scope, check_roles, person_id, same_person
from hub.store import Reader, Store
from hub.store.decision_tables import OPERATOR, OPERATOR_ROLE

ACTIVE, STOPPED = "在用", "停用"
_NAME: Final = 80


def add_operator(
    store: Store, node: str, name: str, person: str, grants: Iterable[Grant], *, at: datetime, actor: str
) -> Operator:
    """Creates an operator or replaces their roles; audited. Raises E1053, E1054, E1056 (another person's account)."""
    given = tuple(grants)
    name, person = name.strip(), person_id(person)
    if not name or len(name) > _NAME or not name.isprintable():
        raise UsageError("E1053", "经办人名称不合规定", step="用 1 至 80 个可见字符的账号名")
    check_roles(g.role for g in given)
    with store.begin() as tx:
        found = tx.connection.execute(sa.select(OPERATOR.c.person).where(OPERATOR.c.name == name)).scalar_one_or_none()
        if found is not None and not same_person(found, person):
            raise UsageError("E1056", "该账号属于另一人，账号不能转给他人", where=name, step="为此人另设账号")
        for other in _accounts(tx, person):
            check_roles([*(g.role for g in given), *(g.role for g in other.grants if other.name != name)])
        if found is None:
            tx.connection.execute(
                sa.insert(OPERATOR),
                {"name": name, "person": person, "state": ACTIVE, "created": at.astimezone(UTC).isoformat()[:19] + "Z"},
            )
        tx.connection.execute(sa.update(OPERATOR).where(OPERATOR.c.name == name).values(state=ACTIVE))
        tx.connection.execute(sa.delete(OPERATOR_ROLE).where(OPERATOR_ROLE.c.name == name))
        rows = [{"name": name, "role": g.role, "scope": json.dumps(g.scope.document())} for g in given]
        if rows:
            tx.connection.execute(sa.insert(OPERATOR_ROLE), rows)
        detail = {"roles": "、".join(g.role for g in given)}
        append(
            tx.connection,
            Event.OPERATOR_CHANGED,
            ts=at,
            node=node,
            actor=actor,
            object=f"operator {name}",
            detail=detail,
        )
    return Operator(name, person, given)


def stop_operator(store: Store, node: str, name: str, *, at: datetime, actor: str) -> None:
    """The account can act no more; its history stays. Raises E1056 for an unknown one."""
    with store.begin() as tx:
        done = tx.connection.execute(sa.update(OPERATOR).where(OPERATOR.c.name == name).values(state=STOPPED))
        if done.rowcount != 1:
            raise UsageError("E1056", "没有这个经办人", where=name, step="核对账号名")
        append(
            tx.connection, Event.OPERATOR_CHANGED, ts=at, node=node, actor=actor, object=f"operator {name} {STOPPED}"
        )


def operator_named(reader: Reader, name: str) -> Operator:
    """The operator who acts. Raises `UsageError` E1056 when unknown or stopped."""
    row = reader.connection.execute(sa.select(OPERATOR).where(OPERATOR.c.name == name)).mappings().first()
    if row is None or row["state"] != ACTIVE:
        raise UsageError("E1056", "没有这个经办人，或已停用", where=name, step="先登记该经办人，或换用有效账号")
    return Operator(name, str(row["person"]), _grants(reader, name))


def person_behind(connection: sa.Connection, name: str) -> str:
    """Who a name on a record stands for: the account's person, else the name itself in one spelling.

    Four-eyes compares what this gives: one person with two accounts, or under two spellings, is one person.
    """
    found = connection.execute(sa.select(OPERATOR.c.person).where(OPERATOR.c.name == name.strip())).scalar_one_or_none()
    return "".join(unicodedata.normalize("NFKC", str(found or name)).casefold().split())


def operators(reader: Reader) -> list[dict[str, Any]]:
    """All operators with their roles and scopes, by name."""
    rows = reader.connection.execute(sa.select(OPERATOR).order_by(OPERATOR.c.name)).mappings()
    return [
        {**r, "grants": [{"role": g.role, **g.scope.document()} for g in _grants(reader, r["name"])]}
        for r in [dict(row) for row in rows]
    ]


def _accounts(reader: Reader, person: str) -> list[Operator]:
    names = reader.connection.execute(
        sa.select(OPERATOR.c.name).where(OPERATOR.c.person == person, OPERATOR.c.state == ACTIVE)
    ).scalars()
    return [Operator(n, person, _grants(reader, n)) for n in names.all()]


def _grants(reader: Reader, name: str) -> tuple[Grant, ...]:
    query = sa.select(OPERATOR_ROLE).where(OPERATOR_ROLE.c.name == name).order_by(OPERATOR_ROLE.c.role)
    return tuple(
        Grant(r["role"], Scope(**{k: frozenset(v) for k, v in json.loads(r["scope"]).items()}))
        for r in reader.connection.execute(query).mappings()
    )
