"""What golden rows must be, from the change files alone: the arithmetic of `hub fsck`, the same at both tiers.

Decides what a sequence of change files leaves behind, by the rules of `hub.store.merge` (the highest version of a
record wins, the first of equals; a deletion leaves a tombstone), and how that is held against a store. Columnar, in a
DuckDB on disk; nothing of a row but number, version and hash is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hub.batch.receipt import Receipt, in_chain_order
from hub.catalog import Entity
from hub.census import bucket_sql, compare, hash_sql, load, scratch

_WORDS = {
    "missing": "正式库缺少该记录",
    "extra": "正式库多出该记录",
    "version": "版本与证据不同",
    "content": "内容与证据不同",
}


@dataclass(frozen=True)
class Finding:
    """The first thing that does not follow: table, key within it (record number, batch or stream), what, in words."""

    table: str
    key: str
    what: str


class Expected:
    """One entity of one province, as its change files leave it; a context manager. `folder` takes the overflow."""

    def __init__(self, entity: Entity, folder: Path) -> None:
        self.entity = entity
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._con = self._stack.enter_context(scratch(self._folder))
        for table in ("held", "staged"):
            self._con.execute(f"CREATE TABLE {table} (pk VARCHAR, row_ver BIGINT, row_hash VARCHAR, live BOOLEAN)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def merge(self, path: Path, *, without: Sequence[tuple[str, int]] = ()) -> None:
        """Applies one change file. `without`: rows (pk, version) that were kept out for breaking a rule."""
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE coming AS {self._read()}", [str(path)])
        if without:
            self._con.executemany("DELETE FROM coming WHERE pk = ? AND row_ver = ?", [list(pair) for pair in without])
        self._con.execute(
            "CREATE OR REPLACE TEMP TABLE effect AS SELECT c.* FROM coming c LEFT JOIN held r ON r.pk = c.pk "
            "WHERE c.row_ver > coalesce(r.row_ver, 0)"
        )
        self._con.execute("DELETE FROM held WHERE pk IN (SELECT pk FROM effect)")
        self._con.execute("INSERT INTO held SELECT * FROM effect")

    def stage(self, path: Path) -> None:
        """A snapshot part's rows, not in force yet."""
        self._con.execute(f"INSERT INTO staged {self._read()}", [str(path)])

    def begin_snapshot(self) -> None:
        """Part 1: what was staged before counts no more."""
        self._con.execute("DELETE FROM staged")

    def swap(self) -> None:
        """The staged rows are the rows; what they lack is dead, at version 0 (`hub.store.Transaction.swap`)."""
        self._con.execute("DELETE FROM held WHERE pk IN (SELECT pk FROM staged)")
        self._con.execute("UPDATE held SET live = false, row_ver = 0, row_hash = NULL")
        self._con.execute("INSERT INTO held SELECT * FROM staged")
        self._con.execute("DELETE FROM staged")

    def empty(self, buckets: Iterable[int], *, but: Sequence[str] = ()) -> None:
        """A repair begins: rows and tombstones of these buckets are gone. `but`: records whose rows were kept out."""
        listed = ",".join(str(int(b)) for b in buckets)
        if listed:
            self._con.execute(
                f"DELETE FROM held WHERE {bucket_sql()} IN ({listed}) AND NOT list_contains($1::VARCHAR[], pk)",
                [list(but)],
            )

    def differences(self, rows: Iterable[Any], graves: Iterable[Any]) -> Iterator[Finding]:
        """What a store's rows and tombstones (`Reader.read`, `Reader.buried`) have otherwise; the first of each."""
        load(self._con, "stored", self.entity, rows)
        self._con.execute("CREATE OR REPLACE TEMP VIEW living AS SELECT pk, row_ver, row_hash FROM held WHERE live")
        found = compare(self._con, "living", "stored").first
        if found:
            yield Finding(f"g_{self.entity.name}", found[0], _WORDS[found[1]])
        self._con.execute("CREATE TABLE graves (pk VARCHAR, row_ver BIGINT, row_hash VARCHAR)")
        for block in graves:
            # By a name of its own: `coming` is the table of the last file merged, and a table goes before a variable.
            self._con.register("buried", block.select(["pk", "row_ver"]))
            self._con.execute("INSERT INTO graves SELECT pk, row_ver, '' FROM buried")
            self._con.unregister("buried")
        self._con.execute(
            "CREATE OR REPLACE TEMP VIEW dead AS SELECT pk, row_ver, '' AS row_hash FROM held WHERE NOT live"
        )
        found = compare(self._con, "dead", "graves").first
        if found:
            yield Finding("tombstone", found[0], _WORDS[found[1]].replace("正式库", "删除标记"))

    def _read(self) -> str:
        """Of one file's rows the highest version per record, the first of equals."""
        return (
            f"SELECT pk, row_ver, CASE WHEN op = 'D' THEN NULL ELSE {hash_sql(self.entity)} END AS row_hash, "
            "op <> 'D' AS live FROM read_parquet(?, file_row_number = true) "
            "QUALIFY row_number() OVER (PARTITION BY pk ORDER BY row_ver DESC, file_row_number) = 1"
        )


def chained(receipts: Sequence[Receipt]) -> int:
    """How many of an epoch's receipts hang together from its first on."""
    return len(in_chain_order(receipts, None))
