"""Heads for the provinces, and which province has fallen silent (protocol 8.1, 8.2).

Decides what a head says (every stream of a party, as committed) and when silence is an alarm. Issued by every intake
run and by `hub head issue`; a signer that is down costs a head, never a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.batch import wire
from hub.batch.head import VALIDITY, StreamHead, Tip, sign_head
from hub.batch.layout import HEAD_NAME
from hub.errors import HubError
from hub.registry import versions
from hub.store.ledger import INBOX, PEER_STREAM, RECEIPT
from ministry_node.desk import Alarm, Desk

SILENCE: Final = timedelta(hours=26)


@dataclass(frozen=True)
class Issued:
    """Heads laid out, by party, and what could not be."""

    heads: dict[str, StreamHead]
    alarms: tuple[Alarm, ...] = ()


def issue_heads(desk: Desk) -> Issued:
    """A new `out/head.dsse` for every province with a stream; one that fails is an alarm, not an end."""
    heads: dict[str, StreamHead] = {}
    alarms = []
    with desk.store.reading() as reader:
        version = versions.held(reader.connection).number
    for party, tips in _tips(desk).items():
        head = StreamHead(party, tips, desk.keyring.trust.version, version, desk.at, desk.at + VALIDITY)
        try:
            desk.server.publish(party, HEAD_NAME, sign_head(head, desk.keyring.signer), replace=True)
            heads[party] = head
        except HubError as failure:
            alarms.append(Alarm.of(party, failure))
    return Issued(heads, tuple(alarms))


def silent(desk: Desk) -> tuple[Alarm, ...]:
    """Provinces with a stream whose last batch or heartbeat came more than 26 hours ago."""
    alarms = []
    for party, heard in last_heard(desk).items():
        if heard is not None and desk.at - heard > SILENCE:
            hours = int((desk.at - heard).total_seconds() // 3600)
            error = HubError(
                "E3610",
                f"该省已 {hours} 小时没有批次或心跳（上限 26 小时）",
                where=f"p{party}",
                step="联系该省查明：节点停运、网络中断，或有人拦截交换目录",
            )
            alarms.append(Alarm.of(party, error))
    return tuple(alarms)


def last_heard(desk: Desk) -> dict[str, datetime | None]:
    """When each province's newest batch came, decided or not; None when none ever did."""
    with desk.store.reading() as reader:
        ask = reader.connection.execute
        parties = ask(sa.select(PEER_STREAM.c.party).where(PEER_STREAM.c.direction == "up").distinct()).scalars().all()
        newest: dict[str, list[str]] = {}
        for table, column in ((INBOX, INBOX.c.received_at), (RECEIPT, RECEIPT.c.created)):
            for party, at in ask(sa.select(table.c.party, sa.func.max(column)).group_by(table.c.party)):
                newest.setdefault(party, []).append(at)
    found: dict[str, datetime | None] = {}
    for party in sorted(set(parties) & set(desk.parties)):
        seen = [text for text in newest.get(party, []) if text]
        found[party] = wire.read_utc(max(seen)) if seen else None
    return found


def _tips(desk: Desk) -> dict[str, tuple[Tip, ...]]:
    with desk.store.reading() as reader:
        rows = reader.connection.execute(sa.select(PEER_STREAM)).mappings().all()
    tips: dict[str, list[Tip]] = {}
    for row in rows:
        if row["party"] in desk.parties:
            tip = Tip(row["direction"], row["stream"], int(row["epoch"]), int(row["last_seq"]), row["last_digest"])
            tips.setdefault(row["party"], []).append(tip)
    return {party: tuple(sorted(some)) for party, some in sorted(tips.items())}
