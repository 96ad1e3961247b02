"""The verdict on a batch that stands in order: applied, parked, held, refused or void (protocol 6.2, 7.2).

Decides in the order of protocol 6.2 and puts the ruling into effect: sealed-in faults, files, trust list in force,
guards, then the one transaction in which files are opened, decoded and applied. A fault found while applying rolls it
back and is answered in a transaction of its own. Leaves publishing and cleaning to the caller.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hub.batch.content import StockFacts
from hub.batch.manifest import Manifest
from hub.batch.sequence import Sequence
from hub.census import KINDS
from hub.errors import HubError, RefusedError
from hub.trust.trust_list import Freshness
from hub.verdict import CODES, Verdict, refused
from ministry_node import kinds, pickup, position, snapshot
from ministry_node.admit import Registered, Terms, sealed_faults
from ministry_node.apply import Case, Files, settle
from ministry_node.decide import Ruling, guard, of_rows, rule_on
from ministry_node.decode import Decoder, verified_files
from ministry_node.desk import Desk
from ministry_node.parts import Parts
from ministry_node.receipts import EXHAUSTED, Issued
from ministry_node.returned import TooManyError

_VALUE_DOES_NOT_FIT = "E3109"
Release = tuple[str, str, str]  # by, second, reason


@dataclass(frozen=True)
class Bench:
    """What judging needs beside the batch."""

    desk: Desk
    registered: Registered
    decoder: Decoder


@dataclass(frozen=True)
class Concluded:
    """A ruling in effect with its receipt; or `rejected`, for which protocol 7.3 writes no receipt."""

    ruling: Ruling | None = None
    issued: Issued | None = None
    rejected: RefusedError | None = None
    freezes: bool = False


def conclude(
    bench: Bench,
    case: Case,
    parts: Parts,
    *,
    waiting_for: int | None = None,
    cascade_of: tuple[str, str] | None = None,
    release: Release | None = None,
) -> Concluded | None:
    """Judges a batch that is next (NEW) or early (GAP) and puts the verdict into effect; None while files may come.

    `cascade_of`: the voided batch it goes with, and the code of that; `release`: by, second person and reason, when
    the guard is lifted. Raises `Overtaken`, or HubError of our own side with nothing changed.
    """
    desk, manifest = bench.desk, case.manifest
    if len(case.earlier) >= EXHAUSTED:
        fault = refused("E_RECEIPT", "第十份回执，数据流已停", where=manifest.batch_id)
        return Concluded(rejected=fault, freezes=True)
    try:
        if cascade_of is not None:
            ruling = Ruling(Verdict.VOID, refused(cascade_of[1], where=manifest.batch_id), cascade_of=cascade_of[0])
            parts.store(desk, manifest.stream_id.party, manifest)
            return Concluded(ruling, settle(desk, case, ruling))
        terms = Terms((), ()) if case.sequence is Sequence.GAP else _sealed(bench, case)
    except RefusedError as stated:
        parts.store(desk, manifest.stream_id.party, manifest)
        return _answer(desk, case, stated, declared=True)
    if lacking := parts.missing(manifest):
        if pickup.waits(desk, manifest.batch_id):
            return None
        parts.store(desk, manifest.stream_id.party, manifest)
        return _answer(desk, case, refused("E_FILE_MISSING", f"缺少 {len(lacking)} 个文件", where=lacking[0]))
    if (spoiled := parts.store(desk, manifest.stream_id.party, manifest)) is not None:
        return _answer(desk, case, spoiled)
    if case.sequence is Sequence.GAP:
        early = refused("E_SEQ_GAP", f"等待序号 {waiting_for}", where=manifest.batch_id)
        ruling = Ruling(Verdict.RECEIVED, early, waiting_for=waiting_for)
        return Concluded(ruling, settle(desk, case, ruling))
    return _next_in_line(bench, case, parts.paths or (), terms, release)


def _sealed(bench: Bench, case: Case) -> Terms:
    desk = bench.desk
    return sealed_faults(
        case.manifest,
        trust=desk.keyring.trust,
        registered=bench.registered,
        first_seen=case.first_seen,
        at=desk.at,
        judged_at=None if case.earlier else desk.judged_at,
    )


def _next_in_line(
    bench: Bench, case: Case, paths: tuple[Path, ...], terms: Terms, release: Release | None
) -> Concluded:
    """Trust list, watermark, guards, content; then APPLIED."""
    desk, manifest = bench.desk, case.manifest
    party = manifest.stream_id.party
    with desk.store.reading() as reader:
        now = position.standing(reader.connection, party, stream=manifest.stream_id.stream)
        stock = position.stock(reader.connection, party)
    with _plaintext(desk, manifest.batch_id) as folder:

        def files() -> Files:
            return _opened(bench, manifest, paths, folder, terms)

        try:
            if desk.keyring.trust.freshness(desk.judged_at) is Freshness.EXPIRED:
                raise refused("E_TRUST_EXPIRED", where=manifest.batch_id)
            previous = now.hi if now else None
            kinds.check_mark(manifest, previous)
            tripped = _tripped(desk, manifest, stock, files)
            if tripped is not None and release is None:
                _check_all(files())  # two persons are asked only about what could be applied
                raise tripped
            ruling = Ruling(Verdict.APPLIED, warnings=terms.warnings, release=release)
            issued = settle(desk, case, ruling, files=files)
            return Concluded(replace(ruling, verdict=issued.receipt.verdict), issued)
        except TooManyError as many:
            ruling = Ruling(Verdict.VOID, many, returned=many.faults)
            return Concluded(ruling, settle(desk, case, ruling))
        except RefusedError as fault:
            return _answer(desk, case, fault)
        except HubError as failure:
            if failure.code != _VALUE_DOES_NOT_FIT:
                raise
            return _answer(desk, case, of_rows(failure, manifest.batch_id))


def _opened(bench: Bench, manifest: Manifest, paths: tuple[Path, ...], folder: Path, terms: Terms) -> Files:
    """The parts once more, decrypted into `folder` the first time."""
    return verified_files(
        manifest,
        paths,
        folder,
        catalog=bench.desk.catalog,
        key=bench.desk.keyring.opening([entry.keyid for entry in terms.certs]),
        certs=[entry.cert for entry in terms.certs],
        decoder=bench.decoder,
    )


def _tripped(desk: Desk, manifest: Manifest, stock: StockFacts, files: Callable[[], Files]) -> RefusedError | None:
    """The guard that holds the batch, None when none does; E_SCHEMA for a kind the epoch does not wait for."""
    with desk.store.reading() as reader:
        snapshot.check_expected(reader.connection, manifest)
        if manifest.kind in KINDS:
            return kinds.tripped(desk, reader, manifest, files, stock)
    return guard(manifest, stock, least_deletes=desk.node.settings.min_braked_deletes)


def _check_all(files: Files) -> None:
    for _ in files:
        pass


def _answer(desk: Desk, case: Case, fault: RefusedError, *, declared: bool = False) -> Concluded:
    """A fault answered with the receipt protocol 7 wants, or none. Early batches are never voided out of their turn."""
    if fault.code not in CODES:
        raise fault
    ruling = rule_on(fault, case.earlier, declared=declared)
    if ruling is None:
        return Concluded(rejected=fault)
    if case.sequence is Sequence.GAP and ruling.verdict is Verdict.VOID:
        ruling = replace(ruling, verdict=Verdict.REFUSED)
    return Concluded(ruling, settle(desk, case, ruling))


@contextmanager
def _plaintext(desk: Desk, batch: str) -> Iterator[Path]:
    """A folder for one batch's plaintext, gone whatever happens (protocol 5.6)."""
    folder = desk.plain / batch
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
