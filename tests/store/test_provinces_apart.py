"""Provinces on PostgreSQL do not wait for each other: what is asked here ends by a lock's timeout if they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from hub.archive.asof import Question, ask
from hub.audit import Event, append, verify
from hub.catalog import Catalog
from hub.store import Reader, Store, Transaction, open_store
from hub.store.postgresql import Postgresql
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


def plans(store: Store, work: Callable[[Reader], object], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """How PostgreSQL answers each question that a piece of work puts to it, by its condition."""
    found: dict[str, str] = {}
    with store.reading() as reader, monkeypatch.context() as patch:

        def told(connection: sa.Connection, condition: str, statement: str, parameters: Any = None) -> None:
            lines = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
            found[condition] = "\n".join(lines)

        def csv(
            self: Postgresql, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, rows: int
        ) -> Iterator[bytes]:
            told(connection, tail, f"SELECT {','.join(f't.{c.name}' for c in columns)} {tail}")
            yield from stream(self, connection, columns, tail, rows)

        def hear(connection: sa.Connection, _c: object, said: str, given: Any, _x: object, many: bool) -> None:
            if said.startswith("SELECT") and not many:
                told(connection, said, said, given)

        stream = Postgresql.csv
        patch.setattr(Postgresql, "csv", csv)
        event.listen(reader.connection, "after_cursor_execute", hear)
        work(reader)
    return found


def test_a_question_about_a_record_or_a_school_reads_an_index_whether_its_province_is_said_or_not(
    two: tuple[Store, Store], catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, xs = two[0], catalog.entities["xs"]
    for node in ("13", "41"):
        with store.begin() as tx:
            tx.apply(xs, node, many(xs, 4_000), batch="b", at=AT)
            tx.apply(xs, node, many(xs, 4_000, op="U", version=2, mark="9"), batch="b", at=LATER)
            tx.analyse("h_xs")
    with store.reading() as reader:
        golden = store.tables.golden["xs"].c
        number, school = reader.connection.execute(sa.select(golden.pk, golden.xxdm).limit(1)).one()
        assert reader.nodes(store.tables.golden["xs"], store.tables["tombstone"]) == ("13", "41")
    asked = [Question(xs, node, pks=(number,)) for node in (None, "13")]
    asked += [Question(xs, node, school=school) for node in (None, "13")]
    for question in asked:
        said = plans(store, lambda r, q=question: ask(r, tmp_path, q, memory=None), monkeypatch)  # type: ignore[misc]
        read = {condition: plan for condition, plan in said.items() if "g_xs" in condition or "h_xs" in condition}
        assert any("FROM g_xs t" in condition for condition in read)
        if question.school is not None:  # of what ended within a year no index by school is kept
            read = {condition: plan for condition, plan in read.items() if "FROM h_xs t" not in condition}
        assert [plan for plan in read.values() if "Seq Scan" in plan] == []
        assert question.node is None or not any("g_xs_41" in plan for c, plan in read.items() if "t.node" in c)
