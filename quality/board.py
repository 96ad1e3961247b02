"""Figures of the quality board (console 5): rates by place and run, age of open conflicts, corrections by platform.

SQL to frozen dataclasses, grouped in the database; nothing larger than schools × dimensions of one county is ever read.
Decides how places add up: along the reporting tree (定州 and 辛集 report to the province). The six rates are a province's;
the ministry has what it checked itself: rows taken and sent back, batches, cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.roles import Scope, area, reporting_to, reporting_tree, reports_to
from hub.store import Reader
from hub.store.case_tables import CASE_PARTY, CROSS_CASE
from hub.store.decision_tables import DECISION
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.finding_tables import QUALITY_RATE
from hub.store.ledger import INBOX, RUN
from quality.decisions_query import OPEN, within
from quality.places import UNKNOWN, lies_in, within_schools

DIMENSIONS: Final = {
    "完整性": "完整率", "有效性": "有效率", "唯一性": "唯一率", "一致性": "一致率", "关联性": "关联率", "及时性": "及时率",
}  # fmt: skip
AGES: Final = ((7, "7 天内"), (30, "8–30 天"), (90, "31–90 天"), (10**6, "90 天以上"))
RUNS: Final = 30
_R: Final = QUALITY_RATE.c


@dataclass(frozen=True)
class Place:
    """Rates of one province, city, county or school: dimension → (good, total)."""

    code: str
    level: str
    rates: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def share(self, dimension: str) -> float | None:
        """0..1; None where nothing was asked."""
        good, total = self.rates.get(dimension, (0, 0))
        return good / total if total else None


@dataclass(frozen=True)
class Peer:
    """One province at the ministry: records held, rows that came and were sent back, last batch, open cases."""

    node: str
    held: int
    rows: int
    sent_back: int
    open_back: int
    batches: int
    refused: int
    last: str
    cases: int

    @property
    def taken(self) -> float | None:
        """入库率: rows taken of rows that came."""
        return 1 - self.sent_back / self.rows if self.rows else None


def last_run(reader: Reader) -> int:
    """The newest run with rates; 0 before the first."""
    return int(reader.connection.execute(sa.select(sa.func.max(_R.run_no))).scalar_one() or 0)


def rates(reader: Reader, node: str, scopes: Sequence[Scope], run: int, place: str) -> tuple[Place, ...]:
    """Rates of what lies directly below `place`: cities of a province, counties of a city, schools of a county."""
    inside = [within_schools(reader, node, scopes, _R.school), _R.run_no == run, *_below(_R.division, place)]
    below = _children(place)
    by = _R.division if below else _R.school
    query = (
        sa.select(by, _R.dimension, sa.func.sum(_R.good), sa.func.sum(_R.total))
        .where(*inside)
        .group_by(by, _R.dimension)
    )
    sums: dict[str, dict[str, tuple[int, int]]] = {}
    for code, dimension, good, total in reader.connection.execute(query):
        at = _under(place, str(code or "")) if below else str(code)
        have = sums.setdefault(at, {}).get(str(dimension), (0, 0))
        sums[at][str(dimension)] = (have[0] + int(good or 0), have[1] + int(total or 0))
    level = ("city" if not place or place.endswith("0000") else "county") if below else "school"
    return tuple(Place(code, level, some) for code, some in sorted(sums.items()))


def whole(places: Sequence[Place], code: str) -> Place:
    """The sum of some places."""
    sums: dict[str, tuple[int, int]] = {}
    for place in places:
        for dimension, (good, total) in place.rates.items():
            have = sums.get(dimension, (0, 0))
            sums[dimension] = (have[0] + good, have[1] + total)
    return Place(code, "sum", sums)


def _children(place: str) -> bool:
    """Whether divisions report to this one; a county has schools below it."""
    if not place or place.endswith("0000"):
        return True
    return len(reporting_to(place)) > 1 if place in reporting_tree() else place.endswith("00")


def _under(place: str, division: str) -> str:
    """The child of `place` under which a division lies; the division itself where it is the place."""
    if not division:
        return UNKNOWN
    top = place or division[:2] + "0000"
    code = division
    while code != top and not code.endswith("0000") and (above := reports_to(code)) != top:
        code = above
    return code


def trend(
    reader: Reader, node: str, scopes: Sequence[Scope], place: str
) -> tuple[tuple[int, Mapping[str, float]], ...]:
    """(run, rate by dimension) of the newest runs, oldest first."""
    recent = _R.run_no > last_run(reader) - RUNS
    inside = [within_schools(reader, node, scopes, _R.school), recent, *_below(_R.division, place)]
    query = (
        sa.select(_R.run_no, _R.dimension, sa.func.sum(_R.good), sa.func.sum(_R.total))
        .where(*inside)
        .group_by(_R.run_no, _R.dimension)
        .order_by(_R.run_no)
    )
    found: dict[int, dict[str, float]] = {}
    for run, dimension, good, total in reader.connection.execute(query):
        if total:
            found.setdefault(int(run), {})[str(dimension)] = int(good) / int(total)
    return tuple(found.items())


def _below(division: Any, place: str) -> list[Any]:
    """WHERE terms: what reports to the place; none for a province, for that is the whole."""
    return [lies_in(division, [area(place)])] if place and not place.endswith("0000") else []


def ageing(reader: Reader, node: str, scopes: Sequence[Scope], at: datetime, place: str = "") -> dict[str, list[int]]:
    """State → open conflicts of the place per band of `AGES`, by the run that opened them."""
    d = DECISION.c
    query = (
        sa.select(d.state, RUN.c.started, RUN.c.ended, sa.func.count())
        .select_from(DECISION.outerjoin(RUN, RUN.c.run_no == d.opened_run))
        .where(d.closed == OPEN, within(reader, node, scopes), *_below(d.division, place))
        .group_by(d.state, RUN.c.started, RUN.c.ended)
    )
    found: dict[str, list[int]] = {}
    for state, started, ended, count in reader.connection.execute(query):
        days = _days(started or ended, at)
        band = next(i for i, (most, _) in enumerate(AGES) if days <= most)
        found.setdefault(str(state), [0] * len(AGES))[band] += int(count)
    return found


def _days(moment: Any, at: datetime) -> int:
    try:
        return max(0, (at - datetime.fromisoformat(str(moment))).days)
    except (TypeError, ValueError):
        return 0


def corrections(
    reader: Reader, node: str, scopes: Sequence[Scope], place: str = ""
) -> tuple[tuple[str, int, int, int], ...]:
    """(platform, open conflicts over its fields, of them sent back to it and waiting, confirmed by a later pull)."""
    d = DECISION.c
    open_now = sa.func.sum(sa.case((d.state == "已生效", 0), else_=1))
    waiting = sa.func.sum(sa.case((d.state == "退回源头平台", 1), else_=0))
    done = sa.func.sum(sa.case((sa.and_(d.state == "已生效", d.cause == "源头已更新"), 1), else_=0))
    query = (
        sa.select(d.authority, open_now, waiting, done)
        .where(within(reader, node, scopes), *_below(d.division, place))
        .group_by(d.authority)
        .order_by(d.authority)
    )
    return tuple(
        (str(source or ""), int(now or 0), int(back or 0), int(closed or 0))
        for source, now, back, closed in reader.connection.execute(query)
    )


def peers(reader: Reader, scopes: Sequence[Scope]) -> tuple[Peer, ...]:
    """Every province the ministry has heard of, within the provinces the scopes name whole."""
    wanted = (
        None if any(s.whole for s in scopes) else {d[:2] for s in scopes for d in s.divisions if d.endswith("0000")}
    )
    i, r = INBOX.c, RETURNED_ROW.c
    effective = i.verdict.in_(("APPLIED", "PARTIAL"))

    def total(column: Any) -> Any:
        return sa.func.sum(sa.case((effective, sa.func.coalesce(column, 0)), else_=0))

    query = sa.select(
        i.party, total(i.rows_i), total(i.rows_u), total(i.rows_d), total(i.quarantined), sa.func.count(),
        sa.func.sum(sa.case((effective, 0), else_=1)), sa.func.max(sa.case((effective, i.decided_at))),
    ).group_by(i.party).order_by(i.party)  # fmt: skip
    back = {
        str(n): int(c)
        for n, c in reader.connection.execute(
            sa.select(r.node, sa.func.count()).where(r.cleared_by.is_(None)).group_by(r.node)
        )
    }
    cases = {
        str(n): int(c)
        for n, c in reader.connection.execute(
            sa.select(CASE_PARTY.c.node, sa.func.count(sa.distinct(CASE_PARTY.c.case_no)))
            .select_from(CASE_PARTY.join(CROSS_CASE, CROSS_CASE.c.case_no == CASE_PARTY.c.case_no))
            .where(CROSS_CASE.c.closed_at.is_(None))
            .group_by(CASE_PARTY.c.node)
        )
    }
    return tuple(
        Peer(
            str(party), int(ins or 0) - int(dels or 0), int(ins or 0) + int(ups or 0) + int(dels or 0), int(bad or 0),
            back.get(str(party), 0), int(n), int(refused or 0), str(last or ""), cases.get(str(party), 0),
        )
        for party, ins, ups, dels, bad, n, refused, last in reader.connection.execute(query)
        if wanted is None or str(party) in wanted
    )  # fmt: skip


def returned_rules(reader: Reader, nodes: Sequence[str]) -> dict[str, int]:
    """Rows sent back and not mended yet, by rule, of these provinces."""
    r = RETURNED_ROW.c
    query = (
        sa.select(r.rule, sa.func.count())
        .where(r.cleared_by.is_(None), r.node.in_(sorted(nodes)))
        .group_by(r.rule)
        .order_by(sa.func.count().desc(), r.rule)
    )
    return {str(rule): int(n) for rule, n in reader.connection.execute(query)}
