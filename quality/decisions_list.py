"""The queue in the order a clerk asks for: sorted, paged by keyset both ways, one jump to a page (console 2, 6).

Decides that a page is found by the place of its neighbour row (sort key and number, so ties never hide a row), that only
前往 counts rows from an end, and from the nearer one, and what makes a conflict grave: the severity of its rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import UsageError
from hub.roles import Scope
from hub.store import Reader
from hub.store.decision_tables import DECISION
from quality.decisions_query import PAGE_SIZES, Filter, conditions, within

GRAVE: Final = ("错误", "警告", "提示")
_NEVER: Final = "9999-12-31"
_MARK: Final = "~"


class Sort(StrEnum):
    """How a list is ordered; the number breaks every tie."""

    OLDEST = "oldest"
    NEWEST = "newest"
    DUE = "due"
    GRAVE = "grave"


@dataclass(frozen=True)
class Seek:
    """Which page: after or before a row's place, a page by number (1 first), or the last; nothing: the first."""

    after: str = ""
    before: str = ""
    number: int = 1
    last: bool = False


@dataclass(frozen=True)
class Listing:
    """Rows in order; `first` and `last` are the places of the end rows, for the neighbouring pages."""

    rows: tuple[dict[str, Any], ...]
    first: str
    last: str
    more_before: bool
    more_after: bool


def severity(catalog: Catalog, rule: str | None, *, clash: bool = False) -> str:
    """错误, 警告 or 提示: its rule's; rows that exclude each other are 错误, values that merely differ 警告."""
    found = catalog.rules.get(rule or "")
    return found.severity if found is not None else GRAVE[0] if clash else GRAVE[1]


def listing(
    reader: Reader, catalog: Catalog, node: str, scopes: Sequence[Scope], chosen: Filter, *, sort: Sort, seek: Seek,
    size: int, total: int | None = None,
) -> Listing:  # fmt: skip
    """One page. `total`: rows of the whole list where known, so that a far page is sought from its end.

    Raises `UsageError` E1055 for a page size that is not offered and for a place that is none.
    """
    if size not in PAGE_SIZES:
        raise UsageError("E1055", f"每页条数须是 {'、'.join(map(str, PAGE_SIZES))} 之一", step="改选每页条数")
    key = _key(catalog, sort)
    terms = [*conditions(chosen), within(reader, node, scopes)]
    down = sort is Sort.NEWEST
    backwards = bool(seek.before or seek.last)
    if backwards:
        # The last page shows what is left over, as if one had paged there.
        size_here = ((total - 1) % size + 1) if seek.last and total else size
        place = _place(seek.before, sort)
    else:
        size_here, place = size, _place(seek.after, sort)
        if place is None and seek.number > 1:
            place = _jump(reader, key, terms, down=down, skip=(seek.number - 1) * size, total=total)
    query = _ordered(sa.select(DECISION, key.label("sort_key")).where(*terms), key, down=down != backwards)
    if place is not None:
        query = query.where(_beyond(key, place, down=down != backwards))
    rows = [dict(r) for r in reader.connection.execute(query.limit(size_here + 1)).mappings()]
    more, rows = len(rows) > size_here, rows[:size_here]
    if backwards:
        rows.reverse()
    ends = [_told(rows[at]) for at in (0, -1)] if rows else ["", ""]
    for row in rows:
        del row["sort_key"]
    before, after = (more, bool(seek.before)) if backwards else (place is not None, more)
    return Listing(tuple(rows), ends[0], ends[1], before, after)


def next_of(
    reader: Reader, catalog: Catalog, node: str, scopes: Sequence[Scope], chosen: Filter, *, sort: Sort, number: int
) -> int | None:
    """The conflict that follows `number` in the list (下一条), or the first of the list when it is the last one."""
    key = _key(catalog, sort)
    terms = [*conditions(chosen), within(reader, node, scopes), DECISION.c.decision_no != number]
    query = _ordered(sa.select(DECISION.c.decision_no).where(*terms), key, down=sort is Sort.NEWEST).limit(1)
    own = sa.select(key, DECISION.c.decision_no).where(DECISION.c.decision_no == number)
    here = reader.connection.execute(own).first()
    if here is not None:
        beyond = _beyond(key, (here[0], int(here[1])), down=sort is Sort.NEWEST)
        found = reader.connection.execute(query.where(beyond)).scalar_one_or_none()
        if found is not None:
            return int(found)
    found = reader.connection.execute(query).scalar_one_or_none()
    return int(found) if found is not None else None


def _key(catalog: Catalog, sort: Sort) -> Any:
    if sort is Sort.DUE:
        return sa.func.coalesce(DECISION.c.due, _NEVER)
    if sort is Sort.GRAVE:
        ranked = {s: [r.id for r in catalog.rules.values() if r.severity == s] for s in GRAVE}
        return sa.case(
            (
                sa.or_(
                    DECISION.c.rule.in_(ranked[GRAVE[0]]),
                    sa.func.length(DECISION.c.clash) > 0,  # nothing differs from '' on Oracle
                ),
                0,
            ),
            (DECISION.c.rule.in_(ranked[GRAVE[2]]), 2),
            else_=1,
        )
    return sa.literal(0)


def _ordered(query: Any, key: Any, *, down: bool) -> Any:
    keys = [DECISION.c.decision_no] if isinstance(key, sa.BindParameter) else [key, DECISION.c.decision_no]
    return query.order_by(*(k.desc() if down else k for k in keys))


def _beyond(key: Any, place: tuple[Any, int], *, down: bool) -> Any:
    value, number = place
    past = DECISION.c.decision_no < number if down else DECISION.c.decision_no > number
    if isinstance(key, sa.BindParameter):
        return past
    return sa.or_(key < value if down else key > value, sa.and_(key == value, past))


def _jump(
    reader: Reader, key: Any, terms: list[Any], *, down: bool, skip: int, total: int | None
) -> tuple[Any, int] | None:
    """The place of the row before the page, counted from the nearer end; None when there is no such row."""
    near = total is None or skip <= total // 2
    offset = skip - 1 if near or total is None else total - skip
    query = _ordered(sa.select(key, DECISION.c.decision_no).where(*terms), key, down=down if near else not down)
    found = reader.connection.execute(query.offset(max(0, offset)).limit(1)).first()
    return (found[0], int(found[1])) if found is not None else None


def _told(row: dict[str, Any]) -> str:
    return f"{row['sort_key']}{_MARK}{row['decision_no']}"


def _place(text: str, sort: Sort) -> tuple[Any, int] | None:
    if not text:
        return None
    value, _, number = text.rpartition(_MARK)
    if not number.isdigit() or not (len(value) == len(_NEVER) if sort is Sort.DUE else value.isdigit()):
        raise UsageError("E1055", "页面位置无效", step="从第一页重新查询")
    return (value if sort is Sort.DUE else int(value)), int(number)
