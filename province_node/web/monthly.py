"""进展月报: the monthly form 附件4 as an A4 page and a workbook, prefilled, edited, reported by the fifth.

Decides who may read and write it: staff whose scope is the whole province. 上报 here closes the month and is audited;
no stream of the protocol carries it, so the paper with signatures and seal goes its own way, and the page says where.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.errors import HubError
from hub.web import Allowed, Ask, Queue, Section, forbidden, not_here
from hub.web.filters import today
from hub.web.refusals import status_of
from province_node.monthly_form import form, month_of
from province_node.monthly_known import Known, known
from province_node.monthly_report import (
    DRAFT,
    SENT,
    Report,
    correct,
    due_on,
    last_reported,
    months,
    overdue,
    revisions,
    save,
    submit,
    wanted,
)
from province_node.monthly_sheet import write_form
from province_node.web.downloads import xlsx

section: Final = Section("monthly", "province_node.web", nodes=("province",))
# It speaks for the whole province, so no school and no city reads it (console 1: 学校管理者 reads its own school).
LOOK: Final = Allowed(("propose", "review", "audit"), whole=True)


@section.get("/monthly", allow=LOOK, menu="进展月报", manual="monthly")
def listing(ask: Ask) -> Response:
    """The last twelve months: reported, draft, missing."""
    day = today(ask.at)
    with ask.site.store.reading() as reader:
        found, due = months(reader, day), wanted(reader, day)
    late = {r.month: overdue(r.month, day) for r in found}
    return ask.page(
        "monthly/list.html", reports=found, late=late, due={r.month: due_on(r.month) for r in found}, wanted=due,
        may_write=_may_write(ask), sent=SENT,
    )  # fmt: skip


@section.get("/monthly/{month}", allow=LOOK, manual="monthly")
def sheet(ask: Ask) -> Response:
    """The form as it is printed: the newest revision, or the one in the address."""
    month = _month(ask)
    with ask.site.store.reading() as reader:
        every = revisions(reader, month)
    chosen = next((r for r in every if r.revision == ask.number("revision", 0)), every[0] if every else Report(month))
    offered = {} if chosen.version else _offered(ask, month)
    answers = chosen.answers if chosen.answers is not None else {k: v.answer for k, v in offered.items()}
    return ask.page(
        "monthly/sheet.html", form=form(), report=chosen, every=every, answers=answers, province=_province(ask),
        due=due_on(month), late=overdue(month, today(ask.at)), may_write=_may_write(ask), sent=SENT,
    )  # fmt: skip


@section.get("/monthly/{month}/edit", allow="propose", manual="monthly")
def edit(ask: Ask) -> Response:
    """The boxes to fill in; what the hub knows stands in them, with where it knows it from."""
    _writer(ask)
    month = _month(ask)
    report = _newest(ask, month)
    if report.state == SENT:
        return ask.go(f"/monthly/{month}")
    return _edit(ask, report)


def _edit(ask: Ask, report: Report, *, error: HubError | None = None) -> Response:
    offered = _offered(ask, report.month)
    answers = report.answers if report.answers is not None else {k: v.answer for k, v in offered.items()}
    return ask.page(
        "monthly/edit.html", status=200 if error is None else status_of(error), form=form(), report=report,
        answers=answers, offered=offered, due=due_on(report.month), error=error,
    )  # fmt: skip


@section.post("/monthly/{month}", allow="propose")
def keep(ask: Ask) -> Response:
    """保存 or 上报."""
    _writer(ask)
    month, store = _month(ask), ask.site.store
    seen = ask.form.get("version", "")
    version = int(seen) if seen.isdigit() and len(seen) < 10 else 0
    try:
        if ask.form.get("do") == "submit":
            submit(store, month, ask.form, version=version, node=ask.site.party, by=ask.operator, at=ask.at)
            return ask.go(f"/monthly/{month}", done=SENT)
        save(store, month, ask.form, version=version, by=ask.operator, at=ask.at)
    except HubError as error:
        typed = {name: ask.form[name] for name in form().items() if ask.form.get(name)}
        now = _newest(ask, month)
        if now.state == SENT:
            raise
        return _edit(ask, replace(now, answers=typed), error=error)
    return ask.go(f"/monthly/{month}/edit", done=DRAFT)


@section.post("/monthly/{month}/correct", allow="propose")
def amend(ask: Ask) -> Response:
    """更正: a further revision of a reported month; the reported one stays as it was."""
    _writer(ask)
    month = _month(ask)
    correct(ask.site.store, month, by=ask.operator, at=ask.at)
    return ask.go(f"/monthly/{month}/edit")


@section.get("/monthly/{month}/form.xlsx", allow=LOOK)
def download(ask: Ask) -> Response:
    """The same page as a workbook."""
    month = _month(ask)
    report = _newest(ask, month)
    answers = report.answers
    if answers is None:
        answers = {k: v.answer for k, v in _offered(ask, month).items()}
    day = today(ask.at) if report.state != SENT else report.submitted_at[:10]
    return xlsx(
        ask, f"建设进展情况月报表_{ask.site.party}_{month}.xlsx",
        lambda path: write_form(path, form(), _province(ask), answers, date=day),
    )  # fmt: skip


@section.queue
def due_now(ask: Ask) -> list[Queue]:
    """This month's form, until it was reported; red after the fifth."""
    if not _may_write(ask):
        return []
    day = today(ask.at)
    with ask.site.store.reading() as reader:
        month = wanted(reader, day)
    if month is None:
        return []
    late = overdue(month, day)
    label = f"进展月报 {month}（{'已逾期' if late else f'{form().due_day} 日前'}）"
    return [Queue(label, 1, f"/monthly/{month}/edit", "bad" if late else "warn")]


def _offered(ask: Ask, month: str) -> dict[str, Known]:
    with ask.site.store.reading() as reader:
        before = last_reported(reader, month)
        return known(reader, ask.site.catalog, ask.site.party, (before.answers if before else None) or {})


def _newest(ask: Ask, month: str) -> Report:
    with ask.site.store.reading() as reader:
        return next(iter(revisions(reader, month)), Report(month))


def _month(ask: Ask) -> str:
    month = month_of(str(ask.path["month"]))
    if month is None:
        raise not_here("没有这个月的月报")
    return month


def _may_write(ask: Ask) -> bool:
    return any(s.whole for s in ask.scopes("propose"))


def _writer(ask: Ask) -> None:
    """The form speaks for the whole province."""
    if not _may_write(ask):
        raise forbidden("进展月报由数据范围为全省的业务人员填写", "请省级业务人员填写")


def _province(ask: Ask) -> str:
    return ask.site.catalog.codes.division_names.get(f"{ask.site.party}0000", ask.site.party)
