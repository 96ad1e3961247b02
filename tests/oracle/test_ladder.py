"""Rungs 0 and 1: every statement the product can send to Oracle, compiled and judged for 11.2 and 19."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store.tables import build_tables
from tests.oracle.findings import VERSIONS, findings, rendered
from tests.oracle.judge import COMMITTED, grammar_is_here, judge, parse, shape
from tests.oracle.recording import Recorder, recording
from tests.oracle.rules import empty_texts, faults
from tests.oracle.statements import of_migrations, of_script, of_the_store

PARTITIONS = Path(__file__).parents[2] / "deploy" / "oracle" / "partitions.sql"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """A laboratory's life: two days of a province and the ministry, and what people ask of both."""
    with recording(Recorder()) as recorder:
        _life(tmp_path_factory.mktemp("life"))
    return recorder


def _life(folder: Path) -> None:
    from click.testing import CliRunner

    from hub.cli.root import root_command

    run, app = CliRunner(), root_command()
    here, there = (["--node", str(folder / "lab" / n)] for n in ("province", "ministry"))
    steps = (
        ["sample", "--out", str(folder / "s"), "--province", "13", "--students", "3000", "--seed", "1"],
        ["lab", "init", str(folder / "lab"), "--sources", str(folder / "s"), "--province", "13"],
        ["lab", "run", str(folder / "lab")],
        *([*here, *words.split()] for words in _ASKED_HERE),
        *([*there, *words.split()] for words in _ASKED_THERE),
    )
    for step in steps:
        done = run.invoke(app, step)
        assert done.exit_code in (0, 3), (step, done.output)


_ASKED_HERE = (
    "sync status", "quarantine ls", "findings ls", "conflict ls", "correction ls",
    "operator ls", "suspects ls", "audit ls", "audit verify", "batch ls", "quality rates",
    "supplement ls", "supplement missing", "supplement completeness", "transit ls", "census run", "registry ls",
)  # fmt: skip
_ASKED_THERE = ("batch ls", "audit verify", "head status", "census status")


def test_what_is_said_in_a_laboratorys_life_can_go_to_oracle(heard: Recorder) -> None:
    wrong, shapes, _ = findings(rendered(heard.said.values()))
    assert wrong == []
    assert shapes > 80


@pytest.mark.parametrize("version", VERSIONS)
def test_migrations_and_the_store_itself_can_go_to_oracle(version: tuple[int, ...], catalog: Catalog) -> None:
    said = [*of_migrations(version), *of_the_store(catalog, version)]
    assert len(set(said)) > 300
    assert [(f, s[:200]) for s in said for f in faults(s, version)] == []
    assert any("MERGE INTO g_xs " in s for s in said)
    assert judge(said).refused == ()


def test_the_partition_script_drops_no_row_and_keeps_every_key_and_index_of_its_tables(catalog: Catalog) -> None:
    block, *said = of_script(PARTITIONS)
    assert all(
        f"DROP TABLE {name}" not in said or f"FROM {name} WHERE ROWNUM = 1" in block for name in ("g_xs", "h_xs")
    )
    assert "RAISE_APPLICATION_ERROR" in block
    assert "WHENEVER SQLERROR EXIT" in PARTITIONS.read_text(encoding="utf-8")
    assert [(f, s) for s in said for v in VERSIONS for f in faults(s, v)] == []
    assert judge([block.removesuffix(";"), *said]).refused == ()
    tables = build_tables(catalog)
    for name in ("g_xs", "h_xs"):
        made = " ".join(s for s in said if f" {name}" in s)
        for index in tables[name].indexes:
            columns = ", ".join(c.name for c in index.columns)
            assert f"CREATE INDEX {index.name} ON {name} ({columns}) LOCAL" in made
        if tables[name].primary_key.columns:
            assert f"CONSTRAINT {tables[name].primary_key.name} PRIMARY KEY (node, pk)" in made


def test_every_statement_heard_has_a_verdict(heard: Recorder, catalog: Catalog) -> None:
    said = [s for _, both, _ in rendered(heard.said.values()) for s in both]
    said += [s for v in VERSIONS for s in (*of_migrations(v), *of_the_store(catalog, v))]
    unparsed = judge(said).unparsed
    if unparsed and not grammar_is_here():
        pytest.skip(f"rung 1: {unparsed} shapes not parsed, no grammar (deploy/setup/oracle-grammar.sh needs npm)")
    assert unparsed == 0
    assert COMMITTED.is_file()


def test_the_grammar_refuses_what_is_no_statement_of_oracle() -> None:
    if not grammar_is_here():
        pytest.skip("rung 1 has not run: no PL/SQL grammar (deploy/setup/oracle-grammar.sh needs npm)")
    wrong = ["UPDATE a SET b = c.d FROM c", "SELECT a b c FROM d", "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING"]
    assert all(parse(wrong).values())
    assert {s for s, _ in judge(wrong).refused} == set(wrong)


def test_statements_are_the_same_when_nothing_a_grammar_sees_differs() -> None:
    one = shape("SELECT a\n FROM t WHERE b IN (:b_1, :b_2) AND c = 'x''y' AND d = 12.5")
    assert one == shape("SELECT a FROM t WHERE b IN (:c_1) AND c = 'z' AND d = 3")
    assert one != shape("SELECT a FROM t WHERE b IN (:c_1) AND c = '' AND d = 3")
    assert shape("SELECT '' FROM t WHERE c LIKE :b ESCAPE '/'") == "SELECT '' FROM t WHERE c LIKE :b ESCAPE 'x'"


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT 1 FROM dual FETCH FIRST 1 ROWS ONLY", "12c"),
        ("SELECT x FROM t WHERE a = ''", "NULL"),
        ("SELECT x FROM t WHERE a IN (" + ",".join("1" * 1001) + ")", "1,000"),
        ("CREATE TEMPORARY TABLE x (a NUMBER)", "not Oracle's"),
        ("SELECT a FROM t WHERE b = :level", "reserved"),
        ("DROP TABLE IF EXISTS t", "IF EXISTS"),
        ("UPDATE a SET b = c.d FROM c", "UPDATE … FROM"),
        ("SELECT 1", "dual"),
        ("SELECT CASE WHEN a = :a_1 THEN 1 END FROM t GROUP BY CASE WHEN a = :a_1 THEN 1 END", "GROUP BY"),
        ("SELECT x FROM receipt r WHERE r.envelope = :e", "long text"),
        ("SELECT DISTINCT manifest FROM outbox", "long text"),
        ("SELECT string_agg(a, ',') FROM t", "no function string_agg"),
        ("SELECT CAST(a AS TEXT) FROM t", "no such type"),
    ],
)
def test_a_statement_that_11g_would_refuse_is_found(statement: str, why: str) -> None:
    assert any(why in f for f in faults(statement, (11, 2)))


def test_a_comparison_with_an_empty_text_is_found() -> None:
    column = sa.column("clash", sa.String)
    assert empty_texts(sa.select(column).where(column != ""))
    assert not empty_texts(sa.select(column).where(sa.func.length(column) > 0))
