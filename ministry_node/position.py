"""Where each stream stands at the ministry: `peer_stream`, opened by grants, moved by decisions (protocol 6.3, 9.1).

Decides nothing about batches: reads the row (locked inside a transaction), writes what `hub.batch.sequence` says.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch.content import StockFacts
from hub.batch.grant import EpochGrant
from hub.batch.layout import StreamId
from hub.batch.manifest import Manifest
from hub.batch.sequence import PeerStream, open_epoch
from hub.store.ledger import INBOX, PEER_STREAM
from hub.verdict import Verdict
from ministry_node import snapshot
from ministry_node.desk import STREAM, Desk

OPEN: Final = "OPEN"
_UP: Final = "up"
_IN_FORCE: Final = (str(Verdict.APPLIED), str(Verdict.PARTIAL))
# The size guard needs a habit to compare with: fewer batches are none, and a habit of a few rows is no measure.
_HABIT_BATCHES: Final = 8
_HABIT_ROWS: Final = 1_000
_RECENT: Final = 100


@dataclass(frozen=True)
class Standing:
    """A stream's row. `hi`: last change-log id of the last non-VOID batch; None after a snapshot grant. `base`: digest
    of the grant that opened the epoch."""

    stream: PeerStream
    hi: int | None
    base: str | None = None


def _row(party: str, stream: str) -> Any:
    c = PEER_STREAM.c
    return sa.and_(c.party == party, c.direction == _UP, c.stream == stream)


def standing(connection: sa.Connection, party: str, *, stream: str = STREAM, lock: bool = False) -> Standing | None:
    """The stream's position, None before its first grant. `lock`: held until the transaction ends."""
    query = sa.select(PEER_STREAM).where(_row(party, stream))
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        return None
    stream_id = StreamId(party, _UP, stream, row["epoch"])
    frozen = None if row["state"] == OPEN else row["state"]
    return Standing(PeerStream(stream_id, row["last_seq"], row["last_digest"], frozen), row["hi"], row["base_digest"])


def open_epochs(desk: Desk, party: str) -> None:
    """Takes up the grants the node holds for this party's stream, in order; E_GRANT when one does not fit."""
    grants = [g for g in desk.keyring.grants.values() if _flow(g.stream_id) == (party, _UP, STREAM)]
    with desk.store.reading() as reader:
        now = standing(reader.connection, party)
    current = now.stream.stream_id.epoch if now else 0
    for grant in sorted(grants, key=lambda g: g.stream_id.epoch):
        if grant.stream_id.epoch > current:
            take_up(desk, grant)


def take_up(desk: Desk, grant: EpochGrant) -> None:
    """Opens the epoch of a verified grant; a no-op when it is open. E_GRANT, E_EPOCH when it does not fit."""
    party = grant.stream_id.party
    with desk.store.begin() as tx:
        before = standing(tx.connection, party, lock=True)
        begun = open_epoch(before.stream if before else None, grant)
        if before is not None and begun == before.stream:
            return  # another run was first
        hi = None if grant.base == "snapshot" else before.hi if before else 0
        values = {
            "epoch": begun.stream_id.epoch,
            "last_seq": 0,
            "last_digest": begun.last_digest,
            "hi": hi,
            "state": OPEN,
            "base_digest": grant.digest,
        }
        if before is None:
            key = {"party": party, "direction": _UP, "stream": STREAM}
            tx.connection.execute(sa.insert(PEER_STREAM), {**key, **values})
        else:
            tx.connection.execute(sa.update(PEER_STREAM).where(_row(party, STREAM)).values(**values))
        snapshot.begin(tx.connection, grant)
        append(
            tx.connection,
            Event.STREAM_OPENED,
            ts=desk.at,
            node=desk.node.party,
            actor="intake",
            object=f"{begun.stream_id}",
            detail={"base": grant.base, "grant": grant.digest},
        )


def move(connection: sa.Connection, manifest: Manifest, digest: str, *, hi: int | None) -> None:
    """Compare-and-swap of protocol 6.3: from the batch before to this one, or RuntimeError and thus a rollback."""
    c = PEER_STREAM.c
    stream_id = manifest.stream_id
    moved = connection.execute(
        sa.update(PEER_STREAM)
        .where(_row(stream_id.party, stream_id.stream), c.epoch == stream_id.epoch)
        .where(c.last_seq == manifest.seq - 1, c.last_digest == manifest.prev)
        .values(last_seq=manifest.seq, last_digest=digest, hi=hi)
    )
    if moved.rowcount != 1:
        raise RuntimeError("the stream position moved while it was locked")


def freeze(connection: sa.Connection, desk: Desk, party: str, code: str, *, where: str) -> bool:
    """Nothing is accepted until an epoch grant (protocol 7.1); False when there is no stream or it is frozen."""
    before = standing(connection, party, lock=True)
    if before is None or before.stream.frozen is not None:
        return False
    connection.execute(sa.update(PEER_STREAM).where(_row(party, STREAM)).values(state=code))
    append(
        connection,
        Event.STREAM_FROZEN,
        ts=desk.at,
        node=desk.node.party,
        actor="intake",
        object=str(before.stream.stream_id),
        detail={"code": code, "batch": where},
    )
    return True


def decided_digest(connection: sa.Connection, stream_id: StreamId, seq: int) -> str | None:
    """Manifest digest under which a batch stands in the inbox, None when it was never decided."""
    return connection.execute(sa.select(INBOX.c.digest).where(_inbox(stream_id, seq))).scalar_one_or_none()


def decided_verdict(connection: sa.Connection, stream_id: StreamId, seq: int) -> str | None:
    """Verdict of a decided batch."""
    return connection.execute(sa.select(INBOX.c.verdict).where(_inbox(stream_id, seq))).scalar_one_or_none()


def stock(connection: sa.Connection, party: str) -> StockFacts:
    """Live rows of a province and its usual batch size, from what its batches did (protocol 7.2).

    Cheaper than counting five million rows, and equal to it: rows enter and leave only through the inbox.
    """
    c = INBOX.c
    mine = sa.and_(c.party == party, c.verdict.in_(_IN_FORCE))
    rows = connection.execute(sa.select(sa.func.sum(c.rows_i - c.rows_d)).where(mine)).scalar_one()
    size = c.rows_i + c.rows_u + c.rows_d + c.noop
    recent = sa.select(size).where(mine, size > 0).order_by(c.epoch.desc(), c.seq.desc()).limit(_RECENT)
    sizes = [int(n) for n in connection.execute(recent).scalars()]
    habit = max(int(statistics.median(sizes)), _HABIT_ROWS) if len(sizes) >= _HABIT_BATCHES else 0
    return StockFacts(int(rows or 0), habit)


def _inbox(stream_id: StreamId, seq: int) -> Any:
    c = INBOX.c
    mine = sa.and_(c.party == stream_id.party, c.stream == stream_id.stream)
    return sa.and_(mine, c.epoch == stream_id.epoch, c.seq == seq)


def _flow(stream_id: StreamId) -> tuple[str, str, str]:
    return stream_id.party, stream_id.direction, stream_id.stream
