"""The sender's states of one batch, as a pure transition function (protocol 6.1).

Decides which state follows from sealing, shipping, or an accepted receipt. Leaves to the caller: holding the receipt
against batch and chain before (`receipt.check_receipt`), and storing receipt and state in one transaction.

Terminal: APPLIED, PARTIAL, VOID, and CLOSED: its epoch ended without a result (protocol 9.1). REFUSED returns the
batch to SEALED, and the same bytes are shipped again.
"""

from __future__ import annotations

from enum import StrEnum

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
