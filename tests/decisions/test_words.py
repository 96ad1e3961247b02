"""What values of a conflict read like."""

from __future__ import annotations

from hub.catalog import load_catalog
from quality.decisions_words import EMPTY, value_shown


def test_a_code_is_named_and_one_of_no_code_table_is_said_to_be_one() -> None:
    catalog = load_catalog()
    fields = catalog.entities["xs"].by_name
    told = [value_shown(catalog, fields["MZM"], v) for v in ("01", "99", "", None)]
    assert told == ["01 汉族", "99（代码表中没有）", EMPTY, EMPTY]
    assert value_shown(catalog, fields["SFZJH"], "130102200801011234", plain=True) == "130102200801011234"
    assert "（" not in value_shown(catalog, fields["JKZKM"], "zz"), "a private value says nothing beside its mask"
