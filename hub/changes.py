"""The change set: what settling yields, what both tiers apply, what a batch seals (architecture: "the one idea").

A change set is a list of Parquet files, one entity each, rows I/U/D. Each row: `op` (I, U, D), `pk` (record number),
`row_ver` (monotone per pk, from 1), `src_rid` (source row, for lineage), `prov` (one provenance letter per payload
field), then the payload columns of the entity (protocol 3.6). A D row carries the payload it removes.

Decides only shapes; files are written by settling and read by store, batch and lineage.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hub.catalog import Entity, Field

# Columns every change row carries before the payload, in this order.
HEAD = (
    ("op", pa.string()),
    ("pk", pa.string()),
    ("row_ver", pa.int64()),
    ("src_rid", pa.string()),
    ("prov", pa.string()),
)
# Length of a record number: 80 bits of an HMAC in lower-case hex.
PK_LENGTH = 20


def arrow_type(field: Field) -> Any:
    """Arrow type of a field: text for C and T, int64 or decimal128(length, scale) for N."""
    if field.type != "N":
        return pa.string()
    if field.length is None:
        raise RuntimeError(f"number field {field.name} has no length")
    if field.scale == 0 and field.length <= 18:
        return pa.int64()
    return pa.decimal128(field.length, field.scale)


def payload_schema(entity: Entity) -> Any:
    """Arrow schema of the payload columns of an entity."""
    return pa.schema([(f.name, arrow_type(f)) for f in entity.fields])


def change_schema(entity: Entity) -> Any:
    """Arrow schema of a change file: `HEAD` then the payload."""
    return pa.schema([*HEAD, *((f.name, arrow_type(f)) for f in entity.fields)])


@dataclass(frozen=True)
class Counts:
    """Rows per operation."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


@dataclass(frozen=True)
class ChangeFile:
    """One Parquet file of a change set: change-log ids `lo..hi` (one id per row), counts per operation."""

    entity: str
    path: Path
    lo: int
    hi: int
    counts: Counts


@dataclass(frozen=True)
class ChangeSet:
    """An ordered list of change files; main records come before what depends on them."""

    number: int
    files: tuple[ChangeFile, ...]

    @property
    def lo(self) -> int:
        """First change-log id; `hi` + 1 when there is no row."""
        return min((f.lo for f in self.files), default=1)

    @property
    def hi(self) -> int:
        return max((f.hi for f in self.files), default=0)

    @property
    def counts(self) -> Counts:
        total = Counts()
        for file in self.files:
            total = total + file.counts
        return total
