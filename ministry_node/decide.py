"""From a fault to a verdict, and from a verdict to a receipt (protocol 7.2, 7.4). No I/O.

Decides which verdict a code leads to, given how often the batch was refused before, when a guard is looked at, and
what the receipt and the sentence for a person say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.batch.content import StockFacts, check_guards
from hub.batch.manifest import Manifest, RowCounts
from hub.batch.receipt import Head, Reason, Receipt, ReceiptCounts, receipt_files
from hub.batch.sequence import PeerStream
from hub.errors import HubError, RefusedError
from hub.store import ApplyCounts
from hub.verdict import Verdict, refused, verdict_of
from ministry_node.receipts import Issued
from ministry_node.returned import Fault, quarantine_id

# What the store refuses in change rows (E3120 columns, E3121 head, E3122 texts) and in values (E3109).
_FORM: Final = "E3120"
DUPLICATE, REJECTED = "DUPLICATE", "REJECTED"
TAKES_EFFECT: Final = (Verdict.APPLIED, Verdict.PARTIAL)
# Some rows were bad: where they are kept is the reason's detail (protocol 7.2).
ROWS_RETURNED: Final = "W_ROWS_RETURNED"


@dataclass(frozen=True)
class Ruling:
    """What is to be done with a batch. `error`: why, in words; `waiting_for`: the seq a parked batch waits for;
    `returned`: bad rows that travel back although the batch is void."""

    verdict: Verdict
    error: RefusedError | None = None
    warnings: tuple[str, ...] = ()
    cascade_of: str | None = None
    waiting_for: int | None = None
    release: tuple[str, str, str] | None = None  # by, second, reason
    returned: tuple[Fault, ...] = ()

    @property
    def code(self) -> str | None:
        """Code of protocol 7.3, None for APPLIED."""
        return self.error.code if self.error else None

    def sentence(self, batch: str, counts: ReceiptCounts) -> str:
        """One line for a person."""
        if self.verdict in TAKES_EFFECT:
            rows = (
                f"新增 {counts.ins:,}，更新 {counts.upd:,}，删除 {counts.deleted:,}，未变 {counts.noop_old_version:,}"
            )
            if self.verdict is Verdict.PARTIAL:
                rows += f"；隔离 {counts.quarantined:,} 行，错误明细已退回该省"
            return f"批次 {batch} {self.verdict.chinese}：{rows}"
        if self.cascade_of:
            return f"批次 {batch} 随 {self.cascade_of} 一并作废：对方从作废批次的起点重新生成"
        return f"批次 {batch} {self.verdict.chinese}：{self.error.sentence() if self.error else ''}"


@dataclass(frozen=True)
class Decision:
    """One batch's outcome, for people and pipelines.

    `verdict`: a receipt's verdict (protocol 7.2), `DUPLICATE` (stored receipt published again, no work) or `REJECTED`
    (evidence and alarm, no receipt); `receipt_name`: the newest receipt published, None when there is none; `seconds`:
    how long it took.
    """

    batch_id: str
    party: str
    seq: int
    verdict: str
    code: str | None
    receipt_name: str | None
    counts: ReceiptCounts
    seconds: float
    sentence: str


def rule_on(error: RefusedError, earlier: Sequence[Issued], *, declared: bool = False) -> Ruling | None:
    """The ruling a fault leads to; None when protocol 7.3 gives it no receipt.

    `earlier`: receipts of this batch; a sealed-in fault is VOID the second time. `declared`: the fault is in what the
    manifest says, so that E_FILE_SIZE is sealed in as well.
    """
    refusals = sum(issued.receipt.verdict is Verdict.REFUSED for issued in earlier)
    verdict = verdict_of(error.code, earlier_refusals=refusals, sealed_in=declared)
    return None if verdict is None else Ruling(verdict, error)


def of_rows(error: HubError, where: str) -> RefusedError:
    """What the store refuses in rows, as a fault of the batch: shape E_SCHEMA, rows E_ROWS_BAD."""
    return refused("E_SCHEMA" if error.code == _FORM else "E_ROWS_BAD", f"{error.what}（{error.code}）", where=where)


def guard(
    manifest: Manifest, stock: StockFacts, *, least_deletes: int, rows: RowCounts | None = None
) -> RefusedError | None:
    """The brakes of protocol 7.2; None when none trips. `rows`: the effect, where the manifest's rows are not it.

    `least_deletes`: at most so many deletes are never looked at (setting `min_braked_deletes`): in a province that has
    just begun, two per cent are a handful of rows.
    """
    counted = rows or manifest.rows
    quiet = counted.deleted <= least_deletes
    try:
        check_guards(manifest, StockFacts(0 if quiet else stock.rows, stock.median_rows), rows=counted)
    except RefusedError as tripped:
        return tripped
    return None


def receipt_of(
    manifest: Manifest,
    digest: str,
    ruling: Ruling,
    *,
    state: PeerStream,
    earlier: Sequence[Issued],
    counts: ReceiptCounts,
    leaf: int,
    trust_version: int,
    first_seen: datetime,
    at: datetime,
) -> Receipt:
    """The receipt as it will be signed; `state`: position after the decision; number and chain are `receipts`'."""
    codes = [ruling.code] if ruling.code else []
    detail = str(ruling.waiting_for) if ruling.waiting_for else None
    detail = quarantine_id(manifest.batch_id) if ruling.returned else detail
    warnings = [Reason(code) for code in ruling.warnings]
    if counts.quarantined:
        warnings.append(Reason(ROWS_RETURNED, quarantine_id(manifest.batch_id)))
    checked = ruling.verdict in (*TAKES_EFFECT, Verdict.HELD) and ruling.code != "E_TRUST_EXPIRED"
    return Receipt(
        batch_id=manifest.batch_id,
        receipt_no=len(earlier) + 1,
        prev_receipt=None,
        verdict=ruling.verdict,
        manifest_digest=digest,
        received_at=first_seen,
        decided_at=None if ruling.verdict is Verdict.RECEIVED else at,
        trust_version=trust_version,
        signer_key="",
        head=Head(state.last_seq, state.last_digest, state.last_seq + 1),
        files=receipt_files(manifest) if checked else (),
        counts=counts,
        reasons=(*(Reason(code, detail) for code in codes), *warnings),
        cascade_of=ruling.cascade_of,
        waiting_for=ruling.waiting_for,
        leaf={"index": leaf, "inclusion_proof": []},
    )


def counted(counts: ApplyCounts, quarantined: int = 0) -> ReceiptCounts:
    """Rows as the store counted them, and those kept out of it, in the words of a receipt."""
    return ReceiptCounts(counts.inserted, counts.updated, counts.deleted, counts.noop, quarantined)
