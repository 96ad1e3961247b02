"""Intake: every province's batches, verified, applied exactly once, answered (protocol 6.2, 6.3, 7).

Decides whose turn it is: provinces take turns batch by batch, each in the order of its stream, so that one with a
backlog keeps nobody waiting (protocol 15 #80). A province whose turn fails for a reason of ours (a disk, another
worker, a damaged folder) is left out of the rest of the run with an alarm.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from hub.catalog import load_catalog
from hub.clock import observe, set_back
from hub.errors import HubError, UsageError
from hub.keyring import open_keyring
from hub.registered import codeset_ref, schema_ref
from hub.settings import Node
from hub.store import open_store
from hub.transport import open_server
from ministry_node.admit import Registered
from ministry_node.census import order_repairs
from ministry_node.decide import DUPLICATE, REJECTED, Decision
from ministry_node.decode import Decoder
from ministry_node.desk import Alarm, Desk, Progress, Random, china_date, own_folders, require_ministry
from ministry_node.head import issue_heads, silent
from ministry_node.registry import definitions_under, published_codesets
from ministry_node.returned import ship
from ministry_node.trusting import settle_trust, take_incoming
from ministry_node.turn import Turn
from ministry_node.verdicts import Bench
from quality.settled import RowGate

__all__ = ["DUPLICATE", "REJECTED", "Alarm", "Decision", "IntakeResult", "run_intake"]


def _silent(_step: str, _what: str) -> None:
    """Nobody is watching."""


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
    progress: Progress = _silent,
    clock: Callable[[], float] = time.monotonic,
    parties: Collection[str] | None = None,
) -> IntakeResult:
    """Decides everything that lies in the provinces' folders. `at`: time of receipt, aware UTC; `clock` in seconds;
    `parties`: only these provinces, all of the trust list otherwise.

    Raises `UsageError` E1007 for a party that is not in the trust list, E1005 on a province's node, what `open_keyring`
    and the store raise, and the error of our own side when nothing at all could be decided because of it.
    """
    require_ministry(node)
    incoming = take_incoming(node, at=at)
    with open_bench(node, at=at, rng=rng, progress=progress, clock=clock) as bench:
        trust = settle_trust(bench.desk)
        ship(bench.desk)
        turns = [Turn(bench, party) for party in _chosen(bench.desk, parties)]
        decisions, failures = _take_turns(bench.desk, turns)
        failures += _orders(bench.desk)
        heads, quiet = issue_heads(bench.desk), silent(bench.desk)
    ours = [*incoming, *_clock_alarms(bench.desk), *trust]
    alarms = [*ours, *heads.alarms, *quiet, *(alarm for turn in turns for alarm in turn.alarms)]
    if failures and not decisions and not alarms:
        raise failures[0][1]
    alarms += [Alarm.of(party, error) for party, error in failures]
    waiting = tuple(batch for turn in turns for batch in turn.waiting)
    return IntakeResult(tuple(decisions), tuple(alarms), waiting)


@contextmanager
def open_bench(
    node: Node, *, at: datetime, rng: Random, progress: Progress, clock: Callable[[], float]
) -> Iterator[Bench]:
    """Everything a decision needs, opened and closed: store, keys, folders of this run, decoder."""
    require_ministry(node)
    catalog = load_catalog()
    keyring = open_keyring(node, at=at)
    store = open_store(node.database_url, catalog)
    try:
        judged_at = observe(store, at)
        with (
            own_folders(node, rng) as (copies, plain),
            Decoder(keyring.trust.limits) as decoder,
            RowGate(catalog, today=china_date(at), under=lambda v: definitions_under(store, v)) as gate,
        ):
            server = open_server(node.transport_url)
            desk = Desk(node, store, catalog, server, keyring, at, clock, progress, copies, plain, rng, gate, judged_at)
            published = published_codesets(store)
            yield Bench(desk, Registered(schema_ref(catalog), codeset_ref(catalog), catalog, published), decoder)
    finally:
        store.close()


def _chosen(desk: Desk, parties: Collection[str] | None) -> tuple[str, ...]:
    for party in parties or ():
        if party not in desk.parties:
            step = "核对分区；新省接入须先签发新版信任清单"
            raise UsageError("E1007", f"信任清单中没有省 {party}", where="trust-list", step=step)
    return desk.parties if parties is None else tuple(p for p in desk.parties if p in parties)


def _take_turns(desk: Desk, turns: list[Turn]) -> tuple[list[Decision], list[tuple[str, HubError]]]:
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


def _orders(desk: Desk) -> list[tuple[str, HubError]]:
    """Orders to the provinces that follow from what was decided: buckets to be repaired."""
    failures: list[tuple[str, HubError]] = []
    for party in desk.parties:
        try:
            order_repairs(desk, party)
        except HubError as failure:
            failures.append((party, failure))
    return failures


def _clock_alarms(desk: Desk) -> list[Alarm]:
    """Protocol 11.1: our own clock runs behind what it has shown before."""
    error = set_back(desk.at, desk.judged_at)
    return [Alarm.of(desk.node.party, error)] if error else []
