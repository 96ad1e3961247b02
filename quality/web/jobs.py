"""批量任务: progress of bulk operations, what was skipped and why, 取消, 撤销, 继续, 下载明细 (console 3, 5).

Decides what a person may press; what stopping and undoing mean is `quality.decisions_apply`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from hub.audit import Event, append
from hub.web import Ask, Section, not_here
from hub.web.work import Plan, Telling, begin, running
from hub.workbook import Sheet, stream_book
from quality.decisions_apply import carry_out, stop, undo
from quality.decisions_bulk import RUNNING
from quality.decisions_store import Acting
from quality.web.counted import forget
from quality.web.job_rows import Job, job, job_lines, jobs
from quality.web.query import acting_of

section: Final = Section("jobs", "quality.web", nodes=("province",))
SHOWN: Final = 50
AT_ONCE: Final = 20_000
# Chunks commit with their history; taken up again, an operation goes on behind the last one.
AGAIN: Final = "已处理的部分保留；可从断点继续，或整批撤销"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HEADERS: Final = (
    "冲突编号", "数据类别", "数据项代码", "数据项", "学校标识码", "学校名称", "操作", "原状态", "操作后状态", "时间", "当前状态", "当前版本",
)  # fmt: skip
_ACT: Final = ("bulk", "assign", "review")
_ALLOW: Final = (*_ACT, "audit")


@section.get("/jobs", allow=_ALLOW, menu="批量任务", manual="jobs")
def listing(ask: Ask) -> Response:
    """The newest first."""
    with ask.site.store.reading() as reader:
        found = jobs(reader, ask.operator, limit=SHOWN + 1, before=ask.query("before"))
        alive = running(reader, [j.op_no for j in found if j.running], ask.at)
    return ask.page(
        "conflicts/jobs.html", jobs=found[:SHOWN], more=found[SHOWN - 1].op_no if len(found) > SHOWN else "",
        interrupted=[j.op_no for j in found if j.state == RUNNING and j.op_no not in alive],
    )  # fmt: skip


@section.get("/jobs/{op_no}", allow=_ALLOW, manual="jobs")
def one(ask: Ask) -> Response:
    """One operation."""
    return ask.page("conflicts/job.html", **_values(ask))


@section.get("/jobs/{op_no}/progress", allow=_ALLOW)
def progress(ask: Ask) -> Response:
    """The part of the page that moves."""
    return ask.fragment("conflicts/progress.html", **_values(ask))


@section.post("/jobs/{op_no}/stop", allow=_ACT)
def cancel(ask: Ask) -> Response:
    """取消: what is done stays and can be undone."""
    stop(ask.site.store, acting_of(ask), _found(ask).op_no)
    return ask.go(f"/jobs/{ask.path['op_no']}")


@section.post("/jobs/{op_no}/go-on", allow=_ACT)
def go_on(ask: Ask) -> Response:
    """继续: an interrupted operation is taken up where it stood."""
    found, acting = _found(ask), acting_of(ask)
    if found.person == acting.by.person and found.state == RUNNING:
        carry_on(ask, acting, found.op_no)
    return ask.go(f"/jobs/{found.op_no}")


@section.post("/jobs/{op_no}/undo", allow=_ACT)
def take_back(ask: Ask) -> Response:
    """撤销本次批量处理, as one operation."""
    found, acting, store = _found(ask), acting_of(ask), ask.site.store
    op_no = found.op_no
    if found.done > AT_ONCE and found.person == acting.by.person:

        def run(telling: Telling) -> None:
            undo(store, acting, op_no, progress=lambda done: telling.tell("撤销", done, found.done))
            forget(store)

        begin(ask, op_no, Plan(f"撤销批量处理 {op_no}", run, f"/jobs/{op_no}", "已恢复的保留；可再次撤销其余"))
        return ask.go(f"/jobs/{op_no}")
    done = undo(store, acting, op_no)
    forget(store)
    return ask.go(f"/jobs/{op_no}", restored=str(done.done))


@section.get("/jobs/{op_no}/rows", allow=_ALLOW)
def download(ask: Ask) -> Response:
    """下载明细: every row of the operation, without values."""
    op_no, by, store = _found(ask).op_no, ask.operator, ask.site.store
    with store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=ask.at, node=ask.site.party, actor=by.name,
            actor_role=by.role_for("query"), object=f"operation {op_no}",
        )  # fmt: skip

    def body() -> Iterator[bytes]:
        with store.reading() as reader:
            yield from stream_book(
                [Sheet("sheet1", HEADERS, job_lines(reader, ask.site.catalog, ask.site.party, by, op_no))]
            )

    return attached(body(), f"批量明细_{op_no}.xlsx", XLSX)


def attached(body: Iterator[bytes], name: str, kind: str) -> Response:
    """A download under a name that may be Chinese."""
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    return StreamingResponse(body, media_type=kind, headers={"content-disposition": disposition})


def carry_on(ask: Ask, acting: Acting, op_no: str) -> bool:
    """Carries the operation out beside the pages; False when some process does so already."""
    store = ask.site.store

    def run(telling: Telling) -> None:
        def told(done: int) -> None:
            telling.tell("处理", done)
            forget(store)

        carry_out(store, acting, op_no, progress=told)
        forget(store)

    return begin(ask, op_no, Plan(f"批量任务 {op_no}", run, f"/jobs/{op_no}", AGAIN))


def _found(ask: Ask) -> Job:
    with ask.site.store.reading() as reader:
        found = job(reader, ask.operator, str(ask.path["op_no"]))
    if found is None:
        raise not_here("没有这个操作号，或不在您的范围内")
    return found


def _values(ask: Ask) -> dict[str, Any]:
    found = _found(ask)
    with ask.site.store.reading() as reader:
        alive = bool(running(reader, [found.op_no], ask.at))
    return {
        "job": found,
        "own": found.person == ask.operator.person,
        "alive": alive,
        "restored": ask.number("restored", -1, least=-1),
    }
