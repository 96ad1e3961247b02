"""Filled-in conflict sheets uploaded: a progress bar, proposals, and the wrong rows back as a file (console 3).

Decides how an upload becomes work beside the pages; what a row becomes is `quality.decisions_sheet`. It lies here
because parsing a workbook, in a child process with limits, is a connector's work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from connectors.xlsx import read_sheet
from hub.errors import HubError, UsageError
from hub.masking import swept
from hub.web import Ask, Section, not_here
from hub.web.sheets import File, of_list, show
from hub.web.work import DONE, Plan, Telling, begin, work_of
from province_node.web.uploads import drop, keep
from quality.decisions_sheet import MAX_ROWS, REQUIRED, WRONG_HEADERS, Imported, import_lines, refuse_name
from quality.decisions_store import Acting
from quality.web.counted import forget
from quality.web.jobs import XLSX, attached
from quality.web.query import acting_of

section: Final = Section("conflict-import", "province_node.web", nodes=("province",))
AGAIN: Final = "已成为待复核意见的行仍有效；重传同一文件，那些行会作为“已被他人更新”退回，其余照常导入"


@section.get("/conflicts/import", allow="xlsx", manual="conflict-import")
def form(ask: Ask) -> Response:
    """Where to upload."""
    return ask.page("conflicts/import.html", most=MAX_ROWS, error=None)


@section.post("/conflicts/import", allow="xlsx")
def upload(ask: Ask) -> Response:
    """Takes the file and starts; the answer leads to the progress page."""
    given = ask.files.get("file")
    try:
        if given is None or not given.filename:
            raise UsageError("E3729", "没有选择文件", step="选择导出后填好的 xlsx 再上传")
        refuse_name(given.filename)
    except HubError as error:
        return ask.page("conflicts/import.html", status=422, most=MAX_ROWS, error=error)
    path, token, acting = keep(ask, given), ask.site.rng(12).hex(), acting_of(ask)
    label = _shown(path.name)
    plan = Plan(label, lambda telling: _take(ask, acting, telling, path, label), "/conflicts/import", AGAIN)
    begin(ask, token, plan)
    return ask.go(f"/conflicts/import/{token}")


@section.get("/conflicts/import/{token}", allow="xlsx", manual="conflict-import")
def outcome(ask: Ask) -> Response:
    """Progress, then what was proposed and how many rows were wrong."""
    return ask.page("conflicts/imported.html", **_values(ask))


@section.get("/conflicts/import/{token}/progress", allow="xlsx")
def progress(ask: Ask) -> Response:
    """The part of the page that moves."""
    return ask.fragment("conflicts/import_progress.html", **_values(ask))


@section.get("/conflicts/import/{token}/wrong", allow="xlsx")
def wrong(ask: Ask) -> Response:
    """The wrong rows in the same layout, with 原行号 and 错误原因."""
    work = work_of(ask, str(ask.path["token"]))
    found = _imported(work.outcome)
    if found is None or not found.wrong:
        raise not_here("这次导入没有错误行")
    return attached(found.book(), f"{Path(work.label).stem}_错误行.xlsx", XLSX)


@section.get("/conflicts/import/{token}/wrong/sheet", allow="xlsx", manual="conflict-import")
def wrong_shown(ask: Ask) -> Response:
    """The same on a page. A cell somebody typed may hold a private value of the conflict, so every text is swept."""
    work = work_of(ask, str(ask.path["token"]))
    found, here = _imported(work.outcome), f"/conflicts/import/{work.token}"
    if found is None or not found.wrong:
        raise not_here("这次导入没有错误行")
    rows = [[swept(cell) for cell in row] for row in found.wrong]
    file = File(f"{Path(work.label).stem}_错误行.xlsx", "导入时有误、未处理的行", here, f"{here}/wrong")
    return show(ask, file, [of_list("sheet1", WRONG_HEADERS, rows, tuple(REQUIRED))])


def _take(ask: Ask, acting: Acting, telling: Telling, path: Path, name: str) -> dict[str, Any]:
    def told(done: int, of: int) -> None:
        telling.tell("导入", done, of)

    try:
        sheet = read_sheet(path)
        told(0, len(sheet.lines))
        made = import_lines(
            ask.site.store, ask.site.catalog, acting, sheet.header[1], sheet.lines, name=name, progress=told
        )
    finally:
        drop(path)
        forget(ask.site.store)
    return {"proposed": made.proposed, "wrong": made.wrong}


def _imported(outcome: Any) -> Imported | None:
    """What an import did, from what was kept of it."""
    if not isinstance(outcome, dict) or "wrong" not in outcome:
        return None
    return Imported(int(outcome["proposed"]), tuple(tuple(str(c) for c in row) for row in outcome["wrong"]))


def _values(ask: Ask) -> dict[str, Any]:
    token = str(ask.path["token"])
    work = work_of(ask, token)
    return {"u": work, "token": token, "found": _imported(work.outcome) if work.state == DONE else None}


def _shown(name: str) -> str:
    """The file's name without what may be somebody's number."""
    return swept(name) if sum(c.isdigit() for c in name) < 15 else "上传的文件.xlsx"
