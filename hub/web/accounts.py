"""Accounts: setting passwords, checking them, locking after failures, what is remembered per user (console 1, 6).

Decides when an account is locked and what of it is audited. Who the operator is and what they may do is decided by
`hub.roles`; sessions by `sessions`. Times are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.errors import UsageError
from hub.roles_store import operator_named
from hub.store import Reader, Store
from hub.store.web_tables import WEB_ACCOUNT, WEB_SESSION
from hub.web.passwords import check_password, hashed, matches

ATTEMPTS: Final = 5
LOCKED_FOR: Final = timedelta(minutes=15)
PAGE_SIZES: Final = (10, 20, 50, 100)
Random = Callable[[int], bytes]


def stamp(at: datetime) -> str:
    """A moment as the tables hold it; moments compare as texts."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Attempt:
    """`good`: the password was right and the account open. `locked_until`: when the next attempt is looked at."""

    good: bool
    locked_until: str | None = None


def set_password(
    store: Store,
    node: str,
    name: str,
    password: str,
    *,
    data: bool = False,
    temporary: bool = False,
    at: datetime,
    actor: str,
    rng: Random,
) -> None:
    """Sets the sign-in password, or with `data` the 数据密码, and unlocks it; ends the account's sessions, or its
    step-up; audited.

    `temporary`: given out by somebody else, so its owner must change it before anything else. Raises `UsageError` E1056
    (no such operator), E1081 (password), E1082 (the two would be the same).
    """
    with store.reading() as reader:
        operator_named(reader, name)
        row = account(reader, name) or {}
    check_password(password, name=name)
    if matches(password, row.get("secret" if data else "data_secret")):
        raise UsageError("E1082", "登录口令与数据密码不能相同", step="换一个口令")
    prefix = "data_" if data else ""
    values = {f"{prefix}secret": hashed(password, salt=rng(16)), f"{prefix}failures": 0, f"{prefix}locked_until": None}
    if not data:
        values["changed_at"] = None if temporary else stamp(at)
    with store.begin() as tx:
        _write(tx, name, values)
        mine = WEB_SESSION.c.name == name
        over = (
            sa.update(WEB_SESSION).where(mine).values(plain_until=None) if data else sa.delete(WEB_SESSION).where(mine)
        )
        tx.connection.execute(over)
        what = "数据密码" if data else "登录口令"
        append(
            tx.connection, Event.PASSWORD_SET, ts=at, node=node, actor=actor, object=f"operator {name}",
            detail={"kind": f"{what}（临时）" if temporary else what},
        )  # fmt: skip


def account(reader: Reader, name: str) -> dict[str, Any] | None:
    """The account's row, None where no password or preference was ever set."""
    row = reader.connection.execute(sa.select(WEB_ACCOUNT).where(WEB_ACCOUNT.c.name == name)).mappings().first()
    return dict(row) if row else None


def accounts(reader: Reader) -> dict[str, dict[str, Any]]:
    """All accounts' rows by name, without their hashes."""
    rows = reader.connection.execute(sa.select(WEB_ACCOUNT)).mappings()
    return {
        r["name"]: {**{k: v for k, v in r.items() if "secret" not in k}, "has_secret": bool(r["secret"]),
                    "has_data_secret": bool(r["data_secret"])}
        for r in rows
    }  # fmt: skip


def try_password(
    store: Store,
    node: str,
    name: str,
    password: str,
    *,
    data: bool = False,
    at: datetime,
    source: str,
    purpose: str = "",
) -> Attempt:
    """One attempt; failures count, the fifth locks the account for fifteen minutes. Failures and locks are audited.

    `source`: the address it came from; `purpose`: of a step-up. An account that is not there fails like any other, and
    what was typed as its name is not written anywhere. A locked one is not looked at.
    """
    prefix = "data_" if data else ""
    row, locked = _counted(store, name, prefix, at)
    if locked:
        return Attempt(good=False, locked_until=locked)
    good = matches(password, row[f"{prefix}secret"] if row else None)
    until = stamp(at + LOCKED_FOR) if row and not good and row[f"{prefix}failures"] >= ATTEMPTS else None
    event = Event.STEP_UP if data else Event.SIGN_IN_FAILED
    with store.begin() as tx:
        if row is not None and (good or until):
            _write(tx, name, {f"{prefix}failures": 0, f"{prefix}locked_until": until})
        if data or not good:
            append(
                tx.connection, event, ts=at, node=node, actor=name if row else "未知账号", purpose=purpose,
                object=f"operator {name}" if row else "", result=Result.DONE if good else Result.REFUSED,
                detail={"address": source, **({"locked_until": until} if until else {})},
            )  # fmt: skip
    return Attempt(good, until)


def _counted(store: Store, name: str, prefix: str, at: datetime) -> tuple[dict[str, Any] | None, str | None]:
    """Counts the attempt before it is looked at, so that many at once are no more than many in a row.

    (the account's row with this attempt in its failures, or None; until when it is locked, or None).
    """
    failures, locked = WEB_ACCOUNT.c[f"{prefix}failures"], WEB_ACCOUNT.c[f"{prefix}locked_until"]
    open_ = sa.or_(locked.is_(None), locked <= stamp(at))
    with store.begin() as tx:
        tx.connection.execute(
            sa.update(WEB_ACCOUNT)
            .where(WEB_ACCOUNT.c.name == name, open_)
            .values({failures: sa.func.coalesce(failures, 0) + 1})
        )
        row = account(tx, name)
    if row is None:
        return None, None
    until = row[f"{prefix}locked_until"]
    if until and until > stamp(at):
        return row, str(until)
    return row, stamp(at + LOCKED_FOR) if row[f"{prefix}failures"] > ATTEMPTS else None


def unlock(store: Store, node: str, name: str, *, forget_data: bool = False, at: datetime, actor: str) -> None:
    """Lifts the locks; with `forget_data` the 数据密码 is gone and its owner sets a new one. Audited."""
    values: dict[str, Any] = {"failures": 0, "locked_until": None, "data_failures": 0, "data_locked_until": None}
    with store.begin() as tx:
        _write(tx, name, {**values, **({"data_secret": None} if forget_data else {})})
        what = "清除数据密码" if forget_data else "解锁"
        append(
            tx.connection, Event.PASSWORD_SET, ts=at, node=node, actor=actor, object=f"operator {name}",
            detail={"kind": what},
        )  # fmt: skip


def bind_subject(store: Store, node: str, name: str, subject: str, *, at: datetime, actor: str) -> None:
    """Ties the account to who it is at the sign-in provider (`issuer subject`); empty unties it. Audited.

    Raises `UsageError` E1094 when another account has it.
    """
    with store.begin() as tx:
        c = WEB_ACCOUNT.c
        taken = tx.connection.execute(sa.select(c.name).where(c.subject == subject, c.name != name)).first()
        if subject and taken:
            raise UsageError("E1094", "该统一身份已绑定另一账号", step="先解除原账号的绑定")
        _write(tx, name, {"subject": subject or None})
        append(
            tx.connection, Event.OPERATOR_CHANGED, ts=at, node=node, actor=actor, object=f"operator {name}",
            detail={"kind": "绑定统一身份" if subject else "解除统一身份绑定"},
        )  # fmt: skip


def remember_size(store: Store, name: str, size: int) -> None:
    """The page size this user chose last (console 2)."""
    if size not in PAGE_SIZES:
        raise RuntimeError("no such page size")
    with store.begin() as tx:
        _write(tx, name, {"page_size": size})


def _write(tx: Reader, name: str, values: dict[str, Any]) -> None:
    done = tx.connection.execute(sa.update(WEB_ACCOUNT).where(WEB_ACCOUNT.c.name == name).values(**values))
    if done.rowcount == 0:
        tx.connection.execute(sa.insert(WEB_ACCOUNT), {"name": name, **values})
