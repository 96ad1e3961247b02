"""Listening: receipts from the exchange place, believed or ignored (protocol 6.1 step 3, 7.4).

Decides per file in `out/` that is named like a receipt of our stream and not stored yet: signed by the receiver, about
the very batch we sealed, next in the receipt chain. What passes is stored with the batch's new state in one
transaction; anything else is ignored with an alarm and an audit record, once per file content, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch.envelope import PayloadType
from hub.batch.grant import Position
from hub.batch.layout import NameKind, StreamId, parse_batch_id, parse_name
from hub.batch.outbox import BatchState, after_receipt
from hub.batch.receipt import Receipt, check_receipt, in_chain_order, open_receipt
from hub.catalog import load_catalog
from hub.errors import HubError, RefusedError
from hub.keyring import Keyring, open_keyring
from hub.settings import Node
from hub.store import Store, Transaction, open_store
from hub.store.ledger import OUTBOX, RECEIPT
from hub.transport import ClientTransport
from hub.verdict import Verdict, refused
from province_node.deliver import open_transport
from province_node.desk import ACTOR
from province_node.down import DownReceived, receive_down
from province_node.down_handlers import HANDLERS
from province_node.exclusive import exchange_step
from province_node.heard import fetch, note_disbelief
from province_node.ledger import moment
from province_node.news import hear_news
from province_node.registry import apply_registry
from province_node.stream import DIRECTION, STREAM, last_receipt, set_last_receipt, standing
from province_node.trusting import take_trust

_CAP = PayloadType.RECEIPT.cap


@dataclass(frozen=True)
class Accepted:
    """A receipt that was believed: verdict, what the batch did in rows, codes, and the batch's state now."""

    batch_id: str
    seq: int
    receipt_no: int
    verdict: Verdict
    state: BatchState
    counts: Mapping[str, int]
    reasons: tuple[tuple[str, str | None], ...]
    digest: str
    signer: str


@dataclass(frozen=True)
class Ignored:
    """A file that was not believed: its name, the code and the sentence for the operator."""

    name: str
    code: str
    sentence: str


@dataclass(frozen=True)
class Listened:
    """What listening brought."""

    receipts: tuple[Accepted, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    alarms: tuple[HubError, ...] = ()
    down: DownReceived = field(default_factory=DownReceived)

    def then(self, later: Listened) -> Listened:
        """Both as one: what was taken in either time, and the alarms of the later, which says again what lasts."""
        down = replace(later.down, batches=(*self.down.batches, *later.down.batches))
        return replace(later, receipts=(*self.receipts, *later.receipts), down=down)


@dataclass
class _Fetched:
    receipt: Receipt
    envelope: bytes
    signer: str


@dataclass
class _Ear:
    """One listening: what is open, and what has been heard so far."""

    node: Node
    store: Store
    keyring: Keyring
    at: datetime
    ignored: list[Ignored] = field(default_factory=list)


def listen(node: Node, *, at: datetime) -> Listened:
    """Fetches and judges new receipts, the head, and the down streams. `at`: aware, the time of receipt that signatures
    are judged by.

    Raises the retryable errors of transport and store; receipts stored before stay stored.
    """
    heard = replace(_listen(node, at), down=receive_down(node, HANDLERS, at=at))
    if node.settings.registry_auto:
        apply_registry(node, None, actor=ACTOR, at=at)
    return heard


def _listen(node: Node, at: datetime) -> Listened:
    with exchange_step(node):
        keyring = open_keyring(node, at=at)
        store = open_store(node.database_url, load_catalog())
        try:
            with open_transport(node, keyring) as transport:
                trust = take_trust(node, store, transport, at=at)
                ear = _Ear(node, store, open_keyring(node, at=at), at)
                found = _fetch_new(ear, transport)
            accepted = _judge(ear, found)
            news = hear_news(node, at=at)
            return Listened(tuple(accepted), tuple(ear.ignored), (*trust, *ear.keyring.spoiled.values(), *news.alarms))
        finally:
            store.close()


def _fetch_new(ear: _Ear, transport: ClientTransport) -> list[_Fetched]:
    """Receipts of our stream that are not stored yet, verified by themselves."""
    with ear.store.reading() as reader:
        query = sa.select(RECEIPT.c.name).where(RECEIPT.c.party == ear.node.party, RECEIPT.c.stream == STREAM)
        stored = set(reader.connection.execute(query).scalars())
    found = []
    for entry in transport.list_out():
        if entry.name in stored or not _ours(entry.name, ear.node.party):
            continue
        try:
            envelope = fetch(ear.node.work, transport.get, entry.name, _CAP)
        except RefusedError as error:
            _ignore(ear, entry.name, b"", error)
            continue
        try:
            receipt, signer = open_receipt(envelope, entry.name, trust=ear.keyring.trust, at=ear.at)
        except RefusedError as error:
            _ignore(ear, entry.name, envelope, error)
            continue
        found.append(_Fetched(receipt, envelope, signer.keyid))
    return found


def _ours(name: str, party: str) -> bool:
    """A receipt's name in our own stream; anything else in `out/` is for other steps."""
    try:
        parsed = parse_name(name)
    except RefusedError:
        return False
    if parsed.kind is not NameKind.RECEIPT or parsed.stream_id is None:
        return False
    return (parsed.stream_id.party, parsed.stream_id.direction, parsed.stream_id.stream) == (party, DIRECTION, STREAM)


def _judge(ear: _Ear, found: list[_Fetched]) -> list[Accepted]:
    """In chain order; the first that does not fit ends it, since what follows chains to it."""
    with ear.store.reading() as reader:
        stream_id = standing(reader, ear.node.party, ear.keyring).position.stream_id
        last = last_receipt(reader, stream_id)
    of_digest = {fetched.receipt.digest: fetched for fetched in found}
    current = [f.receipt for f in found if f.receipt.stream_id == stream_id]
    accepted: list[Accepted] = []
    tip = last.digest if last else None
    for receipt in in_chain_order(current, tip):
        fetched = of_digest[receipt.digest]
        try:
            accepted.append(_store(ear, fetched, tip))
        except RefusedError as error:
            _ignore(ear, receipt.name, fetched.envelope, error)
            of_digest.pop(receipt.digest)
            break
        tip = receipt.digest
        of_digest.pop(receipt.digest)
    for fetched in of_digest.values():
        closed = fetched.receipt.stream_id.epoch < stream_id.epoch
        words = "该期次已关闭" if closed else "回执链不连续"
        apart = refused("E_RECEIPT", words, where=fetched.receipt.name)
        _ignore(ear, fetched.receipt.name, fetched.envelope, apart, once=closed)
    return accepted


def _store(ear: _Ear, fetched: _Fetched, tip: str | None) -> Accepted:
    """Receipt, batch state, end of the chain and audit in one transaction (protocol 6.1)."""
    receipt = fetched.receipt
    stream_id, seq = parse_batch_id(receipt.batch_id)
    with ear.store.begin() as transaction:
        row = _batch(transaction, stream_id, seq)
        if row is None:
            raise refused("E_RECEIPT", "本方没有封存过该批次", where=receipt.name)
        known = _known(transaction, stream_id, seq)
        check_receipt(receipt, manifest_digest=row["digest"], last_receipt=tip, known=known)
        before = BatchState(row["state"])
        after = after_receipt(before, receipt.verdict, where=receipt.name)
        _write(transaction, ear, fetched, before, after)
    return Accepted(
        receipt.batch_id,
        seq,
        receipt.receipt_no,
        receipt.verdict,
        after,
        _counts(receipt),
        tuple((reason.code, reason.detail_ref) for reason in receipt.reasons),
        receipt.digest,
        fetched.signer,
    )


def _batch(transaction: Transaction, stream_id: StreamId, seq: int) -> Mapping[Any, Any] | None:
    query = (
        sa.select(OUTBOX.c.digest, OUTBOX.c.state)
        .where(OUTBOX.c.stream == stream_id.stream, OUTBOX.c.epoch == stream_id.epoch, OUTBOX.c.seq == seq)
        .with_for_update()
    )
    return transaction.connection.execute(query).mappings().first()


def _known(transaction: Transaction, stream_id: StreamId, seq: int) -> int:
    """The highest number among the batch's receipts, 0 before the first."""
    c = RECEIPT.c
    query = sa.select(sa.func.max(c.receipt_no)).where(
        c.party == stream_id.party, c.stream == stream_id.stream, c.epoch == stream_id.epoch, c.seq == seq
    )
    return int(transaction.connection.execute(query).scalar() or 0)


def _write(
    transaction: Transaction,
    ear: _Ear,
    fetched: _Fetched,
    before: BatchState,
    after: BatchState,
) -> None:
    receipt = fetched.receipt
    stream_id, seq = parse_batch_id(receipt.batch_id)
    key = {"stream": stream_id.stream, "epoch": stream_id.epoch, "seq": seq}
    _keep(transaction, ear, fetched, key)
    decided = moment(receipt.decided_at) if receipt.decided_at else None
    changed = transaction.connection.execute(
        sa.update(OUTBOX)
        .where(*(OUTBOX.c[name] == value for name, value in key.items()), OUTBOX.c.state == str(before))
        .values(state=str(after), verdict=str(receipt.verdict), decided_at=decided)
    )
    if changed.rowcount != 1:
        raise RuntimeError("the outbox moved although the exchange was held")
    set_last_receipt(transaction, stream_id, Position(seq, receipt.digest))
    detail: dict[str, str | int] = {"verdict": str(receipt.verdict), "digest": receipt.digest, **_counts(receipt)}
    if receipt.reasons:
        detail["codes"] = ",".join(reason.code for reason in receipt.reasons)
    append(
        transaction.connection,
        Event.RECEIPT_ACCEPTED,
        ts=ear.at,
        node=ear.node.party,
        actor=ACTOR,
        object=receipt.name,
        detail=detail,
    )


def _keep(transaction: Transaction, ear: _Ear, fetched: _Fetched, key: Mapping[str, object]) -> None:
    """The receipt as it was signed, among those of its batch."""
    receipt = fetched.receipt
    row = {
        "party": ear.node.party, **key, "receipt_no": receipt.receipt_no, "type": str(receipt.verdict),
        "digest": receipt.digest, "body": fetched.envelope, "name": receipt.name, "created": moment(ear.at),
    }  # fmt: skip
    transaction.connection.execute(sa.insert(RECEIPT), row)


def _ignore(ear: _Ear, name: str, envelope: bytes, error: RefusedError, *, once: bool = False) -> None:
    """Alarm, and one audit record per content of the file. `once`: the alarm too, because nothing can end it: what a
    restored node has lost of a closed epoch stays unknown to it."""
    with ear.store.begin() as transaction:
        event = Event.RECEIPT_IGNORED
        new = note_disbelief(transaction, event, name, envelope, error, node=ear.node.party, at=ear.at)
    if new or not once:
        ear.ignored.append(Ignored(name, error.code, error.sentence()))


def _counts(receipt: Receipt) -> dict[str, int]:
    counts = receipt.counts
    return {
        "ins": counts.ins,
        "upd": counts.upd,
        "del": counts.deleted,
        "noop": counts.noop_old_version,
        "quarantined": counts.quarantined,
    }
