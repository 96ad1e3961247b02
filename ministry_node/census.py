"""The census at the ministry: compared, and the differing buckets asked for again (protocol 9.3).

Decides which buckets differ and which may be repaired; the repair itself is `repair`'s. The `census` table keeps, per
census batch, what is still to be repaired.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.control import Control, Repair, sign_control
from hub.batch.layout import StreamId
from hub.batch.manifest import FileEntry, Manifest
from hub.batch.receipt import ReceiptCounts
from hub.census import CENSUS, Tally, bucket_of, differing, read_census, rows_of, tally
from hub.store import Reader, Transaction
from hub.store.census_tables import CENSUS as LEDGER
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import NODE_STATE
from hub.verdict import refused
from ministry_node.desk import Desk

EQUAL, DIFFERS, ORDERED, REPAIRED = "EQUAL", "DIFFERS", "ORDERED", "REPAIRED"
OVERTAKEN: Final = "OVERTAKEN"  # a newer census came before its buckets were repaired
REPAIR: Final = "repair"
Files = Iterable[tuple[FileEntry, Path]]
Buckets = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Compared:
    """One census batch as the ledger has it. `open`: buckets that still differ, by entity."""

    party: str
    batch_epoch: int
    batch_seq: int
    state: str
    compared: int
    differing: int
    rows_there: int
    rows_here: int
    open: Buckets
    control_no: int | None
    decided_at: str


def stock(desk: Desk, reader: Reader, party: str) -> Tally:
    """What the ministry holds of a province, bucket by bucket."""
    counted = {e.name: tally(e, reader.read(e, node=party)) for e in desk.catalog.entities.values()}
    return {name: buckets for name, buckets in counted.items() if buckets}


def take(desk: Desk, tx: Transaction, manifest: Manifest, files: Files) -> ReceiptCounts:
    """Compares a census with what stands here at its place in the stream, and writes down what differs."""
    if [entry.entity for entry in manifest.files] != [CENSUS]:
        raise refused("E_SCHEMA", "普查批次只带一个普查文件", where=manifest.batch_id)
    there: Tally = {}
    for _entry, path in files:
        there = read_census(path)
    if unknown := set(there) - set(desk.catalog.entities):
        raise refused("E_SCHEMA", f"普查含 {len(unknown)} 个未登记的实体", where=manifest.batch_id)
    here = stock(desk, tx, manifest.stream_id.party)
    wrong = _unexplained(tx, manifest.stream_id.party, differing(here, there))
    stream_id, count = manifest.stream_id, sum(map(len, wrong.values()))
    _overtake(tx, stream_id)
    tx.connection.execute(
        sa.insert(LEDGER),
        {
            "party": stream_id.party,
            "stream": stream_id.stream,
            "epoch": stream_id.epoch,
            "seq": manifest.seq,
            "state": DIFFERS if wrong else EQUAL,
            "compared": len({(e, b) for side in (here, there) for e, some in side.items() for b in some}),
            "differing": count,
            "rows_there": rows_of(there),
            "rows_here": rows_of(here),
            "buckets": _written(wrong),
            "control_no": None,
            "repaired_by": None,
            "decided_at": wire.write_utc(desk.at),
        },
    )
    note(tx, desk, Event.CENSUS_COMPARED, manifest.batch_id, {"differing": count, "rows": rows_of(there)})
    return ReceiptCounts()


def _overtake(tx: Transaction, stream_id: StreamId) -> None:
    """Censuses before this one are no longer repaired: only the newest is, whichever epoch the others came in."""
    c = LEDGER.c
    waiting = sa.and_(c.party == stream_id.party, c.stream == stream_id.stream, c.state.in_([DIFFERS, ORDERED]))
    tx.connection.execute(sa.update(LEDGER).where(waiting).values(state=OVERTAKEN))


def _unexplained(tx: Transaction, party: str, wrong: Buckets) -> Buckets:
    """Without the buckets that differ because a bad row of theirs was sent back: sending it again changes nothing."""
    c = RETURNED_ROW.c
    rows = tx.connection.execute(sa.select(c.entity, c.pk).where(c.node == party, c.cleared_by.is_(None))).all()
    kept_out = {(entity, bucket_of(pk)) for entity, pk in rows}
    left = {e: tuple(b for b in some if (e, b) not in kept_out) for e, some in wrong.items()}
    return {e: some for e, some in left.items() if some}


def order_repairs(desk: Desk, party: str) -> int | None:
    """Asks for the buckets of the newest census that differ; the order's number, None when nothing is to be asked.

    Repeatable: a number is reserved in a transaction first, and what is laid out under it again says the same.
    """
    with desk.store.reading() as reader:
        newest = _newest(reader, party)
    if newest is None or newest.state not in (DIFFERS,):
        return None
    with desk.store.begin() as tx:
        number = newest.control_no or next_number(tx, desk, party)
        _update(tx, newest, control_no=number)
    stream_id = StreamId(party, "up", "main", newest.batch_epoch)
    order = Control(party, number, Repair(stream_id, newest.batch_seq, newest.open), desk.at)
    desk.server.publish(party, order.name, sign_control(order, desk.keyring.signer), replace=True)
    with desk.store.begin() as tx:
        _update(tx, newest, state=ORDERED)
        note(tx, desk, Event.CONTROL_ISSUED, order.name, {"repair": newest.differing, "party": party})
    return number


def asked_for(reader: Reader, party: str) -> Compared | None:
    """The newest census, whose differing buckets may be repaired."""
    return _newest(reader, party)


def check_asked(scope: Tally, asked: Compared | None, where: str) -> None:
    """E_SCHEMA for buckets nobody asked for."""
    allowed = asked.open if asked is not None and asked.state == ORDERED else {}
    beyond = sum(b not in allowed.get(e, ()) for e, some in scope.items() for b in some)
    if beyond or not scope:
        raise refused("E_SCHEMA", f"有 {beyond} 个分桶未要求修复", where=where)


def repaired(tx: Transaction, party: str, scope: Tally, batch: str) -> None:
    """The buckets of a repair are no longer open; the census is REPAIRED with the last of them."""
    asked = _newest(tx, party)
    if asked is None:
        raise RuntimeError("only what a census asked for is repaired")
    left = {e: tuple(b for b in some if b not in scope.get(e, {})) for e, some in asked.open.items()}
    left = {e: some for e, some in left.items() if some}
    _update(tx, asked, buckets=_written(left), repaired_by=batch, state=ORDERED if left else REPAIRED)


def compared(reader: Reader, party: str | None = None) -> list[Compared]:
    """Every census in the ledger, newest last."""
    query = sa.select(LEDGER).order_by(LEDGER.c.party, LEDGER.c.epoch, LEDGER.c.seq)
    if party is not None:
        query = query.where(LEDGER.c.party == party)
    return [_read(dict(row)) for row in reader.connection.execute(query).mappings()]


def next_number(tx: Transaction, desk: Desk, party: str) -> int:
    """The next order's number for a province, reserved in the caller's transaction.

    It grows past what was ever laid out, too: a database that was restored does not know its last numbers.
    """
    name = f"control.{party}"
    held = tx.connection.execute(sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == name)).scalar_one_or_none()
    laid = desk.server.root.glob(f"p{party}/out/control-*.dsse")
    number = max([int(held or 0), *(int(path.name[8:18]) for path in laid if path.name[8:18].isdigit())]) + 1
    if held is None:
        tx.connection.execute(sa.insert(NODE_STATE), {"name": name, "value": str(number)})
    else:
        tx.connection.execute(sa.update(NODE_STATE).where(NODE_STATE.c.name == name).values(value=str(number)))
    return number


def _newest(reader: Reader, party: str) -> Compared | None:
    found = compared(reader, party)
    return found[-1] if found else None


def _read(row: dict[str, Any]) -> Compared:
    opened = {e: tuple(some) for e, some in json.loads(row["buckets"] or "{}").items()}
    control = int(row["control_no"]) if row["control_no"] is not None else None
    return Compared(
        row["party"],
        int(row["epoch"]),
        int(row["seq"]),
        row["state"],
        int(row["compared"]),
        int(row["differing"]),
        int(row["rows_there"]),
        int(row["rows_here"]),
        opened,
        control,
        row["decided_at"],
    )


def _update(tx: Transaction, one: Compared, **values: Any) -> None:
    c = LEDGER.c
    key = sa.and_(c.party == one.party, c.stream == "main", c.epoch == one.batch_epoch, c.seq == one.batch_seq)
    if tx.connection.execute(sa.update(LEDGER).where(key).values(**values)).rowcount != 1:
        raise RuntimeError("a census stays in its ledger")


def _written(buckets: Buckets) -> str:
    return json.dumps({e: list(some) for e, some in sorted(buckets.items())}, separators=(",", ":"))


def note(tx: Transaction, desk: Desk, event: Event, subject: str, detail: dict[str, str | int]) -> None:
    """An audit record of the census, in the transaction of what it records."""
    append(tx.connection, event, ts=desk.at, node=desk.node.party, actor="intake", object=subject, detail=detail)
