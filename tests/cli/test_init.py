"""A node outside a laboratory: its folder from the province's file, its database by the hub or by an administrator."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.cli.init import FILES
from hub.new_node import read_province
from hub.settings import open_node
from hub.store import open_store
from tests.cli.test_commands import call
from tests.servers import PostgresServer

PINS = [f"sha256:{n:064x}" for n in (1, 2, 3)]


def test_every_province_file_describes_a_node_that_can_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(FILES.glob("*.yaml"))
    assert len(files) == 32
    assert [read_province(f).party for f in files] == [f.stem for f in files]
    for file in files[:2]:
        told = read_province(file)
        code, out, _ = call(capsys, "--json", "init", tmp_path / file.stem, "--province", file.stem)
        node = open_node(tmp_path / file.stem)
        assert (code, json.loads(out)["node"], node.settings.name) == (0, file.stem, told.name)
        assert (node.settings.database, node.settings.transport) == (told.database, told.transport)
        assert node.settings.max_delete_share == told.limits.max_delete_share
        assert node.settings.schedule == told.schedule
        assert len(node.secret()) == 32
        assert (node.folder / "hub.toml").stat().st_mode & 0o077 == 0
        assert (node.keys / "record.secret").stat().st_mode & 0o077 == 0


def test_a_node_gets_its_database_once_and_the_log_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = tmp_path / "p13"
    pins = [word for pin in PINS for word in ("--pin", pin)]
    assert call(capsys, "init", node, "--province", "13", "--database", "sqlite:///hub.db", *pins)[0] == 0
    assert json.loads((node / "trust" / "roots.json").read_text()) == {"pins": PINS}
    assert json.loads(call(capsys, "--node", node, "--json", "db", "status")[1])["current"] is None
    for before in (None, "head"):
        code, out, _ = call(capsys, "--node", node, "--json", "db", "upgrade")
        told = json.loads(out)
        assert (code, told["before"]) == (0, before and told["after"])
    with sqlite3.connect(node / "hub.db") as con:
        assert [row[0] for row in con.execute("SELECT action FROM audit_event ORDER BY i")] == [
            "数据库升级",
            "节点初始化",
        ]


def test_the_sql_for_an_administrator_makes_the_same_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, url = tmp_path / "p13", postgres.create_database("by_hand")
    assert call(capsys, "init", node, "--province", "13")[0] == 0
    monkeypatch.setenv("HUB_DATABASE", url)
    code, sql, _ = call(capsys, "--node", node, "db", "upgrade", "--sql")
    assert code == 0
    with psycopg.connect(sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as con:
        con.execute(sql.encode())
    status = json.loads(call(capsys, "--node", node, "--json", "db", "status")[1])
    assert status["current"] == status["head"]
    store = open_store(url, load_catalog())
    with store.looking() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {*store.tables.metadata.tables, "alembic_version"}
    store.close()
    assert "CREATE TABLE" not in call(capsys, "--node", node, "db", "upgrade", "--sql")[1]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), "E1075"),
        (("--province", "13", "--ministry"), "E1075"),
        (("--province", "99"), "E1071"),
        (("--province", "xx"), "E1025"),
        (("--province", "13", "--file", str(FILES / "14.yaml")), "E1076"),
        (("--province", "13", "--pin", PINS[0]), "E1073"),
        (("--province", "13", "--database", "postgresql+psycopg://hub:secret@host/db"), "E1074"),
    ],
)
def test_a_node_that_cannot_be_made_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], code: str
) -> None:
    status, _, err = call(capsys, "init", tmp_path / "node", *args)
    assert status in (2, 3)
    assert code in err
    assert "secret@" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hub.toml").write_text("kept")
    status, _, err = call(capsys, "init", tmp_path, "--province", "13")
    assert (status, "E1072" in err) == (2, True)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("hub.toml", "kept")]
