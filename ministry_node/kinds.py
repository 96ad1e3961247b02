"""Batches that are no changes: census, repair, snapshot parts, answers to cases (protocol 9.2, 9.3, 14.5).

Decides only which module has the word, and the two checks that differ from a delta's: such rows are no changes of the
log, so the watermark is empty, and a census that opens an epoch may set it freely, since it shows what differs anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from hub.batch.content import StockFacts, check_watermark
from hub.batch.manifest import FileEntry, Manifest
from hub.batch.receipt import ReceiptCounts
from hub.census import KINDS
from hub.errors import RefusedError
from hub.store import Reader, Transaction
from hub.verdict import refused
from ministry_node import census, repair, snapshot
from ministry_node.case_answers import check_apart, is_answers, take_answers
from ministry_node.decide import guard
from ministry_node.desk import Desk
from ministry_node.matching import match_province
from ministry_node.returned import Returned

Files = Generator[tuple[FileEntry, Path], None, None]


def check_mark(manifest: Manifest, previous_hi: int | None) -> None:
    """E_WATERMARK unless the range joins; rows of a census kind are not counted as changes."""
    check_apart(manifest)
    apart = manifest.kind in KINDS or is_answers(manifest)
    check_watermark(
        manifest.watermark,
        previous_hi=previous_hi,
        rows=0 if apart else manifest.rows.total,
        free_start=manifest.kind == "census" and manifest.seq == 1,
        where=manifest.batch_id,
    )
    if apart and manifest.watermark.hi != manifest.watermark.lo - 1:
        raise refused("E_WATERMARK", "普查、修复、快照和核查答复不占用变更编号", where=manifest.batch_id)


def tripped(
    desk: Desk, reader: Reader, manifest: Manifest, files: Callable[[], Files], stock: StockFacts
) -> RefusedError | None:
    """What holds such a batch for two persons: the last part of a snapshot, with what the swap would change, and a
    repair whose effect would trip the brakes of any other batch.

    Raises what makes it void instead. None for the others.
    """
    if manifest.kind == census.REPAIR:
        effect = repair.weigh(desk, reader, manifest, files).rows
        return guard(manifest, stock, least_deletes=desk.node.settings.min_braked_deletes, rows=effect)
    if not snapshot.is_last(manifest):
        return None
    with closing(files()) as found:
        seen = snapshot.verify(desk, reader, manifest, found)
    words = f"全量快照已到齐并核对无误；切换后新增 {seen.new:,} 行，变更 {seen.changed:,} 行，删除 {seen.gone:,} 行"
    return refused("E_GUARD", words, where=manifest.batch_id)


def apply(
    desk: Desk, tx: Transaction, manifest: Manifest, files: Callable[[], Files]
) -> tuple[ReceiptCounts, Returned | None]:
    """The batch's effect on rows and ledger, in the transaction of its receipt; the bad rows of a repair."""
    if manifest.kind == census.REPAIR:
        done = repair.repair(desk, tx, manifest, files)
        match_province(tx, desk, manifest.stream_id.party, evidence=manifest.batch_id)
        return done
    with closing(files()) as found:
        if is_answers(manifest):
            return take_answers(desk, tx, manifest, found), None
        if manifest.kind == "census":
            return census.take(desk, tx, manifest, found), None
        if snapshot.is_last(manifest):
            counts = snapshot.swap(desk, tx, manifest, snapshot.verify(desk, tx, manifest, found))
        else:
            snapshot.stage(desk, tx, manifest, found)
            return ReceiptCounts(), None
    match_province(tx, desk, manifest.stream_id.party, evidence=manifest.batch_id)
    return counts, None
