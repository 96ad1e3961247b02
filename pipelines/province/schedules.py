"""When a province's round runs.

Every night the increment; on Sundays everything is compared in full, which finds what watermarks miss; during the day
batches are shipped and receipts fetched, because the ministry answers when it has decided, not when we ask.
"""

from __future__ import annotations

import dagster as dg

from pipelines.province.keys import CHANGE_SET, DELIVERED, RECEIPTS
from pipelines.resources import TIMEZONE

EVERYTHING = dg.AssetSelection.all()

round_job = dg.define_asset_job("round", selection=EVERYTHING, description="读取、定值、入库、封装、送出、收回执")
exchange_job = dg.define_asset_job(
    "exchange", selection=dg.AssetSelection.assets(DELIVERED, RECEIPTS), description="重送未回执的批次，收取回执"
)

nightly = dg.ScheduleDefinition(
    name="nightly_round",
    job=round_job,
    cron_schedule="30 2 * * 1-6",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
weekly = dg.ScheduleDefinition(
    name="weekly_full_round",
    job=round_job,
    cron_schedule="30 2 * * 0",
    execution_timezone=TIMEZONE,
    run_config={"ops": {CHANGE_SET.to_python_identifier(): {"config": {"full": True}}}},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
exchange = dg.ScheduleDefinition(
    name="exchange_every_quarter",
    job=exchange_job,
    cron_schedule="*/15 * * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
