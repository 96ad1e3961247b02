"""What provinces answer to cases: taken in with the batch that brought it, or the batch is void (protocol 14.5).

Decides that an answer counts only for a case the province has a part in and was told of, for the round that is open,
and once per answer number; one about anybody else's case voids the batch, one that was overtaken is passed over. When
every province with a record has spoken the case is answered; when both sides have opened it, each is told whom to ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.manifest import FileEntry, Manifest
from hub.batch.receipt import ReceiptCounts
from hub.case_form import ANSWER, FINAL, Answer, CaseState
from hub.errors import UsageError
from hub.store import Transaction
from hub.store.case_tables import CASE_PARTY
from hub.verdict import refused
from ministry_node.case_states import answered
from ministry_node.case_store import Stored, change, load, lock_cases
from ministry_node.desk import Desk
from ministry_node.down import Sender

_PERSON: Final = "{}省"


def is_answers(manifest: Manifest) -> bool:
    """The batch brings answers and nothing else: its rows are no changes of the log."""
    return manifest.kind == "delta" and bool(manifest.files) and all(e.entity == ANSWER for e in manifest.files)


def check_apart(manifest: Manifest) -> None:
    """Answers travel in batches of their own: E_SCHEMA for a batch that mixes them with changes."""
    if not is_answers(manifest) and any(e.entity == ANSWER for e in manifest.files):
        raise refused("E_SCHEMA", "核查答复须单独成批", where=manifest.batch_id)


def take_answers(
    desk: Desk, tx: Transaction, manifest: Manifest, files: Iterable[tuple[FileEntry, Path]]
) -> ReceiptCounts:
    """Answers of one batch, in the transaction of its receipt. RefusedError E_SCHEMA as described above."""
    lock_cases(tx.connection)
    sender = Sender(desk.node, desk.store, desk.keyring, desk.server, desk.at, desk.rng)
    taken = passed = 0
    for _entry, path in files:
        for row in pq.read_table(path).to_pylist():
            if _take(tx, sender, manifest, row):
                taken += 1
            else:
                passed += 1
    append(tx.connection, Event.CASE_ANSWERED, ts=desk.at, node=desk.node.party, actor="intake",
           object=manifest.batch_id, detail={"taken": taken, "passed_over": passed})  # fmt: skip
    return ReceiptCounts(upd=taken, noop_old_version=passed)


def _take(tx: Transaction, sender: Sender, manifest: Manifest, row: dict[str, Any]) -> bool:
    party, where = manifest.stream_id.party, manifest.batch_id
    answer = _answer(row, where)
    case = _case(tx.connection, row, where)
    mine = [r for r in case.records if r.node == party and r.pk == row["pk"] and r.told]
    if not mine:
        raise refused("E_SCHEMA", "答复的核查与该省无关", where=where)
    old = int(row["row_ver"]) <= max(r.answer_no for r in case.records if r.node == party)
    if old or row["ROUND"] != case.round_no or case.state is CaseState.CLOSED:
        return False
    now = wire.write_utc(sender.at)
    values: dict[str, Any] = {"answer": str(answer), "answer_no": int(row["row_ver"]), "answer_reason": row["REASON"]}
    values |= {"answered_at": now if answer in FINAL else None, "answer_batch": where}
    c = CASE_PARTY.c
    here = sa.and_(c.case_no == case.case_no, c.node == party)
    tx.connection.execute(sa.update(CASE_PARTY).where(here).values(**values))
    tx.connection.execute(sa.update(CASE_PARTY).where(here, c.opened_at.is_(None)).values(opened_at=now))
    (after,) = load(tx.connection, [case.case_no])
    state = CaseState.ANSWERED if answered(after.voices) else CaseState.ISSUED
    state = case.state if case.state is CaseState.TO_ISSUE else state
    change(tx.connection, sender, after, str(answer), state=state, person=_PERSON.format(party), node=party,
           evidence=where)  # fmt: skip
    return True


def _answer(row: dict[str, Any], where: str) -> Answer:
    try:
        return Answer(row["ANSWER"])
    except ValueError:
        raise refused("E_SCHEMA", "没有这种答复", where=where) from None


def _case(connection: sa.Connection, row: dict[str, Any], where: str) -> Stored:
    try:
        (case,) = load(connection, [str(row["CASE_NO"])])
    except UsageError:
        raise refused("E_SCHEMA", "答复的核查不存在", where=where) from None
    return case
