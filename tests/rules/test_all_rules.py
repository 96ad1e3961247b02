"""Each rule on a real round: a record that breaks it is found by it, a record that does not is not."""

from __future__ import annotations

import pytest

from hub.catalog import load_catalog
from quality.soft import row_rules
from quality.soft_cross import QUERIES
from tests.rules.province import TODAY, Cases, Record, plant
from tests.settling.handmade.node import Settled

CATALOG = load_catalog()
OF_A_ROUND = {"JS01", "JS04", "JS06"}  # tests/rules/test_run_rules.py
CASES = plant()
Hits = dict[str, set[Record]]


@pytest.fixture(scope="module")
def cases() -> Cases:
    return plant()


@pytest.fixture(scope="module")
def hits(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> Hits:
    """What two rounds found: in the second one source row is older than what is held."""
    node = Settled(tmp_path_factory.mktemp("rules"), cases.world)
    node.day(TODAY)
    for row in cases.world.tables["S1", "XS_JBXX"]:
        if row["DZXX"] in ("back@example.cn", "forth@example.cn"):
            row["GXSJ"] = "2026-01-01 08:00:00" if row["DZXX"].startswith("back") else "2026-03-10 08:00:00"
            row["DZXX"] = "new@example.cn"
    node.day(TODAY, cases.world, full=True)
    found: Hits = {}
    for table in ("known_issue", "known_finding"):
        for rule, entity, key in node.ask(f"SELECT rule, entity, natural_key FROM {table} WHERE natural_key <> ''"):
            found.setdefault(rule, set()).add((entity, tuple(key.split("|"))))
    return found


def test_every_rule_of_the_model_has_a_case() -> None:
    assert CASES.falls.keys() | OF_A_ROUND == CATALOG.rules.keys()


@pytest.mark.parametrize("rule", sorted(CASES.falls))
def test_a_record_that_breaks_the_rule_is_found_by_it(cases: Cases, hits: Hits, rule: str) -> None:
    assert [r for r in cases.falls[rule] if r not in hits.get(rule, set())] == []


@pytest.mark.parametrize("rule", sorted(CASES.falls))
def test_a_record_that_keeps_the_rule_is_not_found_by_it(cases: Cases, hits: Hits, rule: str) -> None:
    assert [r for r in cases.passes[rule] if r in hits.get(rule, set())] == []


def test_each_rule_is_executed_where_the_definitions_say() -> None:
    """`executed` in rules.yaml is held to the code: standing rules here, the others by the cases above."""
    standing = {rule for rule, _ in QUERIES} | {
        r.rule for e in CATALOG.entities.values() for r in row_rules(CATALOG, e)
    }
    assert standing == {r.id for r in CATALOG.rules.values() if "standing" in r.executed}
    assert {r.id for r in CATALOG.rules.values() if "run" in r.executed} == OF_A_ROUND
    assert all(r.executed and r.message for r in CATALOG.rules.values())
