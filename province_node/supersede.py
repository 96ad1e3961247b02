"""After a VOID: the same change files under the next free numbers (protocol 7.2, 3.3 `supersedes`).

Decides which void batches still have to be sealed anew: those whose change-log ids no later batch carries, once nothing
sealed after them is undecided, since that goes void with them. Every void batch gets one successor with its files and
its watermark, which names it; the fault itself must have been removed meanwhile, or the successor is void again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event
from hub.batch.admission import seal_certs
from hub.batch.outbox import BatchState
from hub.errors import HubError
from hub.store import Reader, Transaction
from hub.store.ledger import LINEAGE, OUTBOX
from province_node import ledger
from province_node.changeset import open_settlement
from province_node.desk import Desk
from province_node.sealing import Plan, Sealed, SealedBatch, after, encrypting, sign_batches, summary, sweep
from province_node.stream import STREAM, Standing, move, standing

# A watermark that came back void as often is not sealed again by itself.
MAX_TRIES: Final = 3


def supersede_void(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals successors of void batches, in one transaction; () when there is none to do now.

    Raises `HubError` E3409 when the same rows were void three times: the fault is not one that sealing again removes.
    """
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        void = _unsuperseded(reader, here)
        if not void:
            return ()
        terms = desk.terms(reader, here, 0)
    sweep(desk.node.spool, here.position)
    plans = [_plan(desk, here, index, row) for index, row in enumerate(void, start=1)]
    certs = [c.cert for c in seal_certs(here.position.stream_id, desk.keyring.trust, desk.at)]
    with (
        encrypting(plans, desk.node.spool, certs, desk.rng, threads=desk.node.settings.threads) as encrypted,
        desk.store.begin() as transaction,
    ):
        if standing(transaction, desk.node.party, desk.keyring, lock=True) != here:
            raise RuntimeError("the stream moved although the exchange was held")
        batches = sign_batches(here.position, plans, encrypted(), terms)
        for row, batch in zip(void, batches, strict=True):
            _store(desk, transaction, row, batch)
        move(transaction, desk.node.party, here, after(here.position, batches), here.hi)
    return tuple(summary(batch, desk.keyring.signer.keyid) for batch in batches)


def _unsuperseded(reader: Reader, here: Standing) -> list[Mapping[Any, Any]]:
    """Void rows of the outbox without a successor, oldest first; [] while a later batch is undecided."""
    query = (
        sa.select(OUTBOX.c.seq, OUTBOX.c.batch_id, OUTBOX.c.cs_no, OUTBOX.c.lo, OUTBOX.c.hi, OUTBOX.c.state)
        .where(OUTBOX.c.stream == STREAM, OUTBOX.c.epoch == here.position.stream_id.epoch)
        .where(OUTBOX.c.hi >= OUTBOX.c.lo)  # a void batch without changes of its own leaves nothing to seal again
        .order_by(OUTBOX.c.seq)
    )
    rows: Sequence[Mapping[Any, Any]] = reader.connection.execute(query).mappings().all()
    # What carries no change (heartbeat, census) covers no change-log id and is not sealed anew for being void.
    newest = {row["lo"]: row for row in rows if row["hi"] >= row["lo"]}
    void = sorted((r for r in newest.values() if r["state"] == BatchState.VOID), key=lambda r: int(r["seq"]))
    if not void or any(r["seq"] > void[0]["seq"] and not BatchState(r["state"]).is_final for r in rows):
        return []
    tries = Counter(row["lo"] for row in rows if row["state"] == BatchState.VOID)
    if tries[void[0]["lo"]] >= MAX_TRIES:
        raise HubError(
            "E3409",
            f"同一批数据已 {MAX_TRIES} 次被部级作废，不再自动重封",
            where=void[0]["batch_id"],
            step="按回执中的原因代码查明故障（数据定义版本、变更集损坏等），并向部级申请新的期次授权",
        )
    return sorted(void, key=lambda row: int(row["lo"]))


def _plan(desk: Desk, here: Standing, index: int, row: Mapping[Any, Any]) -> Plan:
    desk.progress("publish", f"重封作废批次 {row['batch_id']}")
    settlement = open_settlement(desk.node, int(row["cs_no"]))
    files = tuple(f for f in settlement.changes.files if row["lo"] <= f.lo and f.hi <= row["hi"])
    seq, registry = here.position.last_seq + index, int(settlement.record["registry_version"])
    return Plan(here.position.stream_id, seq, files, supersedes=row["batch_id"], registry=registry)


def _store(desk: Desk, transaction: Transaction, row: Mapping[Any, Any], batch: Sealed) -> None:
    ledger.write_outbox(transaction, int(row["cs_no"]), [batch])
    successor = batch.manifest.batch_id
    transaction.connection.execute(
        sa.update(LINEAGE).where(LINEAGE.c.batch_id == row["batch_id"]).values(batch_id=successor)
    )
    detail = summary(batch, desk.keyring.signer.keyid).detail | {"supersedes": row["batch_id"]}
    desk.note(transaction, Event.BATCH_SEALED, successor, detail)
