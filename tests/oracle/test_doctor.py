"""`hub doctor --db`: each finding says what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import oracledb
import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.cli import main
from hub.cli.database_checks import of_database
from hub.cli.finding import Finding
from hub.store import open_store
from hub.store.oracle_session import oracle_engine
from tests.servers import PostgresServer, free_port
from tests.store.oracle import character_set_of, oracle_schema, stand_in

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

_POOR_ROLE = (
    "DROP ROLE IF EXISTS poor",
    "CREATE ROLE poor LOGIN",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
)


def findings(url: str, catalog: Catalog) -> dict[str, Finding]:
    store = open_store(url, catalog, busy_seconds=1)
    try:
        return {f.name: f for f in of_database(store)}
    finally:
        store.close()


def test_a_new_sqlite_file_lacks_nothing_but_its_tables(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "node.db").touch()
    found = findings(f"sqlite:///{tmp_path / 'node.db'}", catalog)
    assert {n: f.state for n, f in found.items() if f.state != "ok"} == {"表结构": "warn"}
    assert "db upgrade" in found["表结构"].remedy
    with sqlite3.connect(tmp_path / "node.db") as database:
        database.execute("CREATE TABLE BJ_XX (a)")
    database.close()
    assert findings(f"sqlite:///{tmp_path / 'node.db'}", catalog)["库中的表"].detail.endswith("如 BJ_XX")


def test_a_postgresql_user_who_may_not_make_tables_is_told_so(catalog: Catalog, postgres: PostgresServer) -> None:
    url = sa.make_url(postgres.create_database("doctor"))
    found = findings(url.render_as_string(hide_password=False), catalog)
    assert {n for n, f in found.items() if f.state == "bad" or n == "库中的表"} == set()
    assert {"数据库版本", "字符集", "权限", "表空间", "客户端方式", "表结构"} <= set(found)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in _POOR_ROLE:
            connection.exec_driver_sql(statement.format(url.database))
    engine.dispose()
    found = findings(url.set(username="poor").render_as_string(hide_password=False), catalog)
    assert (found["权限"].state, found["权限"].detail) == ("bad", "缺少建表（CREATE）、临时表（TEMP）")
    assert "GRANT CREATE ON SCHEMA" in found["权限"].remedy


def test_a_database_that_does_not_answer_is_named_with_what_the_network_says(catalog: Catalog) -> None:
    port = free_port()
    found = findings(f"oracle+oracledb://hub:geheim@127.0.0.1:{port}/?service_name=XJ", catalog)
    assert {n: f.state for n, f in found.items()} == {"地址": "ok", "连接": "bad", "网络": "bad"}
    assert f"127.0.0.1:{port}" in found["地址"].detail
    assert f"端口 {port} 上没有程序在听" in found["网络"].detail
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
    assert (found["权限"].state, found["权限"].remedy) == ("bad", "由数据库管理员执行：GRANT CREATE TABLE TO 该用户")
    assert found["表空间"].state == "bad"
    assert found["客户端方式"].detail.startswith("thin")
    assert found["真实服务器"].state == "warn"
    assert all(word in found["真实服务器"].detail for word in ("从未", "thin", "替身", "11.2 与 19"))
    assert all(word in found["真实服务器"].remedy for word in ("11g", "thick", "deploy/oracle/README.md"))


def test_an_oracle_user_with_too_much_right_and_too_little_room_is_told_so(catalog: Catalog) -> None:
    found = of_stand_in(WIDE, catalog)
    assert found["权限"].state == "ok"
    assert (found["多余权限"].state, "DROP ANY TABLE" in found["多余权限"].detail) == ("warn", True)
    assert (found["表空间"].state, "余 1.0 GiB" in found["表空间"].detail) == ("warn", True)
    assert (found["空闲空间"].state, "1.0 GiB" in found["空闲空间"].detail) == ("warn", True)
    assert (found["用户下的表"].state, found["用户下的表"].remedy[:5]) == ("warn", "为本系统另")


@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("AL32UTF8", "ok", "3 字节"),
        ("ZHS16GBK", "warn", "2 字节"),
        ("WE8MSWIN1252", "bad", "WE8MSWIN1252"),
    ],
)
def test_the_character_set_of_oracle_is_told_with_what_it_means_for_names(
    catalog: Catalog, name: str, state: str, told: str
) -> None:
    with oracle_schema() as url:
        engine = oracle_engine(sa.make_url(url))
        with character_set_of(engine, name):
            found = findings(url, catalog)["字符集"]
        engine.dispose()
    assert (found.state, told in found.detail) == (state, True)
    assert {"ok": "", "warn": "E3118", "bad": "E3113"}[state] in found.remedy


def test_a_table_layout_newer_than_the_program_is_not_called_good(catalog: Catalog, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    (tmp_path / "node.db").touch()
    store = open_store(url, catalog)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('9999')")
    store.close()
    found = findings(url, catalog)["表结构"]
    assert (found.state, "9999" in found.detail) == ("bad", True)


def test_a_client_library_that_cannot_be_loaded_is_a_finding_of_doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object, **__: object) -> None:
        raise oracledb.DatabaseError("DPI-1047: Cannot locate a 64-bit Oracle Client library: /secret/place")

    monkeypatch.setattr("oracledb.init_oracle_client", absent)
    url = "oracle+oracledb://hub:geheim@db/?service_name=XJ&client=/opt/none"
    assert main(["doctor", "--db", url]) == 3
    out = capsys.readouterr().out
    assert ("✘ 客户端方式" in out, "E3116" in out, "Instant Client 19" in out) == (True, True, True)
    assert not any(word in out for word in ("geheim", "/secret/place"))
