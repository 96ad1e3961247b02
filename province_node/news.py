"""What the ministry laid out for us beside receipts: head, epoch grants, orders (protocol 3.1, 8.1, 9.1).

Decides what is fetched and that nothing is kept before it was verified; what follows from it is the modules' named
after each. A place that does not answer is no news: the head kept last then speaks for itself, until it expires.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hub.audit import Event
from hub.batch.control import open_control
from hub.batch.envelope import PayloadType
from hub.batch.grant import open_grant
from hub.batch.head import open_head
from hub.batch.layout import HEAD_NAME, NameKind, ParsedName, parse_name
from hub.batch.restart import open_statement
from hub.catalog import load_catalog
from hub.errors import HubError, RefusedError
from hub.keyring import Keyring, open_keyring
from hub.settings import Node
from hub.store import Store, open_store
from hub.transport import ClientTransport
from hub.transport.durable import write_durably
from province_node import controls, recovery
from province_node import head as heads
from province_node.deliver import open_transport
from province_node.heard import fetch, note_disbelief
from province_node.stream import DIRECTION, STREAM


@dataclass(frozen=True)
class News:
    """What was new. `alarms`: what a person must look at now, what was not believed among it; `reached`: the exchange
    place answered."""

    reached: bool
    grants: tuple[str, ...] = ()
    alarms: tuple[HubError, ...] = ()


@dataclass
class _Ear:
    node: Node
    store: Store
    keyring: Keyring
    transport: ClientTransport
    at: datetime
    grants: list[str] = field(default_factory=list)
    refused: list[HubError] = field(default_factory=list)


def hear_news(node: Node, *, at: datetime) -> News:
    """Fetches and verifies what is new in `out/`. Call while the exchange step is held. `at`: aware, now."""
    keyring = open_keyring(node, at=at)
    store = open_store(node.database_url, load_catalog())
    try:
        reached, grants, doubted = True, tuple[str, ...](), tuple[HubError, ...]()
        try:
            with open_transport(node, keyring) as transport:
                ear = _Ear(node, store, keyring, transport, at)
                _listen(ear)
                grants, doubted = tuple(ear.grants), tuple(ear.refused)
        except HubError as failure:
            if not failure.retryable:
                raise
            reached = False
        with store.reading() as reader:
            alarms = heads.alarms(heads.seen(reader), at)
        return News(reached, grants, (*doubted, *alarms))
    finally:
        store.close()


def _listen(ear: _Ear) -> None:
    with ear.store.reading() as reader:
        kept, told = controls.known(reader), recovery.known(reader)
    for entry in ear.transport.list_out():
        parsed = _parsed(entry.name)
        if parsed is None:
            continue
        if parsed.kind is NameKind.HEAD:
            _believe(ear, entry.name, PayloadType.STREAM_HEAD.cap, _take_head)
        elif parsed.kind is NameKind.CONTROL and entry.name not in kept:
            _believe(ear, entry.name, PayloadType.CONTROL.cap, _take_control)
        elif parsed.kind is NameKind.DR_STATEMENT and entry.name not in told:
            _believe(ear, entry.name, PayloadType.DR_STATEMENT.cap, _take_statement)
        elif _is_new_grant(ear, parsed, entry.name):
            _believe(ear, entry.name, PayloadType.EPOCH_GRANT.cap, _take_grant)


def _believe(ear: _Ear, name: str, cap: int, take: Callable[[_Ear, str, bytes], None]) -> None:
    """`take` what a file says; what is not believed is an alarm, one audit record per content, and moves nothing."""
    envelope = b""
    try:
        envelope = fetch(ear.node.work, ear.transport.get, name, cap)
        take(ear, name, envelope)
    except RefusedError as error:
        ear.refused.append(error)
        event = Event.HEAD_ALARM if name == HEAD_NAME else Event.GRANT_REFUSED
        with ear.store.begin() as transaction:
            note_disbelief(transaction, event, name, envelope, error, node=ear.node.party, at=ear.at)


def _take_head(ear: _Ear, _name: str, envelope: bytes) -> None:
    found = open_head(envelope, party=ear.node.party, trust=ear.keyring.trust, at=ear.at)
    with ear.store.begin() as transaction:
        heads.keep(transaction, found, excused=False)


def _take_grant(ear: _Ear, name: str, envelope: bytes) -> None:
    open_grant(envelope, name, trust=ear.keyring.trust, at=ear.at)
    write_durably([envelope], ear.node.trust / name, PayloadType.EPOCH_GRANT.cap)
    ear.grants.append(name)


def _take_control(ear: _Ear, name: str, envelope: bytes) -> None:
    found = open_control(envelope, name, party=ear.node.party, trust=ear.keyring.trust, at=ear.at)
    with ear.store.begin() as transaction:
        controls.keep(transaction, found, envelope, ear.at)


def _take_statement(ear: _Ear, name: str, envelope: bytes) -> None:
    found = open_statement(envelope, name, trust=ear.keyring.trust, at=ear.at)
    with ear.store.begin() as transaction:
        recovery.accept(transaction, ear.node.party, found, envelope, ear.at)


def _is_new_grant(ear: _Ear, parsed: ParsedName, name: str) -> bool:
    stream = parsed.stream_id
    if parsed.kind is not NameKind.GRANT or stream is None:
        return False
    ours = (stream.party, stream.direction, stream.stream) == (ear.node.party, DIRECTION, STREAM)
    return ours and (name in ear.keyring.spoiled or not (ear.node.trust / name).exists())


def _parsed(name: str) -> ParsedName | None:
    try:
        return parse_name(name)
    except RefusedError:
        return None
