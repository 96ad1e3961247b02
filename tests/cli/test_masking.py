"""What of a private value may be seen, one value at a time and in columns."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.catalog import load_catalog
from hub.masking import HIDDEN, ID_INSIDE, is_masked, mask_batch, mask_column, mask_key, mask_row, mask_value, swept

CATALOG = load_catalog()
XS = CATALOG.entities["xs"]
PRIVATE = [f for e in CATALOG.entities.values() for f in e.fields if f.private]
ID = "130102200801017164"


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("SFZJH", ID, "130***********7164"),
        ("SFZJH", "E12345678", "E******78"),
        ("SFZJH", "E1", HIDDEN),
        ("LXDH", "13912340512", "139****0512"),
        ("LXDH", "7654321", "*****21"),
        ("LXDH", "110", HIDDEN),
        ("GRBSM", f"G{ID}", "G130***********7164"),
        ("JKZKM", "1", HIDDEN),
        ("DZXX", "someone@example.cn", HIDDEN),
        ("XBM", "1", "1"),
    ],
)
def test_a_value_shows_what_its_field_s_mask_leaves(field: str, value: str, shown: str) -> None:
    assert mask_value(XS[field], value) == shown
    assert mask_column(XS[field], pa.array([value, None])).to_pylist() == [shown, None]


def test_a_card_keeps_four_digits_and_an_address_nothing() -> None:
    card, address = CATALOG.entities["xs_jz"]["YHKH"], CATALOG.entities["xs_sx"]["JTXDZ"]
    assert mask_value(card, "6222020200112233445") == "*" * 15 + "3445"
    assert mask_value(card, "12345") == HIDDEN
    assert mask_value(address, "某县某镇某村12号") == HIDDEN


@given(st.sampled_from(PRIVATE), st.text(max_size=40))
def test_column_and_value_mask_alike_and_show_at_most_eight_characters(field: object, value: str) -> None:
    assert isinstance(field, type(XS.fields[0]))
    shown = mask_value(field, value)
    assert shown is not None
    if field.type != "N":
        assert mask_column(field, pa.array([value, None])).to_pylist() == [shown, None]
    kept = sum(a == b != "*" for a, b in zip(shown, value, strict=False)) if shown != HIDDEN else 0
    assert kept <= min(8, len(value))
    assert shown != value or set(value) == {"*"}


def test_a_joined_key_is_masked_part_by_part_and_a_broken_one_whole() -> None:
    award = CATALOG.entities["xs_jz"]
    assert mask_key(award, f"G{ID}|2025-2026|1|2") == "G130***********7164|2025-2026|1|2"
    assert mask_key(award, f"G{ID}|x") == HIDDEN
    assert mask_key(CATALOG.entities["bj"], "3613000101|K1|多") == "3613000101|K1|多"
    assert mask_key(award, "") == ""
    assert mask_key(award, None) is None


def test_an_identity_number_in_a_free_text_is_found() -> None:
    assert swept(f"备注：{ID}，张") == "备注：130***********7164，张"
    assert mask_column(XS["XM"], pa.array(["李四", f"李{ID}"])).to_pylist() == ["李四", "李130***********7164"]
    row = mask_row(XS, {"GRBSM": f"G{ID}", "XM": "李四", "note": ID, "row_ver": 1})
    assert row == {"GRBSM": "G130***********7164", "XM": "李四", "note": "130***********7164", "row_ver": 1}


def test_a_school_s_public_credit_code_is_no_person_s_number() -> None:
    field = CATALOG.entities["xx"]["TYSHXYDM"]
    assert mask_value(field, ID) == ID
    assert mask_column(field, pa.array([ID])).to_pylist() == [ID]


def test_no_field_lets_an_identity_number_through() -> None:
    """Whatever column of whatever entity it was typed into."""
    for entity in CATALOG.entities.values():
        texts = [f for f in entity.fields if f.type != "N" and f.kind != "uscc"]
        batch = pa.record_batch([pa.array([f"G{ID}", ID]) for _ in texts], names=[f.name for f in texts])
        masked = mask_batch(entity, batch, batch.schema.names)
        for name in masked.schema.names:
            assert not any(re.search(ID_INSIDE, v) for v in masked.column(name).to_pylist()), f"{entity.name}.{name}"


def test_every_sensitive_field_of_the_definitions_is_masked() -> None:
    assert len(PRIVATE) >= 20
    assert all(is_masked(f) for f in PRIVATE)
