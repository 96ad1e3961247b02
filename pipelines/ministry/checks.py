"""Asset checks of the intake: every decision has its receipt in the province's folder, and no stream is frozen.

Decides only what counts as answered; verdicts are the intake's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.settings import Node
from hub.store import open_store
from hub.store.ledger import PEER_STREAM, RECEIPT
from ministry_node.intake import REJECTED, IntakeResult
from ministry_node.position import OPEN
from pipelines.ministry.keys import INTAKE

RECEIPTS, FROZEN, REFUSED = "receipts_published", "no_frozen_stream", "batches_applied"
_FINE = ("APPLIED", "DUPLICATE")
INTAKE_CHECKS = [
    dg.AssetCheckSpec(RECEIPTS, asset=INTAKE, blocking=True, description="每个决定都有回执，且已放到该省目录"),
    dg.AssetCheckSpec(FROZEN, asset=INTAKE, blocking=True, description="该省的数据流没有冻结"),
    dg.AssetCheckSpec(REFUSED, asset=INTAKE, description="批次都已生效，没有需要人看的告警"),
]


def intake_checks(node: Node, party: str, done: IntakeResult) -> list[dg.AssetCheckResult]:
    """Results for one province, from what was decided now and what the store says."""
    unpublished = _count(
        node, sa.select(sa.func.count()).where(RECEIPT.c.party == party, RECEIPT.c.published_at.is_(None))
    )
    frozen = _count(
        node,
        sa.select(sa.func.count()).where(
            PEER_STREAM.c.party == party, PEER_STREAM.c.direction == "up", PEER_STREAM.c.state != OPEN
        ),
    )
    answerless = [d for d in done.decisions if d.receipt_name is None and d.verdict != REJECTED]
    wrong = [d for d in done.decisions if d.verdict not in _FINE]
    codes = {d.code for d in wrong if d.code} | {a.code for a in done.alarms}
    answered = not (unpublished or answerless)
    return [
        _result(RECEIPTS, answered, unpublished=unpublished, without_receipt=len(answerless)),
        _result(FROZEN, not frozen, frozen=frozen),
        _result(REFUSED, not codes and not wrong, warn=True, batches=len(wrong), codes=_listed(sorted(codes))),
    ]


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(codes)


def _count(node: Node, query: sa.Select[tuple[int]]) -> int:
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            return int(reader.connection.execute(query).scalar_one())
    finally:
        store.close()


def _result(name: str, passed: bool, *, warn: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(passed=passed, asset_key=INTAKE, check_name=name, severity=severity, metadata=metadata)
