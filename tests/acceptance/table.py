"""The acceptance table of protocol 15: which rows are in force, how a row's tests add up, and how a person reads it.

Decides no outcome: pytest does. A row is `held` only when every test of it passed; a row in force without a test is
`no test`, which fails `make test-protocol`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.table import Table

# Issue "The exchange": rows 1-64, 73, 76, 79, 80. The others belong to the audit log, private data and suite G1.
IN_FORCE: Final = (*range(1, 65), 73, 76, 79, 80)
LAST: Final = 80
HELD, BROKEN, SKIPPED, MISSING = "held", "BROKEN", "skipped", "NO TEST"
_STYLE: Final = {HELD: "green", BROKEN: "bold red", SKIPPED: "yellow", MISSING: "bold red"}


@dataclass
class Row:
    """One row: the attack as its test words it, what is expected, and the tests that ran, by result."""

    number: int
    attack: str = ""
    expected: str = ""
    results: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """One word for the row."""
        if self.results["failed"] or self.results["error"]:
            return BROKEN
        if self.results["passed"]:
            return HELD if not self.results["skipped"] else SKIPPED
        return SKIPPED if self.results else MISSING


@dataclass(frozen=True)
class Told:
    """What one test's report says about one row."""

    number: int
    attack: str
    expected: str
    result: str
    seconds: float


def add_up(told: Iterable[Told]) -> list[Row]:
    """Every row in force, and any other that has a test, in order."""
    rows = {number: Row(number) for number in IN_FORCE}
    for one in told:
        row = rows.setdefault(one.number, Row(one.number))
        row.attack = row.attack or one.attack
        row.expected = row.expected or one.expected
        row.results[one.result] += 1
        row.seconds += one.seconds
    return [rows[number] for number in sorted(rows)]


def show(console: Console, rows: Iterable[Row]) -> None:
    """The table, and one line that sums it up."""
    table = Table(title="Acceptance of the exchange (protocol 15)", title_justify="left", header_style="bold")
    for heading, options in (
        ("#", {"justify": "right"}),
        ("attack", {"ratio": 5}),
        ("expected", {"ratio": 5}),
        ("outcome", {"no_wrap": True}),
        ("tests", {"justify": "right"}),
        ("seconds", {"justify": "right"}),
    ):
        table.add_column(heading, **options)
    listed = list(rows)
    for row in listed:
        style = _STYLE[row.outcome]
        tests, seconds = str(sum(row.results.values())), f"{row.seconds:.1f}"
        table.add_row(str(row.number), row.attack, row.expected, f"[{style}]{row.outcome}[/]", tests, seconds)
    console.print(table)
    counted = Counter(row.outcome for row in listed)
    console.print("，".join(f"{counted[word]} {word}" for word in _STYLE if counted[word]).replace("，", ", "))


def not_held(rows: Iterable[Row]) -> list[int]:
    """Rows in force that do not hold."""
    return [row.number for row in rows if row.outcome != HELD and row.number in IN_FORCE]
