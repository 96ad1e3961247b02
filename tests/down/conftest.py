"""A lab without data for down streams: set up once, copied per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sample.run import generate
from pipelines.lab.setup import Lab
from tests.round.labs import copy_lab, new_lab


@pytest.fixture(scope="session")
def empty_template(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    sources = tmp_path_factory.mktemp("sources") / "small"
    generate(sources, province="13", students=300, seed=1, dirt=False)
    return new_lab(tmp_path_factory.mktemp("lab") / "empty", sources)


@pytest.fixture
def lab(tmp_path: Path, empty_template: Lab) -> Lab:
    """Both nodes paired, nothing sent yet."""
    return copy_lab(empty_template, tmp_path / "lab")
