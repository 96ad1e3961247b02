"""Rung 1: every statement judged by rules and by the PL/SQL grammar, each shape of statement parsed once.

Decides which statements are the same to a grammar (`shape`: literals, numbers, names of binds and lengths of IN lists
differ) and remembers what it took: `accepted.txt` here is committed, a second list beside the grammar grows by itself.
A shape in neither list is parsed; without the grammar it is reported as not parsed, never as taken.

    python -m tests.oracle.judge      takes into the committed list what the grammar took on this machine
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

GRAMMAR = "@griffithswaite/ts-plsql-parser@1.1.1 antlr4@4.13.0"
HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".oracle-grammar"
COMMITTED, FOUND = HERE / "accepted.txt", HOME / "accepted.txt"
NONSENSE = "SELECT FROM WHERE"
# Entities differ in nothing but names: of what is said for each of them, what is said for students is judged.
_ENTITIES = "xx|xq|zy|bj|jzg|jg|jzg_gz|xs_sx|xs_xj|xs_yd|xs_jz|xs_jtcy|xs_by"
_OTHERS = re.compile(rf"\b[gzsh]_({_ENTITIES})\b|^\s*COMMENT\s+ON\b", re.I)
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_SAME = (
    (re.compile(r"(?<![\w:])\d+(\.\d+)?\b"), "1"),
    (re.compile(r"(?<![:\w]):\w+"), ":b"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\bIN \((:b|'x'|1)(?:, ?(?:\1))*\)"), r"IN (\1)"),
)


@dataclass(frozen=True)
class Judged:
    """`refused`: (statement, first error); `unparsed`: shapes nobody judged, because there is no grammar here."""

    shapes: int
    refused: tuple[tuple[str, str], ...]
    unparsed: int


def shape(statement: str) -> str:
    """What a grammar sees of a statement; '' stays, so that it does not open the literal that stands behind it."""
    statement = _LITERAL.sub(lambda found: "'x'" if found.group(0) != "''" else "''", statement)
    for pattern, same in _SAME:
        statement = pattern.sub(same, statement)
    return statement.strip()


def grammar_is_here() -> bool:
    """Whether `deploy/setup/oracle-grammar.sh` has run and node can run it."""
    return (HOME / "node_modules" / "@griffithswaite").is_dir() and shutil.which("node") is not None


def judge(statements: Iterable[str]) -> Judged:
    """Parses the shapes that no list knows."""
    shapes = {shape(s): s for s in statements if not _OTHERS.search(s)}
    known = _listed(COMMITTED) | _listed(FOUND)
    fresh = [s for s in sorted(shapes) if _digest(s) not in known]
    if not fresh:
        return Judged(len(shapes), (), 0)
    if not grammar_is_here():
        return Judged(len(shapes), (), len(fresh))
    errors = parse(fresh)
    _remember(s for s in fresh if not errors[s])
    return Judged(len(shapes), tuple((shapes[s], errors[s][0]) for s in fresh if errors[s]), 0)


def parse(statements: list[str]) -> dict[str, list[str]]:
    """Syntax errors of each statement; asserts that the grammar still refuses nonsense."""
    worker = ["node", "--stack-size=4000", str(HERE / "grammar.mjs"), str(HOME)]
    lines = "".join(json.dumps(s) + "\n" for s in [*statements, NONSENSE])
    done = subprocess.run(worker, input=lines, capture_output=True, text=True, check=True, timeout=600)
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(statements) + 1
    assert verdicts.pop(), "the grammar must refuse nonsense"
    return dict(zip(statements, verdicts, strict=True))


def _digest(text: str) -> str:
    return hashlib.sha256(f"{GRAMMAR}\n{text}".encode()).hexdigest()[:24]


def _listed(path: Path) -> frozenset[str]:
    return frozenset(path.read_text(encoding="ascii").split()) if path.is_file() else frozenset()


def _remember(shapes: Iterable[str]) -> None:
    with FOUND.open("a", encoding="ascii") as file:  # one write per line: two runs may append at once
        file.writelines(f"{_digest(s)}\n" for s in shapes)


if __name__ == "__main__":
    listed = sorted(_listed(COMMITTED) | _listed(FOUND))
    COMMITTED.write_text("".join(f"{d}\n" for d in listed), encoding="ascii")
