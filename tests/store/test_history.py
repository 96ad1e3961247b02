"""Every version that was ever golden is kept until the archive takes it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import hub.store
from hub.catalog import Catalog
from hub.errors import InputError
from hub.store import Store, open_store
from hub.store.history_tables import moment
from tests.store.conftest import BACKENDS, new_url
from tests.store.rows import AT, apply, batch, change, pk

DAY = timedelta(days=1)


def ended(store: Store, entity: str = "bj") -> list[tuple[object, ...]]:
    h = store.tables.history[entity].c
    query = sa.select(h.pk, h.row_ver, h.bh, h.held_from, h.held_to, h.ended).order_by(h.pk, h.row_ver)
    with store.reading() as reader:
        return [tuple(row) for row in reader.connection.execute(query)]


def test_a_version_that_gives_way_is_kept_with_the_time_it_was_held(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    steps = [
        change(bj, "I", 1, 1, BH="一班"),
        change(bj, "U", 1, 2, BH="二班"),
        change(bj, "D", 1, 3, BH="二班"),
        change(bj, "I", 1, 4, BH="三班"),
    ]
    for day, row in enumerate(steps):
        with store.begin() as tx:
            tx.apply(bj, "13", [batch(bj, [row])], batch="b", at=AT + day * DAY)
    first, second, third = (moment(AT + day * DAY) for day in range(3))
    assert ended(store) == [(pk(1), 1, "一班", first, second, "U"), (pk(1), 2, "二班", second, third, "D")]
    golden = store.tables.golden["bj"].c
    with store.reading() as reader:
        now = reader.connection.execute(sa.select(golden.row_ver, golden.held_from)).one()
    assert tuple(now) == (4, moment(AT + 3 * DAY))


def test_a_row_that_changes_nothing_ends_no_version(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 2, BH="一班"))
    assert apply(store, bj, change(bj, "U", 1, 2, BH="一班"), change(bj, "U", 1, 1, BH="旧")) == (0, 0, 0, 2)
    assert ended(store) == []


def test_a_batch_that_fails_leaves_no_ended_version(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="一班"))
    good, bad = batch(bj, [change(bj, "U", 1, 2, BH="二班")]), batch(bj, [change(bj, "U", 1, 3, BH="长" * 99)])
    with pytest.raises(InputError, match="E3122"), store.begin() as tx:
        tx.apply(bj, "13", [good, bad], batch="b", at=AT)
    assert ended(store) == []


def test_what_a_snapshot_or_a_repair_replaces_stays_in_the_history(
    store: Store, catalog: Catalog, tmp_path: Path
) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 7, BH="一班"), change(bj, "I", 2, 1, BH="二班"))
    path = tmp_path / "part.parquet"
    pq.write_table(pa.Table.from_batches([batch(bj, [change(bj, "I", 1, 1, BH="一班")])]), path)
    with store.begin() as tx:
        tx.stage(bj, "13", [path])
        tx.swap(bj, "13", batch="s", at=AT + DAY)
    with store.begin() as tx:
        assert tx.forget(bj, "13", [pk(1)], at=AT + 2 * DAY) == 1
    kept = {(number, version, why) for number, version, _, _, _, why in ended(store)}
    assert kept == {(pk(1), 7, "R"), (pk(2), 1, "R"), (pk(1), 1, "R")}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_upgrade_keeps_the_rows_of_a_database_that_knew_no_history(
    backend: str, catalog: Catalog, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = new_url(backend, tmp_path, request)
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(hub.store.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        for node in ("13", "41"):
            connection.exec_driver_sql(f"INSERT INTO g_bj (node,pk,row_ver,bh) VALUES ('{node}','{pk(1)}',1,'一班')")
    engine.dispose()
    store = open_store(url, catalog)
    store.upgrade()
    assert [store.count(catalog.entities["bj"], node) for node in ("13", "41")] == [1, 1]
    apply(store, catalog.entities["bj"], change(catalog.entities["bj"], "U", 1, 2, BH="二班"))
    assert [row[2:5] for row in ended(store)] == [("一班", None, moment(AT))]
    if backend == "postgresql":
        with store.looking() as connection:
            parts = connection.exec_driver_sql("SELECT count(*) FROM g_bj_13").scalar_one()
        assert parts == 1
    store.close()


def test_provinces_lie_in_partitions_of_their_own(
    catalog: Catalog, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = open_store(new_url("postgresql", tmp_path, request), catalog)
    store.upgrade()
    bj = catalog.entities["bj"]
    for node in ("13", "41"):
        apply(store, bj, change(bj, "I", 1, 1, BH="一班"), node=node)
    with store.looking() as connection:
        parts = connection.exec_driver_sql(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'g_bj'::regclass ORDER BY 1"
        ).scalars()
        assert list(parts) == ["g_bj_13", "g_bj_41"]
    store.close()
