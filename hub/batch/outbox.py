"""The sender's states of one batch, as a pure transition function (protocol 6.1).

Decides which state follows from sealing, shipping, or an accepted receipt. Leaves to the caller: holding the receipt
against batch and chain before (`receipt.check_receipt`), and storing receipt and state in one transaction.

Terminal: APPLIED, PARTIAL, VOID, and CLOSED: its epoch ended without a result (protocol 9.1). REFUSED returns the
batch to SEALED, and the same bytes are shipped again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from hub.verdict import Verdict, refused


class BatchState(StrEnum):
    """State of a batch at its sender."""

    OPEN = "OPEN"
    SEALED = "SEALED"
    SENT = "SENT"
    RECEIVED = "RECEIVED"
    APPLIED = "APPLIED"
    PARTIAL = "PARTIAL"
    HELD = "HELD"
    VOID = "VOID"
    CLOSED = "CLOSED"

    @property
    def is_final(self) -> bool:
        """True when nothing follows."""
        return self in (BatchState.APPLIED, BatchState.PARTIAL, BatchState.VOID, BatchState.CLOSED)

    @property
    def in_flight(self) -> bool:
        """Counts towards the 8 batches in flight."""
        return self in (BatchState.SEALED, BatchState.SENT, BatchState.RECEIVED, BatchState.HELD)


_RESULTS = {
    Verdict.APPLIED: BatchState.APPLIED,
    Verdict.PARTIAL: BatchState.PARTIAL,
    Verdict.VOID: BatchState.VOID,
}
_ON_THE_WAY = {
    **_RESULTS,
    Verdict.RECEIVED: BatchState.RECEIVED,
    Verdict.HELD: BatchState.HELD,
    Verdict.REFUSED: BatchState.SEALED,
}
# SEALED takes receipts too: a sender killed between rename and noting SENT has shipped all the same (protocol 6.4).
_AFTER_RECEIPT: dict[BatchState, dict[Verdict, BatchState]] = {
    BatchState.SEALED: _ON_THE_WAY,
    BatchState.SENT: _ON_THE_WAY,
    BatchState.RECEIVED: _ON_THE_WAY,
    BatchState.HELD: {**_RESULTS, Verdict.HELD: BatchState.HELD},
}


# Protocol 6.1 step 3: no word in 15 minutes, no result in 4 hours, then ever more slowly; a person at 24 hours.
NO_WORD: Final = timedelta(minutes=15)
NO_RESULT: Final = timedelta(hours=4)
OVERDUE: Final = timedelta(hours=24)
_SLOWEST: Final = timedelta(hours=12)
_DOUBLINGS: Final = 10


def ship_again_at(state: BatchState, sent_at: datetime, sends: int, batch: str) -> datetime | None:
    """When a batch that was shipped `sends` times is shipped again for want of an answer; None: not by itself.

    Doubles with every shipping, up to 12 hours, and is spread by up to a half, so that provinces cut off together do
    not come back together. The spread follows from batch and count: the same question has the same answer.
    """
    first = {BatchState.SENT: NO_WORD, BatchState.RECEIVED: NO_RESULT}.get(state)
    if first is None:
        return None
    wait: timedelta = min(first * 2 ** min(max(sends, 1) - 1, _DOUBLINGS), _SLOWEST)
    spread = int.from_bytes(hashlib.sha256(f"{batch}/{sends}".encode()).digest()[:4], "big") / 2**32
    again: datetime = sent_at + wait * (1 + spread / 2)
    return again


def is_overdue(state: BatchState, sealed_at: datetime, at: datetime) -> bool:
    """Shipped or received, and still without a result a day after it was sealed."""
    return state in (BatchState.SENT, BatchState.RECEIVED) and at - sealed_at >= OVERDUE


def seal(state: BatchState) -> BatchState:
    """OPEN -> SEALED; anything else is our own mistake."""
    if state is not BatchState.OPEN:
        raise RuntimeError("a sealed batch never changes")
    return BatchState.SEALED


def ship(state: BatchState) -> BatchState:
    """SEALED -> SENT; shipping again what is on its way changes nothing; a finished batch is not shipped."""
    if state is BatchState.OPEN or state.is_final:
        raise RuntimeError("only sealed batches without a result are shipped")
    return BatchState.SENT if state is BatchState.SEALED else state


def after_receipt(state: BatchState, verdict: Verdict, *, where: str = "") -> BatchState:
    """State after an accepted receipt; the result repeated is a no-op, a contradiction E_RECEIPT, state unchanged."""
    if state is BatchState.OPEN:
        raise refused("E_RECEIPT", "该批次尚未封存", where=where)
    if state.is_final:
        if _RESULTS.get(verdict) is state:
            return state
        raise refused("E_RECEIPT", f"该批次已是终态 {state}，回执却为 {verdict}", where=where)
    following = _AFTER_RECEIPT[state].get(verdict)
    if following is None:
        raise refused("E_RECEIPT", f"状态 {state} 之后不应出现 {verdict}", where=where)
    return following
