"""One province's turn of the intake, and what waits for it.

Decides nothing of its own: `run_intake` takes all provinces in turn, a partition takes one, by the same steps.
"""

from __future__ import annotations

import os
import time
from datetime import datetime

from hub.batch.layout import NameKind, parse_name
from hub.errors import RefusedError, UsageError
from hub.keyring import open_keyring
from hub.settings import Node
from hub.transport import open_server
from ministry_node.desk import Desk, require_ministry
from ministry_node.intake import IntakeResult, open_bench
from ministry_node.turn import Turn


def take_in(node: Node, party: str, *, at: datetime) -> IntakeResult:
    """Decides everything that lies in one province's folder. Raises as `run_intake`, and `UsageError` E1007."""
    with open_bench(node, at=at, rng=os.urandom, progress=_silent, clock=time.monotonic) as bench:
        _require_member(bench.desk, party)
        turn = Turn(bench, party)
        decisions = tuple(iter(turn.step, None))
        return IntakeResult(decisions, tuple(turn.alarms), tuple(turn.waiting))


def ready_manifests(node: Node, *, at: datetime) -> dict[str, tuple[str, ...]]:
    """Manifests in each province's `ready/`, by name; every province of the trust list has an entry."""
    require_ministry(node)
    members = open_keyring(node, at=at).trust.members
    server = open_server(node.transport_url)
    return {
        party: tuple(e.name for e in server.list_ready(party) if e.regular and _is_manifest(e.name))
        for party in sorted(p for p in members if p.isdigit() and int(p))
    }


def _is_manifest(name: str) -> bool:
    try:
        return parse_name(name).kind is NameKind.MANIFEST
    except RefusedError:
        return False


def _require_member(desk: Desk, party: str) -> None:
    if party not in desk.parties:
        raise UsageError(
            "E1007", f"信任清单中没有省 {party}", where="trust-list", step="核对分区；新省接入须先签发新版信任清单"
        )


def _silent(_step: str, _what: str) -> None:
    """Dagster shows the materialisation; nobody watches the steps."""
