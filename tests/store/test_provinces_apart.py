"""Provinces on PostgreSQL do not wait for each other: what is asked here ends by a lock's timeout if they do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.audit import Event, append, verify
from hub.catalog import Catalog
from hub.store import Store, Transaction, open_store
from tests.store.conftest import new_url
from tests.store.rows import AT, many

LATER = AT + timedelta(hours=1)


@pytest.fixture
def two(catalog: Catalog, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Store, Store]]:
    """Two workers at one database, each with connections of its own."""
    url = new_url("postgresql", tmp_path, request)
    stores = [open_store(url, catalog, busy_seconds=1) for _ in range(2)]
    stores[0].upgrade()
    yield stores[0], stores[1]
    for store in stores:
        store.close()


def decide(tx: Transaction, catalog: Catalog, node: str) -> None:
    """What a batch does to the database: an initial load and a change of it, in two entities."""
    for name in ("xx", "xs"):
        entity = catalog.entities[name]
        tx.apply(entity, node, many(entity, 200), batch="b", at=AT)
        changed = many(entity, 200, op="U", version=2, every=3, mark="改")
        tx.apply(entity, node, changed, batch="b", at=LATER)
        tx.apply(entity, node, many(entity, 200, op="D", version=3, every=50), batch="b", at=LATER)


def record(tx: Transaction) -> None:
    append(tx.connection, Event.BATCH_APPLIED, ts=AT, node="moe", actor="intake")


def test_an_open_transaction_of_one_province_does_not_stop_another(two: tuple[Store, Store], catalog: Catalog) -> None:
    ours, theirs = two
    applied, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        theirs.make_parts("41")
        with theirs.begin() as tx:
            decide(tx, catalog, "41")
            applied.set()
            assert go_on.wait(60)
            record(tx)

    worker = threading.Thread(target=slow)
    worker.start()
    try:
        assert applied.wait(60)
        ours.make_parts("13")  # a province that joins meanwhile
        with ours.begin() as tx:
            decide(tx, catalog, "13")
            record(tx)
        assert [ours.count(catalog.entities["xs"], node) for node in ("13", "41")] == [196, 0]
    finally:
        go_on.set()
        worker.join()
    assert [ours.count(catalog.entities["xs"], node) for node in ("13", "41")] == [196, 196]
    assert ours.digest(catalog.entities["xs"], "13") == ours.digest(catalog.entities["xs"], "41")
    with ours.reading() as reader:
        assert verify(reader.connection) is None


def test_a_question_about_one_province_or_school_reads_its_partition_and_index(
    two: tuple[Store, Store], catalog: Catalog
) -> None:
    store, xs = two[0], catalog.entities["xs"]
    for node in ("13", "41"):
        with store.begin() as tx:
            tx.apply(xs, node, many(xs, 5_000), batch="b", at=AT)
    with store.reading() as reader:
        school = reader.connection.execute(sa.select(store.tables.golden["xs"].c.xxdm).limit(1)).scalar_one()
        lines = reader.connection.exec_driver_sql(
            f"EXPLAIN SELECT count(*) FROM g_xs WHERE node = '13' AND xxdm = '{school}'"
        ).scalars()
        plan = "\n".join(lines)
    assert "g_xs_13" in plan
    assert "g_xs_41" not in plan
    assert "Index" in plan
    assert "Seq Scan" not in plan
