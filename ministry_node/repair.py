"""A census' repair at the ministry: weighed first, then put in place of the buckets that differ (protocol 9.3, 7.2).

Decides what a repair would do to what stands here (so that the brakes of every other batch hold it too), that its rows
pass the same rules as any row, and that it is taken only for buckets that were asked for and only if they come out as
it lists them. A row that stands here as the repair has it is not touched; a bad row stays out and leaves what it would
have replaced; its bucket then differs for a reason that is known (`returned_row`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hub.audit import Event
from hub.batch.manifest import FileEntry, Manifest, RowCounts
from hub.batch.receipt import ReceiptCounts
from hub.catalog import Entity
from hub.census import (
    CENSUS,
    Tally,
    bucket_of,
    differing,
    in_buckets,
    load,
    read_census,
    scratch,
    tally,
    within,
)
from hub.errors import InputError
from hub.store import Reader, Transaction
from hub.verdict import refused
from ministry_node import returned, timeline
from ministry_node.census import asked_for, check_asked, note, repaired
from ministry_node.desk import Desk
from ministry_node.returned import Returned

Files = Generator[tuple[FileEntry, Path], None, None]


@dataclass
class Change:
    """What a repair does to one entity: (record number, version here) of what goes, record numbers of what is replaced,
    how many rows are new."""

    gone: list[tuple[str, int]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    new: int = 0


@dataclass(frozen=True)
class Weighed:
    """A repair against what stands here. `scope`: the buckets it lists, with their digests."""

    scope: Tally
    changes: Mapping[str, Change]
    found: Returned

    @property
    def rows(self) -> RowCounts:
        """The effect in rows, for the guards."""
        some = self.changes.values()
        return RowCounts(sum(c.new for c in some), sum(len(c.stale) for c in some), sum(len(c.gone) for c in some))

    def kept_out(self, entity: str) -> set[str]:
        """Record numbers whose rows break a rule."""
        return {fault.row.pk for fault in self.found.faults if fault.entry.entity == entity}


def weigh(desk: Desk, reader: Reader, manifest: Manifest, files: Callable[[], Files]) -> Weighed:
    """Reads the repair and changes nothing. Raises E_SCHEMA (no list of buckets first, buckets nobody asked for),
    `TooManyError` when too many of its rows are bad."""
    where, party = manifest.batch_id, manifest.stream_id.party
    total = sum(e.rows.total for e in manifest.files if e.entity != CENSUS)
    found = Returned(total, where, manifest.codeset.version)
    with _folder(desk) as folder, scratch(folder) as con:
        scope: Tally = {}
        with closing(files()) as parts:
            for entry, path in parts:
                if entry.n == 1:
                    scope = _scope(entry, path, manifest)
                    check_asked(scope, asked_for(reader, party), where)
                    for name in scope:
                        load(con, f"coming_{name}", desk.catalog.entities[name], ())
                elif entry.entity not in scope:
                    raise refused("E_SCHEMA", "有不在分桶清单中的实体", where=entry.name)
                else:
                    entity = desk.catalog.entities[entry.entity]
                    rows = (block for block, _ in returned.good_blocks(desk, entity, entry, path, found))
                    _add(con, entity, rows)
        if not scope:
            raise refused("E_SCHEMA", "修复批次须先列出分桶", where=where)
        weighed = Weighed(scope, {}, found)
        changes = {}
        for name, buckets in scope.items():
            entity = desk.catalog.entities[name]
            load(con, "standing", entity, _standing(reader, entity, party, buckets))
            changes[name] = _change(con, name, weighed.kept_out(name))
    return Weighed(scope, changes, found)


def repair(
    desk: Desk, tx: Transaction, manifest: Manifest, files: Callable[[], Files]
) -> tuple[ReceiptCounts, Returned]:
    """Puts the buckets in place and holds the result against the repair's own digests; its bad rows, for PARTIAL.

    Raises what `weigh` raises; E_COUNTS when the buckets do not come out as listed.
    """
    party, where = manifest.stream_id.party, manifest.batch_id
    weighed = weigh(desk, tx, manifest, files)
    for name, change in weighed.changes.items():
        _empty(desk, tx, manifest, weighed, name, change)
    noop = _apply(desk, tx, manifest, files)
    explained = {(e, bucket_of(pk)) for e in weighed.scope for pk in weighed.kept_out(e)}
    buckets = {e: tuple(b for b in sorted(some) if (e, b) not in explained) for e, some in weighed.scope.items()}
    after = {e: tally(desk.catalog.entities[e], _standing(tx, desk.catalog.entities[e], party, some))
             for e, some in buckets.items()}  # fmt: skip
    if differing(within(after, buckets), within(weighed.scope, buckets)):
        raise refused("E_COUNTS", "修复后的分桶与清单所列不符", where=where)
    repaired(tx, party, weighed.scope, where)
    note(tx, desk, Event.BUCKETS_REPAIRED, where, {"buckets": sum(map(len, weighed.scope.values()))})
    rows = weighed.rows
    return ReceiptCounts(rows.inserted, rows.updated, rows.deleted, noop, weighed.found.rows), weighed.found


def _scope(entry: FileEntry, path: Path, manifest: Manifest) -> Tally:
    if entry.entity != CENSUS:
        raise refused("E_SCHEMA", "修复批次须先列出分桶", where=entry.name)
    scope = read_census(path)
    if not scope:
        raise refused("E_SCHEMA", "修复批次没有列出分桶", where=manifest.batch_id)
    return scope


def _add(con: duckdb.DuckDBPyConnection, entity: Entity, blocks: Iterable[Any]) -> None:
    """The living rows of a file beside those of the files before it."""
    load(con, "part", entity, (b.filter(pa.compute.not_equal(b.column("op"), "D")) for b in blocks))
    con.execute(f"INSERT INTO coming_{entity.name} SELECT * FROM part")


def _change(con: duckdb.DuckDBPyConnection, name: str, bad: set[str]) -> Change:
    joined = f"standing s LEFT JOIN coming_{name} c ON c.pk = s.pk"
    gone = con.sql(f"SELECT s.pk, s.row_ver FROM {joined} WHERE c.pk IS NULL ORDER BY s.pk").fetchall()
    stale = con.sql(
        f"SELECT s.pk FROM {joined} WHERE c.row_ver <> s.row_ver OR c.row_hash <> s.row_hash ORDER BY s.pk"
    ).fetchall()
    ((new,),) = con.sql(f"SELECT count(*) FROM coming_{name} c ANTI JOIN standing s ON s.pk = c.pk").fetchall()
    return Change([(pk, int(v)) for pk, v in gone if pk not in bad], [pk for (pk,) in stale], int(new))


def _empty(desk: Desk, tx: Transaction, manifest: Manifest, weighed: Weighed, name: str, change: Change) -> None:
    """Takes away what goes and what is replaced, and the tombstones of the buckets."""
    entity, party, bad = desk.catalog.entities[name], manifest.stream_id.party, weighed.kept_out(name)
    graves = [pk for some in in_buckets(tx.buried(entity, party), weighed.scope[name]) for pk in some if pk not in bad]
    timeline.note_gone(tx, manifest, name, change.gone)
    tx.forget(entity, party, [*(pk for pk, _ in change.gone), *change.stale, *graves], at=desk.at)


def _apply(desk: Desk, tx: Transaction, manifest: Manifest, files: Callable[[], Files]) -> int:
    """The good rows; how many stood here already."""
    noop, seen = 0, Returned(manifest.rows.total, manifest.batch_id, manifest.codeset.version)
    with closing(files()) as parts:
        for entry, path in parts:
            if entry.entity == CENSUS:
                continue
            entity = desk.catalog.entities[entry.entity]
            told = _told(desk, tx, manifest, entry, returned.good_blocks(desk, entity, entry, path, seen))
            try:
                done = tx.apply(entity, manifest.stream_id.party, told, batch=manifest.batch_id, at=desk.at)
            except InputError as failure:
                raise refused("E_ROWS_BAD", f"{failure.what}（{failure.code}）", where=entry.name) from None
            noop += done.noop
    returned.clear(tx.connection, desk.catalog, manifest)
    return noop


def _told(
    desk: Desk, tx: Transaction, manifest: Manifest, entry: FileEntry, blocks: Iterable[tuple[Any, Any]]
) -> Iterator[Any]:
    desk.progress("intake", f"{manifest.batch_id}　修复 {entry.entity}　{entry.rows.total:,} 行")
    for block, numbers in blocks:
        timeline.note(tx, manifest, entry, block, numbers)
        yield block


def _standing(reader: Reader, entity: Entity, party: str, buckets: Iterable[int]) -> Any:
    found = in_buckets(reader.read(entity, node=party, columns=["pk"]), buckets)
    return reader.read(entity, node=party, pks=[pk for some in found for pk in some])


@contextmanager
def _folder(desk: Desk) -> Iterator[Path]:
    """Where DuckDB may put what does not fit into memory; gone whatever happens."""
    folder = desk.copies / "repair"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
