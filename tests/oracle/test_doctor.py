"""`hub doctor --db`: each finding says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.cli.database_checks import of_database
from hub.cli.finding import Finding
from hub.store import open_store
from tests.servers import PostgresServer, free_port
from tests.store.oracle import oracle_schema, stand_in

Views = dict[str, tuple[str, list[list[object]]]]
_USERS = "default_tablespace VARCHAR2(30 CHAR), temporary_tablespace VARCHAR2(30 CHAR)"
_QUOTAS = "tablespace_name VARCHAR2(30 CHAR), bytes NUMBER(19), max_bytes NUMBER(19)"
POOR: Views = {
    "session_privs": ("privilege VARCHAR2(40 CHAR)", [["CREATE SESSION"]]),
    "user_users": (_USERS, [["SYSTEM", "TEMP"]]),
}
WIDE: Views = {
    "session_privs": (
        "privilege VARCHAR2(40 CHAR)", [["CREATE SESSION"], ["CREATE TABLE"], ["DROP ANY TABLE"], ["SELECT ANY TABLE"]],
    ),
    "user_users": (_USERS, [["HUB", "TEMP"]]),
    "user_ts_quotas": (_QUOTAS, [["HUB", 1 << 30, 2 << 30]]),
    "user_free_space": ("tablespace_name VARCHAR2(30 CHAR), bytes NUMBER(19)", [["HUB", 1 << 29], ["HUB", 1 << 29]]),
}  # fmt: skip


def findings(url: str, catalog: Catalog) -> dict[str, Finding]:
    store = open_store(url, catalog, busy_seconds=1)
    try:
        return {f.name: f for f in of_database(store)}
    finally:
        store.close()


def test_a_new_sqlite_file_lacks_nothing_but_its_tables(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "node.db").touch()
    found = findings(f"sqlite:///{tmp_path / 'node.db'}", catalog)
    assert {n: f.state for n, f in found.items() if f.state != "ok"} == {"表": "warn"}
    assert found["表"].remedy


def test_a_postgresql_user_who_may_not_make_tables_is_told_so(catalog: Catalog, postgres: PostgresServer) -> None:
    url = sa.make_url(postgres.create_database("doctor"))
    found = findings(url.render_as_string(hide_password=False), catalog)
    assert {n for n, f in found.items() if f.state == "bad"} == set()
    assert {"数据库版本", "字符集", "权限", "表空间", "客户端方式"} <= set(found)


def test_a_database_that_does_not_answer_is_one_finding(catalog: Catalog) -> None:
    found = findings(f"oracle+oracledb://hub:geheim@127.0.0.1:{free_port()}/?service_name=XJ", catalog)
    assert set(found) == {"连接"}
    assert found["连接"].state == "bad"
    assert "E3101" in found["连接"].detail
    assert "geheim" not in str(found)


def of_stand_in(views: Views, catalog: Catalog) -> dict[str, Finding]:
    """Findings about the stand-in, its dictionary saying what a server would."""
    with oracle_schema(bare=True) as url:
        if not stand_in():
            pytest.skip("a real server has these views of its own")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            for name, (columns, rows) in views.items():
                connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
                for row in rows:
                    shown = ", ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in row)
                    connection.exec_driver_sql(f"INSERT INTO {name} SELECT {shown} FROM dual")
        engine.dispose()
        return findings(url, catalog)


def test_an_oracle_user_without_rights_or_room_is_told_what_to_grant(catalog: Catalog) -> None:
    found = of_stand_in(POOR, catalog)
    assert found["字符集"].state == "ok"
    assert (found["权限"].state, found["权限"].remedy) == ("bad", "GRANT CREATE TABLE TO 该用户")
    assert found["表空间"].state == "bad"
    assert found["客户端方式"].detail.startswith("thin")
    assert found["真实服务器"].state == "warn"


def test_an_oracle_user_with_too_much_right_and_too_little_room_is_told_so(catalog: Catalog) -> None:
    found = of_stand_in(WIDE, catalog)
    assert found["权限"].state == "ok"
    assert (found["多余权限"].state, "DROP ANY TABLE" in found["多余权限"].detail) == ("warn", True)
    assert (found["表空间"].state, "余 1.0 GiB" in found["表空间"].detail) == ("warn", True)
    assert (found["空闲空间"].state, "1.0 GiB" in found["空闲空间"].detail) == ("warn", True)
    assert (found["用户下的表"].state, found["用户下的表"].remedy[:5]) == ("warn", "为本系统另")
