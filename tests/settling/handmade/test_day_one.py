"""Day 1: the golden tables are exactly what the documents say, and every planted case lies where it should."""

from __future__ import annotations

import pytest

from tests.settling.handmade.layout import FIELDS
from tests.settling.handmade.node import Settled
from tests.settling.handmade.planted import day_one
from tests.settling.handmade.world import World

PLANTED = sorted(day_one().cases)


@pytest.fixture(scope="module")
def world() -> World:
    return day_one().finish()


@pytest.fixture(scope="module")
def settled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    node = Settled(tmp_path_factory.mktemp("handmade"), world)
    node.day()
    return node


@pytest.mark.parametrize("entity", sorted(FIELDS))
def test_the_golden_table_is_exactly_what_the_documents_say(world: World, settled: Settled, entity: str) -> None:
    assert settled.differences(world, entity) == []


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_case_lies_where_it_belongs(world: World, settled: Settled, case: str) -> None:
    assert settled.problem(world, case) == ""


def test_one_open_conflict_names_the_clashing_rows_together(world: World, settled: Settled) -> None:
    for pair in (
        ("WY05-a/xs", "WY05-b/xs"),
        ("WY03-01-a/xs", "WY03-01-b/xs"),
        ("WY08-a", "WY08-b"),
        ("WY09-1", "WY09-2"),
    ):
        entity = world.cases[pair[0]][0]
        keys = ["|".join(world.cases[c][1]) for c in pair]
        found = settled.ask(
            "SELECT clash, count(DISTINCT natural_key) FROM known_disagreement WHERE entity = ? "
            "AND natural_key IN (?, ?) AND state = '待处理' GROUP BY clash",
            [entity, *keys],
        )
        assert [n for _, n in found] == [2], pair
    for case, rule in (("WY08-key", "WY08"), ("WY06-114", "WY06"), ("WY02/xs", "WY02"), ("WY01-differing/xs", "WY01")):
        entity, key, _ = world.cases[case]
        found = settled.ask(
            "SELECT rule, count(DISTINCT src_rid), count(DISTINCT subject) FROM known_disagreement WHERE entity = ? "
            "AND natural_key = ? AND clash <> '' GROUP BY rule",
            [entity, "|".join(key)],
        )
        assert [(r, subjects) for r, _, subjects in found] == [(rule, 1)], "copies of one key are one conflict"


def test_every_open_reason_of_state_quarantine_belongs_to_a_planted_case(world: World, settled: Settled) -> None:
    planted = {(entity, "|".join(key)) for entity, key, _ in world.cases.values()}
    found = settled.ask("SELECT DISTINCT entity, natural_key FROM known_issue WHERE state IN ('隔离', '挂起')")
    assert set(found) <= planted
