"""Two persons are two people, however their names are written (protocol 10.6)."""

from __future__ import annotations

import pytest

from hub.errors import UsageError
from hub.roles import two_persons


@pytest.mark.parametrize("second", ["Wang01", " wang01　", "ＷＡＮＧ０１", "", "　"])
def test_another_spelling_of_the_operator_is_no_second_person(second: str) -> None:
    with pytest.raises(UsageError) as refusal:
        two_persons("wang01", second)
    assert refusal.value.code == "E1219"


def test_a_key_operation_with_an_identity_number_for_a_name_is_refused_and_does_not_repeat_it() -> None:
    with pytest.raises(UsageError) as refusal:
        two_persons("wang01", "130102200801011234")
    assert refusal.value.code == "E1053"
    assert "130102" not in str(refusal.value)


def test_two_people_may_go_on() -> None:
    two_persons("wang01", "li02")
