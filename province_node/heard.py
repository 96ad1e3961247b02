"""Small files from the exchange place: fetched whole or refused; what is not believed is written down once.

Decides how long such a file may be and that a file that is not believed leaves one audit record per content and reason,
however often it is looked at. What it means is the modules' that ask.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.batch import wire
from hub.errors import HubError
from hub.store import Transaction
from hub.store.ledger import AUDIT_EVENT
from hub.verdict import refused
from province_node.desk import ACTOR

Get = Callable[[str, Path, int], object]


def fetch(work: Path, get: Get, name: str, cap: int) -> bytes:
    """The file's bytes by `get` (a transport's, from `out/` or `pub/`); E_ENV_SIZE for one longer than `cap`, and the
    retryable errors of the transport."""
    path = work / f".{name}"
    try:
        get(name, path, cap)
        return path.read_bytes()
    except HubError as error:
        if error.retryable:
            raise
        raise refused("E_ENV_SIZE", error.what, where=name) from None
    finally:
        path.unlink(missing_ok=True)


def note_disbelief(
    transaction: Transaction, event: Event, name: str, content: bytes, error: HubError, *, node: str, at: datetime
) -> bool:
    """The audit record of a file that was not believed; False when this content was noted for this reason before."""
    digest, c = wire.digest_of(content), AUDIT_EVENT.c
    known = sa.select(c.detail).where(c.object == name, c.action == event.value)
    noted = transaction.connection.execute(known).scalars().all()
    if any(digest in (detail or "") and error.code in (detail or "") for detail in noted):
        return False
    append(
        transaction.connection,
        event,
        ts=at,
        node=node,
        actor=ACTOR,
        object=name,
        result=Result.REFUSED,
        detail={"code": error.code, "envelope": digest},
    )
    return True
