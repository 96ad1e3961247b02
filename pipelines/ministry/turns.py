"""One province's turn of the intake, and what waits for it.

Decides nothing of its own: `run_intake` takes all provinces in turn, a partition takes one, by the same steps.
"""

from __future__ import annotations

from datetime import datetime

from hub.batch.layout import NameKind, parse_name
from hub.errors import RefusedError
from hub.keyring import open_keyring
from hub.settings import Node
from hub.transport import open_server
from ministry_node.desk import require_ministry
from ministry_node.intake import IntakeResult, run_intake


def take_in(node: Node, party: str, *, at: datetime) -> IntakeResult:
    """Decides everything that lies in one province's folder. Raises as `run_intake`, and `UsageError` E1007."""
    return run_intake(node, at=at, parties=[party])


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
