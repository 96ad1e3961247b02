"""Filled-in conflict sheets uploaded: a progress bar, proposals, and the wrong rows back as a file (console 3).

Decides how an upload becomes a job and how long its outcome is kept; what a row becomes is `quality.decisions_sheet`.
It lies here because parsing a workbook, in a child process with limits, is a connector's work.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

from starlette.datastructures import UploadFile
from starlette.responses import Response

from connectors.xlsx import read_sheet
from hub.errors import HubError, UsageError
from hub.store import Store
from hub.web import Ask, Section, not_here
from quality.decisions_sheet import MAX_ROWS, Imported, import_lines, refuse_name
from quality.decisions_store import Acting
from quality.web.counted import forget
from quality.web.jobs import XLSX, attached
from quality.web.query import acting_of
from quality.web.runner import running, start

section: Final = Section("conflict-import", "province_node.web", nodes=("province",))
KEPT: Final = timedelta(hours=2)


@dataclass
class Upload:
    """One import of one account, while it runs and for two hours after. `error`: why nothing was taken."""

    name: str
    file: str
    began: datetime
    done: int = 0
    rows: int = 0
    outcome: Imported | None = None
    error: HubError | None = None
    folder: TemporaryDirectory[str] | None = field(default=None, repr=False)


_UPLOADS: Final[WeakKeyDictionary[Store, dict[str, Upload]]] = WeakKeyDictionary()
_LOCK: Final = Lock()


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
    token = ask.site.rng(12).hex()
    _started(ask, token, given)
    return ask.go(f"/conflicts/import/{token}")


@section.get("/conflicts/import/{token}", allow="xlsx")
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
    found = _found(ask)
    if found.outcome is None or not found.outcome.wrong:
        raise not_here("这次导入没有错误行")
    body: Iterator[bytes] = found.outcome.book()
    return attached(body, f"{Path(found.file).stem}_错误行.xlsx", XLSX)


def _started(ask: Ask, token: str, given: UploadFile) -> None:
    folder = TemporaryDirectory(prefix="hub-import-")
    path = Path(folder.name) / "upload.xlsx"
    with path.open("wb") as out:
        shutil.copyfileobj(given.file, out)
    made = Upload(ask.visitor.name, _shown(given.filename or ""), ask.at, folder=folder)
    with _LOCK:
        kept = _UPLOADS.setdefault(ask.site.store, {})
        for old in [k for k, u in kept.items() if ask.at - u.began > KEPT]:
            del kept[old]
        kept[token] = made
    acting = acting_of(ask)
    start(ask.site.store, f"import {token}", lambda: _take(ask, acting, made, path))


def _take(ask: Ask, acting: Acting, made: Upload, path: Path) -> None:
    def told(done: int, of: int) -> None:
        made.done, made.rows = done, of

    try:
        sheet = read_sheet(path)
        made.rows = len(sheet.lines)
        made.outcome = import_lines(
            ask.site.store, ask.site.catalog, acting, sheet.header[1], sheet.lines, name=made.file, progress=told
        )
    except HubError as error:
        made.error = error
    finally:
        if made.folder is not None:
            made.folder.cleanup()
        forget(ask.site.store)


def _found(ask: Ask) -> Upload:
    with _LOCK:
        found = _UPLOADS.get(ask.site.store, {}).get(str(ask.path["token"]))
    if found is None or found.name != ask.visitor.name:
        raise not_here("没有这次导入，或其结果已过期；已提交的处理意见可在冲突处理中查看")
    return found


def _values(ask: Ask) -> dict[str, Any]:
    token = str(ask.path["token"])
    return {"u": _found(ask), "token": token, "alive": running(ask.site.store, f"import {token}")}


def _shown(name: str) -> str:
    """The file's name without what may be somebody's number."""
    clean = Path(name.replace("\\", "/")).name
    return clean if sum(c.isdigit() for c in clean) < 15 else "上传的文件.xlsx"
