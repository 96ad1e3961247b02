"""Asset checks of the province: what the quality gate found, where a person watching Dagster sees it.

Decides which finding stops what comes after (blocking: balance, mass-delete brake, second judge) and which is only
shown (source alarms, open conflicts, receipts that are not 'applied'). The findings themselves are the steps'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from connectors.registry import load_sources
from hub.catalog import load_catalog
from hub.errors import HubError
from hub.settings import Node
from hub.store import Reader, open_store
from hub.store.ledger import CHANGE_SET as STORED
from hub.store.ledger import CONFLICT, QUARANTINE
from hub.verdict import Verdict
from pipelines.province.keys import CHANGE_SET, PUBLISHED, RECEIPTS
from province_node.changeset import counted, open_settlement
from province_node.listen import Listened
from province_node.settle import Round
from quality.judge import RunningJudge, start_judge
from quality.judgement import Judgement

BALANCE, BRAKE, JUDGE = "balance_holds", "deletes_below_brake", "second_judge_agrees"
ALARMS, CONFLICTS, ANSWERS = "sources_without_alarm", "no_open_conflict", "receipts_applied"
# The gate's own refusals: the round is rolled back and no change set comes of it.
_REFUSALS = {"E3101": BALANCE, "E3201": BRAKE, "E3204": BRAKE, "E3301": JUDGE}
_WRONG = (Verdict.REFUSED, Verdict.VOID, Verdict.HELD)


def _blocking(name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=CHANGE_SET, blocking=True, description=description)


CHANGE_SET_CHECKS = [
    _blocking(BALANCE, "参与 = 新增 + 更新 + 不变 + 隔离 + 挂起 + 其他去向"),
    _blocking(BRAKE, "没有一张表的删除超过设定比例"),
    _blocking(JUDGE, "Great Expectations 对待发布变更集的判断与门禁一致"),
    dg.AssetCheckSpec(ALARMS, asset=CHANGE_SET, description="每个数据源都读到了"),
]
PUBLISHED_CHECKS = [dg.AssetCheckSpec(CONFLICTS, asset=PUBLISHED, description="没有待处理的冲突")]
RECEIPT_CHECKS = [dg.AssetCheckSpec(ANSWERS, asset=RECEIPTS, description="收到的回执都是已生效，没有不可信的回执")]


def refused_by(error: HubError) -> dg.AssetCheckResult | None:
    """The check a refused round fails, None when the error is no refusal of the gate."""
    name = _REFUSALS.get(error.code)
    if name is None:
        return None
    return dg.AssetCheckResult(
        passed=False, check_name=name, asset_key=CHANGE_SET, metadata={"code": error.code, "what": error.sentence()}
    )


def change_set_checks(done: Round, judgement: Judgement) -> Iterator[dg.AssetCheckResult]:
    """Results of a round that came to its end; a refused one ends in `refused_by`."""
    settled = done.settled
    wrong = [name for name, balance in settled.balance.items() if not balance.holds()]
    yield _result(CHANGE_SET, BALANCE, not wrong, entities=", ".join(wrong), rows=_considered(done))
    yield _result(CHANGE_SET, BRAKE, True, deleted=settled.changes.counts.deleted)
    found = judgement.disagreements
    rules = ", ".join(sorted({f"{o.entity}.{o.field} {o.rule}" for o in found}))
    failed = sum(o.failed for o in found)
    yield _result(CHANGE_SET, JUDGE, not found, rows=sum(judgement.rows.values()), failed=failed, rules=rules)
    codes = ", ".join(sorted({a.code for a in done.alarms}))
    yield _result(CHANGE_SET, ALARMS, not done.alarms, warn=True, alarms=len(done.alarms), codes=codes)


def _considered(done: Round) -> int:
    return sum(balance.considered for balance in done.settled.balance.values())


@contextmanager
def judging(node: Node) -> Iterator[Callable[[str], Judgement]]:
    """Starts the second judge; calling what it gives judges every change set that waits for publishing.

    Those a former run left waiting are judged again: a round that was stopped stays stopped.
    """
    with start_judge(load_sources(node.sources).site_dictionaries) as running:
        yield lambda today: _judge(node, running, today)


def _judge(node: Node, running: RunningJudge, today: str) -> Judgement:
    files: dict[str, list[Path]] = {}
    with _reading(node) as reader:
        query = sa.select(sa.func.max(STORED.c.cs_no)).where(STORED.c.node == node.party)
        stored = int(reader.connection.execute(query).scalar_one() or 0)
    record: Mapping[str, Any] = {}
    for number in range(stored + 1, counted(node) + 1):
        settlement = open_settlement(node, number)
        record = settlement.record
        for file in settlement.changes.files:
            files.setdefault(file.entity, []).append(file.path)
    running.submit(
        files,
        rows=node.settings.expectation_rows,
        today=today,
        rules=node.settings.rules,
        registry=record.get("registry_document"),
        tables=record.get("registry_tables"),
    )
    return running.finish()


def published_checks(node: Node) -> list[dg.AssetCheckResult]:
    """What stands open in the store after publishing."""
    with _reading(node) as reader:
        still = [
            int(reader.connection.execute(sa.select(sa.func.count()).where(t.c.closed_run.is_(None))).scalar_one())
            for t in (CONFLICT, QUARANTINE)
        ]
    return [_result(PUBLISHED, CONFLICTS, not still[0], warn=True, conflicts=still[0], quarantined=still[1])]


def receipt_checks(heard: Listened) -> Iterator[dg.AssetCheckResult]:
    """Receipts that are not 'applied', and files that were not believed."""
    wrong = [r for r in heard.receipts if r.verdict in _WRONG]
    codes = ", ".join(sorted({code for r in wrong for code, _ in r.reasons} | {i.code for i in heard.ignored}))
    passed = not wrong and not heard.ignored
    yield _result(RECEIPTS, ANSWERS, passed, warn=True, refused=len(wrong), ignored=len(heard.ignored), codes=codes)


@contextmanager
def _reading(node: Node) -> Iterator[Reader]:
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            yield reader
    finally:
        store.close()


def _result(key: dg.AssetKey, name: str, passed: bool, *, warn: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(passed=passed, asset_key=key, check_name=name, severity=severity, metadata=metadata)
