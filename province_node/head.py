"""The ministry's head at the province: newest one kept, expiry and steps backwards alarmed, sealing stopped (8.1, 9.5).

Decides whether the province may seal. A head that stands ahead of our own stream, or that names another batch than
ours under a number we both have, says that this node was restored to an older point: sealing on would fork the stream
(protocol 15 #63). Only a new epoch ends that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.batch import wire
from hub.batch.head import StreamHead, Tip, went_back
from hub.batch.sequence import PeerStream
from hub.errors import HubError, VerificationError
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE, OUTBOX
from province_node.stream import DIRECTION, STREAM

_NAME: Final = "head.seen"


@dataclass(frozen=True)
class Seen:
    """The newest head believed. `back`: it stood behind an earlier one when it came, by flow."""

    tips: tuple[Tip, ...]
    issued: datetime
    expires: datetime
    trust_version: int
    back: tuple[str, ...] = ()

    def tip(self) -> Tip | None:
        """Where the ministry says our own stream stands."""
        return next((tip for tip in self.tips if tip.flow == (DIRECTION, STREAM)), None)


def seen(reader: Reader) -> Seen | None:
    """The newest head this node believed, None before the first."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _NAME)
    found = reader.connection.execute(query).scalar_one_or_none()
    if not found:
        return None
    data = json.loads(found)
    return Seen(
        tuple(Tip(*tip) for tip in data["tips"]),
        wire.read_utc(data["issued"]),
        wire.read_utc(data["expires"]),
        int(data["trust_version"]),
        tuple(data["back"]),
    )


def keep(transaction: Transaction, head: StreamHead, *, excused: bool) -> Seen:
    """Stores a verified head unless it is older than the one kept; returns the one in force.

    `excused`: a DR statement explains that the ministry stands at an earlier point (protocol 9.4).
    """
    before = seen(transaction)
    if before is not None and head.issued < before.issued:
        return before
    back = () if before is None or excused else tuple(f"{d}-{s}" for d, s in (t.flow for t in _lost(before, head)))
    if before is not None and before.back and not excused and before.issued == head.issued:
        back = before.back
    now = Seen(head.tips, head.issued, head.expires, head.trust_version, back)
    _write(transaction, now)
    return now


def _lost(before: Seen, head: StreamHead) -> tuple[Tip, ...]:
    return went_back(before.tips, head)


def _write(transaction: Transaction, now: Seen) -> None:
    data: dict[str, Any] = {
        "tips": [[t.direction, t.stream, t.epoch, t.last_seq, t.last_digest] for t in now.tips],
        "issued": wire.write_utc(now.issued),
        "expires": wire.write_utc(now.expires),
        "trust_version": now.trust_version,
        "back": list(now.back),
    }
    set_state(transaction, _NAME, json.dumps(data, sort_keys=True))


def alarms(now: Seen | None, at: datetime) -> tuple[HubError, ...]:
    """What a person must hear about the head: expired, or gone backwards. Nothing before the first head came."""
    if now is None:
        return ()
    found = []
    if at > now.expires:
        found.append(
            HubError(
                "E3620",
                f"部级位置声明已于 {now.expires:%Y-%m-%d %H:%M} UTC 过期，没有更新",
                where="head.dsse",
                step="核对网络与交换目录；部级停运或交换目录被冻结时联系部级",
            )
        )
    if now.back:
        found.append(
            HubError(
                "E3621",
                "部级位置声明倒退：部级可能恢复到了旧时点，或有人放回旧文件",
                where="、".join(now.back),
                step="联系部级核对；部级恢复旧时点的，等待灾备声明",
            )
        )
    return tuple(found)


def divergence(reader: Reader, here: PeerStream) -> str | None:
    """In words why this node may not seal after `here`, None when nothing speaks against it."""
    now = seen(reader)
    tip = now.tip() if now else None
    if tip is None:
        return None
    place = (here.stream_id.epoch, here.last_seq)
    if (tip.epoch, tip.last_seq) > place:
        return f"部级已到期次 {tip.epoch} 序号 {tip.last_seq}，本节点只到期次 {place[0]} 序号 {place[1]}"
    if tip.epoch == here.stream_id.epoch and tip.last_seq:
        query = sa.select(OUTBOX.c.digest).where(
            OUTBOX.c.stream == STREAM, OUTBOX.c.epoch == tip.epoch, OUTBOX.c.seq == tip.last_seq
        )
        ours = reader.connection.execute(query).scalar_one_or_none()
        if ours != tip.last_digest:
            return f"序号 {tip.last_seq} 在部级是另一份批次"
    return None


def check_not_behind(reader: Reader, here: PeerStream) -> None:
    """Raises VerificationError E3622 when the ministry is ahead of this node, or names another batch (protocol 9.5)."""
    if (words := divergence(reader, here)) is not None:
        raise VerificationError(
            "E3622",
            f"本节点落后于部级，不得封装：{words}",
            where=str(here.stream_id),
            step="本节点恢复过旧备份：停止定时运行，向部级申请新的期次授权，按运行手册 province-restored 处置",
        )


def set_state(transaction: Transaction, name: str, value: str) -> None:
    """One named value of this node, in the caller's transaction."""
    moved = transaction.connection.execute(sa.update(NODE_STATE).where(NODE_STATE.c.name == name).values(value=value))
    if moved.rowcount == 0:
        transaction.connection.execute(sa.insert(NODE_STATE), {"name": name, "value": value})
