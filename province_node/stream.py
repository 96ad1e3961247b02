"""The province's own stream `up/main`: where it stands, and the newest receipt that was believed.

Decides how the position lies in the store (`peer_stream` under the province's own code) and that it moves by
compare-and-swap, in the caller's transaction. A stream no epoch grant opened cannot be sealed (protocol 9.1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from hub.batch.grant import Position
from hub.batch.layout import StreamId, grant_name
from hub.batch.sequence import PeerStream, open_epoch
from hub.errors import LockedError, NotInitialisedError
from hub.keyring import Keyring
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE, PEER_STREAM

DIRECTION, STREAM, FIRST_EPOCH = "up", "main", 1
OPEN = "open"


@dataclass(frozen=True)
class Standing:
    """Position of the stream and the last change-log id it covers. `stored`: the row is there already."""

    position: PeerStream
    hi: int
    stored: bool


def main_stream(party: str, epoch: int = FIRST_EPOCH) -> StreamId:
    """`13-up-main-e0001`"""
    return StreamId(party, DIRECTION, STREAM, epoch)


def standing(reader: Reader, party: str, keyring: Keyring, *, lock: bool = False) -> Standing:
    """Where the stream stands; from the grant while nothing was sealed. `NotInitialisedError` E3401 without one,
    and why the one in `trust/` does not hold."""
    query = sa.select(PEER_STREAM).where(
        PEER_STREAM.c.party == party, PEER_STREAM.c.direction == DIRECTION, PEER_STREAM.c.stream == STREAM
    )
    row = reader.connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is not None:
        frozen = None if row["state"] == OPEN else str(row["state"])
        stream_id = main_stream(party, int(row["epoch"]))
        return Standing(PeerStream(stream_id, int(row["last_seq"]), row["last_digest"], frozen), int(row["hi"]), True)
    grant = keyring.grant(main_stream(party))
    if grant is None:
        if (spoiled := keyring.spoiled.get(grant_name(main_stream(party)))) is not None:
            raise spoiled
        raise NotInitialisedError(
            "E3401", "上行数据流尚未获期次授权，不能封装批次", where="trust", step="向部级节点取得期次授权文件后重试"
        )
    return Standing(open_epoch(None, grant), 0, False)


def move(transaction: Transaction, party: str, before: Standing, after: PeerStream, hi: int) -> None:
    """Stores the new position, provided the row still says `before`; `LockedError` E3402 when another run moved it."""
    table, position = PEER_STREAM, after.stream_id
    values = {"epoch": position.epoch, "last_seq": after.last_seq, "last_digest": after.last_digest, "hi": hi}
    if not before.stored:
        key = {"party": party, "direction": DIRECTION, "stream": STREAM}
        base = {"state": OPEN, "base_digest": before.position.last_digest}
        transaction.connection.execute(sa.insert(table), {**key, **values, **base})
        return
    moved = transaction.connection.execute(
        sa.update(table)
        .where(table.c.party == party, table.c.direction == DIRECTION, table.c.stream == STREAM)
        .where(table.c.epoch == before.position.stream_id.epoch, table.c.last_seq == before.position.last_seq)
        .where(table.c.last_digest == before.position.last_digest)
        .values(**values)
    )
    if moved.rowcount != 1:
        raise LockedError("E3402", "数据流位置已被另一次运行改动，本次未封装", where=str(position), step="重新运行")


def last_receipt(reader: Reader, stream_id: StreamId) -> Position | None:
    """Batch number and payload digest of the newest receipt accepted in this epoch, None before the first."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _tip(stream_id))
    found = reader.connection.execute(query).scalar_one_or_none()
    return Position(**json.loads(found)) if found else None


def set_last_receipt(transaction: Transaction, stream_id: StreamId, position: Position) -> None:
    """Moves the end of the receipt chain, in the transaction that stores the receipt."""
    value = json.dumps(position.to_wire(), sort_keys=True)
    name = _tip(stream_id)
    moved = transaction.connection.execute(sa.update(NODE_STATE).where(NODE_STATE.c.name == name).values(value=value))
    if moved.rowcount == 0:
        transaction.connection.execute(sa.insert(NODE_STATE), {"name": name, "value": value})


def _tip(stream_id: StreamId) -> str:
    return f"receipt.{stream_id}"
