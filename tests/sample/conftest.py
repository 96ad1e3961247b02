"""Small provinces, generated once per test run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.sample import generate

Rows = list[dict[str, str | None]]


@dataclass(frozen=True)
class Sources:
    """A generated folder: its answers, and the rows of a table by `S1.XS_JBXX`."""

    folder: Path
    answers: dict[str, Any]

    def rows(self, name: str) -> Rows:
        system, table = name.split(".")
        with sqlite3.connect(self.folder / f"{system.lower()}.db") as base:
            base.row_factory = sqlite3.Row
            return [dict(r) for r in base.execute(f'SELECT * FROM "{table}"')]

    def ask(self, system: str, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / f"{system.lower()}.db") as base:
            return base.execute(sql).fetchall()

    def cases(self, kind: str) -> list[dict[str, Any]]:
        return [c for c in self.answers["cases"] if c["kind"] == kind]


Make = Callable[..., Sources]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def generated(**arguments: Any) -> Sources:
        folder = tmp_path_factory.mktemp("sample")
        settings: dict[str, Any] = {"province": "13", "students": 4000, "seed": 1} | arguments
        return Sources(folder, generate(folder, **settings))

    return generated


@pytest.fixture(scope="session")
def clean(make: Make) -> Sources:
    return make(dirt=False)


@pytest.fixture(scope="session")
def first(make: Make) -> Sources:
    return make()


@pytest.fixture(scope="session")
def second(make: Make) -> Sources:
    return make(day=2)
