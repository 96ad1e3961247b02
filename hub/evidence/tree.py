"""A tree of stored batches: which files belong together, in which order, and what holds them together (protocol 13.8).

Decides what follows from what: every manifest names the payload digest of the one before it (`prev`; the first of an
epoch that of its grant), every receipt that of the receipt issued before it in the stream and epoch (`prev_receipt`).
Each signature is judged under the trust list of its own time: a receipt's under the version it names, at its decision;
a manifest's under the version and at the moment its first receipt names (10.7). What is said of one file is `stored`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hub.batch.envelope import PayloadType
from hub.batch.layout import NameKind, StreamId, batch_id, parse_name
from hub.batch.manifest import Manifest
from hub.batch.receipt import Receipt, receipt_files
from hub.errors import RefusedError
from hub.evidence.stored import Check, Judge, Judges, check_manifest, check_part, check_stored_receipt, claims_of
from hub.verdict import Verdict

# What is kept beside the batches and is none: forks and other content, and what nobody we trust has signed.
APART: Final = frozenset({"other", "unverified"})
_SMALL: Final = 512 * 1024
_UNREAD: Final = datetime(9999, 1, 1, tzinfo=UTC)
_CONSUMING: Final = (Verdict.APPLIED, Verdict.PARTIAL, Verdict.VOID)
Progress = Callable[[str, str], None]


@dataclass
class Batch:
    """One stored batch and what was found out about it, in the order a person reads it."""

    stream_id: StreamId
    seq: int
    folder: Path
    manifest: Manifest | None = None
    digest: str = ""
    receipts: list[Receipt] = field(default_factory=list)
    unread: int = 0
    """Receipts that lie there and could not be believed, or not be judged."""
    checks: list[Check] = field(default_factory=list)

    @property
    def batch_id(self) -> str:
        return batch_id(self.stream_id, self.seq)


def verify_tree(
    folder: Path, judges: Judges, progress: Progress = lambda _step, _what: None
) -> Iterator[tuple[str, list[Check]]]:
    """(batch id, checks) of every manifest below `folder`, in stream order; forks kept under `other/` are left out."""
    epoch: list[Batch] = []
    for stream_id, seq, path in _manifests(folder):
        progress("验证", path.name)
        if epoch and epoch[-1].stream_id != stream_id:
            yield from _told(epoch, judges)
            epoch = []
        epoch.append(_read(Batch(stream_id, seq, path.parent), path, judges))
    yield from _told(epoch, judges)


def small(path: Path) -> bytes | None:
    """A file no larger than any envelope, or the beginning of a larger one; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_SMALL + 1)
    except OSError:
        return None


def _read(batch: Batch, path: Path, judges: Judges) -> Batch:
    """One batch by itself: signatures, names, parts, and that its receipts speak of it."""
    receipts = [_receipt(p, judges) for p in sorted(batch.folder.glob(f"{batch.batch_id}.receipt?.dsse"))]
    first = next((receipt for receipt, _ in receipts if receipt is not None), None)
    envelope = small(path)
    claims = (first.trust_version, first.received_at) if first else claims_of(envelope, PayloadType.BATCH_MANIFEST)
    judge, at = _judge(judges, claims)
    if isinstance(judge, Check):
        batch.checks = [judge]
    else:
        batch.manifest, batch.digest, batch.checks = check_manifest(envelope, path.name, judge, at)
    if (manifest := batch.manifest) is not None:
        for entry in manifest.files:
            part = batch.folder / entry.name
            batch.checks.append(check_part(part if part.is_file() else None, entry.name, entry.digest))
    for receipt, check in receipts:
        wrong = receipt is not None and _speaks_of_another(receipt, batch)
        batch.checks.append(Check(check.name, False, wrong) if wrong else check)
        if receipt is None or wrong:
            batch.unread += 1
        else:
            batch.receipts.append(receipt)
    return batch


def _receipt(path: Path, judges: Judges) -> tuple[Receipt | None, Check]:
    envelope = small(path)
    judge, at = _judge(judges, claims_of(envelope, PayloadType.RECEIPT))
    if isinstance(judge, Check):
        return None, Check("回执", False, judge.detail)
    return check_stored_receipt(envelope, path.name, judge, at, None)


def _judge(judges: Judges, claims: tuple[int, datetime] | None) -> tuple[Judge | Check, datetime]:
    """Who judges what was signed under these claims, or why nobody can. What cannot be read fails in its own check."""
    version, at = claims or (1, _UNREAD)
    try:
        return judges.under(version, at), at
    except RefusedError as error:
        return Check("清单签名", False, error.sentence()), at


def _speaks_of_another(receipt: Receipt, batch: Batch) -> str:
    """Why a receipt that is genuine is not about this batch, or "" when it is (protocol 7.4)."""
    if batch.manifest is None:
        return ""
    if receipt.manifest_digest != batch.digest:
        return "回执所指清单不是本批次"
    if receipt.files and receipt.files != receipt_files(batch.manifest):
        return "回执所列文件摘要与清单不同"
    if receipt.verdict in _CONSUMING and (receipt.head.last_seq, receipt.head.last_digest) != (batch.seq, batch.digest):
        return "回执所述数据流位置不是本批次"
    return ""


def _told(epoch: list[Batch], judges: Judges) -> Iterator[tuple[str, list[Check]]]:
    """All batches of one stream and epoch, with the two chains that run through them."""
    issued = [receipt for batch in epoch for receipt in batch.receipts]
    links = _Links(issued, whole=bool(epoch) and [b.seq for b in epoch] == list(range(1, len(epoch) + 1)))
    before: Batch | None = None
    for batch in epoch:
        checks = batch.checks
        if batch.manifest is not None:
            checks.insert(2, _batch_chain(before, batch, batch.manifest, judges))
        checks += [*_numbered(batch), *(link for receipt in batch.receipts for link in links.of(receipt))]
        before = batch
        yield batch.batch_id, checks


def _batch_chain(before: Batch | None, batch: Batch, manifest: Manifest, judges: Judges) -> Check:
    if batch.seq == 1:
        grant = judges.grant(batch.stream_id)
        if grant is None:
            return Check("批次链", None, f"期次授权不在所给范围内，prev 为 {manifest.prev[:19]}…")
        same = grant == manifest.prev
        return Check("批次链", same, "接上期次授权的摘要" if same else "与期次授权的摘要接不上")
    if before is None or before.seq != batch.seq - 1 or not before.digest:
        return Check("批次链", None, f"前一批次不在所给范围内，prev 为 {manifest.prev[:19]}…")
    same = before.digest == manifest.prev
    return Check("批次链", same, "接上前一批次的摘要" if same else "与前一批次的摘要接不上")


def _numbered(batch: Batch) -> list[Check]:
    """The batch's own receipts are numbered from 1 without a gap; those that could not be judged are not counted."""
    if batch.unread:
        return []
    if not batch.receipts:
        return [Check("回执", None, "尚无回执")]
    numbers = [receipt.receipt_no for receipt in batch.receipts]
    whole = numbers == list(range(1, len(numbers) + 1))
    return [Check("回执编号", whole, f"共 {len(numbers)} 份" if whole else "编号不连续")]


class _Links:
    """The receipts of one stream and epoch as a chain; `whole`: all batches from the first on are there."""

    def __init__(self, issued: list[Receipt], *, whole: bool) -> None:
        self._by_digest = {receipt.digest: receipt for receipt in issued}
        self._replaced = {receipt.reissued_of for receipt in issued if receipt.reissued_of}
        # A receipt that a restored ministry lost stands beside the one that replaced it (protocol 9.4).
        self._followed = Counter(r.prev_receipt for r in issued if r.digest not in self._replaced)
        self._whole = whole

    def of(self, receipt: Receipt) -> Iterator[Check]:
        """What is said of a receipt's place in the chain."""
        name, prev = f"回执链 {receipt.receipt_no}", receipt.prev_receipt
        if receipt.digest not in self._replaced and self._followed[prev] > 1:
            yield Check(name, False, "另有一份回执接在同一份回执之后：回执链分叉")
        elif prev is None:
            yield Check(name, True, "本期次首份回执")
        elif (before := self._by_digest.get(prev)) is not None:
            forward = before.trust_version <= receipt.trust_version
            yield Check(name, forward, f"接上 {before.name}" if forward else f"信任清单版本比前一份 {before.name} 还旧")
        else:
            yield self._outside(name, prev)

    def _outside(self, name: str, prev: str) -> Check:
        if self._whole:
            return Check(name, False, f"前一份回执 {prev[:19]}… 不在其中：缺失，或已被换掉")
        return Check(name, None, f"前一份回执不在所给范围内，prev_receipt 为 {prev[:19]}…")


def _manifests(folder: Path) -> list[tuple[StreamId, int, Path]]:
    found = []
    for path in sorted(folder.rglob("*.manifest.dsse")):
        if APART & set(path.relative_to(folder).parts):
            continue
        try:
            parsed = parse_name(path.name)
        except RefusedError:
            continue
        if parsed.kind is NameKind.MANIFEST and parsed.stream_id is not None and parsed.seq is not None:
            found.append((parsed.stream_id, parsed.seq, path))
    return sorted(found)
