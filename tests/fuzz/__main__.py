"""`make fuzz`: spoiled bytes into every reader for as long as wanted; a finding is kept as a file and ends with 1."""

from __future__ import annotations

import argparse
import hashlib
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.fuzz.mutate import mutations
from tests.fuzz.readers import outcome, targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"))
    options = parser.parse_args()
    end, seed, findings = time.monotonic() + options.seconds, options.seed, 0
    counts: dict[str, Counter[str]] = {}
    with targets() as found:
        while time.monotonic() < end:
            for target in found:
                told = counts.setdefault(target.name, Counter())
                for data in mutations(target.good, 100, seed):
                    try:
                        told[outcome(target, data) or "accepted"] += 1
                    except Exception:  # noqa: BLE001 - any other failure is what is looked for
                        findings += 1
                        options.keep.mkdir(exist_ok=True)
                        name = f"{target.name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:16]}"
                        (options.keep / name).write_bytes(data)
                        (options.keep / f"{name}.txt").write_text(traceback.format_exc())
            seed += 1
    for name, told in counts.items():
        print(f"{name}: {sum(told.values())} inputs; {', '.join(f'{code} {n}' for code, n in told.most_common())}")  # noqa: T201
    print(f"seeds {options.seed}-{seed - 1}; findings: {findings}")  # noqa: T201
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
