"""Defects the handmade judge once found: each stays found."""

from __future__ import annotations

import pytest

from tests.settling.handmade import defects
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import Expect, quarantined


@pytest.fixture(scope="module")
def day_one(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    node = Settled(tmp_path_factory.mktemp("defects"), defects.first())
    node.day()
    return node


@pytest.fixture(scope="module")
def day_two(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    world = defects.first()
    node = Settled(tmp_path_factory.mktemp("defects2"), world)
    node.day()
    node.day("2026-03-11", defects.second(world))
    return node


def test_a_label_is_found_that_stands_in_the_national_table_with_full_width_brackets(day_one: Settled) -> None:
    assert day_one.golden("jzg_gz")[p.A, "T0810"]["ZYJSZWM"] == "023"


def test_a_teacher_with_a_999_number_is_quarantined(day_one: Settled) -> None:
    assert day_one.judge("jzg", (p.A, "T0811"), quarantined("YX02", "YX04", at="SFZJH")) == ""


@pytest.mark.parametrize(
    ("entity", "key", "expected"),
    [
        pytest.param("jg", "J1", quarantined("WZ01", at="JGMC"), id="unit without a name"),
        pytest.param("jg", "J2", quarantined("待归一", "YX05", at="JGYXBS"), id="unit with an unknown label"),
        pytest.param("jzg", "T0822", quarantined("待归一", "YX05", at="MZM"), id="teacher of an unknown nation"),
        pytest.param("jzg", "T0823", quarantined("YX14", at="CJGZNY"), id="teacher with an impossible month"),
    ],
)
def test_a_wrong_supplement_row_never_founds_a_record(
    day_one: Settled, entity: str, key: str, expected: Expect
) -> None:
    assert day_one.judge(entity, (p.A, key), expected) == ""


def test_a_malformed_id_number_in_a_supplement_is_named_as_malformed(day_one: Settled) -> None:
    assert day_one.judge("jzg", (p.A, "T0820"), quarantined("YX01", at="SFZJH")) == ""


def test_a_student_is_back_at_school_when_the_event_of_leave_was_withdrawn(day_two: Settled) -> None:
    row = day_two.golden("xs_xj")[(defects.BACK.xs["GRBSM"],)]
    assert (row["XSDQZTM"], row["BH"]) == ("01", "2401")


def test_a_deletion_is_found_on_the_day_another_row_is_committed_very_late(day_two: Settled) -> None:
    graduates = day_two.golden("xs_by")
    assert (defects.LEFT.xs["GRBSM"],) not in graduates
    assert (defects.CAME.xs["GRBSM"],) in graduates


def test_a_field_the_school_does_not_own_may_be_empty_in_a_record_it_founded(day_one: Settled) -> None:
    """Ruling 5: the delivering source (L) is not the authority of ZZMMM (S2), so its absence never blocks."""
    assert day_one.golden("jzg")[p.A, "T0821"]["ZZMMM"] is None
