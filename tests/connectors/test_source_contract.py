"""One suite over every kind of source: a new connector arrives by passing it."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from connectors.base import Source
from hub.catalog import SourceTable
from tests.connectors.conftest import sample_rows

Layout = Callable[[str], SourceTable]
Opened = tuple[str, Source]


def rows_of(batches: object) -> list[dict[str, str | None]]:
    found = [row for batch in batches for row in batch.to_pylist()]  # type: ignore[attr-defined]
    return sorted(found, key=lambda row: tuple(v or "" for v in row.values()))


def test_every_row_arrives_as_raw_text_under_the_layouts_names(source: Opened, layout: Layout) -> None:
    kind, opened = source
    for name, rows in sample_rows(layout).items():
        table = layout(f"S1.{name}")
        got = rows_of(opened.read(table))
        expected = [
            {k: _as_stored(kind, v, next(c.type for c in table.columns if c.name == k)) for k, v in row.items()}
            for row in rows
        ]
        assert got == sorted(expected, key=lambda row: tuple(v or "" for v in row.values()))


def _as_stored(kind: str, value: str | None, column: str) -> str | None:
    """Databases store numbers with their scale and times with microseconds; text stays text."""
    if value is None or kind not in ("postgresql", "sqlalchemy", "oracle"):
        return value
    if column == "N" and kind != "oracle":
        return f"{value}.0"
    if column == "TS" and kind != "postgresql" and "." in value:
        return value.ljust(26, "0")
    return value


def test_a_block_is_strings_and_never_longer_than_asked(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XS_JBXX")
    batches = list(opened.read(table, block_rows=2))
    assert [b.num_rows for b in batches if b.num_rows > 2] == []
    assert sum(b.num_rows for b in batches) == 3
    assert all(b.schema == pa.schema([(n, pa.string()) for n in table.column_names]) for b in batches)


def test_since_takes_the_mark_itself_and_rows_without_an_update_time(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XX_DZ")
    assert [r["JXXDM"] for r in rows_of(opened.read(table, since="2026-03-01 08:30:00"))] == [
        "4141000002",
        "4141000003",
    ]
    assert [r["JXXDM"] for r in rows_of(opened.read(table, since="2026-01-01 00:00:00"))] == [
        "4141000001",
        "4141000002",
        "4141000003",
    ]


def test_a_malformed_watermark_is_our_own_mistake(source: Opened, layout: Layout) -> None:
    with pytest.raises(RuntimeError, match="since"):
        list(source[1].read(layout("S1.XX_DZ"), since="2026-03-01' OR 1=1 --"))


def test_the_high_mark_is_the_greatest_update_time_as_text(source: Opened, layout: Layout) -> None:
    mark = source[1].high_mark(layout("S1.XX_DZ"))
    assert mark is not None
    assert mark.rstrip("0") == "2026-03-01 08:30:00.25"


def test_keys_and_counts_agree_with_the_rows(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XS_JTCY")
    keys = rows_of(opened.read_keys(table))
    assert [k["GRBSM"] for k in keys] == ["L2", "L2", "L3"]
    assert all(set(k) == {"GRBSM", "CYXH"} for k in keys)
    assert opened.count(table) == 3
    assert opened.probe(table).rows == 3


def test_rows_are_found_by_composite_key_and_null_matches_null(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XS_JTCY")
    keys = pa.Table.from_batches(list(opened.read_keys(table)))
    wanted = keys.filter(
        pa.compute.or_kleene(pa.compute.is_null(keys["CYXH"]), pa.compute.starts_with(keys["CYXH"], "2"))
    )
    assert sorted(str(r["CYXM"]) for r in rows_of(opened.read_rows(table, wanted))) == ["丙", "乙"]
    assert rows_of(opened.read_rows(table, keys.slice(0, 0))) == []


def test_more_keys_than_one_question_may_hold_are_asked_in_chunks(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XS_JBXX")
    keys = pa.table({"GRBSM": pa.array([*(f"X{i}" for i in range(1500)), "L2", "L3"])})
    assert [r["GRBSM"] for r in rows_of(opened.read_rows(table, keys))] == ["L2", "L3"]


def test_two_readings_may_be_interleaved_and_one_abandoned(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.XS_JBXX")
    first, second = opened.read(table, block_rows=1), opened.read(table, block_rows=1)
    assert next(first).num_rows == next(second).num_rows == 1
    first.close()  # type: ignore[attr-defined]
    assert opened.count(table) == 3
    assert sum(b.num_rows for b in second) == 2


def test_a_table_that_is_not_there_is_probed_as_absent_and_refused_when_read(source: Opened, layout: Layout) -> None:
    _, opened = source
    table = layout("S1.BJ_XX")
    assert not opened.probe(table).present
    with pytest.raises(Exception, match="没有表 BJ_XX") as refused:
        list(opened.read(table))
    assert "S1.BJ_XX" in str(refused.value)
    assert "下一步" in str(refused.value)
