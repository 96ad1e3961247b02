"""Where sources lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.delimited import DelimitedSource
from connectors.oracle import OracleSource
from connectors.postgresql import PostgreSQLSource
from connectors.registry import load_sources, open_source
from connectors.sqlite import SQLiteSource
from hub.errors import InputError, UsageError


def test_a_folder_of_databases_is_a_node_s_sources(tmp_path: Path) -> None:
    for name in ("s1.db", "s3.db", "site_dictionaries.csv"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "templates").mkdir()
    for name in ("b.xlsx", "a.xlsx", "~$a.xlsx", "notes.txt"):
        (tmp_path / "templates" / name).write_bytes(b"")
    got = load_sources(tmp_path)
    assert list(got.systems) == ["S1", "S2", "S3"]  # a missing database is still asked, and raises the alarm
    assert [p.name for p in got.templates] == ["a.xlsx", "b.xlsx"]
    assert got.site_dictionaries == tmp_path / "site_dictionaries.csv"
    assert isinstance(open_source(got.systems["S1"]), SQLiteSource)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="没有数据源") as refused:
        load_sources(tmp_path)
    assert refused.value.code == "E2421"
    assert "sources.toml" in refused.value.step


def test_a_sources_file_names_urls_and_relative_paths_start_at_it(tmp_path: Path) -> None:
    (tmp_path / "tpl").mkdir()
    (tmp_path / "tpl" / "a.xlsx").write_bytes(b"")
    (tmp_path / "d.csv").write_bytes(b"")
    (tmp_path / "sources.toml").write_text(
        'templates = "tpl"\nsite_dictionaries = "d.csv"\n[sources]\n'
        'S1 = "postgresql+psycopg://hub:p%40ss@db/x"\nS2 = "delimited:s2?encoding=gbk"\nS3 = "sqlite:///s3.db"\n',
        encoding="utf-8",
    )
    got = load_sources(tmp_path)
    assert got == load_sources(tmp_path / "sources.toml")
    assert got.systems["S1"] == "postgresql+psycopg://hub:p%40ss@db/x"
    assert got.systems["S3"] == f"sqlite:///{tmp_path / 's3.db'}"
    second = open_source(got.systems["S2"])
    assert isinstance(second, DelimitedSource)
    assert second.folder == tmp_path / "s2"
    assert [p.name for p in got.templates] == ["a.xlsx"]
    assert got.site_dictionaries == tmp_path / "d.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sources", "TOML"),
        ("[sources]\n", "没有写任何数据源"),
        ('[sources]\nS9 = "sqlite:///x"', "S9"),
        ("[sources]\nS1 = 1", "S1"),
        ('[sources]\nS1 = "sqlite:///x"\ntemplates = "none"', "templates"),
        ('[sources]\nS1 = "sqlite:///x"\nsite_dictionaries = "none"', "site_dictionaries"),
    ],
)
def test_a_wrong_sources_file_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sources.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said) as refused:
        load_sources(tmp_path)
    assert refused.value.code == "E2422"
    assert "sources.toml" in refused.value.where


def test_each_url_finds_its_connector() -> None:
    assert isinstance(open_source("postgresql://u@h/d"), PostgreSQLSource)
    assert isinstance(open_source("sqlite:///x.db"), SQLiteSource)
    oracle = open_source("oracle+oracledb://hub:secret@h:1521/?service_name=XJ")
    assert isinstance(oracle, OracleSource)
    assert "secret" not in oracle.name
