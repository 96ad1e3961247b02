"""After a VOID: the voided range under the next free numbers (protocol 7.2, 3.3 `supersedes`).

Decides which void batches still have to be sealed anew: those whose change-log ids no later batch carries, once nothing
sealed after them is undecided, since that goes void with them. Every void batch gets one successor with its watermark,
which names it, and with its records as the newest change set has them (`standing_rows`); the fault itself must have
been removed meanwhile, or the successor is void again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event
from hub.batch.outbox import BatchState
from hub.errors import HubError
from hub.store import Reader, Transaction
from hub.store.ledger import LINEAGE, NODE_STATE, OUTBOX
from province_node import ledger
from province_node.census import work_folder
from province_node.changeset import Settlement, counted, open_settlement
from province_node.desk import Desk
from province_node.head import set_state
from province_node.sealing import Plan, Sealed, SealedBatch, after, sign_batches, summary, sweep
from province_node.standing_rows import newest_rows
from province_node.stream import STREAM, Standing, move, standing

# A watermark that came back void as often is not sealed again by itself.
MAX_TRIES: Final = 3
_SEALED_FROM: Final = "supersede.change_set"


def awaits(desk: Desk) -> bool:
    """Void batches wait to be sealed anew."""
    with desk.store.reading() as reader:
        return bool(_unsuperseded(reader, standing(reader, desk.node.party, desk.keyring))[0])


def supersede_void(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals successors of void batches, in one transaction; () when there is none to do now.

    Raises `HubError` E3409 when the very same rows were void three times: sealing them again removes no fault, a
    change at the source may.
    """
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        void, tries = _unsuperseded(reader, here)
        if not void:
            return ()
        terms = desk.terms(reader, here, 0)
        sealed_from = _sealed_from(reader)
    sweep(desk.node.spool, here.position)
    with work_folder(desk, "supersede") as folder:
        built = _plans(desk, here, void, folder)
        first = void[0]
        if tries >= MAX_TRIES and max(n for _, n in built) <= sealed_from:
            raise _same_again(first["batch_id"])
        plans = [plan for plan, _ in built]
        with desk.sealing(here, plans) as (transaction, encrypted):
            batches = sign_batches(here.position, plans, encrypted(), terms)
            for row, batch in zip(void, batches, strict=True):
                _store(desk, transaction, row, batch)
            set_state(transaction, _SEALED_FROM, json.dumps(counted(desk.node)))
            move(transaction, desk.node.party, here, after(here.position, batches), here.hi)
    return tuple(summary(batch, desk.keyring.signer.keyid) for batch in batches)


def _unsuperseded(reader: Reader, here: Standing) -> tuple[list[Mapping[Any, Any]], int]:
    """Void rows of the outbox without a successor, by change-log id, and how often the first of them was void; none
    while a later batch is undecided."""
    query = (
        sa.select(OUTBOX.c.seq, OUTBOX.c.batch_id, OUTBOX.c.cs_no, OUTBOX.c.lo, OUTBOX.c.hi, OUTBOX.c.state)
        .where(OUTBOX.c.stream == STREAM, OUTBOX.c.epoch == here.position.stream_id.epoch)
        .where(OUTBOX.c.hi >= OUTBOX.c.lo)  # a void batch without changes of its own leaves nothing to seal again
        .order_by(OUTBOX.c.seq)
    )
    rows: Sequence[Mapping[Any, Any]] = reader.connection.execute(query).mappings().all()
    newest = {row["lo"]: row for row in rows}
    void = sorted((r for r in newest.values() if r["state"] == BatchState.VOID), key=lambda r: int(r["lo"]))
    if not void or any(r["seq"] > min(v["seq"] for v in void) and not BatchState(r["state"]).is_final for r in rows):
        return [], 0
    tries = Counter(row["lo"] for row in rows if row["state"] == BatchState.VOID)
    return void, tries[void[0]["lo"]]


def _sealed_from(reader: Reader) -> int:
    """The newest change set there was when a void range was last sealed anew; 0 before."""
    found = reader.connection.execute(sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _SEALED_FROM)).scalar()
    return int(json.loads(found)) if found else 0


def _same_again(batch: str) -> HubError:
    return HubError(
        "E3409",
        f"同一批数据已 {MAX_TRIES} 次被部级作废，不再自动重封",
        where=batch,
        step="按回执中的原因代码查明故障：数据有误的，在数据源改正后再运行一轮即随改正后的值重封；"
        "数据定义版本、变更集损坏等，消除后向部级申请新的期次授权",
    )


def _plans(desk: Desk, here: Standing, void: Sequence[Mapping[Any, Any]], folder: Path) -> list[tuple[Plan, int]]:
    """Each successor, and the newest change set its rows were taken from."""
    first = min(int(row["cs_no"]) for row in void)
    sets = {number: open_settlement(desk.node, number) for number in range(first, counted(desk.node) + 1)}
    return [_plan(desk, here, index, row, sets, folder) for index, row in enumerate(void, start=1)]


def _plan(
    desk: Desk, here: Standing, index: int, row: Mapping[Any, Any], sets: Mapping[int, Settlement], folder: Path
) -> tuple[Plan, int]:
    desk.progress("publish", f"重封作废批次 {row['batch_id']}")
    number = int(row["cs_no"])
    files = tuple(f for f in sets[number].changes.files if row["lo"] <= f.lo and f.hi <= row["hi"])
    later = [settlement for n, settlement in sets.items() if n > number]
    built = newest_rows(desk.catalog, files, number, later, folder=folder, rng=desk.rng)
    seq, codeset = here.position.last_seq + index, desk.codeset(int(sets[built.newest].record["registry_version"]))
    plan = Plan(here.position.stream_id, seq, built.files, supersedes=row["batch_id"], codeset=codeset)
    return plan, built.newest


def _store(desk: Desk, transaction: Transaction, row: Mapping[Any, Any], batch: Sealed) -> None:
    ledger.write_outbox(transaction, int(row["cs_no"]), [batch])
    successor = batch.manifest.batch_id
    transaction.connection.execute(
        sa.update(LINEAGE).where(LINEAGE.c.batch_id == row["batch_id"]).values(batch_id=successor)
    )
    detail = summary(batch, desk.keyring.signer.keyid).detail | {"supersedes": row["batch_id"]}
    desk.note(transaction, Event.BATCH_SEALED, successor, detail)
