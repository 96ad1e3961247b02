"""Code location of a province's node: `HUB_PROVINCE_NODE` names its folder.

The times of its rounds are read from its settings when the location is loaded; `hub init` wrote them there from the
province's file. One process per run: the steps are few and long, so a process per step would only cost its
start (stack, "traps").
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from hub.settings import FILE, NodeSettings, open_node
from pipelines.province.assets import change_set, delivered, published, receipts
from pipelines.province.schedules import census, census_job, exchange, exchange_job, round_job, rounds
from pipelines.resources import NodeResource

NODE = "HUB_PROVINCE_NODE"


def schedule_of(folder: str | None) -> str:
    """When the node's rounds run; without a node, as where the location is only checked, the usual time."""
    if folder is None or not (Path(folder) / FILE).exists():
        return str(NodeSettings.model_fields["schedule"].default)
    return open_node(Path(folder)).settings.schedule


defs = dg.Definitions(
    assets=[change_set, published, delivered, receipts],
    jobs=[round_job, exchange_job, census_job],
    schedules=[*rounds(schedule_of(os.environ.get(NODE))), census, exchange],
    resources={"node": NodeResource(folder=dg.EnvVar(NODE))},
    executor=dg.in_process_executor,
)
