"""One lab round in a process of its own: wall seconds per hop and the peak memory of any process, as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pipelines.lab.round import run_lab


def main(folder: str, today: str, full: str) -> None:
    """Prints `{"total", "hops": {step: seconds}, "rows", "bytes", "peak_mb"}`."""
    hops: dict[str, float] = {}
    start = last = time.perf_counter()
    current = "extract"

    def progress(step: str, what: str) -> None:
        nonlocal last, current
        del what
        now = time.perf_counter()
        hops[current] = hops.get(current, 0.0) + now - last
        last, current = now, step

    done = run_lab(
        Path(folder), today=today, at=datetime.now(UTC), rng=os.urandom, full=full == "full", progress=progress
    )
    progress("end", "")
    batches = [b for p in done.published for b in p.batches]
    usage = [resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    report = {
        "total": time.perf_counter() - start,
        "hops": hops,
        "rows": done.round.settled.changes.counts.rows,
        "bytes": sum(b.bytes for b in batches),
        "verdicts": [str(d.verdict) for i in done.intakes for d in i.decisions],
        "peak_mb": max(usage) / 1024,
    }
    print(json.dumps(report))  # noqa: T201 - the process's answer


if __name__ == "__main__":
    main(*sys.argv[1:])
