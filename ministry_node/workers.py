"""Provinces' turns: batch by batch in one process, or shared among several (issue 5.4).

Decides who takes whose turn. Provinces do not wait for each other in the database either: their rows lie in partitions
of their own, their stream is a row of its own, and the audit chain's head is held only from the decision's record to
the commit. A worker process that dies leaves its provinces undecided, which the next run decides.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hub.errors import HubError
from hub.settings import open_node
from ministry_node.bench import open_bench, silently
from ministry_node.decide import Decision
from ministry_node.desk import Alarm, Desk
from ministry_node.turn import Turn
from ministry_node.verdicts import Bench


@dataclass(frozen=True)
class Taken:
    """What some provinces' turns brought; `failures`: provinces left out for a reason of ours."""

    decisions: tuple[Decision, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    waiting: tuple[str, ...] = ()
    failures: tuple[tuple[str, HubError], ...] = ()

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.decisions + other.decisions,
            self.alarms + other.alarms,
            self.waiting + other.waiting,
            self.failures + other.failures,
        )


def take_turns(bench: Bench, parties: Sequence[str]) -> Taken:
    """The provinces' turns in this process."""
    turns = [Turn(bench, party) for party in parties]
    decisions, failures = in_rotation(bench.desk, turns)
    alarms = tuple(alarm for turn in turns for alarm in turn.alarms)
    return Taken(tuple(decisions), alarms, tuple(b for turn in turns for b in turn.waiting), tuple(failures))


def in_rotation(desk: Desk, turns: Sequence[Turn]) -> tuple[list[Decision], list[tuple[str, HubError]]]:
    """Batch by batch, so that a province with a backlog keeps nobody waiting (protocol 15 #80)."""
    decisions: list[Decision] = []
    failures: list[tuple[str, HubError]] = []
    line = deque((turn.party, turn) for turn in turns)
    while line:
        party, turn = line.popleft()
        desk.progress("intake", f"省 {party}")
        try:
            decision = turn.step()
        except HubError as failure:
            failures.append((party, failure))
            continue
        if decision is not None:
            decisions.append(decision)
            line.append((party, turn))
    return decisions, failures


def take_in_workers(desk: Desk, parties: Sequence[str], jobs: int) -> Taken:
    """The provinces dealt out to `jobs` processes, each with a bench of its own."""
    shares = [parties[n::jobs] for n in range(min(jobs, len(parties)))]
    taken, done = Taken(), 0
    with ProcessPoolExecutor(len(shares), mp_context=multiprocessing.get_context("spawn")) as pool:
        given = {pool.submit(_share, desk.node.folder, desk.at, tuple(share)): share for share in shares}
        for future in as_completed(given):
            try:
                found, errors = future.result()
                taken += found
                taken += Taken(failures=tuple((party, _rebuilt(parts)) for party, parts in errors))
            except BrokenProcessPool:
                taken += Taken(failures=tuple((party, _died()) for party in given[future]))
            done += len(given[future])
            desk.progress("intake", f"{done}/{len(parties)} 个省")
    return taken


# What an error is made of: it travels between processes as its parts.
Parts = tuple[str, str, str, str, bool, int]


def _share(folder: Path, at: datetime, parties: tuple[str, ...]) -> tuple[Taken, list[tuple[str, Parts]]]:
    """One worker's provinces."""
    try:
        with open_bench(open_node(folder), at=at, rng=os.urandom, progress=silently, clock=time.monotonic) as bench:
            taken = take_turns(bench, parties)
    except HubError as failure:
        return Taken(), [(party, _parts(failure)) for party in parties]
    return Taken(taken.decisions, taken.alarms, taken.waiting), [(p, _parts(e)) for p, e in taken.failures]


def _parts(error: HubError) -> Parts:
    return error.code, error.what, error.where, error.step, error.retryable, error.exit_code


def _rebuilt(parts: Parts) -> HubError:
    code, what, where, step, retryable, exit_code = parts
    error = HubError(code, what, where=where, step=step)
    error.retryable, error.exit_code = retryable, exit_code
    return error


def _died() -> HubError:
    step = "再次运行 hub intake run；反复出现时减少 --jobs，或检查内存"
    return _rebuilt(("E2461", "处理该省的进程意外结束", "", step, True, HubError.exit_code))
