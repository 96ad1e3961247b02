"""When a province's round runs.

Every night, at the time that the node's settings name, the increment; on Sundays everything is compared in full, which
finds what watermarks miss; during the day batches are shipped and receipts fetched, because the ministry answers when
it has decided, not when we ask. On Saturdays a census is sealed.

No postponed annotations here: Dagster reads the one of `node` itself.
"""

import os

import dagster as dg

from pipelines.province.keys import CHANGE_SET, DELIVERED, RECEIPTS
from pipelines.resources import TIMEZONE, NodeResource
from province_node.deliver import deliver
from province_node.weekly import run_census

EVERYTHING = dg.AssetSelection.all()

round_job = dg.define_asset_job("round", selection=EVERYTHING, description="读取、定值、入库、封装、送出、收回执")
exchange_job = dg.define_asset_job(
    "exchange", selection=dg.AssetSelection.assets(DELIVERED, RECEIPTS), description="重送未回执的批次，收取回执"
)


def rounds(schedule: str) -> tuple[dg.ScheduleDefinition, dg.ScheduleDefinition]:
    """The nightly and the weekly round at the node's own time (`NodeSettings.schedule`)."""
    moments = schedule.removesuffix("*")
    nightly = dg.ScheduleDefinition(
        name="nightly_round",
        job=round_job,
        cron_schedule=f"{moments}1-6",
        execution_timezone=TIMEZONE,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    weekly = dg.ScheduleDefinition(
        name="weekly_full_round",
        job=round_job,
        cron_schedule=f"{moments}0",
        execution_timezone=TIMEZONE,
        run_config={"ops": {CHANGE_SET.to_python_identifier(): {"config": {"full": True}}}},
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return nightly, weekly


@dg.op(description="普查：逐桶统计正式库，封装为普查批次并送出")
def seal_census(node: NodeResource) -> None:
    """One call: `run_census`; the batch ships with the exchange."""
    with node.step() as here:
        run_census(here, at=node.now(), rng=os.urandom)
        deliver(here, at=node.now())


@dg.job(name="census", description="每周普查（协议 9.3）")
def census_job() -> None:
    """Both tiers are compared bucket by bucket; only what differs travels."""
    seal_census()


census = dg.ScheduleDefinition(
    name="weekly_census",
    job=census_job,
    cron_schedule="0 12 * * 6",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
exchange = dg.ScheduleDefinition(
    name="exchange_every_quarter",
    job=exchange_job,
    cron_schedule="*/15 * * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
