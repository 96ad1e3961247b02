"""The world of the exchange's state machine: one province, one ministry, a transport that loses and twists, a model.

Change sets are written by hand in settling's form, because what settling decides is beside the point here: a few
updates, deletions and returns of records that both sides hold. The model folds the same rows into versions by record,
up to a change-log id, and knows nothing of either node.
"""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from hub.changes import Counts
from hub.errors import HubError
from province_node.publish import publish
from tests.acceptance.crashes import Point
from tests.acceptance.lands import Land
from tests.round.labs import AT

ENTITIES: Final = ("xs", "xs_jz", "xs_jtcy")
RECORDS: Final = 4
Versions = dict[tuple[str, str], int]


def hand_written(land: Land, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose change sets, written by hand, are counted as settling would count its own."""
    world = World(land)
    for module in ("publish", "supersede"):
        monkeypatch.setattr(f"province_node.{module}.counted", lambda _node: world.written)
    return world


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@dataclass(frozen=True)
class Change:
    """One change row of the model."""

    entity: str
    pk: str
    op: str
    row_ver: int
    log_id: int


@dataclass
class World:
    """Both nodes, their clock, and what the transport has seen and holds back."""

    land: Land
    at: datetime = AT
    written: int = 1
    published: int = 1
    log: list[Change] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)
    held: dict[str, bytes] = field(default_factory=dict)

    # the province's source ------------------------------------------------------------------------------------------

    def write(self, edits: Sequence[tuple[str, int, bool]]) -> None:
        """The next change set. `edits`: entity, which of its first records, whether to delete it."""
        number, hi = self.written + 1, self.log[-1].log_id if self.log else self.first_hi
        template = self.land.province.changes / "00000001"
        folder = self.land.province.changes / f"{number:08d}"
        folder.mkdir()
        for path in template.glob("_*.parquet"):
            pq.write_table(pq.read_schema(path).empty_table(), folder / path.name)
        files = []
        standing = self.versions(hi)
        for entity in dict.fromkeys(name for name, *_ in edits):
            chosen = {n: gone for name, n, gone in edits if name == entity}
            table, made = self._rows(template, entity, chosen, number, hi, standing)
            path = folder / f"{entity}-001.parquet"
            pq.write_table(table.replace_schema_metadata({b"exch.nonce": os.urandom(32).hex().encode()}), path)
            counts = Counts(*(sum(c.op == op for c in made) for op in "IUD"))
            files.append({"entity": entity, "path": path.name, "lo": hi + 1, "hi": hi + len(made), "counts": asdict(counts)})  # fmt: skip  # noqa: E501
            self.log += made
            hi += len(made)
        record = json.loads((template / "round.json").read_text(encoding="utf-8"))
        record |= {"number": number, "run": number, "files": files, "extracts": [], "alarms": []}
        (folder / "round.json").write_text(json.dumps(record), encoding="utf-8")
        self.written = number

    def _rows(
        self, template: Path, entity: str, chosen: dict[int, bool], number: int, hi: int, standing: Versions
    ) -> tuple[pa.Table, list[Change]]:
        table = pq.read_table(template / f"{entity}-001.parquet").take(sorted(chosen))
        pks: list[str] = table.column("pk").to_pylist()
        ops = ["D" if gone else "U" for _, gone in sorted(chosen.items())]
        # What is not there is brought back, whatever was meant for it.
        ops = [op if (entity, pk) in standing or self._never(entity, pk) else "I" for op, pk in zip(ops, pks, strict=True)]  # fmt: skip  # noqa: E501
        versions = pa.array([number] * len(pks), pa.int64())
        for name, column in (("op", pa.array(ops)), ("row_ver", versions)):
            table = table.set_column(table.schema.get_field_index(name), name, column)
        made = [Change(entity, pk, op, number, hi + n) for n, (pk, op) in enumerate(zip(pks, ops, strict=True), 1)]
        return table, made

    def _never(self, entity: str, pk: str) -> bool:
        return not any((c.entity, c.pk) == (entity, pk) for c in self.log)

    @property
    def first_hi(self) -> int:
        """Last change-log id of the first batch, which both sides hold from the beginning."""
        record = json.loads((self.land.province.changes / "00000001" / "round.json").read_text(encoding="utf-8"))
        return max(int(file["hi"]) for file in record["files"])

    def versions(self, hi: int) -> Versions:
        """The model: version of every touched record that stands at a change-log id."""
        found: Versions = {}
        for change in self.log:
            if change.log_id <= hi:
                found[change.entity, change.pk] = change.row_ver
                if change.op == "D":
                    del found[change.entity, change.pk]
        return found

    # steps of the nodes ---------------------------------------------------------------------------------------------

    def step(self, name: str, point: Point | None = None) -> None:
        """One step of one node, dying at `point` if given; the transport is watched after it."""
        doing: dict[str, Callable[[], object]] = {
            "publish": self._publish,
            "deliver": self._deliver,
            "intake": lambda: self.land.intake(self.at),
            "listen": lambda: self.land.listen(self.at),
        }
        with dying(point):
            doing[name]()
        self.seen |= {path.name: path.read_bytes() for path in self.land.ready.iterdir()}

    def _deliver(self) -> None:
        """A part cut off in `ready/` whose manifest was lost stands in the way with an alarm (protocol 6.1), until the
        ministry has taken it away."""
        try:
            self.land.deliver(self.at)
        except HubError as error:
            if error.code != "E2405":
                raise

    def _publish(self) -> None:
        for number in range(min(self.published + 1, self.written), self.written + 1):
            publish(self.land.province, number, at=self.at, rng=os.urandom)
            self.published = number

    def wait(self, hours: float) -> None:
        self.at += timedelta(hours=hours)

    # the transport --------------------------------------------------------------------------------------------------

    def files(self, folder: str) -> list[Path]:
        """What lies there now. `folder`: `ready` or `out` (receipts only)."""
        if folder == "ready":
            return sorted(self.land.ready.iterdir())
        return sorted(path for path in self.land.out.iterdir() if ".receipt" in path.name)

    def lose(self, folder: str, n: int) -> None:
        if found := self.files(folder):
            found[n % len(found)].unlink()

    def hold_back(self, n: int) -> None:
        """A file comes later than those after it."""
        if found := self.files("ready"):
            path = found[n % len(found)]
            self.held[path.name] = path.read_bytes()
            path.unlink()

    def let_come(self) -> None:
        for name, content in self.held.items():
            if not (self.land.ready / name).exists():
                (self.land.ready / name).write_bytes(content)
        self.held.clear()

    def repeat(self, n: int) -> None:
        """A file that was seen before comes once more."""
        if self.seen:
            name = sorted(self.seen)[n % len(self.seen)]
            if not (self.land.ready / name).exists():
                (self.land.ready / name).write_bytes(self.seen[name])

    def cut_off(self, n: int) -> None:
        if found := self.files("ready"):
            path = found[n % len(found)]
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    # what holds -----------------------------------------------------------------------------------------------------

    def at_ministry(self) -> tuple[int, Versions]:
        """The stream's change-log mark, and the versions of the records the model has touched."""
        touched = {(c.entity, c.pk) for c in self.log}
        ((hi,),) = self._ask("SELECT hi FROM peer_stream WHERE stream = 'main'")
        stored: Versions = {}
        for entity in ENTITIES:
            stored |= {(entity, pk): ver for pk, ver in self._ask(f"SELECT pk, row_ver FROM g_{entity}")}
        return int(hi), {key: ver for key, ver in stored.items() if key in touched}

    def decided(self) -> list[tuple[int, str]]:
        """(seq, verdict) of every batch the ministry has decided."""
        return self._ask("SELECT seq, verdict FROM inbox ORDER BY seq")

    def _ask(self, query: str) -> list[Any]:
        """Read past the product: many looks, each of which would open a store."""
        path = sa.make_url(self.land.ministry.database_url).database
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def expected(self, hi: int) -> Versions:
        """The model at a change-log id, with what it has not touched yet as the first batch left it."""
        begun = {(c.entity, c.pk): 1 for c in self.log}
        gone = {(c.entity, c.pk) for c in self.log if c.log_id <= hi}
        return {key: ver for key, ver in begun.items() if key not in gone} | self.versions(hi)


@contextmanager
def dying(point: Point | None) -> Iterator[None]:
    """The function at the point raises `Killed` before or after its work; the step ends there, with what it left."""
    if point is None:
        yield
        return
    module, _, path = point.where.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    whole = getattr(owner, name)

    def fatal(*arguments: Any, **named: Any) -> Any:
        if point.after:
            whole(*arguments, **named)
        raise Killed(str(point))

    setattr(owner, name, fatal)
    try:
        yield
    except Killed:
        return
    finally:
        setattr(owner, name, whole)
