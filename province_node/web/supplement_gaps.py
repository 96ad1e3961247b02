"""待补录 and 完整性: what each school still has to supply, and how far its required forms are filled (rulings 4, 5).

Decides what is listed and downloaded; what counts as missing is decided by `supplement_missing`. Counts hold for the
round they were made in and are kept until the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from threading import Lock
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from connectors.templates import all_templates
from hub.audit import Event, append
from hub.store import Reader
from hub.store.ledger import RUN
from hub.web import Ask, Section, not_here
from hub.web.listing import Condition, chips, paging, turned
from province_node.sheets import write_book
from province_node.supplement_list import SchoolGaps, gaps_by_school, in_scope
from province_node.supplement_missing import Completeness, completeness, forms, missing, school_types, shown_gap
from province_node.web.downloads import xlsx
from quality.places import school_names, within_schools

section: Final = Section("supplement-gaps", "province_node.web", nodes=("province",))
LOOK: Final = ("query", "audit")
HEADS: Final = ("数据类别", "记录（脱敏）", "缺少的数据项", "数据项代码", "原因", "补录模板")
SHOWN: Final = 500
_cache: dict[tuple[object, ...], Any] = {}
_lock: Final = Lock()
_KEPT: Final = 24


@section.get("/supplements/missing", allow=LOOK, manual="supplements")
def by_school(ask: Ask) -> Response:
    """Schools that have something to supply, most first."""
    with ask.site.store.reading() as reader:
        run = _last_run(reader)
        found: tuple[SchoolGaps, ...] = _once(
            ask, "gaps", run, lambda: gaps_by_school(reader, ask.site.catalog, ask.site.party, _scopes(ask))
        )
    wanted = ask.query("school")
    found = tuple(s for s in found if not wanted or wanted in (s.school, s.name))
    where = paging(ask, len(found))
    fields = (Condition("school", "学校", hint="标识码或名称"),)
    return ask.page(
        "supplements/missing.html", schools=found[where.offset : where.offset + where.size], run=run,
        total=sum(s.total for s in found), conditions=fields, chips=chips(ask, fields),
        entities=[e for e in ask.site.catalog.entities.values() if any(e.name in s.empty for s in found)],
        paging=turned(ask, where, ["x"]),
    )  # fmt: skip


@section.get("/supplements/missing/{school}", allow=LOOK, manual="supplements")
def of_school(ask: Ask) -> Response:
    """What one school has to supply, value by value, masked; the first 500 of them, the rest in the xlsx."""
    school = _school(ask)
    templates = all_templates(ask.site.catalog)
    with ask.site.store.reading() as reader:
        found = list(islice(missing(reader, ask.site.catalog, ask.site.party, school=school), SHOWN + 1))
        name = school_names(reader, ask.site.party, [school]).get(school, "")
    rows = [[*shown_gap(ask.site.catalog, gap)] for gap in found[:SHOWN]]
    return ask.page(
        "supplements/missing_school.html", school=school, name=name, rows=rows, more=len(found) > SHOWN, most=SHOWN,
        heads=HEADS, templates=templates,
    )  # fmt: skip


@section.get("/supplements/missing/{school}/list.xlsx", allow=("xlsx", "confirm_import"))
def download(ask: Ask) -> Response:
    """The same as a file for the school; masked, audited."""
    school = _school(ask)
    with ask.site.store.reading() as reader:
        rows = [
            shown_gap(ask.site.catalog, g) for g in missing(reader, ask.site.catalog, ask.site.party, school=school)
        ]
    with ask.site.store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=ask.at, node=ask.site.party, actor=ask.operator.name,
            actor_role=ask.operator.role_for("xlsx") or ask.operator.role_for("confirm_import"),
            object=f"missing {school}", detail={"rows": len(rows)},
        )  # fmt: skip
    return xlsx(ask, f"待补录_{school}.xlsx", lambda path: write_book(path, [("待补录清单", HEADS, rows)]))


@section.get("/supplements/completeness", allow=LOOK, manual="supplements")
def complete(ask: Ask) -> Response:
    """Every school of the scope against the table of required forms."""
    with ask.site.store.reading() as reader:
        run = _last_run(reader)
        every: list[Completeness] = _once(
            ask, "complete", run, lambda: completeness(reader, ask.site.catalog, ask.site.party), scoped=False
        )
        xx = reader.golden("xx")
        inside = within_schools(reader, ask.site.party, _scopes(ask), xx.c.xxdm)
        mine = {str(c) for (c,) in reader.connection.execute(sa.select(xx.c.xxdm).where(inside))}
    types, wanted, kind = school_types(), ask.query("school"), ask.query("type")
    found = [c for c in every if c.school in mine and (not wanted or wanted in (c.school, c.name))]
    found = [c for c in found if not kind or c.type == kind]
    found.sort(key=lambda c: (1.0 if c.rate is None else c.rate, c.school))
    where = paging(ask, len(found))
    fields = (Condition("school", "学校", hint="标识码或名称"), Condition("type", "学校类型", tuple(types.items())))
    return ask.page(
        "supplements/completeness.html", schools=found[where.offset : where.offset + where.size], types=types, run=run,
        conditions=fields, chips=chips(ask, fields), paging=turned(ask, where, ["x"]),
        required={t: sum(f.required(t) for f in forms()) for t in types},
    )  # fmt: skip


def _scopes(ask: Ask) -> Any:
    return (*ask.scopes("query"), *ask.scopes("audit"))


def _school(ask: Ask) -> str:
    school = str(ask.path["school"])
    with ask.site.store.reading() as reader:
        known = school.isdigit() and school in school_names(reader, ask.site.party, [school])
        if not known or not in_scope(reader, ask.site.party, _scopes(ask), school):
            raise not_here("没有这所学校，或不在您的数据范围内")
    return school


def _last_run(reader: Reader) -> int:
    return int(reader.connection.execute(sa.select(sa.func.max(RUN.c.run_no))).scalar_one() or 0)


def _once(ask: Ask, what: str, run: int, make: Callable[[], Any], *, scoped: bool = True) -> Any:
    """Counted once per round and scope: golden records change with a round, and with nothing else."""
    key = (str(ask.site.node.folder), what, run, _scopes(ask) if scoped else ())
    with _lock:
        if key in _cache:
            return _cache[key]
    made = make()
    with _lock:
        while len(_cache) >= _KEPT:
            del _cache[next(iter(_cache))]
        _cache[key] = made
    return made
