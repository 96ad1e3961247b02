"""Where a down stream stands, at either node: its row in `peer_stream`, opened by grants, moved by compare-and-swap.

Decides nothing about batches (`hub.batch.sequence` does). The ministry's row says what was sealed last, the province's
what was taken in last; both start from the same epoch grant (protocol 9.1). `hi` counts the rows sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.batch.grant import EpochGrant
from hub.batch.layout import EVERYONE
from hub.batch.manifest import StreamAck
from hub.batch.sequence import PeerStream, open_epoch
from hub.down.form import CODES, DOWN, STREAMS, stream_of
from hub.errors import LockedError, NotInitialisedError
from hub.keyring import Keyring
from hub.store.ledger import PEER_STREAM

OPEN: Final = "OPEN"


@dataclass(frozen=True)
class Standing:
    """A stream's position and last change-log id. `stored`: epoch of the row in the table, 0 when there is none."""

    stream: PeerStream
    hi: int
    stored: int


def standing(
    connection: sa.Connection, keyring: Keyring, stream: str, party: str, *, lock: bool = False
) -> Standing | None:
    """Where the stream stands under the grants the node holds; None before the first. `lock`: until the end of the
    transaction. Raises RefusedError E_GRANT when a grant does not follow the epoch it should."""
    query = sa.select(PEER_STREAM).where(_row(stream, party))
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    now: PeerStream | None = None
    hi = 0
    if row is not None:
        frozen = None if row["state"] == OPEN else str(row["state"])
        now = PeerStream(stream_of(stream, party, int(row["epoch"])), int(row["last_seq"]), row["last_digest"], frozen)
        hi = int(row["hi"])
    stored = now.stream_id.epoch if now else 0
    for grant in grants_of(keyring, stream, party):
        if now is None or grant.stream_id.epoch > now.stream_id.epoch:
            now = open_epoch(now, grant)
    return Standing(now, hi, stored) if now else None


def required(found: Standing | None, stream: str, party: str) -> Standing:
    """The standing, or `NotInitialisedError` E3431 without an epoch grant."""
    if found is None:
        raise NotInitialisedError(
            "E3431",
            "下行数据流尚未获期次授权",
            where=str(stream_of(stream, party)),
            step="把部级签发的期次授权文件放入 trust 目录后重试",
        )
    return found


def grants_of(keyring: Keyring, stream: str, party: str) -> list[EpochGrant]:
    """The verified grants of this flow, by epoch."""
    flow = (party, DOWN, stream)
    found = [g for s, g in keyring.grants.items() if (s.party, s.direction, s.stream) == flow]
    return sorted(found, key=lambda g: g.stream_id.epoch)


def move(connection: sa.Connection, before: Standing, after: PeerStream, hi: int) -> None:
    """Stores the new position provided the row still says `before`; `LockedError` E3432 when another run moved it."""
    stream_id = after.stream_id
    values = {"epoch": stream_id.epoch, "last_seq": after.last_seq, "last_digest": after.last_digest, "hi": hi}
    if before.stored == 0:
        key = {"party": stream_id.party, "direction": DOWN, "stream": stream_id.stream}
        base = {"state": after.frozen or OPEN, "base_digest": before.stream.last_digest}
        connection.execute(sa.insert(PEER_STREAM), {**key, **values, **base})
        return
    c = PEER_STREAM.c
    here = [_row(stream_id.stream, stream_id.party), c.epoch == before.stored]
    if before.stored == before.stream.stream_id.epoch:
        here += [c.last_seq == before.stream.last_seq, c.last_digest == before.stream.last_digest]
    moved = connection.execute(sa.update(PEER_STREAM).where(*here).values(**values, state=after.frozen or OPEN))
    if moved.rowcount != 1:
        raise LockedError("E3432", "下行数据流的位置已被另一次运行改动", where=str(stream_id), step="重新运行")


def party_of(stream: str, province: str) -> str:
    """Whose stream a province listens to: `00` for what is public, its own code otherwise."""
    return EVERYONE if stream == CODES else province


def acks(connection: sa.Connection, keyring: Keyring, province: str) -> tuple[StreamAck, ...]:
    """`ack.dn` of a province's next up manifest: the last batch taken in of every down stream that has one (3.3)."""
    found = (standing(connection, keyring, s, party_of(s, province)) for s in sorted(STREAMS))
    return tuple(
        StreamAck(f.stream.stream_id.stream, f.stream.stream_id.epoch, f.stream.last_seq, f.stream.last_digest)
        for f in found
        if f is not None and f.stream.last_seq > 0
    )


def _row(stream: str, party: str) -> Any:
    c = PEER_STREAM.c
    return sa.and_(c.party == party, c.direction == DOWN, c.stream == stream)
