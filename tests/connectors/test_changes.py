"""Three ways to find change."""

from __future__ import annotations

import datetime as dt
import hashlib

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.changes import brake, row_hash_sql, since_with_overlap

COLUMNS = ("GRBSM", "XM", "GXSJ", "BZ")
VALUES = st.one_of(st.none(), st.text(st.characters(blacklist_characters="\x1e\x1f", codec="utf-8"), max_size=5))


def hashes(rows: list[tuple[str | None, ...]], columns: tuple[str, ...] = COLUMNS) -> list[int]:
    table = pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(columns)})
    with duckdb.connect() as conn:
        conn.register("t", table)
        return [r[0] for r in conn.execute(f"SELECT {row_hash_sql(columns)} FROM t").fetchall()]


def test_the_hash_of_a_row_is_the_same_in_every_version() -> None:
    # Stored hashes are compared with tomorrow's, so the definition is written out here a second time.
    told = hashlib.md5("\x1f".join(["\x1e", "L1", "张三"]).encode(), usedforsecurity=False).digest()
    assert hashes([("L1", "张三", "2026-01-01 00:00:00", None)]) == [int.from_bytes(told[8:], "little")]


def test_the_update_time_alone_is_no_change_and_null_is_not_empty() -> None:
    first, touched, emptied, shifted = hashes(
        [("a", "b", "1", None), ("a", "b", "2", None), ("a", "b", "1", ""), ("a", None, "1", "b")]
    )
    assert first == touched
    assert len({first, emptied, shifted}) == 3


def test_the_order_of_columns_does_not_matter() -> None:
    assert hashes([("a", "b", "1", "c")]) == hashes([("c", "1", "b", "a")], tuple(reversed(COLUMNS)))
    with pytest.raises(RuntimeError):
        row_hash_sql(["GXSJ"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=1, max_size=20))
def test_two_rows_have_one_hash_only_when_they_are_the_same_row(rows: list[tuple[str | None, ...]]) -> None:
    seen = {(r[0], r[1], r[3]) for r in rows}
    assert len(set(hashes(rows))) == len(seen)


def test_the_overlap_goes_back_and_keeps_the_form() -> None:
    assert since_with_overlap("2026-03-01 00:10:00", dt.timedelta(hours=1)) == "2026-02-28 23:10:00"
    assert since_with_overlap("2026-03-01 00:10:00.25", dt.timedelta(0)) == "2026-03-01 00:10:00.250000"
    assert since_with_overlap("0001-01-01 00:10:00", dt.timedelta(days=9)) == "0001-01-01 00:00:00"
    with pytest.raises(RuntimeError):
        since_with_overlap("2026-03-01", dt.timedelta(0))
    with pytest.raises(RuntimeError):
        since_with_overlap("2026-03-01 00:10:00", dt.timedelta(-1))


def test_the_brake_holds_a_run_that_deletes_more_than_its_share() -> None:
    assert not brake(0, 0, 0.05)
    assert not brake(5, 100, 0.05)
    assert brake(6, 100, 0.05)
    assert brake(1, 0, 0.05)
    assert brake(1, 100, 0.0)
    assert not brake(100, 100, 1.0)
    for wrong in ((-1, 1, 0.1), (1, -1, 0.1), (1, 1, 1.1)):
        with pytest.raises(RuntimeError):
            brake(*wrong)
