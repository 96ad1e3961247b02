"""Where the sample goes: the command line, SQLite files, PostgreSQL over COPY."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from connectors.cli import app
from connectors.sample import generate
from hub.catalog import load_catalog
from hub.errors import UsageError
from tests.sample.conftest import Sources
from tests.servers import PostgresServer


def test_the_command_writes_sources_supplements_dictionaries_and_answers(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["--out", str(tmp_path), "--students", "3000", "--seed", "5", "--today", "2026-10-12", "--json"]
    )
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert shown["totals"] == answers["totals"]
    assert answers["today"] == {"day1": "2026-10-12", "day2": "2026-10-13"}
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"s1.db", "s2.db", "s3.db", "templates", "site_dictionaries.csv", "answers.json"}
    assert load_catalog(tmp_path / "site_dictionaries.csv").codes.site_loaded >= {"LOCAL_YRXS", "LOCAL_JSXY"}


def test_sqlite_tables_have_the_columns_of_the_layout_as_text_and_no_keys(first: Sources) -> None:
    for table in load_catalog().source_tables():
        columns = first.ask(table.system, f'PRAGMA table_info("{table.table}")')
        assert [c[1] for c in columns] == list(table.column_names)
        assert {(c[2], c[5]) for c in columns} == {("TEXT", 0)}
    with sqlite3.connect(first.folder / "s1.db") as base:
        assert base.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--students", "10"], "E1602"), (["--province", "99"], "E1601"), (["--url-s1", "mysql://h/d"], "E1603")],
)
def test_wrong_arguments_exit_2_and_write_no_source(tmp_path: Path, arguments: list[str], code: str) -> None:
    done = CliRunner().invoke(app, ["--out", str(tmp_path / "o"), "--students", "3000", *arguments])
    assert done.exit_code == 2
    assert code in done.stderr
    assert not list(tmp_path.rglob("*.db"))


def test_a_refused_generation_leaves_the_previous_sources_as_they_were(tmp_path: Path) -> None:
    generate(tmp_path, province="13", students=200, seed=1, dirt=False)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(UsageError, match="E1603"):
        generate(tmp_path, province="13", students=200, seed=2, dirt=False, urls={"S3": "oracle://h/d"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_postgresql_holds_the_same_rows_as_sqlite(first: Sources, tmp_path: Path, postgres: PostgresServer) -> None:
    url = make_url(postgres.create_database("sample"))
    answers = generate(
        tmp_path,
        province="13",
        students=4000,
        seed=1,
        urls=dict.fromkeys(("S1", "S2", "S3"), url.render_as_string(False)),
    )
    assert answers == first.answers
    assert not list(tmp_path.glob("*.db"))
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as base:
        for table in load_catalog().source_tables():
            stored = base.execute(f'SELECT * FROM "{table.table}"').fetchall()
            same = sorted(tuple(map(_text, row)) for row in stored)
            assert same == sorted(tuple(map(_text, row.values())) for row in first.rows(table.name)), table.name


def _text(value: object) -> str:
    """A value as SQLite holds it; numbers without trailing zeros on both sides."""
    text = "" if value is None else str(value)
    try:
        return str(Decimal(text).normalize()) if ("." in text and len(text) < 8) or isinstance(value, Decimal) else text
    except ArithmeticError:
        return text
