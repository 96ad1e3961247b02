"""The single transaction of protocol 6.3: rows, lineage, inbox, position, audit and receipt, or nothing.

Decides only that a batch is still where it was judged to be once the stream is locked; otherwise `Overtaken`, and the
caller looks again. Locks in one order everywhere: the stream's row first, the audit head last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.batch import wire
from hub.batch.admission import VerifiedManifest
from hub.batch.manifest import FileEntry, Manifest
from hub.batch.receipt import ReceiptCounts
from hub.batch.sequence import PeerStream, Sequence, advance, judge
from hub.catalog import Entity
from hub.census import KINDS
from hub.errors import HubError, InputError, LockedError
from hub.registry.rows import differs, note_rows, standing
from hub.store import ApplyCounts, Transaction
from hub.store.ledger import INBOX
from hub.verdict import Verdict
from ministry_node import kinds, position, receipts, returned, timeline
from ministry_node.admit import header_of
from ministry_node.case_answers import is_answers
from ministry_node.decide import Ruling, counted, of_rows, receipt_of
from ministry_node.desk import Desk
from ministry_node.down import note_acks
from ministry_node.lineage import change_set_number, write_lineage
from ministry_node.matching import Marks, marks_of, match_batch
from ministry_node.receipts import Issued
from ministry_node.returned import Returned

Files = Generator[tuple[FileEntry, Path], None, None]
_TRIES: Final = 3
_UNKNOWN_COMMIT: Final = "E3112"
_EVENTS: Final = {
    Verdict.APPLIED: (Event.BATCH_APPLIED, Result.DONE),
    Verdict.PARTIAL: (Event.BATCH_PARTIAL, Result.DONE),
    Verdict.HELD: (Event.BATCH_HELD, Result.DONE),
    Verdict.VOID: (Event.BATCH_VOID, Result.REFUSED),
    Verdict.REFUSED: (Event.BATCH_REFUSED, Result.REFUSED),
    Verdict.RECEIVED: (Event.RECEIPT_ISSUED, Result.DONE),
}


class Overtaken(Exception):  # noqa: N818 - not an error: another worker decided meanwhile, look again
    """The stream, or the batch's receipts, changed between looking and locking."""


@dataclass(frozen=True)
class Case:
    """A batch under judgement: what was signed and in which bytes, when it first came, its receipts, where it stood."""

    verified: VerifiedManifest
    envelope: bytes = field(repr=False)
    first_seen: datetime
    earlier: tuple[Issued, ...]
    sequence: Sequence = Sequence.NEW

    @property
    def manifest(self) -> Manifest:
        return self.verified.manifest


def settle(desk: Desk, case: Case, ruling: Ruling, *, files: Callable[[], Files] | None = None) -> Issued:
    """Puts a ruling into effect and returns the stored receipt, which is not published yet.

    `files`: for APPLIED, the checked plaintext files; asked again when the transaction is tried again. The receipt says
    PARTIAL instead when some rows were bad. Raises
    `Overtaken`, RefusedError when a file turns out to be at fault (nothing was applied), HubError of the store.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _once(desk, case, ruling, files)
        except LockedError:
            # Deadlock, serialization failure, or another worker for longer than the store waits.
            if attempt == _TRIES:
                raise
        except HubError as failure:
            if failure.code != _UNKNOWN_COMMIT:
                raise
            if (found := _committed(desk, case, ruling)) is not None:
                return found
            if attempt == _TRIES:
                raise
    raise AssertionError("every way out of the loop returns or raises")


def _once(desk: Desk, case: Case, ruling: Ruling, files: Callable[[], Files] | None) -> Issued:
    manifest, digest = case.manifest, case.verified.digest
    with desk.store.begin() as tx:
        standing = _locked(tx.connection, case)
        state, hi = standing.stream, standing.hi
        counts = ReceiptCounts()
        if ruling.verdict is Verdict.APPLIED:
            kinds.check_mark(manifest, hi)
            ruling, counts = _effect(desk, tx, manifest, ruling, files)
            hi = manifest.watermark.hi
        elif ruling.returned:
            returned.seal_errors(tx, desk, manifest, ruling.returned)
        leaf = _audit(tx.connection, desk, manifest, ruling, counts)
        after = advance(state, header_of(case.verified)) if ruling.verdict.consumes_seq else state
        issued = receipts.issue(tx.connection, desk, _receipt(desk, case, ruling, after, counts, leaf))
        if ruling.verdict.consumes_seq:
            _inbox(tx.connection, desk, case, ruling, counts)
            position.move(tx.connection, manifest, digest, hi=hi)
            note_acks(tx.connection, manifest, node=desk.node, at=desk.at)
    return issued


def _effect(
    desk: Desk, tx: Transaction, manifest: Manifest, ruling: Ruling, files: Callable[[], Files] | None
) -> tuple[Ruling, ReceiptCounts]:
    """Rows and lineage; PARTIAL where some of the rows had to stay out."""
    found = Returned(manifest.rows.total, manifest.batch_id, manifest.codeset.version)
    if is_answers(manifest) and files is not None:
        return ruling, kinds.apply(desk, tx, manifest, files)[0]
    if manifest.kind in KINDS and files is not None:
        counts, bad = kinds.apply(desk, tx, manifest, files)
        found = bad or found
    else:
        with marks_of(desk, tx.connection) as marks:
            counts = _all_rows(desk, tx, manifest, files, found, marks)
            match_batch(tx, desk, manifest, marks)
    write_lineage(tx.connection, manifest)
    if not found.rows:
        return ruling, counts
    returned.keep(tx, desk, manifest, found.faults)
    returned.seal_errors(tx, desk, manifest, found.faults)
    return replace(ruling, verdict=Verdict.PARTIAL), counts


def _locked(connection: sa.Connection, case: Case) -> position.Standing:
    """The stream's row, locked; `Overtaken` unless the batch stands where it stood and has had no receipt since."""
    manifest = case.manifest
    found = position.standing(connection, manifest.stream_id.party, stream=manifest.stream_id.stream, lock=True)
    earlier = receipts.issued_for(connection, manifest.stream_id, manifest.seq)
    stored = position.decided_digest(connection, manifest.stream_id, manifest.seq)
    known = stored or (earlier[-1].receipt.manifest_digest if earlier else None)
    verdict = judge(found.stream if found else None, header_of(case.verified), stored_digest=known).verdict
    if found is None or verdict is not case.sequence or len(earlier) != len(case.earlier):
        raise Overtaken
    return found


def _all_rows(
    desk: Desk, tx: Transaction, manifest: Manifest, files: Callable[[], Files] | None, found: Returned, marks: Marks
) -> ReceiptCounts:
    if files is None:
        return ReceiptCounts()
    with closing(files()) as parts:  # a part opened ahead is finished before its plaintext is deleted
        counts = _rows(desk, tx, manifest, parts, found, marks)
    returned.clear(tx.connection, desk.catalog, manifest)
    return counts


def _rows(
    desk: Desk,
    tx: Transaction,
    manifest: Manifest,
    files: Iterable[tuple[FileEntry, Path]],
    found: Returned,
    marks: Marks,
) -> ReceiptCounts:
    """Applies the files in the manifest's order, runs of one entity in one merge; bad rows stay out, in `found`."""
    total = ApplyCounts()
    batch, party, version = manifest.batch_id, manifest.stream_id.party, manifest.codeset.version
    noted: list[Any] | None = [] if differs(tx.connection, party, version) else None
    for name, run in groupby(files, key=lambda pair: pair[0].entity):
        entity = desk.catalog.entities[name]
        try:
            told = _told(desk, tx, manifest, entity, run, found, noted, marks)
            total += tx.apply(entity, party, told, batch=batch, at=desk.at, keys_under=change_set_number(manifest))
        except InputError as failure:
            raise of_rows(failure, batch) from None
        if noted:
            note_rows(tx, party, name, noted, version)
            noted.clear()
    return counted(total, found.rows)


def _told(
    desk: Desk,
    tx: Transaction,
    manifest: Manifest,
    entity: Entity,
    run: Iterable[tuple[FileEntry, Path]],
    found: Returned,
    noted: list[Any] | None,
    marks: Marks,
) -> Iterator[Any]:
    """The good rows as they are applied, written into the timeline; `noted` collects the records whose registry
    version is to be noted."""
    for entry, path in run:
        desk.progress("intake", f"{found.where}　{entry.entity}　{entry.rows.total:,} 行")
        for block, numbers in returned.good_blocks(desk, entity, entry, path, found):
            timeline.note(tx, manifest, entry, block, numbers)
            if noted is not None:
                noted.append(standing(block))
            marks.note(entity.name, block)
            yield block


def _receipt(desk: Desk, case: Case, ruling: Ruling, after: PeerStream, counts: ReceiptCounts, leaf: int) -> Any:
    return receipt_of(
        case.manifest,
        case.verified.digest,
        ruling,
        state=after,
        earlier=case.earlier,
        counts=counts,
        leaf=leaf,
        trust_version=desk.keyring.trust.version,
        first_seen=case.first_seen,
        at=desk.at,
    )


def _audit(connection: sa.Connection, desk: Desk, manifest: Manifest, ruling: Ruling, counts: ReceiptCounts) -> int:
    """The decision's leaf; before it, for a release or a voiding by hand, who decided and why."""
    detail: dict[str, str | int] = {"rows": manifest.rows.total, **{k: v for k, v in vars(counts).items() if v}}
    if ruling.code:
        detail["code"] = ruling.code
    if ruling.cascade_of:
        detail["cascade_of"] = ruling.cascade_of
    if ruling.release:
        by, second, reason = ruling.release
        append(
            connection,
            Event.BATCH_VOID if ruling.verdict is Verdict.VOID else Event.BATCH_RELEASED,
            ts=desk.at,
            node=desk.node.party,
            actor=by,
            object=manifest.batch_id,
            purpose=reason,
            detail={"second": second},
        )
    event, result = _EVENTS[ruling.verdict]
    return append(
        connection,
        event,
        ts=desk.at,
        node=desk.node.party,
        actor="intake",
        object=manifest.batch_id,
        result=result,
        detail=detail,
    )


def _inbox(connection: sa.Connection, desk: Desk, case: Case, ruling: Ruling, counts: ReceiptCounts) -> None:
    stream_id = case.manifest.stream_id
    connection.execute(
        sa.insert(INBOX),
        {
            "party": stream_id.party,
            "stream": stream_id.stream,
            "epoch": stream_id.epoch,
            "seq": case.manifest.seq,
            "batch_id": case.manifest.batch_id,
            "digest": case.verified.digest,
            "verdict": str(ruling.verdict),
            "codes": json.dumps([ruling.code] if ruling.code else []),
            "received_at": wire.write_utc(case.first_seen),
            "decided_at": wire.write_utc(desk.at),
            "rows_i": counts.ins,
            "rows_u": counts.upd,
            "rows_d": counts.deleted,
            "noop": counts.noop_old_version,
            "quarantined": counts.quarantined,
            "envelope": case.envelope,
        },
    )


def _committed(desk: Desk, case: Case, ruling: Ruling) -> Issued | None:
    """After a COMMIT whose outcome is unknown: our receipt if it took effect (protocol 6.3)."""
    with desk.store.reading() as reader:
        found = receipts.issued_for(reader.connection, case.manifest.stream_id, case.manifest.seq)
    new = found[len(case.earlier) :]
    takes_effect = (Verdict.APPLIED, Verdict.PARTIAL)
    meant = takes_effect if ruling.verdict in takes_effect else (ruling.verdict,)
    same = new and new[0].receipt.verdict in meant and new[0].receipt.manifest_digest == case.verified.digest
    return new[0] if same else None


def refuse_without_receipt(
    desk: Desk, party: str, code: str, *, where: str, freeze: bool, event: Event = Event.BATCH_REFUSED
) -> None:
    """Audit and, for what freezes, the freeze, in one transaction. Nothing else changes (protocol 7.3)."""
    with desk.store.begin() as tx:
        if freeze:
            position.freeze(tx.connection, desk, party, code, where=where)
        append(
            tx.connection,
            event,
            ts=desk.at,
            node=desk.node.party,
            actor="intake",
            object=where,
            result=Result.REFUSED,
            detail={"code": code, "party": party},
        )


def note_replay(desk: Desk, batch: str) -> None:
    """A decided batch came again: a leaf, and nothing else."""
    with desk.store.begin() as tx:
        append(tx.connection, Event.BATCH_REPLAYED, ts=desk.at, node=desk.node.party, actor="intake", object=batch)
