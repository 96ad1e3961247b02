"""Two provinces and the ministry, with people who stand in both; steps by short names."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from connectors.sample.doubles import plant_doubles
from connectors.sample.run import generate
from hub.catalog import load_catalog
from hub.settings import Node
from ministry_node.cases import case_desk, issue, tell_closed
from ministry_node.desk import Desk
from ministry_node.intake import IntakeResult, run_intake
from ministry_node.matching import marks_of, match_batch
from ministry_node.returned import sender_of
from pipelines.lab.setup import Lab, join_lab, open_lab
from province_node.deliver import deliver
from province_node.listen import Listened, listen
from province_node.publish import publish_pending
from province_node.settle import Options, run_round
from tests.acceptance.lands import desk_of
from tests.ministry.forge import Province
from tests.round.labs import AT, new_lab, rows, store_of

HEBEI, JIANGSU = "13", "32"
CATALOG = load_catalog()
DAY = timedelta(days=1)


@dataclass
class Two:
    """The network in a folder of its own; sources lie in `<folder>/s13` and `<folder>/s32`. `days`: rounds so far."""

    folder: Path
    days: int = 0

    @property
    def now(self) -> datetime:
        return AT + self.days * DAY

    def lab(self, party: str) -> Lab:
        return open_lab(self.folder / "lab", party)

    def province(self, party: str) -> Node:
        return self.lab(party).province

    @property
    def ministry(self) -> Node:
        return self.lab(HEBEI).ministry

    def copy(self, folder: Path) -> Two:
        shutil.copytree(self.folder, folder)
        return Two(folder, self.days)

    def source(self, party: str, sql: str, *values: Any) -> None:
        """Changes the province's student register as its owner would."""
        with sqlite3.connect(self.folder / f"s{party}" / "s1.db") as con:
            assert con.execute(sql, values).rowcount >= 1

    def pull(self, party: str) -> None:
        """A full round of a province, settled and published."""
        node = self.province(party)
        options = Options(today=f"{self.now:%Y-%m-%d}", full=True, judge=False, allow_deletes=True)
        run_round(node, options, nonce=lambda: os.urandom(32).hex())
        self.publish(party)

    def publish(self, party: str) -> None:
        publish_pending(self.province(party), at=self.now, rng=os.urandom)

    def exchange(self, party: str) -> IntakeResult:
        """Ship, take in, hear."""
        deliver(self.province(party), at=self.now)
        done = self.intake()
        self.listen(party)
        return done

    def answer(self, *parties: str) -> IntakeResult:
        """What the provinces decided travels up, and is taken in together."""
        for party in parties:
            self.publish(party)
            deliver(self.province(party), at=self.now)
        done = self.intake()
        for party in parties:
            self.listen(party)
        return done

    def intake(self) -> IntakeResult:
        return run_intake(self.ministry, at=self.now)

    def listen(self, party: str) -> Listened:
        return listen(self.province(party), at=self.now)

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        with desk_of(self.ministry, self.now) as desk:
            yield desk

    def cases(self) -> list[dict[str, Any]]:
        return [dict(r) for r in rows(self.ministry, "cross_case", "case_no")]

    def parties(self, case_no: str | None = None) -> list[dict[str, Any]]:
        found = [dict(r) for r in rows(self.ministry, "case_party", "case_no, node, pk")]
        return [r for r in found if case_no in (None, r["case_no"])]

    def said(self, case_no: str) -> list[tuple[str, str, str]]:
        """(action, state, cause) of a case's history."""
        found = rows(self.ministry, "case_event", "case_no, event_no")
        return [(r["action"], r["to_state"], r["cause"]) for r in found if r["case_no"] == case_no]

    def record(self, party: str, pk: str) -> dict[str, Any]:
        """A student's golden row at the ministry."""
        store = store_of(self.ministry)
        try:
            with store.reading() as reader:
                grid = reader.golden("xs")
                row = reader.connection.execute(
                    sa.select(grid).where(grid.c.node == party, grid.c.pk == pk)
                ).mappings().first()  # fmt: skip
                assert row is not None
                return dict(row)
        finally:
            store.close()


def build(folder: Path, doubles: int) -> Two:
    """Hebei and Jiangsu, both settled and shipped; `doubles` people stand in both. The ministry has not looked yet."""
    for party, seed in ((HEBEI, 1), (JIANGSU, 2)):
        generate(folder / f"s{party}", province=party, students=200, seed=seed, dirt=False)
    plant_doubles(folder / f"s{HEBEI}", folder / f"s{JIANGSU}", doubles)
    first = new_lab(folder / "lab", Path(os.path.relpath(folder / f"s{HEBEI}")))
    join_lab(
        first.folder, sources=Path(os.path.relpath(folder / f"s{JIANGSU}")), province=JIANGSU, at=AT, rng=os.urandom
    )
    network = Two(folder)
    for party in (HEBEI, JIANGSU):
        network.pull(party)
        deliver(network.province(party), at=AT)
    return network


@cache
def found_in(base: Path) -> Two:
    """The network with everything applied and answered, built once per run."""
    network = build(base / "two-provinces", 4)
    assert {d.verdict for d in network.intake().decisions} == {"APPLIED"}
    for party in (HEBEI, JIANGSU):
        network.listen(party)
    return network


@cache
def told_in(base: Path) -> Two:
    """The same with all cases issued and taken in by both provinces, built once per run."""
    network = found_in(base).copy(base / "two-provinces-told")
    with case_desk(network.ministry, at=network.now, rng=os.urandom) as sender:
        assert len(issue(sender, None, by="李明").cases) == 4
    for party in (HEBEI, JIANGSU):
        assert not network.listen(party).down.alarms
    return network


def forge(two: Two, party: str, entity: str, pk: str, op: str = "U", **values: str) -> str:
    """One record of the province changed or taken out and matched, as the transaction of a batch does it (the way
    there: tests/acceptance); the batch's number."""
    province = Province(two.lab(party))
    row = held(province, entity, pk)
    version = row.column("row_ver")[0].as_py()
    for name, value in {"op": op, **values}.items():
        row = row.set_column(row.schema.get_field_index(name), name, pa.array([value], pa.string()))
    numbers = pa.array([_above(two, party, entity, pk, version)], pa.int64())
    row = row.set_column(row.schema.get_field_index("row_ver"), "row_ver", numbers)
    manifest = province.batch([(entity, row)]).manifest
    with two.desk() as desk:
        with desk.store.begin() as tx, marks_of(desk, tx.connection) as marks:
            block = row.combine_chunks().to_batches()[0]
            marks.note(entity, block)
            tx.apply(CATALOG.entities[entity], party, [block], batch=manifest.batch_id, at=desk.at)
            match_batch(tx, desk, manifest, marks)
        tell_closed(sender_of(desk))
    return manifest.batch_id


def held(province: Province, entity: str, pk: str) -> pa.Table:
    """The record as the province first sent it; an enrolment is found by its student's record number."""
    folder = province.lab.province.changes / "00000001"
    students = pq.read_table(folder / "xs-001.parquet")
    (student,) = students.filter(pc.equal(students.column("pk"), pk)).to_pylist()
    table = pq.read_table(folder / f"{entity}-001.parquet")
    found = table.filter(pc.equal(table.column("GRBSM"), student["GRBSM"]))
    assert found.num_rows == 1
    return found


def _above(two: Two, party: str, entity: str, pk: str, version: int) -> int:
    """A version above every one the ministry holds or buried."""
    number = held(Province(two.lab(party)), entity, pk).column("pk")[0].as_py()
    store = store_of(two.ministry)
    try:
        with store.reading() as reader:
            query = sa.text(
                f"SELECT max(v) FROM (SELECT row_ver AS v FROM {reader.golden(entity).name} "
                "WHERE node = :n AND pk = :p "
                "UNION SELECT row_ver FROM tombstone WHERE node = :n AND pk = :p) x"
            )
            return int(reader.connection.execute(query, {"n": party, "p": number}).scalar_one() or version) + 1
    finally:
        store.close()
