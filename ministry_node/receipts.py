"""Receipts: numbered, chained, signed inside the transaction, published after it (protocol 6.3, 7.4, 13.5).

Decides number and chain; what a receipt says is decided by the caller. `receipt` rows hold the signed bytes, so that
publishing again, after a crash or for a replay, yields the very same file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.batch import wire
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import MAX_RECEIPTS, StreamId, parse_batch_id
from hub.batch.receipt import Receipt, read_receipt, sign_receipt
from hub.store.ledger import NODE_STATE, RECEIPT
from hub.verdict import Verdict
from ministry_node import evidence, reissue
from ministry_node.desk import Desk


@dataclass(frozen=True)
class Issued:
    """A receipt as stored; `receipt` is what it says."""

    receipt: Receipt
    envelope: bytes

    @property
    def name(self) -> str:
        return self.receipt.name


# A tenth receipt of one batch stops the stream (protocol 2.7).
EXHAUSTED: Final = MAX_RECEIPTS


def issued_for(connection: sa.Connection, stream_id: StreamId, seq: int) -> tuple[Issued, ...]:
    """All receipts of a batch, first to last."""
    query = sa.select(RECEIPT.c.body).where(_of(stream_id, seq)).order_by(RECEIPT.c.receipt_no)
    return tuple(_opened(body) for body in connection.execute(query).scalars())


def chain_head(connection: sa.Connection, stream_id: StreamId) -> str | None:
    """Payload digest of the newest receipt of a stream and epoch, what the next one's `prev_receipt` is."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _chain(stream_id))
    return connection.execute(query).scalar_one_or_none()


def issue(connection: sa.Connection, desk: Desk, receipt: Receipt) -> Issued:
    """Signs and stores a receipt in the caller's transaction, which holds the stream's lock.

    `prev_receipt` and `signer_key` of `receipt` are filled in here. PeerUnreachableError when the signer is down.
    """
    stream_id, seq = parse_batch_id(receipt.batch_id)
    before = chain_head(connection, stream_id)
    number, replaced = reissue.place(connection, desk, stream_id, seq, receipt.receipt_no)
    told = {"receipt_no": number, "reissued_of": replaced, "prev_receipt": before}
    filled = Receipt(**{**vars(receipt), **told, "signer_key": desk.keyring.signer.keyid, "digest": ""})
    payload, envelope = sign_receipt(filled, desk.keyring.signer)
    done = read_receipt(payload, where=filled.name)
    key = {"party": stream_id.party, "stream": stream_id.stream, "epoch": stream_id.epoch, "seq": seq}
    connection.execute(
        sa.insert(RECEIPT),
        {
            **key,
            "receipt_no": done.receipt_no,
            "type": str(done.verdict),
            "digest": done.digest,
            "body": envelope,
            "name": done.name,
            "published_at": None,
            "created": wire.write_utc(desk.at),
        },
    )
    if before is None:
        connection.execute(sa.insert(NODE_STATE), {"name": _chain(stream_id), "value": done.digest})
    else:
        where = NODE_STATE.c.name == _chain(stream_id)
        connection.execute(sa.update(NODE_STATE).where(where).values(value=done.digest))
    return Issued(done, envelope)


def publish(desk: Desk, party: str, issued: Issued) -> None:
    """Evidence, then `out/`, then the note that it is done; each repeatable, always the same bytes."""
    stream_id, seq = parse_batch_id(issued.receipt.batch_id)
    evidence.keep_receipt(evidence.batch_folder(desk.node, stream_id, seq), issued.name, issued.envelope)
    desk.server.publish(party, issued.name, issued.envelope)
    c = RECEIPT.c
    with desk.store.begin() as tx:
        tx.connection.execute(
            sa.update(RECEIPT)
            .where(_of(stream_id, seq), c.receipt_no == issued.receipt.receipt_no, c.published_at.is_(None))
            .values(published_at=wire.write_utc(desk.at))
        )


def publish_pending(desk: Desk, party: str) -> int:
    """Receipts that were committed but perhaps not published: a crash in between (protocol 6.4). How many."""
    c = RECEIPT.c
    with desk.store.reading() as reader:
        query = (
            sa.select(c.body).where(c.party == party, c.published_at.is_(None)).order_by(c.epoch, c.seq, c.receipt_no)
        )
        pending = [_opened(body) for body in reader.connection.execute(query).scalars()]
    for issued in pending:
        publish(desk, party, issued)
    return len(pending)


def awaiting(connection: sa.Connection, party: str, stream: str, epoch: int, after: int) -> dict[int, Issued]:
    """Newest receipt per undecided seq above `after`: parked (RECEIVED), held or refused batches."""
    c = RECEIPT.c
    query = (
        sa.select(c.seq, c.body)
        .where(c.party == party, c.stream == stream, c.epoch == epoch, c.seq > after)
        .order_by(c.seq, c.receipt_no)
    )
    return {int(seq): _opened(body) for seq, body in connection.execute(query)}


def is_parked(issued: Issued) -> bool:
    """True for a batch whose files we hold and which waits for its turn, or for a trust list in force."""
    codes = {reason.code for reason in issued.receipt.reasons}
    waits_for_trust = issued.receipt.verdict is Verdict.HELD and "E_TRUST_EXPIRED" in codes
    return issued.receipt.verdict is Verdict.RECEIVED or waits_for_trust


def _opened(envelope: bytes) -> Issued:
    """Our own stored receipt; it was signed by us and lies in our database."""
    return Issued(read_receipt(parse(envelope, PayloadType.RECEIPT).payload), envelope)


def _of(stream_id: StreamId, seq: int) -> Any:
    c = RECEIPT.c
    mine = sa.and_(c.party == stream_id.party, c.stream == stream_id.stream)
    return sa.and_(mine, c.epoch == stream_id.epoch, c.seq == seq)


def _chain(stream_id: StreamId) -> str:
    return f"receipt.head.{stream_id}"
