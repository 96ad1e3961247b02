"""Intake: every province's batches, verified, applied exactly once, answered (protocol 6.2, 6.3, 7).

Decides whose turn it is: provinces take turns batch by batch, each in the order of its stream, so that one with a
backlog keeps nobody waiting (protocol 15 #80). A province whose turn fails for a reason of ours (a disk, another
worker, a damaged folder) is left out of the rest of the run with an alarm.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from hub.clock import set_back
from hub.errors import HubError, UsageError
from hub.settings import Node
from ministry_node.bench import open_bench, silently
from ministry_node.case_disclosure import tell_particulars
from ministry_node.cases import tell_closed
from ministry_node.census import order_repairs
from ministry_node.decide import DUPLICATE, REJECTED, Decision
from ministry_node.desk import Alarm, Desk, Progress, Random, require_ministry
from ministry_node.head import issue_heads, silent
from ministry_node.returned import sender_of, ship
from ministry_node.trusting import settle_trust, take_incoming
from ministry_node.workers import take_in_workers, take_turns

__all__ = ["DUPLICATE", "REJECTED", "Alarm", "Decision", "IntakeResult", "open_bench", "run_intake"]


@dataclass(frozen=True)
class IntakeResult:
    """What one run decided, in the order decided; what a person must look at; batches whose files may still come."""

    decisions: tuple[Decision, ...]
    alarms: tuple[Alarm, ...]
    waiting: tuple[str, ...] = ()


def run_intake(
    node: Node,
    *,
    at: datetime,
    rng: Random = os.urandom,
    progress: Progress = silently,
    clock: Callable[[], float] = time.monotonic,
    parties: Collection[str] | None = None,
    jobs: int = 1,
) -> IntakeResult:
    """Decides everything that lies in the provinces' folders. `at`: time of receipt, aware UTC; `clock` in seconds;
    `parties`: only these provinces, all of the trust list otherwise; `jobs`: how many worker processes share the
    provinces (`ministry_node.workers`), on a database that lets several write at once.

    Raises `UsageError` E1007 for a party that is not in the trust list, E1005 on a province's node, what `open_keyring`
    and the store raise, and the error of our own side when nothing at all could be decided because of it.
    """
    require_ministry(node)
    incoming = take_incoming(node, at=at)
    with open_bench(node, at=at, rng=rng, progress=progress, clock=clock) as bench:
        trust = settle_trust(bench.desk)
        ship(bench.desk)
        chosen = _chosen(bench.desk, parties)
        one_by_one = jobs == 1 or len(chosen) == 1 or not bench.desk.store.concurrent
        taken = take_turns(bench, chosen) if one_by_one else take_in_workers(bench.desk, chosen, jobs)
        failures = [*taken.failures, *_orders(bench.desk), *_told_cases(bench.desk)]
        heads, quiet = issue_heads(bench.desk), silent(bench.desk)
    ours = [*incoming, *_clock_alarms(bench.desk), *trust, *_spoiled_grants(bench.desk)]
    alarms = [*ours, *heads.alarms, *quiet, *taken.alarms]
    if failures and not taken.decisions and not alarms:
        raise failures[0][1]
    alarms += [Alarm.of(party, error) for party, error in failures]
    return IntakeResult(taken.decisions, tuple(alarms), taken.waiting)


def _chosen(desk: Desk, parties: Collection[str] | None) -> tuple[str, ...]:
    for party in parties or ():
        if party not in desk.parties:
            step = "核对分区；新省接入须先签发新版信任清单"
            raise UsageError("E1007", f"信任清单中没有省 {party}", where="trust-list", step=step)
    return desk.parties if parties is None else tuple(p for p in desk.parties if p in parties)


def _orders(desk: Desk) -> list[tuple[str, HubError]]:
    """Orders to the provinces that follow from what was decided: buckets to be repaired."""
    failures: list[tuple[str, HubError]] = []
    for party in desk.parties:
        try:
            order_repairs(desk, party)
        except HubError as failure:
            failures.append((party, failure))
    return failures


def _told_cases(desk: Desk) -> list[tuple[str, HubError]]:
    """Provinces hear of cases that ended with what was decided, and of the other side of those both have opened."""
    try:
        tell_closed(sender_of(desk))
        tell_particulars(sender_of(desk))
    except HubError as failure:
        return [(desk.node.party, failure)]
    return []


def _spoiled_grants(desk: Desk) -> list[Alarm]:
    """Epoch grants in `trust/` that do not hold: each is named, and opens nothing for the party of its name."""
    return [Alarm.of(_party(name, desk), error) for name, error in desk.keyring.spoiled.items()]


def _party(name: str, desk: Desk) -> str:
    return next((party for party in desk.parties if name.startswith(f"{party}-")), desk.node.party)


def _clock_alarms(desk: Desk) -> list[Alarm]:
    """Protocol 11.1: our own clock runs behind what it has shown before."""
    error = set_back(desk.at, desk.judged_at)
    return [Alarm.of(desk.node.party, error)] if error else []
