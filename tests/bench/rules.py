"""`python -m tests.bench.rules`: what the rules cost a full settling (all rules beside none, in one run).

python -m tests.bench.rules [--students 1000000]

Settling is a round without reading the sources: normalise, judge, match, survivorship, change set, findings. "None"
leaves out every row rule, every rule between rows and tables, the notes of normalising, all findings of severity 警告
and 提示 and the second judge (Great Expectations). What settling cannot do without stays in both: keys and clashes of
one key, matching, parents, fields that make a record, survivorship, the balance. Both settle the same sources from an
empty state, each in a process of its own; the peak is the largest of any process of that round. The ratio is told of
seconds and of processor time: only the latter means something where others work on the machine.

1,000,000 students on two quiet processors: 1.20 in seconds (59 and 50), 1.26 in processor time (100 and 79),
peaks 1,496 and 1,501 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from connectors.sample.run import generate
from pipelines.lab.setup import init_lab, open_lab
from province_node.settle import Options, run_round
from quality import contributions, cross
from tests.bench.place import child

PROVINCE, TODAY = "13", "2026-11-23"
ALL, NONE = "all", "none"
BETWEEN_ROWS = ("schools", "classes", "units", "posts", "students", "enrolments", "graduates")


def main() -> None:
    """Prints one JSON line: seconds and peaks of both, and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rules")
    parser.add_argument("--students", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(".bench/rules"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generate(folder / "sources", province=PROVINCE, students=options.students, seed=1)
    figures: dict[str, Any] = {"students": options.students}
    for which in (NONE, ALL):
        place = {"sources": folder / "sources", "province": PROVINCE}
        init_lab(folder / which, at=datetime.now(UTC), rng=os.urandom, **place)
        found = child("tests.bench.rules", "--one", which, str(folder / which))
        shutil.rmtree(folder / which)
        figures |= {f"{which}: {name}": value for name, value in found.items()}
    for name in ("settle", "settle cpu"):
        figures[f"{name}: all / none (goal 3.0)"] = round(figures[f"{ALL}: {name}"] / figures[f"{NONE}: {name}"], 2)
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
    shutil.rmtree(folder)


def one(which: str, lab: Path) -> None:
    """One round, timed; the figures as JSON on the last line."""
    hops, busy = {"extract": 0.0, "settle": 0.0}, {"extract": 0.0, "settle": 0.0}
    last, spent, current = time.perf_counter(), _processor(), "extract"

    def progress(step: str, _what: str) -> None:
        nonlocal last, spent, current
        now, used = time.perf_counter(), _processor()
        hops[current] += now - last
        busy[current] += used - spent
        last, spent, current = now, used, step

    with ExitStack() as stack:
        if which == NONE:
            _without_rules(stack)
        wanted = Options(today=TODAY, full=True, judge=which == ALL, soft=which == ALL)
        done = run_round(open_lab(lab).province, wanted, nonce=lambda: os.urandom(32).hex(), progress=progress)
    progress("settle", "")
    peaks = [resource.getrusage(w).ru_maxrss / 1024 for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told = {
        **{name: round(seconds, 1) for name, seconds in hops.items()},
        "settle cpu": round(busy["settle"], 1),
        "rows": done.settled.changes.counts.rows,
        "findings": sum(done.findings.values()),
        "peak_mb": round(max(peaks)),
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _processor() -> float:
    """Seconds of processor time of this process, its threads and the children that have ended."""
    spent = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in spent)


def _without_rules(stack: ExitStack) -> None:
    """Settling as it is, with no rule to ask."""

    def no_rules(*_given: Any) -> Sequence[Any]:
        return []

    def nothing(*_given: Any, **_options: Any) -> None:
        return None

    for name in ("hard_rules", "label_notes"):
        stack.enter_context(patch.object(contributions, name, no_rules))
    for name in BETWEEN_ROWS:
        stack.enter_context(patch.object(cross, name, nothing))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
