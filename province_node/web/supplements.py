"""补录与初始化: files of the waiting area, one file with its rows, and its review (console 3, ruling 9).

Decides what each role may press here; who may review what is decided by `supplement_review`, by person. Values are
masked; nothing on these pages opens plaintext.
"""

from __future__ import annotations

import random
from typing import Any, Final

from starlette.responses import Response

from connectors.templates import all_templates
from hub.audit import Event, append
from hub.errors import HubError, UsageError
from hub.store.supplement_tables import SUPPLEMENT_FILE
from hub.web import Ask, Queue, Section, not_here
from hub.web.listing import Condition, chips, facet, paging, turned
from province_node.supplement_export import OPEN, export_wrong, shown_lines
from province_node.supplement_list import (
    FACETS,
    Chosen,
    count_files,
    count_lines,
    file_facet,
    files_page,
    in_scope,
    lines_page,
)
from province_node.supplement_review import draw_sample, review, same_person, withdraw
from province_node.supplement_store import State, StoredFile, file_of
from province_node.web.downloads import xlsx
from quality.places import school_names
from quality.web.wording import person_names

section: Final = Section("supplements", "province_node.web", nodes=("province",))
LOOK: Final = ("query", "audit")
_LABELS: Final = {"state": "行状态", "template": "模板", "operator": "导入人"}
# The steps of errors that name a command, said for a page.
_STEPS: Final = {
    "E3710": "返回列表核对文件编号",
    "E3714": "填写 1 以上的整数",
    "E3715": "请另一位数据复核员复核",
    "E3716": "在「原因」中写明：驳回的学校会在错误行文件里看到，撤回的记入审计",
    "E3717": "勾选行后再试，或刷新本页看各行现在的状态",
    "E3720": "刷新本页后再决定",
    "E3724": "请导入人撤回，或由复核人驳回",
}


@section.get("/supplements", allow=LOOK, menu="补录与初始化", manual="supplements")
def listing(ask: Ask) -> Response:
    """Files, newest first; facets, filters and pages as on every list."""
    scopes, node, templates = _scopes(ask), ask.site.party, all_templates(ask.site.catalog)
    asked = {name: [v for v in ask.queries(name) if len(v) < 80] for name in FACETS}
    with ask.site.store.reading() as reader:
        people = person_names(reader)
        asked["operator"] += [p for p, name in people.items() if name in asked["operator"]]
        chosen = Chosen(ask.query("school"), *(tuple(asked[name]) for name in FACETS))
        where = paging(ask, count_files(reader, node, scopes, chosen))
        before = int(where.after) if where.after and where.after.isdigit() else 0
        rows = files_page(reader, node, scopes, chosen, size=where.size, before=before, offset=where.offset)
        counts = {name: file_facet(reader, node, scopes, chosen, name) for name in FACETS}
        names = school_names(reader, node, [r.school for r in rows])
    words = {"template": {t.name: t.cn for t in templates.values()}, "operator": people}
    fields = _conditions(words["template"])
    facets = [
        facet(ask, name, _LABELS[name], [(v, words.get(name, {}).get(v, v), n) for v, n in counts[name].items()])
        for name in FACETS
    ]
    return ask.page(
        "supplements/list.html", rows=rows, names=names, people=people, templates=templates,
        conditions=fields, facets=facets,
        chips=chips(ask, fields, words), paging=turned(ask, where, [str(r.number) for r in rows]), states=tuple(State),
    )  # fmt: skip


def _conditions(templates: dict[str, str]) -> tuple[Condition, ...]:
    return (
        Condition("school", "学校标识码", hint="10 位"),
        Condition("template", "模板", tuple(templates.items())),
        Condition("state", "行状态", tuple((str(s), str(s)) for s in State)),
        Condition("operator", "导入人"),
    )


@section.get("/supplements/{number:int}", allow=LOOK, manual="supplements")
def detail(ask: Ask) -> Response:
    """One file: its rows masked, and what the visitor may do with it."""
    return _detail(ask)


def _detail(ask: Ask, *, error: HubError | None = None, status: int = 200, drawn: Any = ()) -> Response:
    file = file_here(ask)
    wanted = [s for s in State if str(s) == ask.query("state")] or list(State)
    layout = all_templates(ask.site.catalog)[file.template]
    with ask.site.store.reading() as reader:
        where = paging(ask, count_lines(reader, file.number, [str(s) for s in wanted]))
        after = int(where.after) if where.after and where.after.isdigit() else 0
        some = lines_page(
            reader, file.number, [str(s) for s in wanted], size=where.size, after=after, offset=where.offset
        )
        name = school_names(reader, ask.site.party, [file.school]).get(file.school, "")
    rows = shown_lines(ask.site.catalog, layout, some)
    with ask.site.store.reading() as reader:
        mine = same_person(reader, file.operator, ask.operator.person)
        people = person_names(reader)
    return ask.page(
        "supplements/detail.html", status=status, file=file, layout=layout, rows=rows, name=name, mine=mine,
        drawn=shown_lines(ask.site.catalog, layout, drawn), error=error, reasons=_said(error), states=tuple(State),
        paging=turned(ask, where, [str(r["row"]) for r in rows]), waiting=file.states.get(State.WAITING, 0),
        approved=file.states.get(State.APPROVED, 0), people=people,
        open=sum(file.states.get(s, 0) for s in OPEN), shown=ask.query("state"),
    )  # fmt: skip


def _said(error: HubError | None) -> str:
    return "" if error is None else _STEPS.get(error.code, error.step or "")


@section.post("/supplements/{number:int}/review", allow="review")
def decide(ask: Ask) -> Response:
    """通过 or 驳回: the whole file, or the rows that are ticked."""
    file, form = file_here(ask), ask.form
    try:
        if form.get("decision") not in ("approve", "reject"):
            raise UsageError("E3722", "没有选择通过还是驳回", step="按「通过」或「驳回」")
        done = review(
            ask.site.store, ask.site.catalog, file.number, approve=form["decision"] == "approve", node=ask.site.party,
            reviewer=ask.operator.person, at=ask.at, rows=_ticked(ask, file.number), reason=form.get("reason", ""),
        )  # fmt: skip
    except HubError as error:
        return _detail(ask, error=error, status=_status(error))
    return ask.go(
        f"/supplements/{file.number}", done=done.decision, rows=str(done.rows), left=str(done.left),
        blocked=str(done.blocked),
    )  # fmt: skip


@section.post("/supplements/{number:int}/sample", allow="sample")
def sample(ask: Ask) -> Response:
    """抽查: rows by chance, noted with the file; they are shown above the list."""
    file, size = file_here(ask), ask.form.get("size", "")
    dice = random.Random(ask.site.rng(16))  # noqa: S311 - seeded by the system's randomness
    try:
        drawn = draw_sample(
            ask.site.store, file.number, int(size) if size.isdigit() and len(size) < 6 else 0, node=ask.site.party,
            reviewer=ask.operator.person, at=ask.at, dice=dice,
        )  # fmt: skip
    except HubError as error:
        return _detail(ask, error=error, status=_status(error))
    return _detail(ask, drawn=drawn)


@section.post("/supplements/{number:int}/withdraw", allow="xlsx")
def take_back(ask: Ask) -> Response:
    """撤回 by the importer: rows that still wait; with `approved` those in effect too, which needs a reason."""
    file, form = file_here(ask), ask.form
    try:
        gone = withdraw(
            ask.site.store, file.number, node=ask.site.party, operator=ask.operator.person, at=ask.at,
            approved=form.get("approved") == "1", reason=form.get("reason", ""), rows=_ticked(ask, file.number),
        )  # fmt: skip
    except HubError as error:
        return _detail(ask, error=error, status=_status(error))
    return ask.go(f"/supplements/{file.number}", done="撤回", rows=str(gone))


def _ticked(ask: Ask, number: int) -> list[int] | None:
    """The rows a form means; None for the whole file. Raises `UsageError` E3717 when none is ticked."""
    if ask.form.get("which") != "rows":
        return None
    rows = [int(r) for r in ask.lists.get("row", ()) if r.isascii() and r.isdigit() and len(r) < 8]
    if not rows:
        raise UsageError("E3717", "没有勾选任何行", where=f"补录文件 {number}", step="先勾选行")
    return rows


def _status(error: HubError) -> int:
    """Four-eyes answers 403 (console 3), rows decided by another 409."""
    return {"E3715": 403, "E3724": 403, "E3720": 409}.get(error.code, 422)


@section.get("/supplements/{number:int}/wrong.xlsx", allow=("xlsx", "confirm_import"))
def wrong(ask: Ask) -> Response:
    """The wrong-rows file: same template, 原行号 and 错误原因, masked; audited."""
    file = file_here(ask)
    count = sum(file.states.get(s, 0) for s in OPEN)
    with ask.site.store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=ask.at, node=ask.site.party, actor=ask.operator.name,
            actor_role=ask.operator.role_for("xlsx") or ask.operator.role_for("confirm_import"),
            object=f"supplement {file.number}", detail={"rows": count},
        )  # fmt: skip
    return xlsx(
        ask,
        f"错误行_{file.school}_{file.number}.xlsx",
        lambda path: export_wrong(ask.site.store, ask.site.catalog, file.number, path, plain=False),
    )


@section.queue
def waits(ask: Ask) -> list[Queue]:
    """Files of others that wait for review, and one's own that came back with wrong rows."""
    if not ask.visitor.may("review", "confirm_import"):
        return []
    with ask.site.store.reading() as reader:
        waiting = Chosen(state=(str(State.WAITING),))
        count = count_files(reader, ask.site.party, ask.scopes("query"), waiting)
    return [Queue("补录待复核（文件）", count, f"/supplements?state={State.WAITING}", "warn")]


def _scopes(ask: Ask) -> Any:
    return (*ask.scopes("query"), *ask.scopes("audit"))


def file_here(ask: Ask) -> StoredFile:
    """The file of the path; 404 for one outside the visitor's scope as for one that is not there."""
    number = int(ask.path["number"])
    with ask.site.store.reading() as reader:
        school = reader.connection.execute(
            SUPPLEMENT_FILE.select()
            .with_only_columns(SUPPLEMENT_FILE.c.school)
            .where(SUPPLEMENT_FILE.c.file_no == number)
        ).scalar_one_or_none()
        if school is None or not in_scope(reader, ask.site.party, _scopes(ask), str(school)):
            raise not_here("没有这份补录文件，或不在您的数据范围内")
        return file_of(reader, number)
