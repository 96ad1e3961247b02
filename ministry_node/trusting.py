"""Trust at the ministry: new lists and CRLs come in, take effect, and go out to the provinces (protocol 10.1, 10.6).

Decides that a list which revokes a party's signing key freezes that party's streams at first sight, in the transaction
that notes the list; and that every province finds every list and the newest CRL of each CA in its `pub/`. Whether a
list is accepted is `hub.trust_folder`'s.

Files arrive in `trust/incoming/` (an operator's hand, or a job that mirrors a CA) or by `hub key accept`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from hub.batch import wire
from hub.batch.layout import trust_list_name
from hub.errors import HubError, RefusedError
from hub.settings import Node
from hub.store.ledger import INBOX
from hub.trust.trust_list import TrustList
from hub.trust_events import note_accepted, running_out, unnoted
from hub.trust_folder import MAX_CRL, crl_name, list_at, read, stored_lists, take_crl, take_list
from hub.verdict import refused
from ministry_node import position
from ministry_node.desk import Alarm, Desk

INCOMING: Final = "incoming"
_ACTOR: Final = "intake"


def take_incoming(node: Node, *, at: datetime) -> list[Alarm]:
    """Takes what lies in `trust/incoming/`; what is refused stays there, with an alarm. `at`: aware, now."""
    folder = node.trust / INCOMING
    alarms = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        try:
            content = read(folder, path.name, MAX_CRL)
            if path.suffix == ".crl":
                take_crl(node.trust, content, at=at)
            else:
                take_list(node.trust, content, at=at, where=path.name)
        except RefusedError as error:
            alarms.append(Alarm.of(node.party, error))
        else:
            path.unlink(missing_ok=True)
    return alarms


def settle_trust(desk: Desk) -> list[Alarm]:
    """Notes new versions, freezes what they revoke, publishes everything; alarms for a person."""
    alarms = _note(desk)
    alarms += _publish(desk)
    return alarms + [Alarm.of(desk.node.party, error) for error in running_out(desk.keyring.trust, desk.at)]


def _note(desk: Desk) -> list[Alarm]:
    """Each version once, in one transaction with the freezing it causes."""
    alarms: list[Alarm] = []
    with desk.store.begin() as tx:
        for version in unnoted(tx.connection, desk.keyring.trust):
            now = list_at(desk.node.trust, version)
            before = list_at(desk.node.trust, version - 1) if version > 1 else None
            for keyid in sorted(now.revoked.keys() - (before.revoked.keys() if before else set())):
                alarms += _freeze(desk, tx.connection, now, keyid)
            note_accepted(tx.connection, now, node=desk.node.party, actor=_ACTOR, at=desk.at)
    return alarms


def _freeze(desk: Desk, connection: sa.Connection, trust: TrustList, keyid: str) -> list[Alarm]:
    """Freezes the stream of the key's party; says how many of its batches came since the key was lost."""
    key, entry = trust.key(keyid), trust.revoked[keyid]
    if key is None or not key.party.isdigit():
        return []
    where = trust_list_name(trust.version)
    if not position.freeze(connection, desk, key.party, "E_KEY_REVOKED", where=where):
        return []
    doubtful = _received_since(connection, key.party, entry.since)
    words = f"数据流已冻结；{entry.since:%Y-%m-%d %H:%M} UTC 以来收到的 {doubtful} 个批次须逐个复核"
    return [Alarm.of(key.party, refused("E_KEY_REVOKED", words, where=where))]


def _received_since(connection: sa.Connection, party: str, since: datetime) -> int:
    c = INBOX.c
    query = sa.select(sa.func.count()).where(c.party == party, c.received_at >= wire.write_utc(since))
    return int(connection.execute(query).scalar_one())


def _publish(desk: Desk) -> list[Alarm]:
    """Every list and CRL to every province; one whose folder fails is told apart, the others get theirs."""
    trust = desk.keyring.trust
    files = dict(stored_lists(desk.node.trust, trust))
    files |= {crl_name(crl): crl.der for crl in trust.crls.by_issuer.values()}
    alarms = []
    for party in desk.parties:
        try:
            for name, content in files.items():
                desk.server.publish_pub(name, content, [party])
        except HubError as error:
            alarms.append(Alarm.of(party, error))
    return alarms
