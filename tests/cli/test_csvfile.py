"""The CSV files a person opens in a spreadsheet."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.csvfile import csv_bytes, new_file, unmarked, write_csv
from hub.errors import UsageError

TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=9))


@given(st.lists(st.tuples(TEXTS, st.integers(-(2**62), 2**62)), min_size=1, max_size=30), st.integers(0, 3))
def test_every_text_comes_back_as_it_was_or_with_the_mark_against_formulas(
    rows: list[tuple[str | None, int]], start: int
) -> None:
    batch = pa.record_batch([pa.array([r[0] for r in rows], pa.string()), pa.array([r[1] for r in rows])], names="ab")
    part = batch.slice(min(start, len(rows) - 1))
    read = list(csv.reader(io.StringIO(bytes(csv_bytes(part)).decode(), newline="")))
    wanted = []
    for text, number in zip(part.column(0).to_pylist(), part.column(1).to_pylist(), strict=True):
        bare = (text or "").lstrip("'")
        mark = "'" if bare and bare[0] in "=+-@\t\r" else ""
        assert unmarked(mark + (text or "")) == (text or "")
        wanted.append([mark + (text or ""), str(number)])
    assert read == wanted


def test_only_what_needs_quotes_is_quoted_and_null_is_nothing() -> None:
    columns = [pa.array(["x", "a,b", 'q"', None]), pa.array([None, Decimal("1.50"), Decimal("-0.01"), Decimal("0.00")])]
    columns[1] = columns[1].cast(pa.decimal128(12, 2))
    made = bytes(csv_bytes(pa.record_batch(columns, names="ab"))).decode()
    assert made == 'x,\n"a,b",1.50\n"q""",-0.01\n,0.00\n'


def test_negative_numbers_are_numbers_and_no_formula() -> None:
    assert bytes(csv_bytes(pa.record_batch([pa.array([-5])], names="a"))) == b"-5\n"


def test_a_file_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(LookupError), new_file(path, private=True) as file:  # noqa: PT012
        write_csv(file, ["a"], [pa.record_batch([pa.array(["1"])], names="a")])
        raise LookupError
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "before"


def test_a_private_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    for private, mode in ((True, 0o600), (False, 0o644)):
        path = tmp_path / f"{private}.csv"
        with new_file(path, private=private) as file:
            assert write_csv(file, ["a", "b"], []) == 0
        assert path.read_bytes() == b"a,b\n"
        assert path.stat().st_mode & 0o777 & ~mode == 0


def test_a_folder_that_is_not_there_is_named_by_file_name_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error, new_file(tmp_path / "no" / "x.csv", private=True):
        pass
    assert error.value.code == "E1022"
    assert str(tmp_path) not in error.value.sentence()
