"""Disaster at the ministry, seen from the province: the receipt chain goes back, the spool is shipped again (9.4).

Decides that a DR statement counts only if it restarts the chain at a receipt we hold ourselves; then batches after it
are as if they had never been answered. Their bytes are the sealed ones; nothing is sealed anew. What the
ministry orders by `resend` is `deliver`'s.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.grant import Position
from hub.batch.outbox import BatchState
from hub.batch.restart import DrStatement, Restart
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE, OUTBOX, PEER_STREAM, RECEIPT, TRUST_STATE
from hub.verdict import refused
from province_node.desk import ACTOR
from province_node.stream import DIRECTION, STREAM, main_stream, set_last_receipt


def known(reader: Reader) -> set[str]:
    """Names of statements taken in already."""
    query = sa.select(TRUST_STATE.c.name).where(TRUST_STATE.c.name.like("dr-%"))
    return set(reader.connection.execute(query).scalars())


def accept(transaction: Transaction, party: str, statement: DrStatement, envelope: bytes, at: datetime) -> int:
    """Puts a verified statement into effect; the number of batches to be shipped again, 0 when it is not about us.

    E_RECEIPT when it names a receipt, or an epoch, that we never had; nothing changes then.
    """
    transaction.connection.execute(
        sa.insert(TRUST_STATE),
        {
            "name": statement.name,
            "version": statement.number,
            "digest": statement.digest,
            "body": envelope,
            "seen_at": wire.write_utc(at),
        },
    )
    restart = statement.restart(party, DIRECTION, STREAM)
    if restart is None:
        return 0
    epoch = _ours(transaction, party, restart, statement.name)
    stream_id = main_stream(party, epoch)
    if restart.last_receipt is None:
        transaction.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == f"receipt.{stream_id}"))
    else:
        set_last_receipt(transaction, stream_id, Position(restart.last_seq, restart.last_receipt))
    again = transaction.connection.execute(
        sa.update(OUTBOX)
        .where(OUTBOX.c.stream == STREAM, OUTBOX.c.epoch == epoch, OUTBOX.c.seq > restart.last_seq)
        .where(OUTBOX.c.state.not_in([str(BatchState.SEALED)]))
        .values(state=str(BatchState.SENT), verdict=None, decided_at=None)
    )
    append(
        transaction.connection,
        Event.RESTART_ACCEPTED,
        ts=at,
        node=party,
        actor=ACTOR,
        object=statement.name,
        detail={"last_seq": restart.last_seq, "again": int(again.rowcount)},
    )
    return int(again.rowcount)


def _ours(transaction: Transaction, party: str, restart: Restart, where: str) -> int:
    """Our current epoch, if the restart speaks of it and of a receipt we hold."""
    c, p = RECEIPT.c, PEER_STREAM.c
    epoch = transaction.connection.execute(
        sa.select(p.epoch).where(p.party == party, p.direction == DIRECTION, p.stream == STREAM)
    ).scalar_one_or_none()
    held = sa.select(sa.literal(1)).where(c.stream == STREAM, c.epoch == restart.stream_id.epoch)
    held = held.where(c.digest == restart.last_receipt)
    if epoch != restart.stream_id.epoch or (
        restart.last_receipt is not None and transaction.connection.execute(held).first() is None
    ):
        raise refused("E_RECEIPT", "灾备声明所述的回执或期次不是本方的", where=where)
    return int(epoch)
