"""The ministry restored to an older point: found out, explained by two key holders, made good (protocol 9.4).

Decides that a province which acknowledges a receipt we do not know has seen a later state of ours: the stream stops
(RESTORED, E_RESTORED) until a DR statement says where its receipt chain begins again. After that the lost batches come
again as they were sealed, and what answers them names the receipt it replaces (`reissued_of`). Lost receipts are still
in `out/` and in the evidence, under our own signature; nothing else is believed about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch.control import Control, Resend, sign_control
from hub.batch.cosign import propose
from hub.batch.envelope import PayloadType
from hub.batch.layout import NameKind, parse_name, statement_name
from hub.batch.manifest import Manifest
from hub.batch.restart import DrStatement, Restart, open_statement, statement_payload
from hub.errors import RefusedError, UsageError
from hub.store.ledger import NODE_STATE, PEER_STREAM, RECEIPT
from hub.transport.durable import write_durably
from hub.verdict import refused
from ministry_node import census, position, receipts
from ministry_node.desk import STREAM, Desk
from ministry_node.reissue import lost_receipts, restart_of

RESTORED: Final = "E_RESTORED"
_CAP: Final = PayloadType.DR_STATEMENT.cap


@dataclass(frozen=True)
class Proposed:
    """A statement nobody has signed yet."""

    statement: DrStatement
    body: bytes

    @property
    def name(self) -> str:
        """The file name it must bear when it is published."""
        return self.statement.name


def fault(desk: Desk, manifest: Manifest) -> RefusedError | None:
    """E_RESTORED when the batch acknowledges a receipt of its epoch that we do not know; None otherwise."""
    last, stream_id = manifest.last_receipt, manifest.stream_id
    if last is None:
        return None
    with desk.store.reading() as reader:
        c = RECEIPT.c
        known = sa.select(sa.literal(1)).where(c.party == stream_id.party, c.stream == stream_id.stream)
        known = known.where(c.epoch == stream_id.epoch, c.digest == last.digest)
        if reader.connection.execute(known).first():
            return None
        explained = restart_of(reader.connection, stream_id) is not None
    if explained and any(lost.digest == last.digest for lost in lost_receipts(desk, stream_id, last.seq)):
        return None
    words = f"对方持有序号 {last.seq} 的回执，本方没有：本方数据库恢复过旧时点"
    return refused(RESTORED, words, where=manifest.batch_id)


def propose_restart(desk: Desk, *, reason: str) -> Proposed:
    """The statement for every stream that stopped as RESTORED. UsageError E1069 when none did."""
    with desk.store.reading() as reader:
        c = PEER_STREAM.c
        rows = reader.connection.execute(
            sa.select(c.party).where(c.direction == "up", c.stream == STREAM, c.state == RESTORED).order_by(c.party)
        ).scalars()
        restarts = []
        for party in rows.all():
            now = position.standing(reader.connection, party)
            if now is not None:
                tip = receipts.chain_head(reader.connection, now.stream.stream_id)
                restarts.append(Restart(now.stream.stream_id, now.stream.last_seq, now.stream.last_digest, tip))
    if not restarts or not reason.strip():
        raise UsageError(
            "E1069",
            "没有因恢复旧时点而停止的数据流，或没有写明理由",
            step="先运行 hub intake run；用 --reason 写明理由",
        )
    statement = DrStatement(_next(desk), reason.strip(), desk.at, tuple(restarts))
    return Proposed(statement, propose(PayloadType.DR_STATEMENT, statement_payload(statement)))


def publish_restart(desk: Desk, name: str, envelope: bytes) -> DrStatement:
    """Verifies a signed statement, opens its streams, asks for the lost batches and lays everything out. Repeatable.

    Raises RefusedError of protocol 4.2 (not two of three keys), UsageError E1068 when a stream has moved since.
    """
    statement = open_statement(envelope, name, trust=desk.keyring.trust, at=desk.at)
    for restart in statement.restarts:
        _check(desk, restart, name)
    write_durably([envelope], desk.node.trust / name, _CAP)
    for restart in statement.restarts:
        party = restart.stream_id.party
        number = _open(desk, restart, name)
        desk.server.publish(party, name, envelope, replace=False)
        order = Control(party, number, Resend(restart.stream_id, restart.last_seq + 1), desk.at)
        desk.server.publish(party, order.name, sign_control(order, desk.keyring.signer), replace=True)
    return statement


def _check(desk: Desk, restart: Restart, name: str) -> None:
    with desk.store.reading() as reader:
        now = position.standing(reader.connection, restart.stream_id.party)
        again = restart_of(reader.connection, restart.stream_id)
        tip = receipts.chain_head(reader.connection, restart.stream_id)
    here = (now.stream.stream_id, now.stream.last_seq, now.stream.last_digest, tip) if now else None
    if again != name and here != (restart.stream_id, restart.last_seq, restart.last_digest, restart.last_receipt):
        raise UsageError("E1068", "灾备声明与数据流现状不符", where=name, step="重新提出声明，请密钥持有人重新签名")


def _open(desk: Desk, restart: Restart, name: str) -> int:
    """Opens the stream again under the statement; the number of the order to be laid out."""
    stream_id, c = restart.stream_id, PEER_STREAM.c
    with desk.store.begin() as tx:
        row = sa.and_(c.party == stream_id.party, c.direction == "up", c.stream == stream_id.stream)
        tx.connection.execute(sa.update(PEER_STREAM).where(row, c.state == RESTORED).values(state=position.OPEN))
        key = f"restart.{stream_id}"
        tx.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == key))
        tx.connection.execute(sa.insert(NODE_STATE), {"name": key, "value": name})
        append(
            tx.connection,
            Event.RESTART_ACCEPTED,
            ts=desk.at,
            node=desk.node.party,
            actor="hub",
            object=name,
            detail={"stream": str(stream_id), "last_seq": restart.last_seq},
        )
        return census.next_number(tx, desk, stream_id.party)


def _next(desk: Desk) -> int:
    places: Sequence[str] = [p.name for p in desk.node.trust.glob("dr-*.dsse")]
    places = [*places, *(p.name for p in desk.server.root.glob("p*/out/dr-*.dsse"))]
    numbers = [found.number or 0 for found in map(parse_name, places) if found.kind is NameKind.DR_STATEMENT]
    return parse_name(statement_name(max(numbers, default=0) + 1)).number or 1
