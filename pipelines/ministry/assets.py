"""The ministry's step as an asset: intake, one partition per province.

Decides nothing: one call to the node's step per partition; its materialisation carries counts and codes, never values.

No postponed annotations here: Dagster reads the one of `context` itself.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from ministry_node.intake import IntakeResult
from pipelines.ministry.checks import INTAKE_CHECKS, intake_checks
from pipelines.ministry.keys import INTAKE, PROVINCES
from pipelines.ministry.turns import take_in
from pipelines.resources import NodeResource


@dg.asset(
    key=INTAKE,
    partitions_def=PROVINCES,
    description="核验、应用一个省的批次并签发回执（每批一个事务）",
    check_specs=INTAKE_CHECKS,
)
def intake(
    context: dg.AssetExecutionContext, node: NodeResource
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """One call: the province's turn of the intake, to its end."""
    with node.step() as here:
        done = take_in(here, context.partition_key, at=node.now())
        checked = intake_checks(here, context.partition_key, done)
    yield dg.MaterializeResult(metadata=_of_intake(done))
    yield from checked


def _of_intake(done: IntakeResult) -> dict[str, int]:
    counts = [decision.counts for decision in done.decisions]
    return {
        "batches": len(done.decisions),
        "waiting": len(done.waiting),
        "alarms": len(done.alarms),
        "inserted": sum(c.ins for c in counts),
        "updated": sum(c.upd for c in counts),
        "deleted": sum(c.deleted for c in counts),
        "unchanged": sum(c.noop_old_version for c in counts),
        "quarantined": sum(c.quarantined for c in counts),
        **Counter(decision.verdict for decision in done.decisions),
    }
