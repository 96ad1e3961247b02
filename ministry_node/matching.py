"""Who is who across provinces: marks of students and enrolments, written in the transaction that applies their rows.

Decides that marks are those of the rows in force, whatever versions a batch brought; that a batch costs what it
touches, a census repair or a snapshot the province, and `rescan` everything. Marks are computed while the blocks pass
by and lie in the run's private folder until the rows are applied, so memory stays bounded. What two provinces with one
mark mean is `case_finding`'s. One transaction at a time matches: two provinces that bring the same person together
must not miss each other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.batch.manifest import Manifest
from hub.errors import LockedError
from hub.store import Transaction
from hub.store.case_tables import ENROLMENT_MARK, PERSON_MARK
from hub.store.match_stage import FRESH_ENROLMENT, FRESH_PERSON, TOUCHED, match_tables
from ministry_node.blind_index import enrolment_rows, person_rows
from ministry_node.case_finding import Found, find_cases
from ministry_node.desk import Desk
from ministry_node.matching_keys import MatchingKeys, known_keys

STUDENT, ENROLMENT = "xs", "xs_xj"
COLUMNS: Final = {STUDENT: ["XXDM", "GRBSM", "SFZJLXM", "SFZJH"], ENROLMENT: ["GRBSM", "XSDQZTM"]}
_MAKE: Final = {STUDENT: person_rows, ENROLMENT: enrolment_rows}
_FRESH: Final = {STUDENT: FRESH_PERSON, ENROLMENT: FRESH_ENROLMENT}
_STORED: Final = {STUDENT: PERSON_MARK, ENROLMENT: ENROLMENT_MARK}
_BLOCK: Final = 65_536


class Marks:
    """Marks of the rows that pass by, kept aside until they are applied; use as a context manager."""

    def __init__(self, keys: MatchingKeys | None, folder: Path) -> None:
        self.keys = keys
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._con: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()
        if self._con is not None:
            self._con.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def note(self, entity: str, block: Any) -> None:
        """Takes a block of change rows or golden rows; entities without persons pass unseen."""
        make = _MAKE.get(entity)
        if self.keys is None or make is None or not block.num_rows:
            return
        if self._con is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._con = duckdb.connect(config={"threads": 1, "memory_limit": "512MB"})
        for version, key in self.keys.keys.items():
            rows = make(self._con, key, version, block)
            if entity not in self._writers:
                self._writers[entity] = pq.ParquetWriter(self._path(entity), rows.schema, compression="zstd")
            self._writers[entity].write_table(rows)

    def noted(self, entity: str) -> Iterator[Any]:
        """The blocks noted of an entity. Nothing can be noted after this."""
        writer = self._writers.pop(entity, None)
        if writer is None:
            return
        writer.close()
        with pq.ParquetFile(self._path(entity)) as file:
            yield from file.iter_batches(batch_size=_BLOCK)

    def _path(self, entity: str) -> Path:
        return self._folder / f"{entity}.parquet"


def marks_of(desk: Desk, connection: sa.Connection) -> Marks:
    """For one transaction; notes nothing where matching was never set up."""
    return Marks(known_keys(connection, desk.node), desk.plain / f"marks-{desk.rng(8).hex()}")


def match_batch(tx: Transaction, desk: Desk, manifest: Manifest, marks: Marks) -> Found:
    """After the rows of a batch: the marks of what it touched, and the cases that follow."""
    if marks.keys is None or not _STORED.keys() & {entry.entity for entry in manifest.files}:
        return Found()
    party, batch = manifest.stream_id.party, manifest.batch_id
    _lock(tx, desk, marks.keys)
    staged = match_tables()
    for name, table in _STORED.items():
        tx.scratch(staged[_FRESH[name]], marks.noted(name))
        tx.analyse(_FRESH[name])
        _replace(tx, name, table, party, batch)
    tx.scratch(staged[TOUCHED])
    for condition in (f"pk IN (SELECT pk FROM {FRESH_PERSON})", f"link IN (SELECT link FROM {FRESH_ENROLMENT})"):
        _touch(tx, marks.keys.current, party, condition)
    found = find_cases(tx, desk, party, evidence=batch)
    for name in (*_FRESH.values(), TOUCHED):
        tx.discard(staged[name])
    return found


def match_province(tx: Transaction, desk: Desk, party: str, *, evidence: str) -> Found:
    """All marks of a province anew from its golden rows, and the cases that follow: repair, snapshot, rescan."""
    keys = known_keys(tx.connection, desk.node, lock=True)
    if keys is None:
        return Found()
    with marks_of(desk, tx.connection) as marks:
        for name, table in _STORED.items():
            entity = desk.catalog.entities[name]
            for block in tx.read(entity, node=party, columns=["pk", "row_ver", *COLUMNS[name]]):
                marks.note(name, block)
            tx.connection.execute(sa.delete(table).where(table.c.node == party))
            tx.ingest(table.name, _of_node(marks.noted(name), party))
            tx.analyse(table.name)
    staged = match_tables()
    tx.scratch(staged[TOUCHED])
    _touch(tx, keys.current, party, "1 = 1")
    found = find_cases(tx, desk, party, evidence=evidence)
    tx.discard(staged[TOUCHED])
    return found


def rescan(desk: Desk, parties: Iterable[str], *, progress: Callable[[str], None] = lambda _: None) -> Found:
    """Every mark of these provinces anew, a transaction each: what the increments should have found already."""
    total = Found()
    for party in parties:
        progress(f"省 {party}")
        with desk.store.begin() as tx:
            total += match_province(tx, desk, party, evidence="全量比对")
    return total


def _lock(tx: Transaction, desk: Desk, before: MatchingKeys) -> None:
    now = known_keys(tx.connection, desk.node, lock=True)
    if now is None or set(now.keys) != set(before.keys) or now.current != before.current:
        raise LockedError("E3803", "跨省比对密钥正在更换", where="matching.keys", step="重新运行")


def _replace(tx: Transaction, name: str, table: sa.Table, party: str, batch: str) -> None:
    """The marks of a batch's rows that are in force take the place of those of all rows it touched."""
    fresh, golden, do = _FRESH[name], tx.golden(name).name, tx.connection.exec_driver_sql
    do(
        f"DELETE FROM {fresh} WHERE NOT EXISTS (SELECT 1 FROM {golden} g WHERE g.node = '{party}' "
        f"AND g.pk = {fresh}.pk AND g.row_ver = {fresh}.row_ver)"
    )
    gone = f"SELECT pk FROM tombstone WHERE node = '{party}' AND entity = '{name}' AND batch = :batch"
    mine = f"DELETE FROM {table.name} WHERE node = '{party}' AND pk IN"
    do(f"{mine} (SELECT pk FROM {fresh})")
    tx.connection.execute(sa.text(f"{mine} ({gone})"), {"batch": batch})
    values = [c.name for c in table.columns if c.name not in ("key_ver", "node", "pk")]
    do(
        f"INSERT INTO {table.name} (key_ver, node, pk, {', '.join(values)}) SELECT key_ver, '{party}', pk, "
        f"{', '.join(f'min({v})' for v in values)} FROM {fresh} GROUP BY key_ver, pk"
    )


def _touch(tx: Transaction, version: int, party: str, condition: str) -> None:
    tx.connection.exec_driver_sql(
        f"INSERT INTO {TOUCHED} SELECT mark FROM person_mark WHERE node = '{party}' AND key_ver = {version} "
        f"AND mark IS NOT NULL AND {condition}"
    )


def _of_node(blocks: Iterable[Any], party: str) -> Iterator[Any]:
    for block in blocks:
        node = pa.array([party]).take(pa.array([0] * block.num_rows, pa.int32()))
        kept = [n for n in block.schema.names if n != "row_ver"]
        yield pa.record_batch([*(block.column(n) for n in kept), node], names=[*kept, "node"])
