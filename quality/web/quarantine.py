"""隔离数据: rows that a rule keeps out, why, and the file that goes back to whoever can mend them (console 5).

Decides what is shown: natural keys and source rows under their masks, never plain. Whether a row may enter is decided by
the gate, in a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.audit import Event, append
from hub.labels import with_label
from hub.lineage import Tracer
from hub.masking import mask_key
from hub.store.ledger import NO_FIELD, RUN
from hub.web import Ask, Queue, Section, not_here
from hub.web.filters import today, why
from hub.web.listing import Condition, chips, facet, paging, turned
from hub.workbook import Sheet, stream_book
from quality.places import school_names
from quality.quarantine_list import BLOCK, FACETS, Row, Wanted, as_query, count, every, facets, of_node, of_row, page
from quality.web.jobs import XLSX, attached
from quality.web.wording import SOURCES, field_name, source_name

section: Final = Section("quarantine", "quality.web")
LOOK: Final = ("query", "audit")
_LABELS: Final = {"entity": "数据类别", "rule": "规则", "severity": "级别", "state": "状态", "source": "来源"}
_HEADS: Final = (
    "数据类别", "记录（脱敏）", "规则代码", "规则名称", "数据项代码", "数据项", "原因", "级别", "状态", "来源", "学校标识码", "学校名称",
    "来源行", "起始",
)  # fmt: skip
MOST_ROWS: Final = 1_000_000


@section.get("/quarantine", allow=LOOK, menu="隔离数据", manual="quarantine")
def listing(ask: Ask) -> Response:
    """Rows of the filter with rule and reason."""
    wanted, scopes = _wanted(ask), _scopes(ask)
    with ask.site.store.reading() as reader:
        held = of_node(reader, ask.site.party)
        where = paging(ask, count(reader, held, scopes, wanted))
        rows = page(reader, held, scopes, wanted, size=where.size, after=where.after or "", offset=where.offset)
        counts = facets(reader, held, scopes, wanted)
        names = school_names(reader, held.node, [r.school for r in rows if r.school])
        run = reader.connection.execute(sa.select(sa.func.max(RUN.c.run_no))).scalar_one()
    words = _words(ask)
    fields = _conditions(words)
    shown = [
        facet(ask, name, _LABELS[name], [(v, words[name].get(v, v or "（空）"), n) for v, n in counts[name].items()])
        for name in FACETS
    ]
    return ask.page(
        "quarantine/list.html", rows=rows, names=names, words=words, facets=shown, conditions=fields, run=run,
        chips=chips(ask, (*fields, *(Condition(n, _LABELS[n]) for n in ("severity", "state", "source"))), words), paging=turned(ask, where, [r.key for r in rows]), key=_keyed(ask),
        province=held.province, export=ask.with_query().replace("/quarantine", "/quarantine/export.xlsx", 1),
        rules=ask.site.catalog.rules, fields=lambda r: field_name(ask.site.catalog, r.entity, r.field),
    )  # fmt: skip


def _conditions(words: dict[str, dict[str, str]]) -> tuple[Condition, ...]:
    return (
        Condition("entity", "数据类别", tuple(words["entity"].items())),
        Condition("rule", "规则", tuple(words["rule"].items())),
        Condition("school", "学校标识码", hint="10 位"),
        Condition("division", "行政区划码", hint="6 位，含所辖"),
        Condition("field", "数据项代码", hint="例如 SFZJH"),
        Condition("closed", "已关闭的", (("1", "一并列出"),)),
    )


def _words(ask: Ask) -> dict[str, dict[str, str]]:
    catalog = ask.site.catalog
    provinces = {c[:2]: n for c, n in catalog.codes.division_names.items() if c.endswith("0000")}
    return {
        "entity": {e.name: e.cn for e in catalog.entities.values()},
        "rule": {r.id: f"{r.id} {r.name}" for r in catalog.rules.values()},
        "severity": {},
        "state": {},
        "division": dict(catalog.codes.division_names),
        "source": {s: source_name(catalog, s) for s in (*SOURCES, *catalog.systems)}
        if ask.site.party != "moe"
        else provinces,
    }


def _wanted(ask: Ask) -> Wanted:
    chosen: dict[str, Any] = {name: ask.queries(name) for name in FACETS}
    return Wanted(
        **chosen, school=ask.query("school"), division=ask.query("division"), field=ask.query("field"),
        closed=ask.query("closed") == "1",
    )  # fmt: skip


@section.get("/quarantine/{entity}/{src_rid}", allow=LOOK, manual="quarantine")
def detail(ask: Ask) -> Response:
    """One source row: every rule it breaks, where it was read, its values under their masks."""
    entity = ask.site.catalog.entities.get(str(ask.path["entity"]))
    with ask.site.store.reading() as reader:
        held = of_node(reader, ask.site.party)
        rows = of_row(reader, held, _scopes(ask), entity.name, str(ask.path["src_rid"])) if entity else ()
        if entity is None or not rows:
            raise not_here("没有这一行，或不在您的数据范围内")
        tracer = Tracer(ask.site.node, ask.site.catalog, reader)
        sources = tracer.sources(entity, rows[0].src_rid) if held.province else []
        names = school_names(reader, held.node, [r.school for r in rows if r.school])
    broken = {r.field for r in rows if not r.closed}
    return ask.page(
        "quarantine/detail.html", entity=entity, rows=rows, sources=sources, names=names, key=_keyed(ask),
        broken=broken, rules=ask.site.catalog.rules, words=_words(ask), province=held.province, no_field=NO_FIELD,
        labelled=lambda name, value: with_label(ask.site.catalog, entity.by_name.get(name), str(value)),
    )  # fmt: skip


@section.get("/quarantine/export.xlsx", allow=("xlsx", "confirm_import"))
def export(ask: Ask) -> Response:
    """The error file of the filter, masked; audited before the first row leaves."""
    wanted, scopes = _wanted(ask), ask.scopes("query")
    with ask.site.store.reading() as reader:
        rows = count(reader, of_node(reader, ask.site.party), scopes, wanted)
    with ask.site.store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=ask.at, node=ask.site.party, actor=ask.operator.name,
            actor_role=ask.operator.role_for("xlsx") or ask.operator.role_for("confirm_import"), object="quarantine",
            detail={"rows": rows, **as_query(wanted)},
        )  # fmt: skip
    book = stream_book(
        [Sheet("sheet1", _HEADS, _told(ask, wanted)), Sheet("说明", ("说明",), [[t] for t in _NOTES])],
        author=ask.operator.name, purpose="隔离数据（已脱敏）",
    )  # fmt: skip
    return attached(book, f"错误文件_{today(ask.at)}.xlsx", XLSX)


_NOTES: Final = (
    "每行是一条来源行违反的一条规则；同一来源行可能有多行。记录已脱敏，凭来源行号在源头平台查找。",
    "在源头平台改正后，下一次抽取会重新检查，合格即自动入库；学校补录的数据请改正后重新导入。",
)


def _told(ask: Ask, wanted: Wanted) -> Iterator[list[str | None]]:
    with ask.site.store.reading() as reader:
        held = of_node(reader, ask.site.party)
        rows = islice(every(reader, held, ask.scopes("query"), wanted), MOST_ROWS)
        line = _lines(ask)
        while block := list(islice(rows, BLOCK)):
            names = school_names(reader, held.node, [r.school for r in block if r.school])
            yield from (line(r, names.get(r.school, "")) for r in block)


def _lines(ask: Ask) -> Callable[[Row, str], list[str | None]]:
    """Makes the line of a row, with the name of its school: what the page says, names beside codes."""
    words, key, catalog = _words(ask), _keyed(ask), ask.site.catalog

    def line(r: Row, school: str) -> list[str | None]:
        rule, bare = catalog.rules.get(r.rule), r.field == NO_FIELD
        return [
            words["entity"].get(r.entity, r.entity), key(r), r.rule, rule.name if rule else "",
            "" if bare else r.field, "整行" if bare else field_name(catalog, r.entity, r.field),
            why(r.reason) or (rule.message if rule else ""), r.severity, r.state,
            words["source"].get(r.source, r.source), r.school, school, r.src_rid, r.opened,
        ]  # fmt: skip

    return line


@section.queue
def held_out(ask: Ask) -> list[Queue]:
    """Rows kept out in the visitor's scope."""
    if not ask.visitor.may(*LOOK):
        return []
    with ask.site.store.reading() as reader:
        found = count(reader, of_node(reader, ask.site.party), _scopes(ask), Wanted())
    return [Queue("隔离数据", found, "/quarantine", "bad")]


def _keyed(ask: Ask) -> Any:
    entities = ask.site.catalog.entities

    def key(row: Row) -> str:
        entity = entities.get(row.entity)
        return row.record or ((mask_key(entity, row.natural_key) or "") if entity else "")

    return key


def _scopes(ask: Ask) -> Any:
    return (*ask.scopes("query"), *ask.scopes("audit"))
