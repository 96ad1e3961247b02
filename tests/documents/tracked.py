"""The repository's own files: tracked by git, or new and not ignored. Read once per test run."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "hub", "connectors", "quality", "province_node", "ministry_node", "pipelines")
FOLDERS = (*ROOMS, "deploy", "tests")
_BINARY = (".png", ".jpg", ".gif", ".xlsx", ".parquet", ".db", ".der", ".woff2", ".ico")


@cache
def files() -> tuple[str, ...]:
    """Paths relative to the root, `/` between parts. Without git (a source archive): everything but hidden folders."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(ask, cwd=ROOT, capture_output=True, check=True)
        names = done.stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        parts = [p.relative_to(ROOT) for folder in FOLDERS for p in (ROOT / folder).rglob("*")]
        names = [str(p) for p in [*parts, *(p.relative_to(ROOT) for p in ROOT.glob("*.*"))]]
    return tuple(sorted(n for n in set(names) if n and (ROOT / n).is_file() and "__pycache__" not in n))


def texts() -> Iterator[tuple[str, str]]:
    """(path, text) of every file that is text."""
    for name in files():
        if not name.endswith(_BINARY):
            yield name, read(name)


@cache
def read(name: str) -> str:
    """A file's text; bytes that are no UTF-8 are replaced."""
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


@cache
def product() -> dict[str, ast.Module]:
    """Every module of the rooms, parsed."""
    return {n: ast.parse(read(n)) for n in files() if n.endswith(".py") and n.split("/")[0] in ROOMS}
