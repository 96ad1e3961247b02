"""Conflicts as xlsx out of the console: masked for those who fill in, plain by two persons (console 3, protocol 14.3).

Decides the form of the download: one workbook up to 5,000 rows, beyond that a zip of several, streamed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from starlette.responses import Response

from hub.web import Ask, Section
from hub.web.sheets import File, Rows, Shown, show
from hub.workbook import stream_books
from quality.decisions_query import Filter, count
from quality.decisions_sheet import HEADERS, MAX_ROWS, REQUIRED, Mark, begin_export, books, lines_out
from quality.decisions_store import Acting
from quality.plain_exports import ask as request_plain
from quality.plain_exports import decide_request, requests, take
from quality.web.jobs import XLSX, attached
from quality.web.query import acting_of, asked

section: Final = Section("exports", "quality.web", nodes=("province",))


@section.post("/conflicts/export", allow="xlsx")
def export(ask: Ask) -> Response:
    """The whole filter, masked; audited before the first row leaves."""
    acting, chosen = acting_of(ask), asked(ask).filter
    rows = begin_export(ask.site.store, acting, chosen)
    return _download(ask, acting, chosen, rows, f"冲突_{acting.today}")


@section.get("/conflicts/export/sheet", allow="xlsx", manual="conflicts")
def shown_first(ask: Ask) -> Response:
    """The workbook an export would bring, masked, before it is made."""
    acting, chosen = acting_of(ask), asked(ask).filter
    with ask.site.store.reading() as reader:
        rows = count(reader, acting.node, acting.by.scopes("xlsx"), chosen)

        def some(size: int, offset: int) -> Rows:
            found = islice(lines_out(reader, ask.site.catalog, acting, chosen), offset, offset + size)
            return [(offset + at + 2, cells) for at, cells in enumerate(found)]

        tail = f"?{ask.request.url.query}" if ask.request.url.query else ""
        note = f"按当前条件共 {rows:,} 条" + (f"，所示为第一个文件的 {MAX_ROWS:,} 条" if rows > MAX_ROWS else "")
        file = File("冲突导出", note, f"/conflicts{tail}", f"/conflicts/export{tail}", posted=True)
        return show(ask, file, [Shown("sheet1", HEADERS, min(rows, MAX_ROWS), some, tuple(REQUIRED))])


@section.get("/exports", allow=("xlsx", "review"), manual="exports")
def listing(ask: Ask) -> Response:
    """明文导出: requests and what this person may do about each."""
    with ask.site.store.reading() as reader:
        found = requests(reader)
    me = ask.operator.person
    shown = [{**r, "own": r["asked_by"] == me} for r in found if r["asked_by"] == me or ask.visitor.may("review")]
    return ask.page(
        "conflicts/exports.html", requests=shown, query=ask.request.url.query,
        may_ask=ask.visitor.may("xlsx") and ask.visitor.may("plaintext"), may_release=ask.visitor.may("review"),
    )  # fmt: skip


@section.post("/exports", allow="plaintext")
def request(ask: Ask) -> Response:
    """A request for what the address's filter finds."""
    request_plain(ask.site.store, acting_of(ask), asked(ask).filter, ask.form.get("purpose", ""))
    return ask.go("/exports")


@section.post("/exports/{number:int}/decide", allow="review")
def decide(ask: Ask) -> Response:
    """The second person's word."""
    release = ask.form.get("do") == "release"
    decide_request(ask.site.store, acting_of(ask), int(ask.path["number"]), release=release)
    return ask.go("/exports")


@section.post("/exports/{number:int}/take", allow="plaintext")
def taken(ask: Ask) -> Response:
    """The file, once; marked with exporter, releaser and purpose."""
    acting = acting_of(ask)
    chosen, mark = take(ask.site.store, acting, int(ask.path["number"]))
    return _download(ask, acting, chosen, mark.rows, f"明文_{acting.by.name}_申请{mark.request}", mark)


def _download(ask: Ask, acting: Acting, chosen: Filter, rows: int, name: str, mark: Mark | None = None) -> Response:
    made = books(ask.site.store, ask.site.catalog, acting, chosen, mark=mark)
    if rows <= MAX_ROWS:
        return attached(chain.from_iterable(made), f"{name}.xlsx", XLSX)
    body: Iterator[bytes] = stream_books(lambda at: f"{name}_{at}.xlsx", made)
    return attached(body, f"{name}.zip", "application/zip")
