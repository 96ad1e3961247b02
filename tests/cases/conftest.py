"""The network of two provinces, built once per run, copied per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.network import Two, found_in, told_in


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Everything is applied and answered; four people stand in both provinces."""
    return found_in(tmp_path_factory.getbasetemp()).copy(tmp_path / "network")


@pytest.fixture
def told(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    """The same, and all four cases stand in both provinces' queues."""
    return told_in(tmp_path_factory.getbasetemp()).copy(tmp_path / "network")
