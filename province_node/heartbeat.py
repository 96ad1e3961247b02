"""Heartbeats: a sign of life when nothing changed (protocol 3.3, 8.2).

Decides when one is due: half a day after the newest batch was sealed, so that a node run once a day at about the same
time is heard at least every 24 hours. No file, an empty range of change-log ids, next in the stream like any batch.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.store.ledger import OUTBOX
from province_node.apart import Piece, seal_apart
from province_node.census import apart_plan
from province_node.desk import Desk
from province_node.sealing import SealedBatch
from province_node.stream import STREAM, standing
from province_node.window import window

SILENCE: Final = timedelta(hours=12)


def seal_heartbeat(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals a heartbeat when one is due; () when the stream spoke lately, is frozen, or has too much undecided."""
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        c = OUTBOX.c
        mine = sa.and_(c.stream == STREAM, c.epoch == here.position.stream_id.epoch)
        newest = reader.connection.execute(sa.select(sa.func.max(c.sealed_at)).where(mine)).scalar_one_or_none()
        room = window(reader, here, desk.keyring.trust.limits.in_flight)
    if newest is None or here.position.frozen is not None or room.undecided >= room.limit:
        return ()
    if desk.at - datetime.fromisoformat(newest) < SILENCE:
        return ()
    return seal_apart(desk, here, [Piece(apart_plan(here, 1, (), "heartbeat"))], hi=here.hi)
