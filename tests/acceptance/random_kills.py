"""By hand: `python -m tests.acceptance.random_kills --seconds 60 --seed 7`; ends with 1 when anything is otherwise."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from connectors.sample.run import generate
from tests.acceptance.kills import ALL, calm_run, differences, disturbed_run, on_copies, over_sftp
from tests.acceptance.lands import Land
from tests.round.labs import new_lab, point_at, settle
from tests.servers import start_postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.random_kills")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--students", type=int, default=400)
    parser.add_argument("--postgresql", action="store_true", help="both nodes' stores, instead of SQLite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="random-kills-")))
        server = start_postgres() if options.postgresql else None
        if server is not None:
            stack.callback(server.stop)
        for day in (1, 2):
            generate(folder / f"day{day}", province="13", students=options.students, seed=1, day=day, dirt=False)
        stores = {f"{tier}_db": server.create_database(tier) for tier in ("province", "ministry")} if server else {}
        first = Land(new_lab(folder / "lab", folder / "day1", **stores))
        settle(first.lab)
        assert first.exchange() == ["APPLIED"]
        point_at(first.lab, folder / "day2")
        calm, land = (first.copy(folder / name) for name in ("calm", "disturbed"))
        if server is not None:
            calm, land = on_copies(calm, server), on_copies(land, server)
        with over_sftp(calm, folder / "calm-exchange") as calm:
            took = calm_run(calm, ALL)
        print("undisturbed:", ", ".join(f"{n} {s:.1f} s" for n, s in took.items()))  # noqa: T201
        with over_sftp(land, folder / "exchange") as land:
            told = disturbed_run(land, ALL, took, random.Random(options.seed), seconds=options.seconds)
            found = differences(land, calm)
    print(f"seed {options.seed}: {told}; {len(found)} differences")  # noqa: T201
    for one in found:
        print(f"  {one}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
