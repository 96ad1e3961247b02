"""Receipts that replace ones a restored database has lost (protocol 9.4 `reissued_of`).

Decides number and predecessor: a receipt's name never stands for other bytes, so the new one takes the number after
the last that was ever published, and names that one's digest. Only streams under a DR statement are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from hub.batch.layout import StreamId, batch_id, receipt_name
from hub.batch.receipt import Receipt, open_receipt
from hub.errors import RefusedError
from hub.store.ledger import NODE_STATE, RECEIPT
from ministry_node.desk import Desk
from ministry_node.evidence import batch_folder


def place(connection: sa.Connection, desk: Desk, stream_id: StreamId, seq: int, number: int) -> tuple[int, str | None]:
    """(number, digest of the receipt it replaces or None) for the batch's next receipt, `number` by our own count."""
    if restart_of(connection, stream_id) is None:
        return number, None
    c = RECEIPT.c
    mine = sa.select(c.receipt_no, c.digest).where(c.party == stream_id.party, c.stream == stream_id.stream)
    known = {d: int(n) for n, d in connection.execute(mine.where(c.epoch == stream_id.epoch, c.seq == seq))}
    lost = [receipt for receipt in lost_receipts(desk, stream_id, seq) if receipt.digest not in known]
    number = max([number, *(n + 1 for n in known.values()), *(receipt.receipt_no + 1 for receipt in lost)])
    newest = max(lost, key=lambda receipt: receipt.receipt_no, default=None)
    return number, newest.digest if newest else None


def restart_of(connection: sa.Connection, stream_id: StreamId) -> str | None:
    """Name of the DR statement under which this epoch goes on, None when there was none."""
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == f"restart.{stream_id}")
    return connection.execute(query).scalar_one_or_none()


def lost_receipts(desk: Desk, stream_id: StreamId, seq: int) -> Iterator[Receipt]:
    """Receipts of a batch that lie in `out/` or in the evidence under our signature, whatever the database knows."""
    batch = batch_id(stream_id, seq)
    out = desk.server.root / f"p{stream_id.party}" / "out"
    for number in range(1, 10):
        name = receipt_name(batch, number)
        for path in (out / name, batch_folder(desk.node, stream_id, seq) / name):
            try:
                envelope = path.read_bytes()
                receipt, _ = open_receipt(envelope, name, trust=desk.keyring.trust, at=desk.at)
            except (OSError, RefusedError):
                continue
            yield receipt
            break
