"""A lab after its first round, its sources free to be edited, and the command line over it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hub.cli import main
from pipelines.lab.setup import Lab
from tests.round.labs import point_at


def own_sources(lab: Lab, folder: Path) -> Lab:
    """The lab over a copy of its sources in `folder`."""
    source = lab.province.folder / "hub.toml"
    line = next(r for r in source.read_text(encoding="utf-8").splitlines() if r.startswith("sources"))
    shutil.copytree(line.split('"')[1], folder)
    return point_at(lab, folder)


def edit(folder: Path, sql: str, *values: str, system: str = "s1") -> None:
    con = sqlite3.connect(folder / f"{system}.db")
    con.execute(sql, values)
    con.commit()
    con.close()


def answer(lab: Lab, capsys: pytest.CaptureFixture[str], *args: object, ministry: bool = False) -> dict[str, Any]:
    """What a command says with `--json`."""
    capsys.readouterr()
    node = lab.ministry if ministry else lab.province
    assert main(["--json", "--node", str(node.folder), *map(str, args)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found
