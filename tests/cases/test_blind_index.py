"""The blind index says the same of a column as of one value, and of one person however the number is written."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ministry_node.blind_index import enrolment_rows, identity_number, link_of, person_mark, person_rows

KEY = bytes(range(32))
CARD = "11010519491231002X"
CON = duckdb.connect(config={"threads": 1})
DOCUMENT = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.text("0123456789Xx０１２ ", min_size=15, max_size=18),
    st.sampled_from([CARD, CARD.lower(), "110105491231002", "999105194912310021", "110105194902300021", "P1234567"]),
)
KIND = st.one_of(st.none(), st.sampled_from("1679ABZ"))


def block(pairs: list[tuple[str | None, str | None]]) -> pa.Table:
    count = len(pairs)
    return pa.table(
        {
            "row_ver": pa.array([1] * count, pa.int64()),
            "pk": [f"{n:020d}" for n in range(count)],
            "SFZJLXM": pa.array([k for k, _ in pairs], pa.string()),
            "SFZJH": pa.array([n for _, n in pairs], pa.string()),
            "GRBSM": [f"G{n}" for n in range(count)],
            "XXDM": ["3613000001"] * count,
            "XSDQZTM": ["01"] * count,
        }
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(KIND, DOCUMENT), min_size=1, max_size=30))
def test_columns_and_single_values_get_the_same_marks(pairs: list[tuple[str | None, str | None]]) -> None:
    rows = person_rows(CON, KEY, 7, block(pairs))
    assert rows.column("mark").to_pylist() == [person_mark(KEY, kind, number) for kind, number in pairs]
    links = [link_of(KEY, f"G{n}") for n in range(len(pairs))]
    assert rows.column("link").to_pylist() == links
    assert enrolment_rows(CON, KEY, 7, block(pairs)).column("link").to_pylist() == links
    assert set(rows.column("key_ver").to_pylist()) == {7}


def test_one_number_has_one_mark_however_it_is_written_and_another_key_has_another() -> None:
    wide = CARD.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789X"})
    written = (CARD, CARD.lower(), wide, f" {CARD}", CARD[:6] + CARD[8:17])
    marks = {person_mark(KEY, kind, n) for kind in "1BZ" for n in written}
    assert marks == {person_mark(KEY, "1", CARD)}
    assert person_mark(bytes(32), "1", CARD) not in marks


def test_what_is_no_document_stands_for_nobody() -> None:
    wrong_check, wrong_date, temporary = CARD[:17] + "1", "110105194902300024", "999105194912310023"
    for number in (None, "", " ", "无", wrong_check, wrong_date, temporary):
        assert person_mark(KEY, "Z", number) is None
        assert person_mark(KEY, "1", number) is None
    assert identity_number("110105194912310", "A") is None
    assert person_mark(KEY, "A", "p1234567") == person_mark(KEY, "A", "Ｐ1234567 ")
    assert person_mark(KEY, "A", "P1234567") != person_mark(KEY, "6", "P1234567")
