"""A new epoch at the province: the old one closed for ever, what the ministry lacks sealed again (protocol 9.1, 9.5).

Decides, from the grant and our own outbox, how the stream goes on:

- `continue`, and we know every verdict up to the batch the grant names: the change files after the last batch in force
  are sealed again under the new epoch.
- `continue` otherwise (this node was restored, a receipt or a change set is lost): a census first, which shows what
  differs whatever happened; the change log begins anew after it.
- `snapshot`: everything, in parts.

Nothing of the old epoch is shipped any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event
from hub.batch.grant import EpochGrant
from hub.batch.outbox import BatchState
from hub.batch.sequence import PeerStream
from hub.changes import ChangeFile
from hub.errors import VerificationError
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE, OUTBOX, PEER_STREAM
from province_node.apart import Piece, seal_apart
from province_node.changeset import open_settlement
from province_node.desk import Desk
from province_node.head import set_state
from province_node.ledger import name_batches
from province_node.sealing import SealedBatch, plan_batches
from province_node.stream import DIRECTION, OPEN, STREAM, Standing, main_stream, standing
from province_node.window import last_stored, unsealed, window

CENSUS, SNAPSHOT, RESEAL = "census", "snapshot", "reseal"
_DUE: Final = "epoch.due"
_IN_FORCE: Final = (BatchState.APPLIED, BatchState.PARTIAL)


@dataclass(frozen=True)
class Entered:
    """An epoch this node went over to, and how it goes on: `reseal`, `census` or `snapshot`."""

    epoch: int
    way: str
    closed: int


def enter_epochs(desk: Desk) -> tuple[Entered, ...]:
    """Takes up every grant in `trust/` that follows the current epoch; () when there is none."""
    entered: list[Entered] = []
    while True:
        with desk.store.reading() as reader:
            here = standing(reader, desk.node.party, desk.keyring)
        grant = desk.keyring.grant(main_stream(desk.node.party, here.position.stream_id.epoch + 1))
        if grant is None:
            return tuple(entered)
        entered.append(_enter(desk, here, grant))


def due(reader: Reader) -> str | None:
    """What has to be sealed first in the current epoch: `census` or `snapshot`; None when nothing is."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _DUE)
    return reader.connection.execute(query).scalar_one_or_none() or None


def done(transaction: Transaction) -> None:
    """What was due has been sealed."""
    set_state(transaction, _DUE, "")


def reseal_unsent(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals change sets of the ledger that the stream does not cover: an epoch left them behind, or the window was
    full; as many, in their order, as it admits now, () when none."""
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        numbers = unsealed(reader, desk.node.party, here.hi)
        room = window(reader, here, desk.keyring.trust.limits.in_flight)
    pieces: list[Piece] = []
    position, hi = here.position, here.hi
    for number in numbers:
        files = _files_after(desk, number, here.hi)
        limits = desk.keyring.trust.limits
        rows = min(desk.node.settings.max_batch_rows, limits.rows_per_batch)
        after = PeerStream(position.stream_id, position.last_seq + len(pieces), position.last_digest)
        plans = plan_batches(after, files, max_rows=rows, max_files=limits.files_per_batch)
        if not room.admits(len(plans)):
            break
        room = room.taken(len(plans))
        pieces += [Piece(plan, number) for plan in plans]
        hi = max([hi, *(f.hi for f in files)])
    if not pieces:
        return ()
    desk.progress("publish", f"补封 {len(pieces)} 个批次")

    def lineage(transaction: Transaction, batches: Any) -> None:
        name_batches(transaction, desk.node.party, batches)

    return seal_apart(desk, here, pieces, hi=hi, also=lineage)


def _enter(desk: Desk, here: Standing, grant: EpochGrant) -> Entered:
    party, old = desk.node.party, here.position.stream_id
    with desk.store.begin() as transaction:
        rows = _outbox(transaction, old.epoch)
        covered = _covered(rows, grant)
        whole = last_stored(transaction, party)
        way = SNAPSHOT if grant.base == "snapshot" else RESEAL
        if way == RESEAL and (covered is None or not _sealable(desk, transaction, covered)):
            way = CENSUS
        open_rows = [r for r in rows if not BatchState(r["state"]).is_final]
        transaction.connection.execute(
            sa.update(OUTBOX)
            .where(OUTBOX.c.stream == STREAM, OUTBOX.c.epoch == old.epoch)
            .where(OUTBOX.c.seq.in_([r["seq"] for r in open_rows]))
            .values(state=str(BatchState.CLOSED))
        )
        _move(transaction, desk, here, grant, hi=whole if way != RESEAL or covered is None else covered)
        set_state(transaction, _DUE, "" if way == RESEAL else way)
        detail: dict[str, str | int] = {"closed": len(open_rows), "next": grant.stream_id.epoch, "way": way}
        desk.note(transaction, Event.EPOCH_CLOSED, str(old), detail)
        desk.note(transaction, Event.STREAM_OPENED, str(grant.stream_id), {"grant": grant.digest, "base": grant.base})
    return Entered(grant.stream_id.epoch, way, len(open_rows))


def _covered(rows: list[Mapping[Any, Any]], grant: EpochGrant) -> int | None:
    """Last change-log id in force at the ministry, as our own outbox knows it; None when it cannot know."""
    last = grant.prev_epoch_last
    if last is None:
        return None
    mine = {int(r["seq"]): r for r in rows}
    if last.seq and (last.seq not in mine or mine[last.seq]["digest"] != last.digest):
        return None
    consumed = [mine[seq] for seq in sorted(mine) if seq <= last.seq]
    if any(not BatchState(r["state"]).is_final for r in consumed):
        return None  # a receipt is missing: whether it was applied or void is not known here
    if not consumed and rows:
        first = min(rows, key=lambda r: int(r["seq"]))
        return int(first["lo"]) - 1
    in_force = [int(r["hi"]) for r in consumed if BatchState(r["state"]) in _IN_FORCE]
    if in_force:
        return in_force[-1]
    return min(int(r["lo"]) for r in consumed) - 1 if consumed else 0


def _sealable(desk: Desk, reader: Reader, covered: int) -> bool:
    """Every change set after `covered` is still whole in its folder."""
    try:
        for number in unsealed(reader, desk.node.party, covered):
            _files_after(desk, number, covered)
    except VerificationError:
        return False
    return True


def _files_after(desk: Desk, number: int, hi: int) -> list[ChangeFile]:
    return [file for file in open_settlement(desk.node, number).changes.files if file.lo > hi]


def _outbox(reader: Reader, epoch: int) -> list[Mapping[Any, Any]]:
    c = OUTBOX.c
    query = sa.select(c.seq, c.digest, c.lo, c.hi, c.state).where(c.stream == STREAM, c.epoch == epoch).order_by(c.seq)
    return list(reader.connection.execute(query).mappings().all())


def _move(transaction: Transaction, desk: Desk, here: Standing, grant: EpochGrant, *, hi: int) -> None:
    party, c = desk.node.party, PEER_STREAM.c
    values = {
        "epoch": grant.stream_id.epoch,
        "last_seq": 0,
        "last_digest": grant.digest,
        "hi": hi,
        "state": OPEN,
        "base_digest": grant.digest,
    }
    if not here.stored:
        key = {"party": party, "direction": DIRECTION, "stream": STREAM}
        transaction.connection.execute(sa.insert(PEER_STREAM), {**key, **values})
        return
    row = sa.and_(c.party == party, c.direction == DIRECTION, c.stream == STREAM)
    old = here.position.stream_id.epoch
    moved = transaction.connection.execute(sa.update(PEER_STREAM).where(row, c.epoch == old).values(**values))
    if moved.rowcount != 1:
        raise RuntimeError("the stream moved although the exchange was held")
