"""One province with its first batch applied, and the same one moment earlier; every test attacks a copy of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.sample.run import generate
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.publish import publish_pending
from tests.ministry.forge import Province
from tests.round.labs import AT, copy_lab, new_lab, settle


@pytest.fixture(scope="session")
def shipped_template(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("ministry")
    generate(folder / "day1", province="13", students=3000, seed=1)
    lab = new_lab(folder / "shipped", folder / "day1")
    assert settle(lab) == 1
    assert len(publish_pending(lab.province, at=AT, rng=os.urandom)) == 1
    deliver(lab.province, at=AT)
    return lab


@pytest.fixture(scope="session")
def applied_template(tmp_path_factory: pytest.TempPathFactory, shipped_template: Lab) -> Lab:
    lab = copy_lab(shipped_template, tmp_path_factory.mktemp("ministry") / "applied")
    assert [d.verdict for d in Province(lab).intake().decisions] == ["APPLIED"]
    return lab


@pytest.fixture
def shipped(tmp_path: Path, shipped_template: Lab) -> Province:
    """The province's first real batch lies in `ready/`; the ministry has not looked yet."""
    return Province(copy_lab(shipped_template, tmp_path / "lab"))


@pytest.fixture
def province(tmp_path: Path, applied_template: Lab) -> Province:
    """The first batch is applied and answered; what comes next is forged here."""
    return Province(copy_lab(applied_template, tmp_path / "lab"))
