"""达梦, 金仓, openGauss: their dialects load beside our SQLAlchemy and compile our tables. Nothing more is claimed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[2] / ".other-databases"
NEEDED = {
    "dm": ("dmSQLAlchemy", "dmPython*.so", "pkg_resources"),
    "opengauss": ("opengauss_sqlalchemy",),
    "kingbase": ("ksycopg2",),
}


def compiled(name: str) -> dict[str, Any]:
    """What the child says; skipped by name where a package did not install here."""
    missing = [n for n in NEEDED[name] if not any(HOME.glob(n))]
    if missing:
        pytest.skip(f"{name}: {', '.join(missing)} not installed (deploy/setup/other-databases.sh)")
    if name == "opengauss" and find_spec("psycopg2") is None:
        pytest.skip("opengauss: psycopg2 not installed")
    command = [sys.executable, "-m", "tests.other_databases.child", str(HOME), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=HOME.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["tables"] > 40
    return told


def test_the_dialect_of_dm_loads_and_compiles_every_table() -> None:
    told = compiled("dm")
    assert (told["dialect"], told["driver"]) == ("dmSQLAlchemy.dmpython", "dmPython")
    assert "value" in told["reserved"], "our own SQL says VALUE: deploy/other-databases.md"


def test_the_dialect_of_opengauss_loads_and_compiles_every_table() -> None:
    told = compiled("opengauss")
    assert told["dialect"] == "opengauss_sqlalchemy.psycopg2"
    assert "LIMIT" in told["page"]


def test_the_driver_of_kingbase_serves_the_dialect_of_postgresql() -> None:
    told = compiled("kingbase")
    assert (told["dialect"].startswith("sqlalchemy.dialects.postgresql"), told["driver"]) == (True, "ksycopg2")
    assert told["reserved"] == []
