"""Collects the rows of protocol 15 from the tests: `@pytest.mark.row(61, "the attack", "what must happen")`.

Every test of a row carries that marker and the row's number in its name, `test_row_61_…`; several tests may share a
row, and one test may carry several rows. `make test-protocol` runs this folder with `HUB_EVERY_ROW=1`: the table of
all rows in force is printed and a row that is missing, skipped or broken fails the run. Works under xdist: the marker
travels in the report's user properties.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from connectors.sample.run import generate
from tests.acceptance.lands import Land
from tests.acceptance.table import Told, add_up, not_held, show
from tests.ministry.conftest import applied_template, province, shipped, shipped_template
from tests.round.conftest import published, published_template, settled, settled_template, sources
from tests.round.labs import new_lab, settle

__all__ = [
    "applied_template",
    "province",
    "published",
    "published_template",
    "settled",
    "settled_template",
    "shipped",
    "shipped_template",
    "sources",
]

_PROPERTY: Final = "acceptance row"
_NAMED: Final = re.compile(r"test_row_(\d+(?:_(?:and_)?\d+)*)_\D")
_WIDTH: Final = 150


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number, attack, expected=''): a row of protocol 15")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names and markers agree, and what the marker says goes into the report."""
    for item in items:
        if not str(item.path).startswith(os.path.dirname(__file__)):
            continue
        marks = list(item.iter_markers("row"))
        named = _NAMED.match(item.name)
        numbers = {int(n) for n in re.findall(r"\d+", named[1])} if named else set()
        if numbers != {int(mark.args[0]) for mark in marks}:
            raise pytest.UsageError(f"{item.nodeid}: name and @pytest.mark.row do not name the same rows")
        for mark in marks:
            number, attack, *expected = mark.args
            given = expected or [mark.kwargs.get("expected", "")]
            item.user_properties.append((_PROPERTY, [number, attack, given[0]]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = _told(terminalreporter)
    if told or _complete():
        rows = add_up(told)
        show(Console(width=_WIDTH), rows if _complete() else [row for row in rows if row.results])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A row in force without a test that passed is a failure of the whole run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _complete() and reporter is not None and not hasattr(session.config, "workerinput"):
        lacking = not_held(add_up(_told(reporter)))
        if lacking and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _complete() -> bool:
    return os.environ.get("HUB_EVERY_ROW") == "1"


def _told(reporter: pytest.TerminalReporter) -> list[Told]:
    told = []
    for result, key in (("passed", "passed"), ("failed", "failed"), ("error", "error"), ("skipped", "skipped")):
        for report in reporter.stats.get(key, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    told.append(Told(int(value[0]), value[1], value[2], result, report.duration))
    return told


@pytest.fixture(scope="session")
def day1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of a province of 200 students."""
    return _sources(tmp_path_factory.mktemp("acceptance") / "day1", 1)


@pytest.fixture(scope="session")
def day2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same province a day later."""
    return _sources(tmp_path_factory.mktemp("acceptance") / "day2", 2)


@pytest.fixture(scope="session")
def exchanged_template(tmp_path_factory: pytest.TempPathFactory, day1: Path) -> Land:
    land = Land(new_lab(tmp_path_factory.mktemp("acceptance") / "lab", day1))
    settle(land.lab)
    assert land.exchange() == ["APPLIED"]
    return land


@pytest.fixture
def exchanged(tmp_path: Path, exchanged_template: Land) -> Land:
    """The first batch is applied and answered; both sides are at rest. A copy of its own."""
    return exchanged_template.copy(tmp_path / "lab")


@pytest.fixture(scope="session")
def prepared_template(tmp_path_factory: pytest.TempPathFactory, exchanged_template: Land, day2: Path) -> Land:
    return exchanged_template.copy(tmp_path_factory.mktemp("acceptance") / "prepared").settle(day2)


@pytest.fixture
def prepared(tmp_path: Path, prepared_template: Land) -> Land:
    """`exchanged`, with the next day's round settled and not yet published."""
    return prepared_template.copy(tmp_path / "lab")


def _sources(folder: Path, day: int) -> Path:
    generate(folder, province="13", students=200, seed=1, day=day, dirt=False)
    return folder
