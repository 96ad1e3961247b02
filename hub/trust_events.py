"""What a node says and writes down about trust: versions accepted, lists and CRLs refused, and what runs out.

Decides nothing about trust itself. The table `trust_state` remembers which version was noted, in the transaction that
noted it: a run that was killed between taking a list and noting it notes it the next time, and a `trust/` folder that
was put back to an older list beside a database that knows a newer one is a rollback.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.batch import wire
from hub.batch.layout import trust_list_name
from hub.errors import HubError, RefusedError
from hub.store.ledger import AUDIT_EVENT, TRUST_STATE
from hub.trust.chain import crl_is_stale
from hub.trust.trust_list import Freshness, TrustList
from hub.verdict import refused

_ROW: Final = "trust-list"


def unnoted(connection: sa.Connection, trust: TrustList) -> range:
    """Versions that are in force or were, and of which the database does not know yet; E_TRUST_ROLLBACK when it knows
    a newer one."""
    query = sa.select(TRUST_STATE.c.version).where(TRUST_STATE.c.name == _ROW)
    noted = int(connection.execute(query).scalar_one_or_none() or 0)
    if noted > trust.version:
        raise refused("E_TRUST_ROLLBACK", f"数据库记得第 {noted} 版，目录中只有第 {trust.version} 版", where="trust")
    return range(noted + 1, trust.version + 1)


def note_accepted(connection: sa.Connection, trust: TrustList, *, node: str, actor: str, at: datetime) -> None:
    """An accepted version in `trust_state` and in the audit log, in the caller's transaction."""
    values = {"version": trust.version, "digest": trust.digest, "seen_at": wire.write_utc(at)}
    row = TRUST_STATE.c.name == _ROW
    if not connection.execute(sa.update(TRUST_STATE).where(row).values(**values)).rowcount:
        connection.execute(sa.insert(TRUST_STATE), {"name": _ROW, **values})
    name = trust_list_name(trust.version)
    append(connection, Event.TRUST_LIST_ACCEPTED, ts=at, node=node, actor=actor, object=name)


def note_refused(
    connection: sa.Connection, name: str, content: bytes, error: RefusedError, *, node: str, actor: str, at: datetime
) -> bool:
    """The audit record of a refused list or CRL, once per content; False when it was noted before."""
    subject = f"{name} {hashlib.sha256(content).hexdigest()[:16]}"
    c = AUDIT_EVENT.c
    known = sa.select(c.i).where(c.action == Event.TRUST_LIST_REFUSED.value, c.object == subject).limit(1)
    if connection.execute(known).first() is not None:
        return False
    append(
        connection,
        Event.TRUST_LIST_REFUSED,
        ts=at,
        node=node,
        actor=actor,
        object=subject,
        result=Result.REFUSED,
        detail={"code": error.code},
    )
    return True


def running_out(trust: TrustList, at: datetime) -> list[HubError]:
    """Alarms: the list in its seven days' grace or past it (10.1), a CRL past its next update (4.4, 11.1)."""
    words = {
        Freshness.GRACE: ("信任清单已过期，正在宽限期内", "尽快由部级签发新版信任清单"),
        Freshness.EXPIRED: ("信任清单已过宽限期，批次一律暂停", "由部级签发新版信任清单后重新运行"),
    }.get(trust.freshness(at))
    alarms = []
    if words is not None:
        alarms.append(HubError("E_TRUST_EXPIRED", words[0], where="trust-list", step=words[1]))
    if crl_is_stale(trust.crls, at=at):
        alarms.append(
            HubError(
                "E1213",
                "吊销列表已过更新时间，72 小时宽限期内照用旧列表，之后一律拒收",
                where="crl",
                step="查明吊销列表来源为何中断，取得新列表后用 hub key accept 导入",
            )
        )
    return alarms
