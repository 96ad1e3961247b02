"""A small published province (handmade world, province 41), set up once; each test works on a copy of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from pipelines.lab.setup import Lab, init_lab
from province_node.publish import publish_pending
from tests.round.labs import AT, copy_lab
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.world import World, quarantined, write
from tests.supplements.rounds import run

GAP, NO_CLASS, NEW = p.student(901, p.A), p.student(904, p.A), p.student(900, p.A)


def province() -> World:
    """The clean province, and two students the platform delivers incompletely: no 健康状况, no class."""
    w = base.clean()
    w.student("gap", GAP, src={"xs": {"JKZKM": None}}, out={"xs": quarantined("WZ01")})
    w.student("no-class", NO_CLASS, src={"xs_xj": {"BH": None}}, out={"xs_xj": quarantined("WZ06")})
    return w


@pytest.fixture(scope="session")
def template_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("supplements")
    write(province(), folder / "src", dictionaries=True)
    lab = init_lab(folder / "lab", sources=folder / "src", province="41", at=AT, rng=os.urandom)
    run(lab)
    assert len(publish_pending(lab.province, at=AT, rng=os.urandom)) == 1
    return lab


@pytest.fixture
def lab(tmp_path: Path, template_lab: Lab) -> Lab:
    return copy_lab(template_lab, tmp_path / "lab")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def store(lab: Lab, catalog: Catalog) -> Iterator[Store]:
    opened = open_store(lab.province.database_url, catalog)
    yield opened
    opened.close()


Sheet = Callable[..., Path]


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    """A function (name, rows of cells) → an xlsx file with sheet1."""

    def make(name: str, *rows: list[Any]) -> Path:
        book = Workbook()
        book.active.title = "sheet1"  # type: ignore[union-attr]
        for row in rows:
            book.active.append(row)  # type: ignore[union-attr]
        path = tmp_path / name
        book.save(path)
        return path

    return make
