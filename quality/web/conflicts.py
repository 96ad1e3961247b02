"""冲突处理: the list of conflicts (console 2, 3, 5).

Decides what the page holds; which rows, in which order and within whose scope is decided by the query layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.errors import UsageError
from hub.web import Ask, Queue, Section
from hub.web.filters import today
from hub.web.listing import Facet, Paging, chips, facet, page_size
from quality.decisions_list import Listing, Seek, listing
from quality.decisions_query import Filter, count
from quality.web.counted import counted
from quality.web.lines import lines_of
from quality.web.query import HIDDEN, KEPT, OPEN, asked, conditions_of, keep_typed, labels_of
from quality.web.wording import school_names

section: Final = Section("conflicts", "quality.web", nodes=("province",))
FACET_NAMES: Final = {
    "state": "当前状态", "entity": "数据类别", "field": "数据项", "rule": "原因", "school": "学校", "assignee": "承办人",
    "authority": "权威源",
}  # fmt: skip
_TYPED: Final = range(4, 41)


@section.get("/conflicts", allow="query", menu="冲突处理", manual="conflicts")
def conflicts(ask: Ask) -> Response:
    """查询条件, 数据列表, bulk buttons; facets come in a second request, or at once with `facets=1`."""
    wanted, catalog = asked(ask), ask.site.catalog
    scopes, size = ask.scopes("query"), page_size(ask)
    with ask.site.store.reading() as reader:
        total = count(reader, ask.site.party, scopes, wanted.filter)
        seek, page = _seek(ask, total, size)
        found = listing(
            reader, catalog, ask.site.party, scopes, wanted.filter, sort=wanted.sort, seek=seek, size=size, total=total
        )
        lines = lines_of(reader, catalog, ask.site.party, found.rows, today(ask.at))
        names = school_names(reader, ask.site.party, ask.queries("school"))
        anything = total > 0 or wanted.named or count(reader, ask.site.party, scopes, Filter()) > 0
    conditions = conditions_of(catalog)
    return ask.page(
        "conflicts/list.html", lines=lines, paging=_paging(ask, total, size, page, found), conditions=conditions,
        chips=chips(ask, (*conditions, *HIDDEN), labels_of(catalog, names)), kept=KEPT, named=wanted.named,
        anything=anything, facets=_facets(ask) if ask.query("facets") else None,
        bulk=ask.visitor.may("bulk"), gives=ask.visitor.may("assign"), sheets=ask.visitor.may("xlsx"),
        query=ask.request.url.query, sort=str(wanted.sort),
    )  # fmt: skip


@section.get("/conflicts/facets", allow="query")
def facets_part(ask: Ask) -> Response:
    """The facets alone, for the second request."""
    return ask.fragment("conflicts/facets.html", facets=_facets(ask))


@section.post("/conflicts/find", allow="query")
def find(ask: Ask) -> Response:
    """An identifier somebody typed becomes an opaque number in the address."""
    typed = "".join(ask.form.get("typed", "").split())
    if len(typed) not in _TYPED:
        raise UsageError("E3335", "标识号须为 4 至 40 个字符", step="输入学籍号、身份证件号、教职工号或学校标识码")
    token = ask.site.rng(12).hex()
    keep_typed(ask.site.store, ask.visitor.name, typed, at=ask.at, token=token)
    return ask.go("/conflicts", q=token)


@section.queue
def waiting(ask: Ask) -> Iterable[Queue]:
    """What waits for this person: to decide, assigned, overdue."""
    if not ask.visitor.may("propose"):
        yield from _open_ones(ask)
        return
    scopes, day = ask.scopes("query"), today(ask.at)
    with ask.site.store.reading() as reader:

        def rows(**given: object) -> int:
            return count(reader, ask.site.party, scopes, Filter(**given))  # type: ignore[arg-type]

        yield Queue("待处理", rows(state=("待处理",)), "/conflicts?state=待处理")
        mine = rows(state=OPEN, assignee=(ask.visitor.name,))
        yield Queue("由我承办", mine, "/conflicts?mine=1")
        returned = rows(state=("已提议",), proposer=(ask.operator.person,))
        yield Queue("本人暂存或被驳回", returned, "/conflicts?state=已提议&own=1", "warn")
        yield Queue("逾期", rows(state=OPEN, overdue=day), "/conflicts?overdue=1", "bad")


def _open_ones(ask: Ask) -> Iterable[Queue]:
    """For who only looks: what is open in the own school or area, and what the platforms have to put right."""
    if not ask.visitor.may("query"):
        return
    with ask.site.store.reading() as reader:
        for label, states, href in (
            ("未结冲突", OPEN, "/conflicts"), ("待源头更正", ("退回源头平台",), "/conflicts?state=退回源头平台"),
        ):  # fmt: skip
            yield Queue(label, count(reader, ask.site.party, ask.scopes("query"), Filter(state=states)), href)


def _seek(ask: Ask, total: int, size: int) -> tuple[Seek, int]:
    """(where the page begins, its number). Places count only beside a page number, so that filters begin at page 1."""
    last = max(1, -(-total // size))
    page = min(ask.number("page", 1, least=1), last)
    if page == 1:
        return Seek(), 1
    after, before = ask.query("after"), ask.query("before")
    if after:
        return Seek(after=after), page
    if before:
        return Seek(before=before), page
    return (Seek(last=True) if page == last else Seek(number=page)), page


def _paging(ask: Ask, total: int, size: int, page: int, found: Listing) -> Paging:
    made = Paging(
        total, size, page, None, sizes=tuple((n, ask.with_query(size=n, before=None)) for n in (10, 20, 50, 100))
    )
    forward = ask.with_query(page=page + 1, after=found.last, before=None) if page < made.pages and found.rows else None
    back = ask.with_query(page=page - 1, before=found.first, after=None) if page > 1 and found.rows else None
    return replace(made, next=forward, previous=back)


def _facets(ask: Ask) -> tuple[Facet, ...]:
    wanted, scopes = asked(ask), ask.scopes("query")
    with ask.site.store.reading() as reader:
        counts = counted(ask.site.store, reader, ask.site.party, scopes, wanted.filter, at=ask.at)
        names = school_names(reader, ask.site.party, list(counts["school"])[:2000])
    labels = labels_of(ask.site.catalog, names)
    made = []
    for name, label in FACET_NAMES.items():
        values = sorted(counts[name].items(), key=lambda item: (-item[1], item[0]))
        told = [(value, labels.get(name, {}).get(value, value), n) for value, n in values]
        one = facet(ask, name, label, told)
        choices = tuple(replace(c, href=_to_list(c.href)) for c in one.choices)
        made.append(replace(one, choices=choices))
    return tuple(made)


def _to_list(href: str) -> str:
    return href.replace("/conflicts/facets", "/conflicts", 1)
