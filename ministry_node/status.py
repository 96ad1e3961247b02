"""How the exchange stands at the ministry: per province the stream's position, what was decided, what waits.

Decides nothing and changes nothing; reads the store and the names in the provinces' folders. Counts and batch numbers
only: no value of a record stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.batch.layout import EVERYONE, NameKind, parse_name
from hub.catalog import load_catalog
from hub.errors import RefusedError
from hub.keyring import open_keyring
from hub.settings import Node
from hub.store import open_store
from hub.store.ledger import INBOX
from hub.transport import ServerTransport, open_server
from ministry_node.desk import STREAM, require_ministry
from ministry_node.position import standing, stock
from ministry_node.receipts import awaiting, is_parked


@dataclass(frozen=True)
class Undecided:
    """A batch that was answered but has no place in the stream yet. `parked`: its files lie here."""

    seq: int
    batch_id: str
    verdict: str
    codes: tuple[str, ...]
    parked: bool


@dataclass(frozen=True)
class StreamStatus:
    """One province's `up/main`. `epoch` 0: never opened; `frozen`: code of protocol 7.1 that stopped it, or None.

    `decided`: batches by verdict; `rows`: live rows after them; `ready`: manifests uploaded and not looked at yet.
    """

    party: str
    epoch: int
    last_seq: int
    frozen: str | None
    decided: Mapping[str, int]
    rows: int
    last_decided: str | None
    undecided: tuple[Undecided, ...]
    ready: int


@dataclass(frozen=True)
class IntakeStatus:
    """All provinces of the trust list, and that list's number and end."""

    streams: tuple[StreamStatus, ...]
    trust_version: int
    trust_expires: datetime


def intake_status(node: Node, *, at: datetime) -> IntakeStatus:
    """The state of every stream. `at`: aware, now. Raises `UsageError` E1005 on a province's node, what
    `open_keyring`, the store and the exchange folder raise.
    """
    require_ministry(node)
    trust = open_keyring(node, at=at).trust
    server = open_server(node.transport_url)
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            parties = sorted(p for p in trust.members if p.isdigit() and p != EVERYONE)
            streams = tuple(_stream(reader.connection, server, party) for party in parties)
    finally:
        store.close()
    return IntakeStatus(streams, trust.version, trust.expires)


def _stream(connection: sa.Connection, server: ServerTransport, party: str) -> StreamStatus:
    now = standing(connection, party)
    epoch = now.stream.stream_id.epoch if now else 0
    last_seq = now.stream.last_seq if now else 0
    c = INBOX.c
    mine = sa.and_(c.party == party, c.stream == STREAM)
    counted = connection.execute(sa.select(c.verdict, sa.func.count()).where(mine).group_by(c.verdict)).all()
    last = connection.execute(sa.select(sa.func.max(c.decided_at)).where(mine)).scalar_one_or_none()
    open_ = awaiting(connection, party, STREAM, epoch, last_seq) if now else {}
    return StreamStatus(
        party=party,
        epoch=epoch,
        last_seq=last_seq,
        frozen=now.stream.frozen if now else None,
        decided={str(verdict): int(n) for verdict, n in sorted(counted)},
        rows=stock(connection, party).rows,
        last_decided=last,
        undecided=tuple(
            Undecided(
                seq,
                issued.receipt.batch_id,
                str(issued.receipt.verdict),
                tuple(reason.code for reason in issued.receipt.reasons),
                is_parked(issued),
            )
            for seq, issued in sorted(open_.items())
        ),
        ready=_manifests(server, party),
    )


def _manifests(server: ServerTransport, party: str) -> int:
    return sum(_is_manifest(entry.name) for entry in server.list_ready(party) if entry.regular)


def _is_manifest(name: str) -> bool:
    try:
        return parse_name(name).kind is NameKind.MANIFEST
    except RefusedError:
        return False
