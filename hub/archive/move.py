"""Ended versions on their way from the database into the archive: a version lies in one place at any time.

Decides the order. One transaction per node, entity and year: its versions are read, written to a file that is durable
under its name, entered in the index and deleted; only then is it committed. A crash before that leaves a file nobody
lists, which the next run overwrites; after it, the database no longer has them. The folder's copy of the index follows
the commit, and is caught up by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.archive.files import file_name, write_file
from hub.archive.index import KEPT, Entry, add, check_agreement, next_number, read_copy, read_index, write_copy
from hub.audit import Event, append
from hub.catalog import Catalog, Entity
from hub.store import Store, Transaction
from hub.store.history_tables import HELD_TO, moment
from hub.store.tables import SCHOOL

# Versions of one file: bounds a file's size to some hundred megabytes.
FILE_ROWS: Final = 4_000_000
Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Moved:
    """Files written by one run, in the order of the index."""

    entries: tuple[Entry, ...] = ()

    @property
    def rows(self) -> int:
        return sum(e.rows_kept for e in self.entries)


def archive_versions(
    store: Store,
    catalog: Catalog,
    folder: Path,
    *,
    before: datetime,
    at: datetime,
    party: str,
    actor: str,
    progress: Progress = lambda _stage, _what: None,
    file_rows: int = FILE_ROWS,
) -> Moved:
    """Moves every version that ended before `before`. Raises `VerificationError` E3543, E3544 of the index."""
    with store.reading() as reader:
        ours, copy = read_index(reader.connection), read_copy(folder)
        check_agreement(ours, copy)
        due = [(e, *found) for e in catalog.entities.values() for found in _due(reader.connection, store, e, before)]
    moved: list[Entry] = []
    for entity, node, year in due:
        progress("archive", f"{node} {entity.cn} {year}")
        with store.begin() as tx:
            entries = _move(tx, store, folder, entity, node, year, before, at, file_rows)
            append(
                tx.connection,
                Event.VERSIONS_ARCHIVED,
                ts=at,
                node=party,
                actor=actor,
                object=f"{entity.name} {node} {year}",
                detail={"rows": sum(e.rows_kept for e in entries), "index": entries[-1].digest},
            )
        moved += entries
    if moved or len(copy) != len(ours):
        write_copy(folder, [*ours, *moved])
    return Moved(tuple(moved))


def _due(connection: sa.Connection, store: Store, entity: Entity, before: datetime) -> list[tuple[str, int]]:
    held = store.tables.history[entity.name]
    year = sa.func.substr(held.c[HELD_TO], 1, 4)
    query = sa.select(held.c.node, year).where(held.c[HELD_TO] < moment(before)).distinct()
    return sorted((str(node), int(of)) for node, of in connection.execute(query))


def _move(
    tx: Transaction,
    store: Store,
    folder: Path,
    entity: Entity,
    node: str,
    year: int,
    before: datetime,
    at: datetime,
    file_rows: int,
) -> list[Entry]:
    number = next_number(tx.connection)
    held = store.tables.history[entity.name]
    until = min(f"{year + 1:04d}", moment(before))
    which = f"t.node = '{node}' AND t.{HELD_TO} >= '{year:04d}' AND t.{HELD_TO} < '{until}'"
    order = [*(n for n in (SCHOOL,) if n in held.c), "pk", HELD_TO]
    entries: list[Entry] = []
    for some in _cut(tx.versions(entity, which, order=order), file_rows):
        name = file_name(entity, node, year, number + len(entries))
        done = write_file(folder, name, entity, some)
        said = (done.rows, done.size, done.sha256, done.first_to, done.last_to)
        entries.append(add(tx.connection, Entry(node, entity.name, year, name, *said, KEPT, moment(at))))
    gone = tx.connection.exec_driver_sql(f"DELETE FROM {held.name} WHERE {which.replace('t.', '')}")
    if gone.rowcount != sum(e.rows_kept for e in entries):
        raise RuntimeError("versions ended in the past while they were being archived")
    return entries


def _cut(batches: Iterator[Any], rows: int) -> Iterator[Iterator[Any]]:
    """The batches in runs of about `rows` rows; a run is used up before the next is asked for."""
    for first in batches:

        def run(first: Any = first) -> Iterator[Any]:
            taken = 0
            for batch in chain([first], batches):
                yield batch
                taken += batch.num_rows
                if taken >= rows:
                    return

        yield run()
