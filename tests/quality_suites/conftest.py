"""A province of 3,000 students with every planted kind of dirt, settled once for all tests of the second judge."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import quality.judge
from connectors.sample.run import generate
from hub.catalog import Catalog, load_catalog
from hub.settings import Node, open_node, write_settings
from province_node.settle import Options, Round, run_round

TODAY = "2026-11-23"


@dataclass(frozen=True)
class Settled:
    """A settled node: its catalogue, its round and the change files by entity."""

    node: Node
    catalog: Catalog
    site: Path
    round: Round
    files: dict[str, list[Path]]


@pytest.fixture(autouse=True)
def judge_as_the_product_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality.judge, "subprocess", subprocess)


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    base = tmp_path_factory.mktemp("judged")
    generate(base / "sources", province="13", students=3000, seed=7)
    folder = base / "node"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "record.secret").write_text("5a" * 32)
    write_settings(folder, {"role": "province", "party": "13", "name": "甲省", "sources": str(base / "sources")})
    node = open_node(folder)
    done = run_round(node, Options(today=TODAY), nonce=lambda: secrets.token_hex(32))
    site = base / "sources" / "site_dictionaries.csv"
    files: dict[str, list[Path]] = {}
    for file in done.settled.changes.files:
        files.setdefault(file.entity, []).append(file.path)
    return Settled(node, load_catalog(site), site, done, files)
