"""Sessions on the server: the cookie is an id and nothing else (console 6).

Decides how long a session lives (idle minutes, at most twelve hours), that an account has one, and that only the digest
of its id is stored. Times and randomness are arguments.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.errors import UsageError
from hub.roles import Operator
from hub.roles_store import operator_named
from hub.store import Store
from hub.store.web_tables import WEB_ACCOUNT, WEB_SESSION
from hub.web.accounts import PAGE_SIZES, Random, stamp
from hub.web.section import Allowed

LONGEST: Final = timedelta(hours=12)
# `seen` is written when it is older than this: not a write per request.
_SEEN_STEP: Final = timedelta(seconds=60)
DEFAULT_SIZE: Final = 50


@dataclass(frozen=True)
class Visitor:
    """Who is signed in. `csrf`: the token every form carries; `plain_until`: end of the step-up, UTC text or None."""

    operator: Operator
    digest: str
    csrf: str
    via: str
    page_size: int = DEFAULT_SIZE
    plain_until: str | None = None
    plain_purpose: str = ""
    # A password given out by somebody else: nothing but changing it is open.
    must_change: bool = False

    @property
    def name(self) -> str:
        return self.operator.name

    def may(self, *verbs: str) -> bool:
        """True when one of the roles carries one of the verbs."""
        return any(self.operator.may(verb) for verb in verbs)

    def may_use(self, allow: Allowed) -> bool:
        """True when this visitor may use a route that is declared so."""
        scopes = (self.operator.scopes(verb) for verb in allow.verbs)
        over = any(s.whole for found in scopes for s in found) if allow.whole else True
        return not allow.verbs or (self.may(*allow.verbs) and over)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(g.role for g in self.operator.grants)


def digest_of(session_id: str) -> str:
    """What is stored of a session's id."""
    return "sha256:" + hashlib.sha256(session_id.encode()).hexdigest()


def start(
    store: Store,
    node: str,
    name: str,
    *,
    at: datetime,
    rng: Random,
    source: str,
    via: str = "local",
) -> str:
    """Ends the account's other sessions, begins one, audits it; returns the id for the cookie."""
    session_id = rng(32).hex()
    with store.begin() as tx:
        tx.connection.execute(sa.delete(WEB_SESSION).where(WEB_SESSION.c.name == name))
        tx.connection.execute(sa.delete(WEB_SESSION).where(WEB_SESSION.c.created < stamp(at - LONGEST)))
        row = {
            "digest": digest_of(session_id), "name": name, "csrf": rng(32).hex(), "created": stamp(at),
            "seen": stamp(at), "source": source, "via": via,
        }  # fmt: skip
        tx.connection.execute(sa.insert(WEB_SESSION), row)
        append(
            tx.connection, Event.SIGNED_IN, ts=at, node=node, actor=name, object=f"operator {name}",
            detail={"address": source, "via": via},
        )  # fmt: skip
    return session_id


def visitor_of(store: Store, session_id: str, *, at: datetime, idle: timedelta, note: bool = True) -> Visitor | None:
    """Who this cookie is, None when the session ended, expired or its operator was stopped.

    `note`: being asked counts as being there, which begins the idle time anew.
    """
    digest, c = digest_of(session_id), WEB_SESSION.c
    with store.reading() as reader:
        found = reader.connection.execute(sa.select(WEB_SESSION).where(c.digest == digest)).mappings().first()
        if found is None or found["seen"] < stamp(at - idle) or found["created"] < stamp(at - LONGEST):
            return None
        try:
            operator = operator_named(reader, found["name"])
        except UsageError:
            return None
        account = reader.connection.execute(
            sa.select(WEB_ACCOUNT.c.page_size, WEB_ACCOUNT.c.changed_at).where(WEB_ACCOUNT.c.name == found["name"])
        ).first()
    if note and found["seen"] < stamp(at - _SEEN_STEP):
        with store.begin() as tx:
            tx.connection.execute(sa.update(WEB_SESSION).where(c.digest == digest).values(seen=stamp(at)))
    until = found["plain_until"] if (found["plain_until"] or "") > stamp(at) else None
    size = account.page_size if account else None
    temporary = found["via"] == "local" and account is not None and account.changed_at is None
    return Visitor(
        operator, digest, found["csrf"], found["via"], size if size in PAGE_SIZES else DEFAULT_SIZE, until,
        found["plain_purpose"] or "", temporary,
    )  # fmt: skip


def end(store: Store, node: str, visitor: Visitor, *, at: datetime) -> None:
    """Signing out; audited."""
    with store.begin() as tx:
        tx.connection.execute(sa.delete(WEB_SESSION).where(WEB_SESSION.c.digest == visitor.digest))
        append(tx.connection, Event.SIGNED_OUT, ts=at, node=node, actor=visitor.name, object=f"operator {visitor.name}")
