"""One set-up and one settling round for all tests here; each test works on its own copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.sample.run import generate
from pipelines.lab.setup import Lab
from province_node.publish import publish_pending
from tests.round.labs import AT, copy_lab, new_lab, settle


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Day 1 of a province of 3,000 students."""
    folder = tmp_path_factory.mktemp("sources") / "day1"
    generate(folder, province="13", students=3000, seed=1)
    return folder


@pytest.fixture(scope="session")
def sources_day2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / "day2"
    generate(folder, province="13", students=3000, seed=1, day=2)
    return folder


@pytest.fixture(scope="session")
def settled_template(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Lab:
    lab = new_lab(tmp_path_factory.mktemp("lab") / "settled", sources)
    assert settle(lab) == 1
    return lab


@pytest.fixture(scope="session")
def published_template(tmp_path_factory: pytest.TempPathFactory, settled_template: Lab) -> Lab:
    lab = copy_lab(settled_template, tmp_path_factory.mktemp("lab") / "published")
    assert len(publish_pending(lab.province, at=AT, rng=os.urandom)) == 1
    return lab


@pytest.fixture
def settled(tmp_path: Path, settled_template: Lab) -> Lab:
    """A lab whose first round is committed in the state and unknown to the store: as after a crash in between."""
    return copy_lab(settled_template, tmp_path / "lab")


@pytest.fixture
def published(tmp_path: Path, published_template: Lab) -> Lab:
    """The same, with the first change set in the store and sealed in the outbox."""
    return copy_lab(published_template, tmp_path / "lab")
