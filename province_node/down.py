"""Down streams at the province: fetched, believed or not, handed over, counted, in one transaction per batch.

    taken = receive_down(node, at=now)                        # streams that have a handler in `HANDLERS`

Decides per manifest in `out/` (or `pub/`): signed by the ministry under `sign:dn:…`, next in its stream
(protocol 7.1), parts of the size and digest it says, before anything is decrypted or decoded. What passes goes to the
stream's handler with an open transaction, which also moves the position, keeps the envelope (`inbox`) and writes the
audit: the handler's rows count exactly once, or not at all. A gap waits, a fork freezes the stream, anything that is
not believed is left lying with an alarm, once per content in the audit. What has been taken in is told to the
ministry by `flow.acks` in the next up manifest (protocol 3.3). A stream without a handler is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.batch.admission import open_manifest
from hub.batch.envelope import PayloadType
from hub.batch.grant import open_grant
from hub.batch.layout import EVERYONE, NameKind, ParsedName, StreamId, parse_name
from hub.batch.sequence import BatchHeader, advance, freeze, judge
from hub.batch.sequence import Sequence as Place
from hub.catalog import load_catalog
from hub.down import flow
from hub.down.form import DOWN
from hub.errors import HubError, RefusedError
from hub.keyring import Keyring, open_keyring
from hub.settings import Node
from hub.store import Store, Transaction, open_store
from hub.store.ledger import INBOX
from hub.transport import ClientTransport
from hub.transport.base import NotThereError
from hub.transport.durable import write_durably
from hub.verdict import Verdict, refused
from province_node.deliver import open_transport
from province_node.desk import ACTOR
from province_node.down_parts import Received, open_received
from province_node.exclusive import exchange_step
from province_node.heard import fetch, note_disbelief
from province_node.ledger import moment

_CAP: Final = PayloadType.BATCH_MANIFEST.cap
# Batches already taken in whose manifests are read again each time, to notice another content under their number.
_LOOK_BACK: Final = 8


Handler = Callable[[Transaction, Received], None]


@dataclass(frozen=True)
class TakenBatch:
    """A batch that counts: its number, stream and rows."""

    batch_id: str
    stream: str
    rows: int


@dataclass(frozen=True)
class DownAlarm:
    """What was not taken in: file or batch, code, and the sentence for the operator. `waits`: a gap, not a fault."""

    name: str
    code: str
    sentence: str
    waits: bool = False


@dataclass(frozen=True)
class DownReceived:
    """What one look at the down streams brought."""

    batches: tuple[TakenBatch, ...] = ()
    alarms: tuple[DownAlarm, ...] = ()


@dataclass
class _Ear:
    node: Node
    store: Store
    keyring: Keyring
    transport: ClientTransport
    at: datetime
    work: Path
    batches: list[TakenBatch] = field(default_factory=list)
    alarms: list[DownAlarm] = field(default_factory=list)


def receive_down(node: Node, handlers: Mapping[str, Handler], *, at: datetime) -> DownReceived:
    """Takes in what lies there for the streams of `handlers` (by stream name). `at`: aware, the time of receipt.

    New epoch grants found beside the batches are verified and kept in `trust/`. A handler may raise HubError: its batch
    is not taken in, an alarm says why, and the stream waits. Raises the retryable errors of transport and store;
    batches taken in before stay so.
    """
    with exchange_step(node), TemporaryDirectory(prefix="down-", dir=node.work) as folder:
        keyring = open_keyring(node, at=at)
        store = open_store(node.database_url, load_catalog())
        try:
            with open_transport(node, keyring) as transport:
                ear = _Ear(node, store, keyring, transport, at, Path(folder))
                for stream, handler in handlers.items():
                    _listen(ear, stream, handler)
            return DownReceived(tuple(ear.batches), tuple(ear.alarms))
        finally:
            store.close()


def _listen(ear: _Ear, stream: str, handler: Handler) -> None:
    party = flow.party_of(stream, ear.node.party)
    entries = ear.transport.list_pub() if party == EVERYONE else ear.transport.list_out()
    named = [(entry, parsed) for entry in entries if (parsed := _ours(entry.name, stream, party)) is not None]
    _take_grants(ear, [(entry.name, parsed) for entry, parsed in named if parsed.kind is NameKind.GRANT])
    manifests = [(e, p) for e, p in named if p.kind is NameKind.MANIFEST]
    for entry, parsed in sorted(manifests, key=lambda m: (_id(m[1]).epoch, m[1].seq or 0)):
        with ear.store.reading() as reader:
            here = flow.standing(reader.connection, ear.keyring, stream, party)
            stored = _stored(reader.connection, _id(parsed), parsed.seq or 0)
        if here is None:
            ear.alarms.append(_alarm(entry.name, refused("E_EPOCH", "没有该数据流的期次授权", where=entry.name)))
            return
        if stored is not None and _settled(here, parsed, stored[1], entry.size):
            continue
        if not _one(ear, here, entry.name, stored[0] if stored else None, handler):
            return


def _settled(here: flow.Standing, parsed: ParsedName, envelope: bytes, size: int) -> bool:
    """Taken in long ago and still of the same size: not fetched again each time."""
    recent = _id(parsed).epoch == here.stream.stream_id.epoch and (parsed.seq or 0) > here.stream.last_seq - _LOOK_BACK
    return not recent and len(envelope) == size


def _one(ear: _Ear, here: flow.Standing, name: str, stored: str | None, handler: Handler) -> bool:
    """One manifest; False when the stream can go no further now."""
    envelope = b""
    try:
        envelope = _fetch_manifest(ear, name)
        verified = open_manifest(envelope, name, uploader="moe", trust=ear.keyring.trust, at=ear.at)
    except RefusedError as error:
        _ignore(ear, name, envelope, error)
        return True  # not the ministry's word: what is comes after it, or a gap does
    decision = judge(here.stream, BatchHeader.of(verified.manifest, verified.digest), stored_digest=stored)
    if decision.verdict is Place.DUPLICATE:
        return True
    if decision.verdict is not Place.NEW:
        fault = decision.error(verified.manifest.batch_id)
        if decision.verdict is Place.GAP:
            ear.alarms.append(_alarm(name, fault, waits=True))
            return False
        _ignore(ear, name, envelope, fault)
        if decision.freezes_stream and here.stream.frozen is None:
            _freeze(ear, here, fault)
        return decision.verdict is Place.STALE
    try:
        received = open_received(
            verified, previous_hi=here.hi, transport=ear.transport, keyring=ear.keyring, work=ear.work, at=ear.at
        )
        _take(ear, here, received, envelope, handler)
    except NotThereError as missing:
        ear.alarms.append(_alarm(name, missing, waits=True))
        return False
    except HubError as error:
        if error.retryable:
            raise
        _ignore(ear, name, envelope, error)
        return False
    return True


def _take(ear: _Ear, here: flow.Standing, received: Received, envelope: bytes, handler: Handler) -> None:
    """Handler, position, inbox and audit in one transaction."""
    manifest, stream_id = received.manifest, received.manifest.stream_id
    party = stream_id.party
    with ear.store.begin() as tx:
        if flow.standing(tx.connection, ear.keyring, stream_id.stream, party, lock=True) != here:
            raise RuntimeError("the stream moved although the exchange was held")
        handler(tx, received)
        after = advance(here.stream, BatchHeader.of(manifest, received.digest))
        flow.move(tx.connection, here, after, manifest.watermark.hi)
        tx.connection.execute(sa.insert(INBOX), _inbox_row(ear, received, envelope))
        if here.stored != stream_id.epoch:
            _audit(tx, ear, Event.STREAM_OPENED, str(stream_id), {"grant": here.stream.last_digest})
        detail: dict[str, str | int] = {"digest": received.digest, "rows": manifest.rows.total}
        _audit(tx, ear, Event.DOWN_TAKEN, received.batch_id, detail)
    ear.batches.append(TakenBatch(received.batch_id, stream_id.stream, manifest.rows.total))


def _inbox_row(ear: _Ear, received: Received, envelope: bytes) -> dict[str, Any]:
    stream_id, rows = received.manifest.stream_id, received.manifest.rows
    return {
        "party": stream_id.party,
        "stream": stream_id.stream,
        "epoch": stream_id.epoch,
        "seq": received.manifest.seq,
        "batch_id": received.batch_id,
        "digest": received.digest,
        "verdict": str(Verdict.APPLIED),
        "codes": "[]",
        "received_at": moment(ear.at),
        "decided_at": moment(ear.at),
        "rows_i": rows.inserted,
        "rows_u": rows.updated,
        "rows_d": rows.deleted,
        "noop": 0,
        "quarantined": 0,
        "envelope": envelope,
    }


def _freeze(ear: _Ear, here: flow.Standing, error: RefusedError) -> None:
    with ear.store.begin() as tx:
        flow.move(tx.connection, here, freeze(here.stream, error.code), here.hi)
        _audit(tx, ear, Event.STREAM_FROZEN, str(here.stream.stream_id), {"code": error.code})


def _take_grants(ear: _Ear, names: Sequence[tuple[str, ParsedName]]) -> None:
    """A grant of an epoch we do not know: verified by two of three ministry keys, then kept in `trust/`."""
    kept = False
    for name, parsed in names:
        if parsed.stream_id is None or parsed.stream_id in ear.keyring.grants:
            continue
        body = b""
        try:
            body = _fetch_manifest(ear, name)
            open_grant(body, name, trust=ear.keyring.trust, at=ear.at)
        except RefusedError as error:
            _ignore(ear, name, body, error)
            continue
        write_durably([body], ear.node.trust / name, len(body))
        kept = True
    if kept:
        ear.keyring = open_keyring(ear.node, at=ear.at)


def _fetch_manifest(ear: _Ear, name: str) -> bytes:
    parsed = parse_name(name)
    public = parsed.stream_id is not None and parsed.stream_id.party == EVERYONE
    return fetch(ear.work, ear.transport.get_pub if public else ear.transport.get, name, _CAP)


def _ignore(ear: _Ear, name: str, body: bytes, error: HubError) -> None:
    """Alarm, and one audit record per content and reason."""
    ear.alarms.append(_alarm(name, error))
    with ear.store.begin() as tx:
        note_disbelief(tx, Event.DOWN_REFUSED, name, body, error, node=ear.node.party, at=ear.at)


def _alarm(name: str, error: HubError, *, waits: bool = False) -> DownAlarm:
    return DownAlarm(name, error.code, error.sentence(), waits)


def _ours(name: str, stream: str, party: str) -> ParsedName | None:
    try:
        parsed = parse_name(name)
    except RefusedError:
        return None
    found = parsed.stream_id
    same = found is not None and (found.party, found.direction, found.stream) == (party, DOWN, stream)
    return parsed if same else None


def _id(parsed: ParsedName) -> StreamId:
    if parsed.stream_id is None:
        raise RuntimeError("names of a stream carry it")
    return parsed.stream_id


def _stored(connection: sa.Connection, stream_id: StreamId, seq: int) -> tuple[str, bytes] | None:
    c = INBOX.c
    mine = sa.and_(c.party == stream_id.party, c.stream == stream_id.stream, c.epoch == stream_id.epoch, c.seq == seq)
    row = connection.execute(sa.select(c.digest, c.envelope).where(mine)).first()
    return (row[0], bytes(row[1])) if row else None


def _audit(
    tx: Transaction,
    ear: _Ear,
    event: Event,
    subject: str,
    detail: dict[str, str | int],
    result: Result = Result.DONE,
) -> None:
    append(
        tx.connection,
        event,
        ts=ear.at,
        node=ear.node.party,
        actor=ACTOR,
        object=subject,
        result=result,
        detail=detail,
    )
