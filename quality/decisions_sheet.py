"""Conflicts as xlsx: out with number, version and all cells text; back in as proposals, wrong rows in the same layout.

Decides that an export is audited before its first row leaves, streams the whole filter in workbooks of at most 5,000
rows (what an import takes), and shows values masked unless a released request says otherwise (`quality.plain_exports`);
that good rows become proposals under review and never effective values; that a masked cell is never read back as a
value; that row numbers are those of the sheet, blank rows or not (console 3). Parsing a workbook is left to the caller,
because it happens in a child process with limits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hub.audit import Event, append
from hub.catalog import Catalog
from hub.errors import HubError, InputError
from hub.masking import mask_key
from hub.roles import Operator
from hub.store import Reader, Store
from hub.workbook import Sheet, stream_book
from quality.decisions import Action, Conflict, Kind, Move, Proposal, Refusal
from quality.decisions_query import Filter, count, page
from quality.decisions_store import Acting, DecisionRefusedError, as_value, load, sources_of, transition
from quality.decisions_value import check_value, refuse_private
from quality.decisions_words import (
    SOURCES,
    field_name,
    field_of,
    masked,
    reason_name,
    source_name,
    source_said,
    value_shown,
)
from quality.places import school_names
from quality.reasons import reasons

NUMBER, VERSION, WHAT, SOURCE, VALUE, REASON, NOTE = (
    "冲突编号", "版本", "处理意见", "采用来源", "手工值", "原因代码", "说明",
)  # fmt: skip
SHOWN: Final = (
    "数据类别", "记录", "数据项代码", "数据项", "规则代码", "原因", "学校标识码", "学校名称", "状态", "原由", "权威源", "建议",
)  # fmt: skip
HEADERS: Final = (NUMBER, VERSION, *SHOWN, "各来源的值", WHAT, SOURCE, VALUE, REASON, NOTE)
REQUIRED: Final = frozenset({NUMBER, VERSION, WHAT, REASON})
ROW, WHY = "原行号", "错误原因"
WRONG_HEADERS: Final = (*HEADERS, ROW, WHY)
MAX_ROWS: Final = 5_000
# What stands beside the sheet to be filled in: which words and codes its columns take.
GUIDE: Final = ("列", "可填", "含义")
_KINDS: Final = {
    Kind.ADOPT: "采用某一来源的值：须填“采用来源”",
    Kind.MANUAL: "按核实结果填写：须填“手工值”与“说明”",
    Kind.RETURN: "由源头平台更正",
}
_BLOCK: Final = 1_000
_COMMIT: Final = 200
Cells = Sequence[tuple[int, str, str]]


@dataclass(frozen=True)
class Mark:
    """What a plaintext file carries: who exported it, who released it, for what, under which request."""

    request: int
    exporter: str
    released_by: str
    purpose: str
    moment: str
    rows: int

    def lines(self) -> list[tuple[str, str]]:
        """The sheet 导出说明."""
        return [
            ("申请号", str(self.request)), ("导出人", self.exporter), ("批准人", self.released_by),
            ("用途", self.purpose), ("导出时间", self.moment), ("条数", str(self.rows)), ("提示", "含个人信息明文，仅限所列用途，用毕销毁"),
        ]  # fmt: skip


def begin_export(store: Store, acting: Acting, chosen: Filter) -> int:
    """Audits a masked export and says how many rows it will have; 403 without the right."""
    if not acting.by.may("xlsx"):
        raise DecisionRefusedError(Refusal("E3321", "您的角色不能导出冲突", 403), 0)
    with store.begin() as tx:
        rows = count(tx, acting.node, acting.by.scopes("xlsx"), chosen)
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=acting.at, node=acting.node, actor=acting.by.name,
            actor_role=acting.by.role_for("xlsx"), object="conflict xlsx", detail={"rows": rows},
        )  # fmt: skip
    return rows


def books(
    store: Store, catalog: Catalog, acting: Acting, chosen: Filter, *, mark: Mark | None = None
) -> Iterator[Iterator[bytes]]:
    """Workbooks of at most `MAX_ROWS` rows, streamed one after the other; at least one. `mark`: plain, and says so."""
    with store.reading() as reader:
        rows = lines_out(reader, catalog, acting, chosen, plain=mark is not None)
        block = list(itertools.islice(rows, MAX_ROWS))
        yield _book(catalog, block, mark)
        while block := list(itertools.islice(rows, MAX_ROWS)):
            yield _book(catalog, block, mark)


def _book(catalog: Catalog, rows: Iterable[Sequence[str]], mark: Mark | None) -> Iterator[bytes]:
    sheets = [Sheet("sheet1", HEADERS, rows, REQUIRED), _guide(catalog)]
    if mark is None:
        return stream_book(sheets)
    notes = Sheet("导出说明", ("项目", "内容"), mark.lines())
    return stream_book([*sheets, notes], author=mark.exporter, purpose=f"明文导出 {mark.request}：{mark.purpose}")


def _guide(catalog: Catalog) -> Sheet:
    """填写说明: the kinds of opinion, the sources and the reasons, with the codes to fill in."""
    kinds = [(WHAT, str(kind), what) for kind, what in _KINDS.items()]
    sources = [(SOURCE, s, source_name(catalog, s)) for s in (*SOURCES, *catalog.systems) if s != "D"]
    given = [
        (REASON, r.code, f"{r.cn}（{'、'.join(sorted(r.fits & set(_KINDS)))}）{'，须写说明' if r.text else ''}")
        for r in reasons().values()
        if r.fits & set(_KINDS)
    ]
    return Sheet("填写说明", GUIDE, [*kinds, *dict.fromkeys(sources), *given])


def lines_out(
    reader: Reader, catalog: Catalog, acting: Acting, chosen: Filter, *, plain: bool = False
) -> Iterator[tuple[str, ...]]:
    """Rows of an export under `HEADERS`, in the order of their numbers; masked unless `plain`."""
    after: int | None = 0
    while after is not None:
        found = page(reader, acting.node, acting.by.scopes("xlsx"), chosen, after=after, size=_BLOCK)
        said = sources_of(reader, [int(r["decision_no"]) for r in found.rows])
        schools = school_names(reader, acting.node, [r["school"] for r in found.rows if r["school"]])
        for row in found.rows:
            cells = _cells(catalog, row, said.get(int(row["decision_no"]), []), schools, plain=plain)
            yield tuple("" if c is None else str(c) for c in (*cells, "", "", "", "", ""))
        after = found.after


def _cells(
    catalog: Catalog, row: Mapping[str, Any], said: Sequence[Mapping[str, Any]], schools: Mapping[str, str], *,
    plain: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """What is known of one conflict, names beside codes: number, version, `SHOWN`, values."""
    entity, field = catalog.entities[row["entity"]], field_of(catalog, row)

    def told(source: str, value: str | None) -> str:
        return f"{source_said(catalog, source)}：{value_shown(catalog, field, value, plain=plain)}"

    return (
        row["decision_no"], row["version"], entity.cn,
        row["natural_key"] if plain else mask_key(entity, row["natural_key"]),
        row["field"], field_name(catalog, entity.name, row["field"]), row["rule"],
        reason_name(catalog, row["rule"], clash=bool(row["clash"])), row["school"], schools.get(row["school"] or ""),
        row["state"], row["cause"], source_said(catalog, row["authority"]),
        told(row["suggest_source"], row["suggest_value"]) if row["suggest_source"] else "",
        "；".join(told(s.source, s.value) for s in as_value(row, said).sources),
    )  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What an import did: proposals made, and the wrong rows as `WRONG_HEADERS` has them."""

    proposed: int
    wrong: tuple[tuple[str, ...], ...]

    def book(self) -> Iterator[bytes]:
        """The wrong rows as a workbook of the same layout, ready to be put right and imported again."""
        return stream_book([Sheet("sheet1", WRONG_HEADERS, self.wrong, REQUIRED)])


def import_lines(
    store: Store,
    catalog: Catalog,
    acting: Acting,
    header: Cells,
    lines: Sequence[tuple[int, Cells]],
    *,
    name: str,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Imported:
    """Good rows become proposals under review, a block of rows per transaction, so that others can write meanwhile.

    Cells are (column, kind, text). `InputError` E3332 for a file that cannot be read as ours; nothing is written then.
    403 without the right. An import that breaks off is repeated: rows taken before are then told as overtaken.
    """
    if not (acting.by.may("xlsx") and acting.by.may("propose")):
        raise DecisionRefusedError(Refusal("E3321", "您的角色不能导入处理意见", 403), 0)
    names = {at: text.strip().rstrip("*") for at, _, text in header}
    missing = [n for n in (NUMBER, VERSION, WHAT, SOURCE, VALUE, REASON, NOTE) if n not in names.values()]
    if missing:
        raise InputError("E3332", f"表头缺少列：{'、'.join(missing)}", where=name, step="用导出的文件填写后重试")
    if len(lines) > MAX_ROWS:
        raise InputError("E3332", f"超过 {MAX_ROWS} 行", where=name, step="分成几个文件后重试")
    good = 0
    bad: list[tuple[str, ...]] = []
    for start in range(0, len(lines), _COMMIT):
        with store.begin() as tx:
            for number, cells in lines[start : start + _COMMIT]:
                row = {names[column]: text.strip() for column, _, text in cells if column in names}
                if not any(row.get(n) for n in (WHAT, SOURCE, VALUE, REASON, NOTE)):
                    continue  # nothing was filled in
                try:
                    with tx.connection.begin_nested():
                        _take(tx, catalog, acting, row)
                    good += 1
                except HubError as error:
                    bad.append((*(row.get(h, "") for h in HEADERS), str(number), error.what))
        progress(min(start + _COMMIT, len(lines)), len(lines))
    return Imported(good, tuple(bad))


def refuse_name(name: str) -> None:
    """Only .xlsx is taken. Raises `InputError` E3332."""
    if not name.lower().endswith(".xlsx"):
        raise InputError("E3332", f"只能上传xlsx文件，且最多{MAX_ROWS}行", where=name, step="另存为 xlsx 后重试")


def _take(tx: Any, catalog: Catalog, acting: Acting, row: Mapping[str, str]) -> None:
    """One row as a proposal: proposed and submitted."""
    if not (row.get(NUMBER, "").isdigit() and row.get(VERSION, "").isdigit()):
        raise InputError("E3333", "冲突编号与版本须是数字，不要改动", step="用导出的文件重新填写")
    number, version = int(row[NUMBER]), int(row[VERSION])
    stored, conflict = load(tx, number, acting)
    proposal = _proposal(catalog, stored, conflict, row, acting.by)
    move = Move(Action.PROPOSE, _code(row.get(REASON, "")), row.get(NOTE, ""), proposal)
    step = transition(tx, acting, number, move, version=version)
    transition(tx, acting, number, Move(Action.SUBMIT), version=step.after.version)


def _proposal(
    catalog: Catalog, stored: Mapping[str, Any], conflict: Conflict, row: Mapping[str, str], by: Operator
) -> Proposal:
    what, source, value = row.get(WHAT, ""), row.get(SOURCE, ""), row.get(VALUE, "")
    if what == str(Kind.RETURN):
        return Proposal(Kind.RETURN)
    if what == str(Kind.ADOPT):
        source = next((s.source for s in conflict.sources if source_name(catalog, s.source) == source), _code(source))
        said = next((s.value for s in conflict.sources if s.source == source and s.value), None)
        if said is None:
            raise InputError("E3333", "没有这个采用来源，或该来源没有值", step="填写“各来源的值”中的来源代号")
        return Proposal(Kind.ADOPT, source, said)
    if what != str(Kind.MANUAL):
        raise InputError("E3333", "处理意见须是采用来源值、手工值或退回源头平台", step="改正后重试")
    refuse_mask(catalog, stored, conflict, value)
    entity = catalog.entities[stored["entity"]]
    check_value(catalog, entity, stored["field"], value, conflict.number)
    refuse_private(by, entity, stored["field"], conflict.number)
    return Proposal(Kind.MANUAL, None, value)


def _code(text: str) -> str:
    """The code of a cell that holds it alone or, as 填写说明 shows it, with its words behind: R01 已与学校核实."""
    return text.split()[0] if text.strip() else ""


def refuse_mask(catalog: Catalog, stored: Mapping[str, Any], conflict: Conflict, value: str) -> None:
    """What is shown masked is no value (console 3). Raises `InputError` E3333."""
    shapes = {masked(catalog, stored, s.value) for s in conflict.sources if s.value}
    if "*" in value or (value in shapes and value not in {s.value for s in conflict.sources}):
        raise InputError("E3333", "脱敏显示的内容不能作为手工值", step="填写完整的值，或改用采用来源值")
