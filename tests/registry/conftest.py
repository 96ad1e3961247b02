"""A lab after its first whole round, settled and applied at both tiers once per run, copied per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sample.run import generate
from pipelines.lab.setup import Lab
from tests.down.rounds import lab_round
from tests.round.labs import copy_lab, new_lab


@pytest.fixture(scope="session")
def first_round(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    sources = tmp_path_factory.mktemp("sources") / "day1"
    generate(sources, province="13", students=3000, seed=3)
    lab = new_lab(tmp_path_factory.mktemp("lab") / "first", sources)
    lab_round(lab)
    return lab


@pytest.fixture
def lab(tmp_path: Path, first_round: Lab) -> Lab:
    return copy_lab(first_round, tmp_path / "lab")
