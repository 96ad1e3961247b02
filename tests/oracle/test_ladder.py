"""Rungs 0 and 1: every statement the product can send to Oracle, compiled and judged for 11.2 and 19."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from tests.oracle.rules import faults
from tests.oracle.statements import dialect, noting_core, of_migrations, of_the_store, rendered

VERSIONS = ((11, 2), (19,))
HOME = Path(__file__).parents[2] / ".oracle-grammar"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Core statements of two rounds of a laboratory: province, ministry, their transport."""
    with noting_core() as kept:
        _rounds(tmp_path_factory.mktemp("rounds"))
    return kept


def _rounds(folder: Path) -> None:
    from click.testing import CliRunner

    from hub.cli.root import root_command

    run, app = CliRunner(), root_command()
    steps = (
        ["sample", "--out", str(folder / "s"), "--province", "13", "--students", "3000", "--seed", "1"],
        ["lab", "init", str(folder / "lab"), "--sources", str(folder / "s"), "--province", "13"],
        ["lab", "run", str(folder / "lab")],
        ["--node", str(folder / "lab" / "province"), "sync", "status"],
    )
    for step in steps:
        done = run.invoke(app, step)
        assert done.exit_code in (0, 3), (step, done.output)


def collected(catalog: Catalog, core: list[Any], version: tuple[int, ...]) -> list[str]:
    compiled = [rendered(s, dialect(version)) for s in core]
    return [*of_migrations(version), *of_the_store(catalog, version), *compiled]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_statement_uses_what_this_oracle_lacks(version: tuple[int, ...], catalog: Catalog, core: list[Any]) -> None:
    said = collected(catalog, core, version)
    assert len(core) > 40
    assert len(set(said)) > 300
    assert [(f, s[:200]) for s in said for f in faults(s, version)] == []
    assert any("MERGE INTO g_xs " in s for s in said)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT 1 FROM dual FETCH FIRST 1 ROWS ONLY", "12c"),
        ("SELECT x FROM t WHERE a = ''", "NULL"),
        ("SELECT x FROM t WHERE a IN (" + ",".join("1" * 1001) + ")", "1,000"),
        ("CREATE TEMPORARY TABLE x (a NUMBER)", "not Oracle's"),
        ("SELECT a FROM t WHERE b = :level", "reserved"),
        ("DROP TABLE IF EXISTS t", "IF EXISTS"),
    ],
)
def test_a_statement_that_11g_would_refuse_is_found(statement: str, why: str) -> None:
    assert any(why in f for f in faults(statement, (11, 2)))


def test_no_statement_compares_sorts_or_groups_long_texts(core: list[Any]) -> None:
    """ORA-00932: a CLOB stands neither in =, IN, ORDER BY, GROUP BY nor DISTINCT."""
    lob = (sa.Text, sa.LargeBinary)
    wrong = []
    for statement in core:
        for part in sa.sql.visitors.iterate(statement):
            if not isinstance(part, sa.BinaryExpression) or not isinstance(part.left.type, lob):
                continue
            if part.operator not in (sa.sql.operators.is_, sa.sql.operators.is_not):
                wrong.append(str(part))
        for clause in ("_order_by_clauses", "_group_by_clauses"):
            wrong += [str(c) for c in getattr(statement, clause, ()) if isinstance(getattr(c, "type", None), lob)]
        if getattr(statement, "_distinct", False):
            wrong += [str(c) for c in statement.selected_columns if isinstance(c.type, lob)]
    assert wrong == []


def test_the_grammar_takes_every_shape_of_statement(catalog: Catalog, core: list[Any]) -> None:
    if not (HOME / "node_modules" / "@griffithswaite").is_dir() or shutil.which("node") is None:
        pytest.skip("rung 1 has not run: no PL/SQL grammar (deploy/setup/oracle-grammar.sh needs npm)")
    said = sorted({s for v in VERSIONS for s in _shapes(collected(catalog, core, v))})
    worker = ["node", "--stack-size=4000", str(Path(__file__).with_name("grammar.mjs")), str(HOME)]
    lines = "".join(json.dumps(s) + "\n" for s in [*said, "SELECT FROM WHERE"])
    done = subprocess.run(worker, input=lines, capture_output=True, text=True, check=True, timeout=600)
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(said) + 1
    assert verdicts.pop(), "the grammar must refuse nonsense"
    refused = [(s[:200], v[0]) for s, v in zip(said, verdicts, strict=True) if v]
    assert refused == []


def _shapes(said: list[str]) -> dict[str, None]:
    """Entities differ in nothing but names: of what is said for each of them, what is said for students is judged."""
    others = ("xx", "xq", "zy", "bj", "jzg", "jg", "jzg_gz", "xs_sx", "xs_xj", "xs_yd", "xs_jz")
    names = [f" {p}_{e} " for p in "gzs" for e in [*others, "xs_jtcy", "xs_by"]]
    kept = [s for s in said if not any(n in f"{s} ".replace("\n", " ") for n in names) and "COMMENT ON" not in s]
    return dict.fromkeys(kept)
