"""The province's steps as assets: change set, golden tables, batches, delivery, receipts.

Decides nothing: each asset is one call to a node step; its materialisation carries counts, never values (house rule
13). What the command line runs is the same (`hub sync run`).

No postponed annotations here: Dagster reads the one of `context` itself.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from hub.catalog import load_catalog
from hub.errors import HubError
from pipelines.province.checks import (
    CHANGE_SET_CHECKS,
    PUBLISHED_CHECKS,
    RECEIPT_CHECKS,
    change_set_checks,
    judging,
    published_checks,
    receipt_checks,
    refused_by,
)
from pipelines.province.keys import CHANGE_SET, DELIVERED, GOLDEN, PUBLISHED, RECEIPTS
from pipelines.resources import NodeResource, alone, failure
from province_node.changeset import open_settlement
from province_node.deliver import deliver
from province_node.findings import on_day
from province_node.listen import listen
from province_node.publish import Published, publish_pending
from province_node.settle import Options, Round, run_round

Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
# Where the rows of a group went; the balance's other outcomes are counted together.
SHOWN = ("quarantined", "held")


class RoundConfig(dg.Config):
    """How a round runs; the launch pad offers these. `today`: YYYY-MM-DD, empty for the calendar's day."""

    full: bool = False
    allow_deletes: bool = False
    allow_volume: bool = False
    review: bool = True
    today: str = ""


@dg.asset(
    key=CHANGE_SET,
    description="读取数据源并定值，得到一个变更集（extract + settle）",
    check_specs=CHANGE_SET_CHECKS,
    kinds={"duckdb", "parquet"},
)
def change_set(context: dg.AssetExecutionContext, config: RoundConfig, node: NodeResource) -> Events:
    """One call: `run_round`. The second judge loads while the sources are read."""
    today = config.today or node.today()
    options = Options(
        today=today,
        full=config.full,
        review=config.review,
        allow_deletes=config.allow_deletes,
        judge=False,
        allow_volume=config.allow_volume,
        at=on_day(today, node.now()),
    )
    with node.step() as here, judging(here) as judge:
        try:
            done = run_round(here, options, nonce=lambda: os.urandom(32).hex(), progress=_log(context))
        except HubError as error:
            if (refused := refused_by(error)) is None:
                raise
            yield refused
            raise failure(error) from alone(error)
        judgement = judge(today)
    yield dg.MaterializeResult(metadata=_of_round(done))
    yield from change_set_checks(done, judgement)


@dg.multi_asset(
    specs=[
        *(dg.AssetSpec(key, deps=[CHANGE_SET], group_name=group) for group, key in GOLDEN.items()),
        dg.AssetSpec(PUBLISHED, deps=[CHANGE_SET], description="变更集入库并封装为签名、加密的批次"),
    ],
    check_specs=PUBLISHED_CHECKS,
)
def published(context: dg.AssetExecutionContext, node: NodeResource) -> Events:
    """One call: `publish_pending`. Golden rows, ledger, lineage, audit and outbox commit together."""
    with node.step() as here:
        done = publish_pending(here, at=node.now(), rng=os.urandom, progress=_log(context))
        groups = _of_groups([open_settlement(here, p.number).record["balance"] for p in done])
        checked = published_checks(here)
    for group, key in GOLDEN.items():
        yield dg.MaterializeResult(asset_key=key, metadata=groups[group])
    yield dg.MaterializeResult(asset_key=PUBLISHED, metadata=_of_batches(done))
    yield from checked


@dg.asset(key=DELIVERED, deps=[PUBLISHED], description="把封好的批次送到交换目录")
def delivered(node: NodeResource) -> dg.MaterializeResult[Any]:
    """One call: `deliver`."""
    with node.step() as here:
        done = deliver(here, at=node.now())
    again = sum(batch.again for batch in done.batches)
    return dg.MaterializeResult(
        metadata={"batches": len(done.batches), "again": again, "bytes": done.sent, "waiting": done.waiting}
    )


@dg.asset(key=RECEIPTS, deps=[DELIVERED], description="收取并核验部级回执", check_specs=RECEIPT_CHECKS)
def receipts(node: NodeResource) -> Events:
    """One call: `listen`."""
    with node.step() as here:
        heard = listen(here, at=node.now())
    verdicts = Counter(str(receipt.verdict) for receipt in heard.receipts)
    yield dg.MaterializeResult(metadata={"receipts": len(heard.receipts), "ignored": len(heard.ignored), **verdicts})
    yield from receipt_checks(heard)


def _log(context: dg.AssetExecutionContext) -> Any:
    return lambda step, what: context.log.debug(f"{step} {what}")


def _of_round(done: Round) -> Mapping[str, Any]:
    rows = done.settled.changes.counts
    return {
        "run": done.run,
        "change_set": done.number,
        "whole": done.whole,
        "tables_read": len(done.extracts),
        "rows_read": sum(int(e["rows_read"]) for e in done.extracts),
        "normalised": sum(done.dirt.values()),
        "inserted": rows.inserted,
        "updated": rows.updated,
        "deleted": rows.deleted,
        "alarms": len(done.alarms),
        "key_changes": done.settled.key_changes,
    }


def _of_groups(balances: list[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts per entity group, summed over the change sets published: read = all the others (house rule 6)."""
    group_of = {name: entity.group for name, entity in load_catalog().entities.items()}
    names = ("read", "inserted", "updated", "unchanged", "deleted", *SHOWN, "otherwise")
    groups = {group: dict.fromkeys(names, 0) for group in GOLDEN}
    for balance in balances:
        for name, went in balance.items():
            group = groups[group_of[name]]
            group["read"] += went["considered"]
            for column in ("inserted", "updated", "unchanged", "deleted"):
                group[column] += went[column]
            for outcome, rows in went["outcomes"].items():
                group[outcome if outcome in SHOWN else "otherwise"] += rows
    return groups


def _of_batches(done: tuple[Published, ...]) -> dict[str, int]:
    return {
        "change_sets": len(done),
        "batches": sum(len(p.batches) for p in done),
        "parts": sum(b.parts for p in done for b in p.batches),
        "bytes": sum(b.bytes for p in done for b in p.batches),
        "rows": sum(p.rows.rows for p in done),
        "quarantine_opened": sum(p.quarantined.opened for p in done),
        "quarantine_closed": sum(p.quarantined.closed for p in done),
        "conflicts_opened": sum(p.conflicts.opened for p in done),
        "conflicts_closed": sum(p.conflicts.closed for p in done),
    }
