"""`make fuzz`: the exchange's state machine with fresh draws for as long as wanted; a failure prints its steps."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from connectors.sample.run import generate
from tests.acceptance.lands import Land
from tests.acceptance.test_state_machine import Exchange
from tests.round.labs import new_lab, settle

LIVES, STEPS = 2, 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.long_machine")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    drawn = options.seed
    with tempfile.TemporaryDirectory(prefix="machine-") as name:
        folder = Path(name)
        generate(folder / "day1", province="13", students=200, seed=1, day=1, dirt=False)
        Exchange.template = Land(new_lab(folder / "lab", folder / "day1"))
        settle(Exchange.template.lab)
        assert Exchange.template.exchange() == ["APPLIED"]
        end = time.monotonic() + options.seconds
        while drawn == options.seed or time.monotonic() < end:
            print(f"seed {drawn}: {LIVES} lives of up to {STEPS} steps", flush=True)  # noqa: T201
            run_state_machine_as_test(
                seed(drawn)(Exchange),
                settings=settings(
                    max_examples=LIVES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    verbosity=Verbosity.quiet,
                    suppress_health_check=list(HealthCheck),
                ),
            )
            drawn += 1
    print(f"seeds {options.seed}-{drawn - 1}: nothing found")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
