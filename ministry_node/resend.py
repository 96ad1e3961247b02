"""Asking for a batch that is missing while later ones wait (protocol 7.1, GAP).

Decides when: an hour after the first parked batch behind the hole arrived, and again every hour while the hole stays.
The order names the first missing number; the province sends its sealed bytes again, which changes nothing here.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.control import Control, Resend, sign_control
from hub.store.ledger import NODE_STATE
from ministry_node import receipts
from ministry_node.census import next_number
from ministry_node.desk import STREAM, Desk
from ministry_node.position import standing

PATIENCE: Final = timedelta(hours=1)


def ask_again(desk: Desk, party: str) -> Control | None:
    """Publishes `resend{from}` when a hole has stood for an hour; the order, or None when there is nothing to ask."""
    with desk.store.reading() as reader:
        now = standing(reader.connection, party)
        if now is None or now.stream.frozen is not None:
            return None
        stream_id, missing = now.stream.stream_id, now.stream.last_seq + 1
        waiting = receipts.awaiting(reader.connection, party, STREAM, stream_id.epoch, now.stream.last_seq)
        asked = reader.connection.execute(_asked(party)).scalar_one_or_none()
    parked = [issued for seq, issued in waiting.items() if seq > missing and receipts.is_parked(issued)]
    if not parked or missing in waiting:
        return None
    since = min(issued.receipt.received_at for issued in parked)
    if asked and json.loads(asked)["from"] == missing:
        since = max(since, _moment(json.loads(asked)["at"]))
    if desk.at - since < PATIENCE:
        return None
    value = json.dumps({"from": missing, "at": wire.write_utc(desk.at)}, sort_keys=True)
    with desk.store.begin() as tx:
        number = next_number(tx, desk, party)
        if asked is None:
            tx.connection.execute(sa.insert(NODE_STATE), {"name": f"resend.{party}", "value": value})
        else:
            where = NODE_STATE.c.name == f"resend.{party}"
            tx.connection.execute(sa.update(NODE_STATE).where(where).values(value=value))
        control = Control(party, number, Resend(stream_id, missing), desk.at)
        detail: dict[str, str | int] = {"from": missing, "waiting": len(parked)}
        append(tx.connection, Event.CONTROL_ISSUED, ts=desk.at, node=desk.node.party, actor="intake",
               object=f"{party} {control.name}", detail=detail)  # fmt: skip
    desk.server.publish(party, control.name, sign_control(control, desk.keyring.signer), replace=True)
    return control


def _asked(party: str) -> sa.Select[tuple[str]]:
    return sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == f"resend.{party}")


def _moment(text: str) -> datetime:
    found: datetime = wire.read_utc(text, where="resend")
    return found
