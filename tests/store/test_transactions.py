"""One transaction or nothing, and errors a person can act on."""

# ruff: noqa: PT012 - what is refused is a whole transaction

from __future__ import annotations

import traceback
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import HubError, LockedError, NotInitialisedError, PeerUnreachableError, UsageError
from hub.store import Store, open_store
from hub.store.ledger import NODE_STATE, OUTBOX, QUARANTINE
from tests.servers import PostgresServer, free_port
from tests.store.conftest import OpenStore
from tests.store.oracle import fewer
from tests.store.rows import AT, apply, batch, change, many, tombstones


def test_a_crash_inside_the_transaction_leaves_nothing(store: Store, catalog: Catalog) -> None:
    bj, xs = catalog.entities["bj"], catalog.entities["xs"]
    apply(store, bj, change(bj, "I", 1, 1, BH="1"), change(bj, "I", 2, 1, BH="2"))
    before = store.digest(bj, "13")
    with pytest.raises(InterruptedError), store.begin() as tx:
        tx.apply(bj, "13", [batch(bj, [change(bj, "D", 1, 2), change(bj, "U", 2, 2, BH="x")])], batch="b", at=AT)
        tx.apply(xs, "13", many(xs, 100), batch="b", at=AT)
        tx.connection.execute(sa.insert(NODE_STATE), {"name": "n", "value": "v"})
        tx.ingest("quarantine", [_quarantine(10)])
        raise InterruptedError
    assert store.digest(bj, "13") == before
    assert (store.count(xs), tombstones(store), _count(store, "quarantine")) == (0, [], 0)
    with store.reading() as reader:
        names = reader.connection.execute(sa.select(NODE_STATE.c.name)).scalars().all()
    assert names == ["audit.head"]
    assert apply(store, bj, change(bj, "D", 1, 2)) == (0, 0, 1, 0)


def test_ledger_rows_and_golden_rows_commit_together(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", many(bj, 5), batch="b", at=AT)
        key = {"stream": "main", "epoch": 1, "seq": 1}
        tx.connection.execute(sa.insert(OUTBOX), {**key, "manifest": b"\x00\xff", "rows_i": 5, "state": "SEALED"})
    with store.reading() as reader:
        row = reader.connection.execute(sa.select(OUTBOX)).mappings().one()
    assert (row["manifest"], row["rows_i"], store.count(bj)) == (b"\x00\xff", 5, 5)


def test_a_hundred_thousand_quarantined_rows_go_in_at_once(store: Store) -> None:
    total = fewer(store, 100_000)
    with store.begin() as tx:
        assert tx.ingest("quarantine", [_quarantine(total)]) == total
    assert _count(store, "quarantine") == total
    with store.begin() as tx:
        assert tx.ingest("quarantine", [_quarantine(1_000, reason="新")], replace=True) == 1_000
    assert _count(store, "quarantine") == total
    with store.reading() as reader:
        query = sa.select(sa.func.count()).where(QUARANTINE.c.reason == "新")
        assert reader.connection.execute(query).scalar_one() == 1_000


def test_a_stored_key_is_refused_without_its_value(store: Store) -> None:
    with store.begin() as tx:
        tx.ingest("quarantine", [_quarantine(3)])
    with pytest.raises(HubError) as error, store.begin() as tx:
        tx.ingest("quarantine", [_quarantine(1)])
    assert error.value.code == "E3108"
    assert "S1.0" not in "".join(traceback.format_exception(error.value))
    with pytest.raises(HubError) as error, store.begin() as tx:
        tx.connection.execute(sa.insert(QUARANTINE), _quarantine(1).to_pylist())
    assert error.value.code == "E3108"
    assert "S1.0" not in "".join(traceback.format_exception(error.value))
    assert "S1.0" not in str(error.value.__context__)


def test_a_value_the_database_refuses_is_named_by_column_never_by_value(new_store: OpenStore) -> None:
    store = new_store("postgresql")
    long = pa.record_batch(
        [pa.array(["xs"]), pa.array(["S1.1"]), pa.array(["YX01"]), pa.array(["XM"])], names=list("abcd")
    )
    long = long.rename_columns(["entity", "src_rid", "rule", "field"]).append_column("school", pa.array(["张三丰" * 9]))
    with pytest.raises(HubError) as error, store.begin() as tx:
        tx.ingest("quarantine", [long])
    assert error.value.code == "E3109"
    assert "quarantine school" in str(error.value)
    assert "张三丰" not in "".join(traceback.format_exception(error.value))
    assert "张三丰" not in str(error.value.__context__)


def test_an_unknown_column_or_table_is_our_own_mistake(store: Store) -> None:
    with pytest.raises(RuntimeError), store.begin() as tx:
        tx.ingest("quarantine", [pa.record_batch([pa.array(["x"])], names=["nonsense"])])
    with pytest.raises(RuntimeError), store.begin() as tx:
        tx.ingest("outbox", [pa.record_batch([pa.array(["x"])], names=["manifest"])])


def test_a_second_writer_on_sqlite_waits_and_is_told_to_retry(new_store: OpenStore, catalog: Catalog) -> None:
    store = new_store("sqlite")
    with store.begin(), pytest.raises(LockedError) as error, store.begin():
        pass
    assert error.value.retryable
    assert store.count(catalog.entities["bj"]) == 0


def test_a_row_held_by_another_transaction_on_postgresql_is_told_to_retry(new_store: OpenStore) -> None:
    store = new_store("postgresql")
    row = sa.select(NODE_STATE).where(NODE_STATE.c.name == "audit.head").with_for_update()
    with store.begin() as first:
        first.connection.execute(row)
        with pytest.raises(LockedError), store.begin() as second:
            second.connection.execute(row)


def test_a_database_that_does_not_answer_is_unreachable(catalog: Catalog) -> None:
    store = open_store(f"postgresql+psycopg://hub:geheim@127.0.0.1:{free_port()}/hub", catalog)
    with pytest.raises(PeerUnreachableError) as error:
        store.count(catalog.entities["bj"])
    assert error.value.retryable
    assert "geheim" not in "".join(traceback.format_exception(error.value))


def test_a_connection_killed_by_the_server_is_unreachable_and_then_recovers(
    new_store: OpenStore, catalog: Catalog
) -> None:
    store, bj = new_store("postgresql"), catalog.entities["bj"]
    with pytest.raises(PeerUnreachableError), store.begin() as tx:
        own = tx.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with store.begin() as other:
            other.connection.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
        tx.apply(bj, "13", many(bj, 10), batch="b", at=AT)
    assert store.count(bj) == 0


def test_a_connection_lost_at_commit_says_the_outcome_is_unknown(new_store: OpenStore, catalog: Catalog) -> None:
    store, bj = new_store("postgresql"), catalog.entities["bj"]
    with pytest.raises(PeerUnreachableError) as error, store.begin() as tx:
        tx.apply(bj, "13", many(bj, 10), batch="b", at=AT)
        own = tx.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with store.begin() as other:
            other.connection.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
    assert error.value.code == "E3112"


def test_a_missing_database_is_not_initialised(catalog: Catalog, tmp_path: Path, postgres: PostgresServer) -> None:
    missing = open_store(f"sqlite:///{tmp_path / 'none.db'}", catalog)
    assert missing.revision()[0] is None
    with pytest.raises(NotInitialisedError):
        missing.count(catalog.entities["bj"])
    assert not (tmp_path / "none.db").exists()
    absent = sa.make_url(postgres.url).set(database="no_such_database").render_as_string(hide_password=False)
    with pytest.raises(NotInitialisedError):
        open_store(absent, catalog).count(catalog.entities["bj"])


def test_a_database_without_tables_is_not_initialised(
    catalog: Catalog, tmp_path: Path, postgres: PostgresServer
) -> None:
    (tmp_path / "empty.db").touch()
    for url in (f"sqlite:///{tmp_path / 'empty.db'}", postgres.create_database("empty")):
        empty = open_store(url, catalog)
        with pytest.raises(NotInitialisedError) as error, empty.begin() as tx:
            tx.apply(catalog.entities["bj"], "13", [], batch="b", at=AT)
        empty.close()
        assert error.value.code == "E3105"


def test_a_file_that_is_no_database_is_said_to_be_damaged(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(HubError) as error:
        open_store(f"sqlite:///{tmp_path / 'x.db'}", catalog).count(catalog.entities["bj"])
    assert error.value.code == "E3111"


@pytest.mark.parametrize("url", ["mysql://h/d", "postgresql://h/d", "sqlite://", "nonsense", "oracle://h/d"])
def test_an_unsupported_database_is_refused_with_what_is_supported(url: str, catalog: Catalog) -> None:
    with pytest.raises(UsageError) as error:
        open_store(url, catalog)
    assert "postgresql+psycopg" in str(error.value)
    assert "sqlite:///" in str(error.value)


def test_the_sqlite_file_is_readable_by_its_owner_only(new_store: OpenStore, tmp_path: Path) -> None:
    new_store("sqlite")
    assert (tmp_path / "node.db").stat().st_mode & 0o077 == 0


def test_a_sqlite_receipt_survives_a_power_cut(new_store: OpenStore) -> None:
    """COMMIT must reach the disk before a receipt is published: WAL alone would not do."""
    with new_store("sqlite").reading() as reader:
        assert reader.connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert reader.connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def _quarantine(rows: int, reason: str = "姓名为空") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {"entity": "xs", "src_rid": f"S1.{n}", "rule": "YX01", "field": "XM", "reason": reason, "run_no": 1}
            for n in range(rows)
        ]
    )


def _count(store: Store, table: str) -> int:
    with store.reading() as reader:
        query = sa.select(sa.func.count()).select_from(store.tables[table])
        return int(reader.connection.execute(query).scalar_one())
