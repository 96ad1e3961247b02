"""Code location of a province's node: `HUB_PROVINCE_NODE` names its folder.

One process per run: the steps are few and long, so a process per step would only cost its start (stack, "traps").
"""

from __future__ import annotations

import dagster as dg

from pipelines.province.assets import change_set, delivered, published, receipts
from pipelines.province.schedules import census, census_job, exchange, exchange_job, nightly, round_job, weekly
from pipelines.resources import NodeResource

defs = dg.Definitions(
    assets=[change_set, published, delivered, receipts],
    jobs=[round_job, exchange_job, census_job],
    schedules=[nightly, weekly, census, exchange],
    resources={"node": NodeResource(folder=dg.EnvVar("HUB_PROVINCE_NODE"))},
    executor=dg.in_process_executor,
)
