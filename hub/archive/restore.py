"""Archived versions back into the database, and an archive adopted by a database that lost its index.

Decides that nothing comes back unverified. A restored file stays in the folder, and the index says that its versions
lie in the database again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.archive.files import GROUP_ROWS, Verifier
from hub.archive.index import (
    RESTORED,
    Entry,
    add,
    check_agreement,
    read_copy,
    read_index,
    set_all,
    standing,
    write_copy,
)
from hub.audit import Event, append
from hub.catalog import Catalog, Entity
from hub.errors import UsageError
from hub.store import Store, Transaction
from hub.store.history_tables import ARCHIVE_FILE, moment
from hub.store.reader import version_schema


def restore_versions(
    store: Store,
    catalog: Catalog,
    folder: Path,
    *,
    year: int | None,
    entity: str | None,
    node: str | None,
    at: datetime,
    party: str,
    actor: str,
) -> tuple[Entry, ...]:
    """Versions of the files of a year, entity or node (None: any) into the database; the files' entries.

    One transaction per file. Raises `VerificationError` E3541, E3542 before anything is written, E3543, E3544;
    `UsageError` E3545 when no file is meant.
    """
    with store.reading() as reader:
        ours = read_index(reader.connection)
    check_agreement(ours, read_copy(folder))
    meant = tuple(
        e
        for e in standing(ours)
        if year in (None, e.held_year) and entity in (None, e.entity) and node in (None, e.node)
    )
    if not meant:
        raise UsageError("E3545", "归档里没有符合条件的文件", step="用 hub archive ls 查看有哪些年份与实体")
    paths = Verifier(folder, None).paths(meant)
    written = list(ours)
    for entry, path in zip(meant, paths, strict=True):
        back = replace(entry, state=RESTORED, archived_at=moment(at))
        with store.begin() as tx:
            written.append(_put_back(tx, catalog.entities[entry.entity], path, back, at=at, party=party, actor=actor))
        write_copy(folder, written)
    return meant


def _put_back(
    tx: Transaction, entity: Entity, path: Path, back: Entry, *, at: datetime, party: str, actor: str
) -> Entry:
    """The versions of one verified file, its new entry in the index and the record of it; the entry as chained."""
    tx.put_back(entity, _batches(path, entity))
    entry = add(tx.connection, back)
    detail: dict[str, str | int] = {"rows": back.rows_kept, "index": entry.digest}
    name = back.file_name
    append(tx.connection, Event.VERSIONS_RESTORED, ts=at, node=party, actor=actor, object=name, detail=detail)
    return entry


def adopt_index(store: Store, folder: Path, *, at: datetime, party: str, actor: str) -> tuple[Entry, ...]:
    """The folder's index in place of the database's, which must be a part of it; every file is verified first.

    Versions that a restored database holds again lie in both places then, and are read once (`hub.archive.asof`).
    """
    copy = read_copy(folder)
    if not copy:
        raise UsageError(
            "E3545", "归档目录里没有索引可用", where="index.jsonl", step="核对 --folder 或从备份恢复归档目录"
        )
    Verifier(folder, None).paths(standing(copy))
    with store.begin() as tx:
        ours = read_index(tx.connection)
        check_agreement(copy, ours)
        tx.connection.execute(sa.delete(ARCHIVE_FILE))
        set_all(tx.connection, copy)
        append(
            tx.connection,
            Event.ARCHIVE_ADOPTED,
            ts=at,
            node=party,
            actor=actor,
            object="index.jsonl",
            detail={"entries": len(copy), "before": len(ours), "index": copy[-1].digest},
        )
    return copy


def _batches(path: Path, entity: Entity) -> Any:
    """Record batches; columns of today that the file does not know yet are NULL."""
    schema = version_schema(entity)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=GROUP_ROWS):
            columns = [
                batch.column(f.name) if f.name in batch.schema.names else pa.nulls(batch.num_rows, f.type)
                for f in schema
            ]
            yield pa.record_batch(columns, schema=schema)
