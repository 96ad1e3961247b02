"""Checks of content against the manifest, over metadata only (protocol 3.3, 7.2).

Decides whether counted rows are the declared ones, whether watermarks join up, and whether the share of bad rows or
deletes passes what is allowed. Counting is the decoder's; looking at rows is `quality`'s. Each fault here is VOID or
HELD and leaves no row behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hub.batch.manifest import Manifest, RowCounts, Watermark
from hub.verdict import refused

MAX_BAD_ROWS = 10_000
MAX_BAD_SHARE = 0.05
MAX_DELETE_SHARE = 0.02
MAX_DROP_SHARE = 0.05
MAX_SIZE_FACTOR = 10


@dataclass(frozen=True)
class StockFacts:
    """What the guards compare a batch with. `rows`: live rows of the sender; `median_rows`: of earlier batches."""

    rows: int
    median_rows: int


def check_counts(manifest: Manifest, counted: Mapping[int, RowCounts], *, where: str = "") -> None:
    """Rows per file number and operation as decoded equal those declared; else E_COUNTS."""
    where = where or manifest.batch_id
    if set(counted) != {entry.n for entry in manifest.files}:
        raise refused("E_COUNTS", "解码的文件与清单所列不同", where=where)
    for entry in manifest.files:
        found = counted[entry.n]
        if found != entry.rows:
            detail = f"申报 {_words(entry.rows)}，实有 {_words(found)}"
            raise refused("E_COUNTS", detail, where=entry.name)


def check_watermark(
    watermark: Watermark, *, previous_hi: int | None, rows: int, free_start: bool = False, where: str = ""
) -> None:
    """Change-log range joins the last non-VOID batch's; else E_WATERMARK (protocol 3.3).

    `previous_hi`: None when no non-VOID batch came before; `free_start`: first batch after a snapshot grant.
    `hi` = `lo` - 1 means no changes and so no rows; every row is a change with an id of its own.
    """
    if watermark.hi < watermark.lo - 1:
        raise refused("E_WATERMARK", f"终点 {watermark.hi} 小于起点 {watermark.lo}", where=where)
    if watermark.hi == watermark.lo - 1 and rows:
        raise refused("E_WATERMARK", "区间为空却带有数据行", where=where)
    if rows > watermark.hi - watermark.lo + 1:
        raise refused("E_WATERMARK", f"区间 {watermark.lo}–{watermark.hi} 容不下 {rows} 行", where=where)
    if previous_hi is None or free_start:
        return
    if watermark.lo != previous_hi + 1:
        raise refused("E_WATERMARK", f"应从 {previous_hi + 1} 接续，实为 {watermark.lo}", where=where)


def check_bad_rows(bad: int, total: int, *, where: str = "") -> None:
    """More than 5 % or 10,000 bad rows void the batch: E_ROWS_BAD (protocol 7.2)."""
    if bad > MAX_BAD_ROWS or bad > total * MAX_BAD_SHARE:
        raise refused("E_ROWS_BAD", f"{total} 行中有 {bad} 行不合格", where=where)


def check_guards(manifest: Manifest, stock: StockFacts, *, rows: RowCounts | None = None) -> None:
    """Brakes of protocol 7.2: raises E_GUARD (HELD) with every reason, for two persons to look at.

    `rows`: what the batch would do to the rows that stand, where that is not what its manifest counts (a repair).

    Size is compared only once there is a median; a first snapshot is held for being a snapshot.
    """
    rows = rows or manifest.rows
    reasons: list[str] = []
    if manifest.kind in ("snapshot", "snapshot-part"):
        reasons.append("全量快照")
    if stock.rows and rows.deleted > stock.rows * MAX_DELETE_SHARE:
        reasons.append(f"删除 {rows.deleted} 行，超过现有 {stock.rows} 行的 2%")
    if stock.rows and rows.deleted - rows.inserted > stock.rows * MAX_DROP_SHARE:
        reasons.append(f"总数将减少 {rows.deleted - rows.inserted} 行，超过 5%")
    if stock.median_rows and rows.total > stock.median_rows * MAX_SIZE_FACTOR:
        reasons.append(f"{rows.total} 行，超过以往中位数 {stock.median_rows} 行的 10 倍")
    if reasons:
        raise refused("E_GUARD", "；".join(reasons), where=manifest.batch_id)


def _words(rows: RowCounts) -> str:
    return f"增 {rows.inserted} 改 {rows.updated} 删 {rows.deleted}"
