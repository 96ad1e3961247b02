"""Code location of the ministry's node: `HUB_MINISTRY_NODE` names its folder.

One process per run; provinces are runs of their own, and how many run side by side is the instance's setting.
"""

from __future__ import annotations

import dagster as dg

from pipelines.ministry.assets import intake
from pipelines.ministry.sensors import inbox, intake_job
from pipelines.resources import NodeResource

defs = dg.Definitions(
    assets=[intake],
    jobs=[intake_job],
    sensors=[inbox],
    resources={"node": NodeResource(folder=dg.EnvVar("HUB_MINISTRY_NODE"))},
    executor=dg.in_process_executor,
)
