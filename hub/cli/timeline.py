"""Every version of a record at the ministry: batch, file, line, operation, since when, under which receipt.

Decides which version counted: a row whose version stood here already changed nothing, and rows of a snapshot count from
the release of its last part on. What a version said is read from the golden row or from the versions that ended; what
the archive holds is named and not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.batch.envelope import PayloadType, parse
from hub.batch.manifest import Manifest, read_manifest
from hub.catalog import Entity
from hub.masking import mask_row
from hub.store import Reader
from hub.store.ledger import INBOX, LINEAGE, RECEIPT
from hub.store.tables import Tables
from hub.store.version_tables import RECORD_VERSION, place_of

Row = dict[str, Any]
_IN_FORCE = ("APPLIED", "PARTIAL")


@dataclass(frozen=True)
class _Batch:
    """A decided batch: its ledger row and manifest, and since when its rows count (None: not yet, or never)."""

    row: Mapping[Any, Any]
    manifest: Manifest
    since: str | None

    @property
    def is_change(self) -> bool:
        """Its rows are changes of the log, judged by their versions."""
        return self.manifest.kind == "delta"


def versions_at_ministry(
    reader: Reader, tables: Tables, entity: Entity, owner: str, pk: str, *, plain: bool
) -> list[Row]:
    """What stands in the timeline, oldest first, in the form of `Tracer.versions`; `counted`: it took effect."""
    c = RECORD_VERSION.c
    query = (
        sa.select(RECORD_VERSION)
        .where(c.node == owner, c.entity == entity.name, c.pk == pk)
        .order_by(c.cs_no, c.file_no, c.row_no)
    )
    found: list[Row] = []
    batches: dict[int, _Batch | None] = {}
    standing = 0
    for row in reader.connection.execute(query).mappings():
        number = int(row["cs_no"])
        if number not in batches:
            batches[number] = _batch(reader, owner, number)
        if (batch := batches[number]) is None or batch.since is None:
            continue
        counted = not batch.is_change or int(row["row_ver"]) > standing
        standing = int(row["row_ver"]) if counted else standing
        found.append(_told(reader, entity, batch, row) | {"counted": counted})
    said = _said(reader, tables, entity, owner, pk)
    for one in found:
        values = said.get(one["row_ver"]) if one["op"] != "D" else None
        shown = dict.fromkeys(("src_rid", "prov", *entity.columns)) if values is None else values
        one |= shown if plain else mask_row(entity, shown)
    return found


def _batch(reader: Reader, owner: str, number: int) -> _Batch | None:
    epoch, seq = place_of(number)
    row = _inbox(reader, owner, epoch, seq)
    if row is None or row["verdict"] not in _IN_FORCE:
        return None
    manifest = _manifest(row)
    since: str | None = row["decided_at"]
    if manifest.kind == "snapshot-part" and manifest.part is not None:
        last = _inbox(reader, owner, epoch, seq + manifest.part[1] - manifest.part[0])
        released = last is not None and last["verdict"] in _IN_FORCE and _manifest(last).part == (manifest.part[1],) * 2
        since = last["decided_at"] if released and last is not None else None
    return _Batch(row, manifest, since)


def _inbox(reader: Reader, owner: str, epoch: int, seq: int) -> Mapping[Any, Any] | None:
    c = INBOX.c
    query = sa.select(INBOX).where(c.party == owner, c.stream == "main", c.epoch == epoch, c.seq == seq)
    return reader.connection.execute(query).mappings().first()


def _manifest(row: Mapping[Any, Any]) -> Manifest:
    payload = parse(bytes(row["envelope"]), PayloadType.BATCH_MANIFEST, where=row["batch_id"]).payload
    return read_manifest(payload, where=row["batch_id"])


def _told(reader: Reader, entity: Entity, batch: _Batch, row: Mapping[Any, Any]) -> Row:
    file = next((e.name for e in batch.manifest.files if e.n == row["file_no"]), None)
    c, of = LINEAGE.c, RECEIPT.c
    mine = sa.and_(c.node == row["node"], c.cs_no == row["cs_no"], c.entity == entity.name, c.file_name == file)
    lo = reader.connection.execute(sa.select(c.lo).where(mine)).scalar() if file and batch.is_change else None
    key = sa.and_(
        of.party == row["node"], of.stream == "main", of.epoch == batch.row["epoch"], of.seq == batch.row["seq"]
    )
    receipt = reader.connection.execute(sa.select(of.name).where(key).order_by(of.receipt_no.desc()).limit(1)).scalar()
    return {
        "change_set": int(row["cs_no"]),
        "run_no": None,
        "change_id": None if lo is None else int(lo) + int(row["row_no"]) - 1,
        "op": row["op"],
        "pk": row["pk"],
        "row_ver": int(row["row_ver"]),
        "batch": batch.row["batch_id"],
        "file": file,
        "line": int(row["row_no"]) or None,
        "since": batch.since,
        "receipt": receipt,
    }


def _said(reader: Reader, tables: Tables, entity: Entity, owner: str, pk: str) -> dict[int, Row]:
    """Values by version: of versions that ended, then of the one that stands."""
    history = tables.history[entity.name]
    query = sa.select(history).where(history.c.node == owner, history.c.pk == pk).order_by(history.c.held_to)
    rows = [dict(row) for row in reader.connection.execute(query).mappings()]
    names = {name.lower(): name for name in ("src_rid", "prov", *entity.columns)}
    said = {int(row["row_ver"]): {names[k]: v for k, v in row.items() if k in names} for row in rows}
    if (now := reader.read_one(entity, owner, pk)) is not None:
        said[int(now["row_ver"])] = {name: now[name] for name in names.values()}
    return said
