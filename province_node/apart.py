"""Sealing apart from a change set: batches whose files were made for them, or change files sealed once more.

Decides only that signing, outbox, audit and the stream's position are one step, as for a change set
(protocol 6.1). Which files, of what kind, under which watermark, is the caller's: reseal, snapshot, census, repair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.audit import Event
from hub.store import Transaction
from province_node import ledger
from province_node.desk import Desk
from province_node.sealing import Plan, Sealed, SealedBatch, after, sign_batches, summary, sweep
from province_node.stream import Standing, move


@dataclass(frozen=True)
class Piece:
    """One batch to be sealed. `number`: change set its files come from, 0 for none."""

    plan: Plan
    number: int = 0


def seal_apart(
    desk: Desk,
    here: Standing,
    pieces: Sequence[Piece],
    *,
    hi: int,
    run: int = 0,
    also: Callable[[Transaction, Sequence[Sealed]], None] = lambda _tx, _batches: None,
) -> tuple[SealedBatch, ...]:
    """Seals `pieces` after `here` in one transaction, with whatever `also` writes; the stream's `hi` becomes `hi`.

    Raises what `Desk.terms` and the store raise; nothing is stored then.
    """
    with desk.store.reading() as reader:
        terms = desk.terms(reader, here, run)
    sweep(desk.node.spool, here.position)
    plans = [piece.plan for piece in pieces]
    with desk.sealing(here, plans) as (transaction, encrypted):
        batches = sign_batches(here.position, plans, encrypted(), terms)
        for piece, batch in zip(pieces, batches, strict=True):
            ledger.write_outbox(transaction, piece.number, [batch])
        also(transaction, batches)
        told = tuple(summary(batch, desk.keyring.signer.keyid) for batch in batches)
        for one in told:
            desk.note(transaction, Event.BATCH_SEALED, one.batch_id, one.detail)
        move(transaction, desk.node.party, here, after(here.position, batches), hi)
    return told
