"""A database of another layout, or of somebody else, is left alone and named with the next step."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from connectors.registry import open_source
from hub.catalog import Catalog
from hub.cli.database_checks import of_database
from hub.errors import HubError, NotInitialisedError, PeerUnreachableError, UsageError
from hub.store import Store, open_store
from hub.store.faults import fault_of
from hub.store.revisions import newest
from tests.servers import PostgresServer
from tests.store.conftest import OpenStore
from tests.store.rows import apply, change

NEVER = "oracle+oracledb://hub:geheim@db.example/?service_name=XJ"


@pytest.fixture
def settled(new_store: OpenStore, catalog: Catalog) -> Store:
    """A store with one row."""
    store, bj = new_store("sqlite"), catalog.entities["bj"]
    assert apply(store, bj, change(bj, "I", 1, 1, BH="1")) == (1, 0, 0, 0)
    return store


@pytest.fixture
def reopened(settled: Store, catalog: Catalog) -> Iterator[Store]:
    """The same database in a process that has not looked at it yet."""
    store = open_store(settled._url.render_as_string(), catalog)
    yield store
    store.close()


def rewrite(store: Store, number: str) -> None:
    with store._engine.connect().execution_options(hub_write=True) as connection, connection.begin():
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{number}'")


@pytest.mark.parametrize(
    ("number", "kind", "code", "step"),
    [("0016", NotInitialisedError, "E3124", "db upgrade"), ("9999", UsageError, "E3125", "升级本程序")],
)
def test_a_program_neither_reads_nor_writes_tables_of_another_revision(
    settled: Store, reopened: Store, catalog: Catalog, number: str, kind: type[HubError], code: str, step: str
) -> None:
    bj = catalog.entities["bj"]
    rewrite(settled, number)
    with pytest.raises(kind) as refused:
        apply(reopened, bj, change(bj, "I", 2, 1, BH="2"))
    assert (refused.value.code, step in refused.value.step) == (code, True)
    with pytest.raises(kind, match=code):
        reopened.count(bj)
    assert reopened.revision() == (number, newest())
    assert settled.count(bj) == 1, "whoever had looked before goes on"


def test_a_newer_database_is_not_upgraded_by_an_older_program(settled: Store, reopened: Store) -> None:
    rewrite(settled, "9999")
    with pytest.raises(UsageError) as refused:
        reopened.upgrade()
    assert (refused.value.code, reopened.revision()[0]) == ("E3125", "9999")


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_table_of_somebody_else_stops_an_upgrade_that_leaves_nothing_behind_and_doctor_knows_it_before(
    backend: str, catalog: Catalog, tmp_path: Path, postgres: PostgresServer
) -> None:
    (tmp_path / "x.db").touch()
    url = f"sqlite:///{tmp_path / 'x.db'}" if backend == "sqlite" else postgres.create_database("foreign")
    store = open_store(url, catalog)
    with store._engine.connect().execution_options(hub_write=True) as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE receipt (amount INTEGER)")
    found = {f.name: f for f in of_database(store)}["库中的表"]
    assert (found.state, "如 receipt" in found.detail, "E3117" in found.detail) == ("bad", True, True)
    with pytest.raises(UsageError) as refused:
        store.upgrade()
    assert (refused.value.code, "receipt" in refused.value.where) == ("E3117", True)
    assert store.revision()[0] is None
    with store.looking() as connection:
        assert sa.inspect(connection).get_table_names() == ["receipt"]
    store.close()


@pytest.mark.parametrize(
    ("words", "code", "step"),
    [
        ('FATAL:  permission denied for database "hub"', "E3106", "GRANT CONNECT"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "hub", database "hub"', "E3106", "pg_hba.conf"),
        ('致命错误:  用户 "hub" Password 认证失败', "E3103", "口令"),
        ('致命错误:  数据库 "hub" 不存在', "E3104", "创建数据库"),
        ("could not receive data from server: Connection timed out", "E3101", "网络"),
    ],
)
def test_what_postgresql_says_at_the_door_is_told_apart(words: str, code: str, step: str) -> None:
    fault = fault_of(psycopg.OperationalError(f"connection failed: {words}"), "postgresql：hub")
    assert (fault.code, step in fault.step) == (code, True)


def test_a_host_name_of_oracle_that_nobody_knows_is_an_unreachable_database(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = {f.name: f for f in of_database(open_store(NEVER, catalog))}
    assert "E3101" in found["连接"].detail
    assert "解析不到" in found["网络"].detail
    with pytest.raises(PeerUnreachableError) as refused:
        open_source(NEVER).count(catalog.source_tables()[0])
    assert (refused.value.code, "geheim" in str(refused.value)) == ("E2103", False)
