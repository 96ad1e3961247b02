"""Day 2, incrementally, compared in full, and from scratch: the golden tables are what the documents say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settling.handmade.layout import FIELDS
from tests.settling.handmade.node import Settled
from tests.settling.handmade.second_day import Days, confirm_crosswalk, two_days
from tests.settling.handmade.world import SECOND_DAY


@pytest.fixture(scope="module")
def days() -> Days:
    return two_days()


@pytest.fixture(scope="module")
def increment(days: Days, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    node = Settled(tmp_path_factory.mktemp("increment"), days.first)
    node.day()
    done = node.day(SECOND_DAY, days.second)
    assert not done.whole
    assert done.settled.key_changes == 2
    return node


def wrong(node: Settled, days: Days) -> list[str]:
    found = [f"{e}: {line}" for e in FIELDS for line in node.differences(days.second, e)]
    return found + [f"{c}: {p}" for c in days.second.cases if (p := node.problem(days.second, c))]


def test_the_increment_leaves_exactly_what_the_documents_say(increment: Settled, days: Days) -> None:
    assert wrong(increment, days) == []


def test_reasons_are_given_where_the_prior_record_stands(increment: Settled, days: Days) -> None:
    def said(entity: str, name: str) -> set[tuple[str, str, str]]:
        return set(increment.issues(entity, (days.seeds[name].xs["GRBSM"],)))

    assert ("YX05", "ZZMMM", "隔离") in said("xs", "unknown")
    assert ("YX05", "MZM", "隔离") in said("xs", "invalid-only")
    assert any(state == "挂起" for _, _, state in said("xs_xj", "transit"))
    assert any(state == "挂起" for _, _, state in said("xs_xj", "rejected"))
    twin = (days.seeds["twin"].xs["GRBSM"],)
    assert any(rule == "WY01" for rule, _, _ in said("xs", "twin"))
    assert increment.conflicts("xs", twin)


def test_the_temporary_number_joins_the_formal_one_under_one_record_number(increment: Settled, days: Days) -> None:
    pairs = set(increment.ask("SELECT old, new FROM student_alias"))
    for name in ("temporary", "temporary-both"):
        old = days.seeds[name]
        assert (old.xs["GRBSM"], "G" + old.xs["SFZJH"]) in pairs


def test_a_full_comparison_of_the_same_sources_changes_nothing(increment: Settled, days: Days) -> None:
    done = increment.day(SECOND_DAY, full=True)
    assert not done.settled.changes.files
    assert wrong(increment, days) == []


def test_from_scratch_only_what_rests_on_history_differs(days: Days, tmp_path: Path) -> None:
    node = Settled(tmp_path, days.second)
    node.day(SECOND_DAY)
    people = {key for _, key in days.history}
    for entity in FIELDS:
        if entity == "bj":
            continue  # ZRS counts those people
        lines = node.differences(days.second, entity)
        strange = [x for x in lines if not any(k[0] in x for k in people)]
        assert strange == []


def test_a_confirmed_old_school_code_lets_its_students_in(days: Days, tmp_path_factory: pytest.TempPathFactory) -> None:
    node = Settled(tmp_path_factory.mktemp("crosswalk"), days.second)
    node.day()
    confirmed = days.second.copy()
    confirm_crosswalk(confirmed)
    node.day(SECOND_DAY, confirmed)
    held = next(r for r in confirmed.tables["S1", "XS_JBXX"] if r["XXDM"] == "4110020009")
    assert node.golden("xs")[(held["GRBSM"],)]["XXDM"] == "3641000002"
    assert (held["GRBSM"],) in node.golden("xs_xj")
    assert node.golden("xx")[("3641000002",)]["JXXDM"] == "4110020009"
