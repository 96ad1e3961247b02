"""A laboratory of 3,000 students that both code locations run on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sample.run import TODAY, generate
from pipelines.lab.setup import Lab, init_lab
from pipelines.resources import NodeResource

DAY = TODAY.isoformat()


@dataclass(frozen=True)
class Place:
    """A lab and the resources that Dagster is given for it; nothing waits between tries."""

    lab: Lab
    sources: Path
    province: NodeResource
    ministry: NodeResource


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    generate(folder, province="13", students=3000, seed=3)
    return folder


@pytest.fixture
def place(tmp_path: Path, sources: Path) -> Place:
    lab = init_lab(tmp_path / "lab", sources=sources, province="13", at=datetime.now(UTC), rng=os.urandom)
    here, there = (
        NodeResource(folder=str(node.folder), retries=1, retry_wait_seconds=0) for node in (lab.province, lab.ministry)
    )
    return Place(lab, sources, here, there)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
