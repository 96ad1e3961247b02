"""One laboratory of 3,000 students, set up and run once by the command line itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.sample.run import generate
from hub.cli import main

TODAY = "2026-11-23"


@dataclass(frozen=True)
class Lab:
    """The folder, and what `init` and the first round answered (exit code, JSON document)."""

    folder: Path
    init: tuple[int, dict[str, Any]]
    first: tuple[int, dict[str, Any]]

    @property
    def province(self) -> Path:
        return self.folder / "province"

    @property
    def ministry(self) -> Path:
        return self.folder / "ministry"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("cli")
    sources, folder = root / "sources", root / "lab"
    generate(sources, province="13", students=3_000, seed=1)
    done = []
    for number, args in enumerate(
        (["init", str(folder), "--sources", str(sources)], ["run", str(folder), "--today", TODAY, "--compare"])
    ):
        with (root / f"{number}.json").open("w+", encoding="utf-8") as out, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            code = main(["--json", "lab", *args])
        done.append((code, json.loads((root / f"{number}.json").read_text(encoding="utf-8"))))
    return Lab(folder, done[0], done[1])
