"""批量处理: a query, its preview, and what is submitted (console 3).

Decides which rows a button means (所选, 全部) and what the preview page shows. The server runs the filter again in the
person's scope; a preview writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.errors import HubError, UsageError
from hub.roles_store import operator_named
from hub.web import Ask, Section
from hub.web.filters import today
from quality.decisions_bulk import REVIEWS, Bulk, Order, open_operation, preview
from quality.decisions_query import Filter
from quality.decisions_store import DecisionRefusedError
from quality.decisions_words import private_field
from quality.reasons import reasons_for
from quality.web.jobs import carry_on
from quality.web.lines import lines_of
from quality.web.query import acting_of, asked
from quality.web.wording import deciders

section: Final = Section("bulk", "quality.web", nodes=("province",))
_ALLOW: Final = ("bulk", "assign", "due", "review")


@section.get("/bulk", allow=_ALLOW, manual="bulk")
def ask_for(ask: Ask) -> Response:
    """The preview: 命中 = 可处理 + 跳过, private fields, five samples. Nothing is written."""
    return _preview(ask)


@section.post("/bulk", allow=_ALLOW)
def submit(ask: Ask) -> Response:
    """Starts the job under one 操作号; the token holds it to the preview."""
    acting, form = acting_of(ask), ask.form
    reason, note, assignee, due = (form.get(name, "").strip() for name in ("reason", "note", "assignee", "due"))
    order = replace(_order(ask), reason=reason, note=note, assignee=assignee, due=due)
    try:
        if order.assignee:
            with ask.site.store.reading() as reader:
                operator_named(reader, order.assignee)
        op_no = open_operation(ask.site.store, acting, order, form.get("token", ""))
    except (DecisionRefusedError, UsageError) as error:
        if getattr(error, "status", 422) not in (409, 422):
            raise
        return _preview(ask, error=error, order=order)
    carry_on(ask, acting, op_no)
    return ask.go(f"/jobs/{op_no}")


def _order(ask: Ask) -> Order:
    """`do`: `tick:` the ticked rows, `all:` the whole query, and behind it what, or `what` beside."""
    which, _, word = (ask.query("do") or "all:").partition(":")
    what = word or ask.query("what") or str(Bulk.BY_RULE if ask.visitor.may("bulk") else Bulk.APPROVE)
    if what not in set(Bulk):
        raise UsageError("E3336", "没有这种批量操作", step="返回列表重新选择")
    chosen = asked(ask).filter
    if which == "tick":
        ticked = tuple(int(n) for n in ask.queries("tick") if n.isascii() and n.isdigit() and len(n) < 16)
        if not ticked:
            raise UsageError("E3336", "没有勾选任何一条", step="返回列表，勾选后再点“所选”，或点“全部”")
        chosen = Filter(numbers=ticked)
    elif Bulk(what) in REVIEWS and not ask.queries("state"):
        chosen = replace(chosen, state=("待复核",))
    return Order(chosen, Bulk(what))


def _preview(ask: Ask, *, error: HubError | None = None, order: Order | None = None) -> Response:
    order = order or _order(ask)
    with ask.site.store.reading() as reader:
        seen = preview(reader, acting_of(ask), order)
        samples = lines_of(reader, ask.site.catalog, ask.site.party, seen.samples, today(ask.at))
        people = deciders(reader) if order.what is Bulk.ASSIGN else []
    private = sum(n for (entity, field), n in seen.fields.items() if private_field(ask.site.catalog, entity, field))
    word = {Bulk.BY_RULE: "采用来源值", Bulk.RETURN: "退回源头平台", Bulk.REJECT: "驳回"}.get(order.what, "")
    return ask.page(
        "conflicts/bulk.html", status=422 if error else 200, order=order, seen=seen, samples=samples, private=private,
        reasons=reasons_for(word), people=people, error=error, query=ask.request.url.query, back=_back(ask),
        reviews=order.what in REVIEWS,
    )  # fmt: skip


def _back(ask: Ask) -> str:
    """The list this came from."""
    kept = "&".join(p for p in ask.request.url.query.split("&") if p and p.split("=")[0] not in ("do", "what", "tick"))
    return f"/conflicts?{kept}" if kept else "/conflicts"
