"""The inbox sensor: a run per province whose `ready/` holds manifests nobody has been asked to look at.

Decides (`due`) from names and times alone. A manifest that is still there after a while is asked for again: its parts
may have come late (protocol 2.5), or the run that should have decided it failed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from hub.errors import HubError
from pipelines.ministry.keys import INTAKE, PROVINCES
from pipelines.ministry.turns import ready_manifests
from pipelines.resources import NodeResource

AGAIN: timedelta = timedelta(minutes=15)

intake_job = dg.define_asset_job("intake", selection=dg.AssetSelection.assets(INTAKE))


@dataclass(frozen=True)
class Asked:
    """What the sensor remembers of a province: manifests it asked for, and when (aware)."""

    names: tuple[str, ...]
    at: datetime


def due(
    ready: Mapping[str, Sequence[str]], asked: Mapping[str, Asked], now: datetime
) -> tuple[dict[str, str], dict[str, Asked]]:
    """(run key per province to run now, what to remember).

    One run takes all manifests of a province, so several new ones make one request; the same ones make none until
    `AGAIN` has passed.
    """
    runs: dict[str, str] = {}
    remembered: dict[str, Asked] = {}
    for party, names in ready.items():
        if not names:
            continue
        known = asked.get(party)
        if known is not None and set(names) <= set(known.names) and now - known.at < AGAIN:
            remembered[party] = known
            continue
        remembered[party] = Asked(tuple(sorted(names)), now)
        digest = hashlib.sha256("\n".join([*sorted(names), now.isoformat()]).encode()).hexdigest()
        runs[party] = f"{party}-{digest[:16]}"
    return runs, remembered


@dg.sensor(
    job=intake_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="看各省 ready/ 目录，有新清单的省各发起一次接收",
)
def inbox(context: dg.SensorEvaluationContext, node: NodeResource) -> dg.SensorResult | dg.SkipReason:
    """Looks at names only; what may be opened is the intake's affair."""
    now = node.now()
    try:
        ready = ready_manifests(node.open(), at=now)
    except HubError as error:
        return dg.SkipReason(error.sentence())
    runs, remembered = due(ready, _read(context.cursor), now)
    known = set(context.instance.get_dynamic_partitions(str(PROVINCES.name)))
    added = [party for party in ready if party not in known]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=party) for party, key in runs.items()],
        dynamic_partitions_requests=[PROVINCES.build_add_request(added)] if added else [],
        cursor=_written(remembered),
    )


def _read(cursor: str | None) -> dict[str, Asked]:
    document = json.loads(cursor) if cursor else {}
    return {p: Asked(tuple(a["names"]), datetime.fromisoformat(a["at"])) for p, a in document.items()}


def _written(asked: Mapping[str, Asked]) -> str:
    return json.dumps({p: {"names": a.names, "at": a.at.isoformat()} for p, a in asked.items()}, sort_keys=True)
