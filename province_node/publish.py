"""Publishing: a change set becomes golden rows of the provincial store and sealed batches, in one transaction.

Decides the order: parts are encrypted into the spool (beside the database's work), manifests signed, then rows, ledger,
lineage, issues, audit, outbox and stream position commit together (protocol 6.1 step 1; house rule 3). Before that
commit nothing happened: the spool's orphans are swept and the same change set is published again (protocol 6.4).
After it, publishing the same number again is a no-op.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Final

import sqlalchemy as sa

from hub.audit import Event
from hub.catalog.tuning import tuned
from hub.changes import Counts
from hub.errors import VerificationError
from hub.registry.rows import differs, note_rows, standing_in
from hub.settings import Node
from hub.store import ApplyCounts, Transaction
from hub.store.ledger import CHANGE_SET
from province_node import ledger
from province_node.case_answers import seal_answers
from province_node.census import seal_census, seal_repairs
from province_node.changeset import Settlement, counted, open_settlement
from province_node.decisions import follow_settlement
from province_node.desk import Desk, Progress, open_desk, silent
from province_node.epoch import CENSUS, SNAPSHOT, due, enter_epochs, reseal_unsent
from province_node.exclusive import exchange_step
from province_node.findings import note_exchange
from province_node.heartbeat import seal_heartbeat
from province_node.ledger import Movement
from province_node.news import hear_news
from province_node.returned import close_returned
from province_node.sealing import (
    Plan,
    Random,
    SealedBatch,
    Terms,
    after,
    plan_batches,
    sign_batches,
    summary,
    sweep,
)
from province_node.snapshot import broken, seal_snapshot
from province_node.stream import Standing, move, standing
from province_node.supersede import awaits, supersede_void
from province_node.window import full, last_stored, unsealed, window

_CODE: Final = re.compile(r"\[(E\w+)\]")


@dataclass(frozen=True)
class Published:
    """What publishing one change set did; counts only. `already`: it was there, and nothing was done; `held_back`: why
    it is stored and not sealed yet, in words (`window`), "" when it was sealed."""

    number: int
    run: int = 0
    already: bool = False
    held_back: str = ""
    batches: tuple[SealedBatch, ...] = ()
    rows: Counts = field(default_factory=Counts)
    applied: ApplyCounts = field(default_factory=ApplyCounts)
    quarantined: Movement = field(default_factory=Movement)
    findings: Movement = field(default_factory=Movement)
    conflicts: Movement = field(default_factory=Movement)
    orphans_swept: int = 0


def publish(node: Node, number: int, *, at: datetime, rng: Random, progress: Progress = silent) -> Published:
    """Brings change set `number` to the store and seals it; a no-op when the ledger has it.

    `at`: aware; `rng(n)`: n random bytes; `progress("publish", what)`. Raises `VerificationError` E3403 (not the next
    one), E3406 (folder damaged), `NotInitialisedError` E3401 (no epoch grant), and what store and keyring raise;
    nothing is stored then.
    """
    with exchange_step(node), up_to_date(node, at, rng, progress) as desk:
        return _publish(desk, number)


@contextmanager
def up_to_date(node: Node, at: datetime, rng: Random, progress: Progress) -> Iterator[Desk]:
    """The desk, after the ministry's news were heard and an epoch that was granted meanwhile was entered (9.1, 9.5)."""
    hear_news(node, at=at)
    with open_desk(node, at, rng, progress) as desk:
        enter_epochs(desk)
        with desk.store.reading() as reader:
            first = due(reader)
        if first == SNAPSHOT:
            seal_snapshot(desk)
        elif first is None and (void := broken(desk)) is not None:
            seal_snapshot(desk, supersedes=void)
        elif first == CENSUS:
            seal_census(desk)
        if not awaits(desk):
            reseal_unsent(desk)
        seal_repairs(desk)
        yield desk


def publish_pending(
    node: Node, *, at: datetime, rng: Random, progress: Progress = silent, before_round: bool = False
) -> tuple[Published, ...]:
    """Publishes, in order, every change set that the settling state counted and the ledger lacks (protocol 6.4).

    This is both the normal step after a round and the recovery after a crash between state and store; batches that came
    back VOID are sealed anew before (`supersede`). `before_round`: a round follows, so void batches and what comes
    after them are left to the step after it, which may find the records mended at the source. Raises as `publish`;
    `VerificationError` E3404 when the store knows change sets the state never counted; E3409 as `supersede_void`.
    """
    with exchange_step(node), up_to_date(node, at, rng, progress) as desk:
        known, last = _ledger_last(desk), counted(node)
        if known > last:
            raise VerificationError(
                "E3404",
                f"省级库已有第 {known} 个变更集，定值状态只到第 {last} 个",
                where=node.state.name,
                step="定值状态已丢失或落后：将该文件改名保留，运行 hub sync rebuild 由省级库重建，再运行 hub sync run",
            )
        if before_round and awaits(desk):
            return ()
        if supersede_void(desk):
            reseal_unsent(desk)
        done = tuple(_publish(desk, number) for number in range(known + 1, last + 1))
        seal_answers(desk)
        seal_heartbeat(desk)
        return done


def _ledger_last(desk: Desk) -> int:
    with desk.store.reading() as reader:
        query = sa.select(sa.func.max(CHANGE_SET.c.cs_no)).where(CHANGE_SET.c.node == desk.node.party)
        return int(reader.connection.execute(query).scalar_one() or 0)


def _publish(desk: Desk, number: int) -> Published:
    known = _ledger_last(desk)
    if number <= known:
        return Published(number, already=True)
    if number != known + 1:
        raise VerificationError(
            "E3403", f"变更集须依次入库：应为第 {known + 1} 个", where=f"第 {number} 个", step="先处理尚未入库的变更集"
        )
    desk.progress("publish", f"变更集 {number}")
    settlement = open_settlement(desk.node, number)
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        terms = desk.terms(reader, here, settlement.run)
        pending = bool(unsealed(reader, desk.node.party, here.hi))
        covered = max(here.hi, last_stored(reader, desk.node.party))
        room = window(reader, here, desk.keyring.trust.limits.in_flight)
    _check_joins(settlement, covered)
    swept = sweep(desk.node.spool, here.position)
    limits = desk.keyring.trust.limits
    plans = plan_batches(
        here.position,
        settlement.changes.files,
        max_rows=min(desk.node.settings.max_batch_rows, limits.rows_per_batch),
        max_files=limits.files_per_batch,
    )
    codeset = desk.codeset(int(settlement.record["registry_version"]))
    plans = tuple(replace(plan, codeset=codeset) for plan in plans)
    waits = bool(plans) and (pending or not room.admits(len(plans)))
    held_back = full(room, f"变更集 {number} ").sentence() if waits else ""
    todo = _Work(here, covered, () if waits else plans, held_back, swept)
    return _seal_and_store(desk, settlement, todo, terms)


@dataclass(frozen=True)
class _Work:
    """Where a change set joins. `covered`: last change-log id of the ledger, which is past the stream's while change
    sets wait to be sealed; `plans`: none when this one waits too."""

    here: Standing
    covered: int
    plans: tuple[Plan, ...]
    held_back: str
    swept: int

    def hi(self, settlement: Settlement) -> int:
        """The stream's mark afterwards."""
        waits = self.held_back or self.covered > self.here.hi
        return self.here.hi if waits else max(self.here.hi, settlement.changes.hi)


def _check_joins(settlement: Settlement, covered: int) -> None:
    """Change-log ids leave no gap, neither to the ledger nor between files (protocol 3.3)."""
    expected = covered + 1
    for file in settlement.changes.files:
        if file.lo != expected:
            raise VerificationError(
                "E3404",
                f"变更编号不连续：应从 {expected} 接续，实为 {file.lo}",
                where=f"变更集 {settlement.changes.number} {file.path.name}",
                step="定值状态与省级库不是同一时点：恢复同一时点的备份后重试",
            )
        expected = file.hi + 1


def _seal_and_store(desk: Desk, settlement: Settlement, work: _Work, terms: Terms) -> Published:
    here, plans = work.here, work.plans
    party, changes = desk.node.party, settlement.changes
    with desk.sealing(here, plans) as (transaction, encrypted):
        applied = _apply(desk, transaction, settlement, plans)
        _note_registry(desk, transaction, settlement)
        desk.progress("publish", "问题与冲突台账")
        ledger.write_run(transaction, settlement, party, work.covered + 1, desk.at)
        quarantined, findings, conflicts = _issues(transaction, settlement)
        _quality(desk, transaction, settlement)
        entities, by = {file.entity for file in changes.files}, f"change set {changes.number}"
        close_returned(transaction, desk.catalog, party, entities, by=by, run=settlement.run)
        desk.progress("publish", "加密与签名")
        batches = sign_batches(here.position, plans, encrypted(), terms)
        ledger.write_lineage(transaction, settlement, party, batches)
        ledger.write_outbox(transaction, changes.number, batches)
        move(transaction, party, here, after(here.position, batches), work.hi(settlement))
        desk.progress("publish", "冲突随源更新")
        follow_settlement(desk, transaction, settlement, batches[0].manifest.batch_id if batches else "")
        done = Published(
            changes.number,
            settlement.run,
            held_back=work.held_back,
            batches=tuple(summary(b, desk.keyring.signer.keyid) for b in batches),
            rows=changes.counts,
            applied=applied,
            quarantined=quarantined,
            findings=findings,
            conflicts=conflicts,
            orphans_swept=work.swept,
        )
        _audit(desk, transaction, settlement, here, done)
    return done


def _issues(transaction: Transaction, settlement: Settlement) -> tuple[Movement, Movement, Movement]:
    """Rows the run quarantined, its findings and conflicts: opened, closed; changed keys are noted too."""
    quarantined, findings = ledger.write_issues(transaction, settlement)
    conflicts = ledger.write_conflicts(transaction, settlement)
    ledger.write_key_changes(transaction, settlement)
    return quarantined, findings, conflicts


def _quality(desk: Desk, transaction: Transaction, settlement: Settlement) -> None:
    """The run's rates, and what the store alone knows: held rounds that are over, late receipts (JS06, JS04)."""
    ledger.write_rates(transaction, settlement)
    note_exchange(transaction, tuned(desk.catalog, desk.node.settings.rules), settlement.run, desk.at)


def _apply(desk: Desk, transaction: Transaction, settlement: Settlement, plans: Sequence[Plan]) -> ApplyCounts:
    """All files of an entity at once, in the order of the change set; tombstones name the entity's first batch."""
    total = ApplyCounts()
    waiting = ledger.awaiting_batch(settlement.changes.number)
    batch_of = {file.path: plan.batch_id for plan in plans for file in plan.files}
    for name, some in groupby(settlement.changes.files, key=lambda f: f.entity):
        files = [f.path for f in some]
        entity = desk.catalog.entities[name]
        desk.progress("publish", f"入库 {entity.cn}")
        batch = batch_of.get(files[0], waiting)
        total = total + transaction.apply(entity, desk.node.party, files, batch=batch, at=desk.at)
    return total


def _note_registry(desk: Desk, transaction: Transaction, settlement: Settlement) -> None:
    """Which version of the authority registry each of these golden rows was settled under."""
    version, party = int(settlement.record["registry_version"]), desk.node.party
    if differs(transaction.connection, party, version):
        for file in settlement.changes.files:
            note_rows(transaction, party, file.entity, standing_in(file.path), version)


def _audit(desk: Desk, transaction: Transaction, settlement: Settlement, here: Standing, done: Published) -> None:
    def note(event: Event, subject: str, detail: dict[str, str | int]) -> None:
        desk.note(transaction, event, subject, detail)

    if not here.stored:
        note(Event.STREAM_OPENED, str(here.position.stream_id), {"grant": here.position.last_digest})
    codes = [code for sentence in settlement.record["alarms"] for code in _CODE.findall(sentence)[:1]]
    if codes:
        note(Event.SOURCE_ALARM, f"run {done.run}", {"alarms": len(codes), "codes": ",".join(sorted(set(codes)))})
    rows, waits = done.rows, int(bool(done.held_back))
    note(
        Event.CHANGE_SET_APPLIED,
        f"change set {done.number}",
        {"run": done.run, "I": rows.inserted, "U": rows.updated, "D": rows.deleted, "noop": done.applied.noop,
         "waits": waits},
    )  # fmt: skip
    for batch in done.batches:
        note(Event.BATCH_SEALED, batch.batch_id, batch.detail)
    note(Event.RUN_FINISHED, f"run {done.run}", {"change_set": done.number, "batches": len(done.batches)})
