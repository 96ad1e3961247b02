"""What is Oracle's own about the store: refused rows are listed, upgrades go on where they stopped, character sets."""

from __future__ import annotations

import pyarrow as pa
import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import HubError, UsageError
from hub.store import Store, open_store
from hub.store.ledger import QUARANTINE
from hub.store.oracle_stage import NAME_TAKEN, REJECT, do, standing
from tests.store.oracle import oracle_schema
from tests.store.rows import AT, apply, change, many, stored


def _stored_columns(store: Store) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with store.reading() as reader:
        for table, column in reader.connection.exec_driver_sql(
            "SELECT c.table_name, c.column_name FROM user_tab_columns c"
        ):
            found.setdefault(table.lower(), []).append(column.lower())
    return found


def test_the_migrated_schema_holds_the_described_columns_and_every_stage(store: Store) -> None:
    found = _stored_columns(store)
    for table in [*store.tables.metadata.tables.values(), *standing(store.tables), REJECT]:
        assert sorted(found[table.name]) == sorted(c.name for c in table.columns), table.name


def test_every_refused_row_is_listed_and_none_is_stored(store: Store) -> None:
    rows = pa.record_batch(
        {
            "entity": ["xs"] * 4,
            "src_rid": [f"S1.{n}" for n in range(4)],
            "rule": ["YX01"] * 4,
            "field": ["XM"] * 4,
            "school": ["1", "x" * 30, "3", "张三丰" * 9],
        }
    )
    with pytest.raises(HubError) as error, store.begin() as tx:
        tx.ingest("quarantine", [rows])
    assert error.value.code == "E3109"
    assert "school" in str(error.value)
    assert "2 行" in str(error.value)
    assert "张三丰" not in str(error.value)
    with store.reading() as reader:
        assert reader.connection.execute(sa.select(sa.func.count()).select_from(QUARANTINE)).scalar_one() == 0
        listed = reader.connection.execute(sa.select(REJECT).order_by(REJECT.c.row_no)).mappings().all()
    assert [(r["row_no"], r["src_rid"], r["code"], r["place"]) for r in listed] == [
        (1, "S1.1", 12899, "school"),
        (3, "S1.3", 12899, "school"),
    ]
    assert {r["target"] for r in listed} == {"quarantine"}
    assert all(r["rejected_at"] is not None for r in listed)


def test_a_block_that_meets_a_stored_key_leaves_nothing_of_itself_behind(
    store: Store, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no savepoints: what went in before is taken out by its keys and comes again through the stage."""
    monkeypatch.setattr("hub.store.oracle._BIND_ROWS", 40)
    bj = catalog.entities["bj"]
    (first,), (second,) = list(many(bj, 90)), list(many(bj, 130))
    with store.begin() as tx:
        counts = tx.apply(bj, "13", [first, first.slice(70, 20), second], batch="b", at=AT)
        inside = tx.count(bj, "13")
    assert (counts.inserted, counts.updated, counts.noop) == (130, 0, 110)
    assert (store.count(bj), inside) == (130, 130)


def test_an_upgrade_that_failed_half_way_goes_on_where_it_stopped(catalog: Catalog) -> None:
    with oracle_schema(bare=True) as url:
        store = open_store(url, catalog)
        with store._engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(store.tables["tombstone"]))
            do(connection, "CREATE TABLE stage_effect (pk CHAR(20))", bar=NAME_TAKEN)  # left by an older release
        store.upgrade()
        current, head = store.revision()
        assert current == head
        bj = catalog.entities["bj"]
        assert apply(store, bj, change(bj, "I", 1, 1, BH="1")) == (1, 0, 0, 0)
        assert [r["BH"] for r in stored(store, bj)] == ["1"]
        store.close()


def test_a_foreign_table_of_the_same_name_is_refused_and_kept(catalog: Catalog) -> None:
    with oracle_schema(bare=True) as url:
        store = open_store(url, catalog)
        with store._engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE receipt (amount NUMBER(9))")
            connection.exec_driver_sql("INSERT INTO receipt (amount) VALUES (7)")
        with pytest.raises(UsageError) as error:
            store.upgrade()
        assert error.value.code == "E3117"
        assert "receipt" in str(error.value)
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT amount FROM receipt").scalar_one() == 7
        store.close()
    with oracle_schema(bare=True):
        pass  # the next test finds a schema of ours
