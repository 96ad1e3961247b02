"""Trust lists and CRLs from `pub/`, taken one by one and believed only when they verify (protocol 10.1, 4.4).

Decides which files are newer than what is in force. Leaves to `hub.trust_folder` whether they are accepted; a refusal
is an alarm and an audit record, changes nothing, and what follows a refused list is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from hub.batch.envelope import PayloadType
from hub.batch.layout import NameKind, parse_name
from hub.errors import HubError, RefusedError
from hub.settings import Node
from hub.store import Store
from hub.transport import ClientTransport
from hub.trust.trust_list import TrustList
from hub.trust_events import note_accepted, note_refused, running_out, unnoted
from hub.trust_folder import CRL_NAME, MAX_CRL, list_at, open_trust, take_crl, take_list
from province_node.desk import ACTOR
from province_node.heard import fetch


def take_trust(node: Node, store: Store, transport: ClientTransport, *, at: datetime) -> tuple[HubError, ...]:
    """Takes what is new; returns alarms. Call while the exchange step is held. `at`: aware, now.

    Raises the retryable errors of the transport, and what `open_trust` raises when the folder itself does not hold.
    """
    trust = open_trust(node.trust, at=at)
    alarms: list[HubError] = []
    names = [entry.name for entry in transport.list_pub()]

    def offer(name: str, limit: int, take: Callable[[bytes], object]) -> bool:
        content = b""
        try:
            content = fetch(node.work, transport.get_pub, name, limit)
            take(content)
        except RefusedError as error:
            alarms.append(error)
            with store.begin() as transaction:
                note_refused(transaction.connection, name, content, error, node=node.party, actor=ACTOR, at=at)
            return False
        return True

    for name in _newer_lists(names, trust):

        def take(content: bytes, name: str = name) -> object:
            return take_list(node.trust, content, at=at, where=name)

        if not offer(name, PayloadType.TRUST_LIST.cap, take):
            break
    trust = open_trust(node.trust, at=at)
    for name in _newer_crls(names, trust):
        offer(name, MAX_CRL, lambda content: take_crl(node.trust, content, at=at))
    trust = open_trust(node.trust, at=at)
    with store.begin() as transaction:
        for version in unnoted(transaction.connection, trust):
            note_accepted(transaction.connection, list_at(node.trust, version), node=node.party, actor=ACTOR, at=at)
    return (*alarms, *running_out(trust, at))


def _newer_lists(names: list[str], trust: TrustList) -> list[str]:
    """Names of lists above the version in force, in order."""
    found = []
    for name in names:
        try:
            parsed = parse_name(name)
        except RefusedError:
            continue
        if parsed.kind is NameKind.TRUST_LIST and (parsed.number or 0) > trust.version:
            found.append(name)
    return sorted(found)


def _newer_crls(names: list[str], trust: TrustList) -> Iterator[str]:
    """Names of CRLs above the number in use for their CA, in order."""
    known = {issuer.removeprefix("sha256:")[:16]: crl.number for issuer, crl in trust.crls.by_issuer.items()}
    for name in sorted(names):
        match = CRL_NAME.fullmatch(name)
        if match is not None and int(match[2]) > known.get(match[1], -1):
            yield name
