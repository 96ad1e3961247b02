"""The acceptance table itself: what a run says about a row that is broken, skipped or missing."""

from __future__ import annotations

import io

from rich.console import Console

from tests.acceptance.table import IN_FORCE, Told, add_up, not_held, show


def told(number: int, *results: str) -> list[Told]:
    return [Told(number, "replay of an applied batch", "DUPLICATE", result, 0.5) for result in results]


def test_one_failed_test_breaks_its_row_and_a_row_without_a_test_is_named() -> None:
    rows = {row.number: row for row in add_up([*told(8, "passed", "failed"), *told(9, "passed"), *told(10, "skipped")])}
    assert [rows[n].outcome for n in (8, 9, 10, 11)] == ["BROKEN", "held", "skipped", "NO TEST"]
    assert not_held(rows.values()) == [n for n in IN_FORCE if n != 9]


def test_the_table_says_number_attack_and_outcome() -> None:
    text = io.StringIO()
    show(Console(file=text, width=150), add_up(told(8, "passed")))
    line = next(line for line in text.getvalue().splitlines() if "replay" in line)
    assert [cell.strip() for cell in line.split("│")[1:5]] == ["8", "replay of an applied batch", "DUPLICATE", "held"]
    assert f"1 held, {len(IN_FORCE) - 1} NO TEST" in text.getvalue()
