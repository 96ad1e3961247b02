"""Bad rows of a batch: kept out, put into quarantine, and told to the sender (protocol 7.2, PARTIAL).

Decides which rows of a part stand (`quality.settled`, on the very blocks that are applied), that too many of them void
the whole batch, and what the province hears: an encrypted file down stream `errors` with row number, record number,
column and rule, sealed in the transaction of the decision. A row leaves the quarantine when a later version of its
record is in force here. No value of a row is written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from hub.batch import wire
from hub.batch.content import MAX_BAD_ROWS, check_bad_rows
from hub.batch.manifest import FileEntry, Manifest
from hub.catalog import Catalog, Entity
from hub.changes import change_schema
from hub.down.form import ERRORS, plain_table
from hub.errors import RefusedError
from hub.store import Transaction
from hub.store.lane import fitted
from hub.store.returned import clear_returned
from hub.store.rows import file_blocks
from ministry_node import down
from ministry_node.desk import Desk
from quality.settled import RowFault

# Error files name at most so many faults: a batch with more bad rows is void as a whole anyway.
_MOST: Final = 2 * MAX_BAD_ROWS


@dataclass(frozen=True)
class Fault:
    """A rule that a row of a part breaks."""

    entry: FileEntry
    row: RowFault


@dataclass
class Returned:
    """Bad rows of one batch, filled while its good rows are applied. `rows`: how many rows, of how many."""

    total: int
    where: str
    version: int
    """Of the registry the batch's rows were settled under."""
    faults: list[Fault] = field(default_factory=list)
    rows: int = 0

    def add(self, entry: FileEntry, found: Sequence[RowFault]) -> None:
        """Takes the faults of one block; `TooManyError` as soon as the batch cannot stand (E_ROWS_BAD)."""
        self.rows += len({fault.row_no for fault in found})
        self.faults += [Fault(entry, fault) for fault in found][: max(0, _MOST - len(self.faults))]
        try:
            check_bad_rows(self.rows, self.total, where=self.where)
        except RefusedError as error:
            raise TooManyError(error, tuple(self.faults)) from None


class TooManyError(RefusedError):
    """E_ROWS_BAD with the faults found so far, which travel back as well."""

    def __init__(self, error: RefusedError, faults: tuple[Fault, ...]) -> None:
        super().__init__(error.code, error.what, where=error.where, step=error.step)
        self.faults = faults


def quarantine_id(batch: str) -> str:
    """What a receipt's `detail_ref` says: where the bad rows of a batch are kept."""
    return f"quarantine:{batch}"


def good_blocks(
    desk: Desk, entity: Entity, entry: FileEntry, path: Path, returned: Returned
) -> Iterator[tuple[Any, Any]]:
    """The part's rows that stand, block by block, each with the numbers of its rows in the file (from 1); the others
    go to `returned`."""
    schema, first = change_schema(entity), 1
    for block in file_blocks(path, entry.name):
        good, faults = desk.gate.split(entity, fitted(block, schema), first, version=returned.version)
        numbers = np.arange(first, first + block.num_rows, dtype=np.int64)
        first += block.num_rows
        if faults:
            returned.add(entry, faults)
            numbers = np.setdiff1d(numbers, [fault.row_no for fault in faults])
        yield good, pa.array(numbers)


def keep(tx: Transaction, desk: Desk, manifest: Manifest, faults: Sequence[Fault]) -> None:
    """The ministry's quarantine: one row per fault."""
    tx.ingest("returned_row", [_as_rows(desk, manifest, faults)], replace=True)


def clear(connection: sa.Connection, catalog: Catalog, manifest: Manifest) -> int:
    """Takes out of the quarantine what this batch put right; how many faults."""
    entities = {entry.entity for entry in manifest.files} & set(catalog.entities)
    return sum(
        clear_returned(connection, catalog.entities[name], manifest.stream_id.party, by=manifest.batch_id)
        for name in sorted(entities)
    )


def seal_errors(tx: Transaction, desk: Desk, manifest: Manifest, faults: Sequence[Fault]) -> None:
    """The error file, sealed into stream `errors` with the decision; `ship` brings it out after the commit."""
    rows = plain_table(ERRORS, "error", [_told(desk.catalog, manifest, fault) for fault in faults])
    sender = sender_of(desk)
    parts = down.plain_parts(sender, ERRORS, {"error": rows})
    try:
        down.seal(
            tx,
            sender,
            stream=ERRORS,
            party=manifest.stream_id.party,
            parts=parts,
            subject=quarantine_id(manifest.batch_id),
        )
    finally:
        for part in parts:
            part.path.unlink(missing_ok=True)


def ship(desk: Desk) -> None:
    """Brings out what was sealed for the provinces and perhaps not shipped yet; repeatable."""
    down.ship(sender_of(desk))


def sender_of(desk: Desk) -> down.Sender:
    """The desk as the down streams want it."""
    return down.Sender(desk.node, desk.store, desk.keyring, desk.server, desk.at, desk.rng)


def _told(catalog: Catalog, manifest: Manifest, fault: Fault) -> dict[str, Any]:
    row = fault.row
    return {
        "op": "I",
        "pk": row.pk,
        "row_ver": row.row_ver,
        "src_rid": row.src_rid,
        "batch_id": manifest.batch_id,
        "file_no": fault.entry.n,
        "row_no": row.row_no,
        "entity": fault.entry.entity,
        "field": row.field,
        "code": row.rule,
        "detail": catalog.rules[row.rule].name,
    }


def _as_rows(desk: Desk, manifest: Manifest, faults: Iterable[Fault]) -> Any:
    at = wire.write_utc(desk.at)
    # Two rows of one key and version in a batch: the first is the one that is named.
    rows = {
        (f.entry.entity, f.row.pk, f.row.row_ver, f.row.rule, f.row.field): {
            "node": manifest.stream_id.party,
            "entity": f.entry.entity,
            "pk": f.row.pk,
            "row_ver": f.row.row_ver,
            "rule": f.row.rule,
            "field": f.row.field,
            "src_rid": f.row.src_rid,
            "batch_id": manifest.batch_id,
            "file_no": f.entry.n,
            "row_no": f.row.row_no,
            "returned_at": at,
        }
        for f in reversed(list(faults))
    }
    return pa.RecordBatch.from_pylist(list(rows.values()))
