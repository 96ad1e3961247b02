"""By hand: `python -m tests.acceptance.random_kills --seconds 60 --seed 7`; ends with 1 when anything is otherwise."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from connectors.sample.run import generate
from tests.acceptance.kills import ALL, calm_run, differences, disturbed_run, over_sftp
from tests.acceptance.lands import Land
from tests.round.labs import new_lab, point_at, settle


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.random_kills")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--students", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="random-kills-") as name:
        folder = Path(name)
        for day in (1, 2):
            generate(folder / f"day{day}", province="13", students=options.students, seed=1, day=day, dirt=False)
        first = Land(new_lab(folder / "lab", folder / "day1"))
        settle(first.lab)
        assert first.exchange() == ["APPLIED"]
        point_at(first.lab, folder / "day2")
        with over_sftp(first.copy(folder / "calm"), folder / "calm-exchange") as calm:
            took = calm_run(calm, ALL)
        print("undisturbed:", ", ".join(f"{n} {s:.1f} s" for n, s in took.items()))  # noqa: T201
        with over_sftp(first.copy(folder / "disturbed"), folder / "exchange") as land:
            told = disturbed_run(land, ALL, took, random.Random(options.seed), seconds=options.seconds)
            found = differences(land, calm)
    print(f"seed {options.seed}: {told}; {len(found)} differences")  # noqa: T201
    for one in found:
        print(f"  {one}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
