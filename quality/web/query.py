"""The address of a list of conflicts as a filter, and back: every filter is a link that works alone (console 2).

Decides the names of the conditions. What somebody typed as an identifier never stands in an address: it is posted, and
the address holds an opaque number that only that person can use (console 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store import Reader, Store
from hub.store.decision_tables import TYPED_QUERY
from hub.web import Ask, not_here
from hub.web.filters import today
from hub.web.listing import Condition
from quality.decisions import State
from quality.decisions_list import Sort
from quality.decisions_query import CASES, NONE, SOURCES, Filter
from quality.decisions_store import Acting
from quality.web.wording import entity_name, source_name

OPEN: Final = tuple(str(s) for s in State if s is not State.EFFECTIVE)
# Name in the address → condition of the filter.
NAMES: Final = {
    "state": "state", "entity": "entity", "field": "field", "rule": "rule", "cause": "cause", "school": "school",
    "assignee": "assignee", "authority": "authority", "division": "division", "op": "op_no", "record": "record",
}  # fmt: skip
KEPT: Final = ("field", "cause", "authority", "op", "no", "q", "mine", "own", "record", "sort")
_KEEP_TYPED: Final = timedelta(hours=12)


@dataclass(frozen=True)
class Asked:
    """What the address asks for. `named`: it sets any condition at all."""

    filter: Filter
    sort: Sort
    named: bool


def acting_of(ask: Ask) -> Acting:
    """Who acts, where and when."""
    return Acting(ask.site.party, ask.operator, ask.at, today(ask.at))


def asked(ask: Ask) -> Asked:
    """The filter of this address; without a state, everything that is not settled. 404 for another's typed query."""
    given: dict[str, tuple[str, ...]] = {column: ask.queries(name) for name, column in NAMES.items()}
    numbers = tuple(int(n) for n in ask.queries("no") if n.isascii() and n.isdigit() and len(n) < 16)
    named = any(given.values()) or bool(numbers)
    mine = ask.query("mine") == "1"
    if mine:
        given["assignee"] = (ask.visitor.name,)
    if ask.query("own") == "1":
        given["proposer"] = (ask.operator.person,)
        named = True
    overdue = today(ask.at) if ask.query("overdue") == "1" else ""
    typed = _typed(ask) if ask.query("q") else ""
    origin = ask.query("origin") if ask.query("origin") in (CASES, SOURCES) else ""
    if not given["state"] and not (numbers or given["op_no"]):
        given["state"] = OPEN
    sort = ask.query("sort")
    chosen = Filter(**given, numbers=numbers, overdue=overdue, typed=typed, origin=origin)
    return Asked(
        chosen, Sort(sort) if sort in set(Sort) else Sort.OLDEST, named or mine or bool(overdue or typed or origin)
    )


def conditions_of(catalog: Catalog) -> tuple[Condition, ...]:
    """查询条件."""
    entities = tuple((e.name, e.cn) for e in catalog.entities.values())
    rules = tuple((r.id, f"{r.id} {r.name}") for r in catalog.rules.values() if r.dimension in _DIMENSIONS)
    return (
        Condition("state", "当前状态", tuple((str(s), str(s)) for s in State)),
        Condition("entity", "数据类别", entities),
        Condition("rule", "原因", ((NONE, "来源不一致"), *rules)),
        Condition("school", "学校标识码", hint="10 位"),
        Condition("assignee", "承办人", hint="账号"),
        Condition("origin", "来源", ((SOURCES, "本省各源"), (CASES, "部级核查"))),
        Condition("overdue", "截止日期", (("1", "已逾期"),)),
    )


_DIMENSIONS: Final = ("唯一性", "一致性", "有效性")


def labels_of(catalog: Catalog, schools: dict[str, str]) -> dict[str, dict[str, str]]:
    """Words for values of conditions, for chips and facets."""
    fields = {f.name: f.cn for e in catalog.entities.values() for f in e.fields}
    return {
        "entity": {e: entity_name(catalog, e) for e in catalog.entities},
        "field": fields,
        "rule": {NONE: "来源不一致", **{r.id: r.name for r in catalog.rules.values()}},
        "school": {NONE: "未定学校", **schools},
        "authority": {NONE: "无权威源", **{s: source_name(catalog, s) for s in ("S1", "S2", "S3")}},
        "assignee": {NONE: "未分派"},
        "op": {NONE: "逐条提交"},
        "division": dict(catalog.codes.division_names),
        "mine": {"1": "是"},
        "own": {"1": "是"},
        "overdue": {"1": "是"},
    }


# Conditions that stand in the address but not in the form, for the chips.
HIDDEN: Final = (
    Condition("field", "数据项"), Condition("cause", "原由"), Condition("authority", "权威源"), Condition("op", "操作号"),
    Condition("division", "行政区划"), Condition("mine", "由我承办"), Condition("own", "由我提议"), Condition("no", "编号"), Condition("record", "记录号"),
)  # fmt: skip


def keep_typed(store: Store, name: str, typed: str, *, at: datetime, token: str) -> None:
    """Keeps what a person typed under an opaque number; what is older than half a day goes."""
    old = (at - _KEEP_TYPED).astimezone(UTC).isoformat(timespec="seconds")
    with store.begin() as tx:
        tx.connection.execute(sa.delete(TYPED_QUERY).where(TYPED_QUERY.c.made_at < old))
        row = {
            "token": token,
            "name": name,
            "typed": typed,
            "made_at": at.astimezone(UTC).isoformat(timespec="seconds"),
        }
        tx.connection.execute(sa.insert(TYPED_QUERY), row)


def _typed(ask: Ask) -> str:
    with ask.site.store.reading() as reader:
        found = typed_of(reader, ask.visitor.name, ask.query("q"))
    if found is None:
        raise not_here("这一查询号已失效，请重新输入标识号")
    return found


def typed_of(reader: Reader, name: str, token: str) -> str | None:
    """What this person typed under that number, None for anybody else."""
    query = sa.select(TYPED_QUERY.c.typed).where(TYPED_QUERY.c.token == token, TYPED_QUERY.c.name == name)
    found = reader.connection.execute(query).scalar_one_or_none()
    return str(found) if found is not None else None
