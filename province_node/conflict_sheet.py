"""Conflicts as xlsx: out with number, version and all cells text; back in as proposals, wrong rows in the same layout.

Decides that good rows become proposals under review and never effective values; that a masked cell is never read back
as a value; that row numbers are those of the sheet, blank rows or not (console 3). The file itself is parsed in a child
process with limits (`connectors.xlsx`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from connectors.xlsx import MAX_ROWS, read_sheet
from hub.audit import Event, append
from hub.catalog import Catalog
from hub.errors import HubError, InputError, UsageError
from hub.store import Store
from province_node.conflict_words import masked, shown
from quality.decisions import Action, Conflict, Kind, Move, Proposal
from quality.decisions_query import Filter, page
from quality.decisions_store import Acting, as_value, load, sources_of, transition
from quality.decisions_value import check_value

NUMBER, VERSION, WHAT, SOURCE, VALUE, REASON, NOTE = (
    "冲突编号", "版本", "处理意见", "采用来源", "手工值", "原因代码", "说明",
)  # fmt: skip
SHOWN: Final = ("实体", "记录", "字段", "规则", "学校", "状态", "原由", "权威源", "建议")
HEADERS: Final = (NUMBER, VERSION, *SHOWN, "各来源的值", WHAT, SOURCE, VALUE, REASON, NOTE)
REQUIRED: Final = frozenset({NUMBER, VERSION, WHAT, REASON})
ROW, WHY = "原行号", "错误原因"
_RED = Font(color="FFC00000", bold=True)
_BLOCK: Final = 1_000


def export_sheet(store: Store, catalog: Catalog, acting: Acting, chosen: Filter, out: Path) -> tuple[int, list[Path]]:
    """The whole filter in files of at most 5,000 rows, masked and audited; (rows, files)."""
    if not acting.by.may("xlsx"):
        raise UsageError("E1058", "您的角色不能导出冲突", step="换由业务员或业务主管导出")
    rows = 0
    files: list[Path] = []
    pending: list[list[str]] = []
    for row in _rows(store, catalog, acting, chosen):
        pending.append(row)
        rows += 1
        if len(pending) == MAX_ROWS:
            files.append(write_sheet(_numbered(out, len(files)), HEADERS, pending))
            pending = []
    if pending or not files:
        files.append(write_sheet(_numbered(out, len(files)), HEADERS, pending))
    with store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=acting.at, node=acting.node, actor=acting.by.name,
            actor_role=acting.by.role_for("xlsx"), object="conflict xlsx", detail={"rows": rows},
        )  # fmt: skip
    return rows, files


def _numbered(out: Path, index: int) -> Path:
    return out if index == 0 else out.with_name(f"{out.stem}_{index + 1}{out.suffix}")


def _rows(store: Store, catalog: Catalog, acting: Acting, chosen: Filter) -> Iterator[list[str]]:
    after: int | None = 0
    with store.reading() as reader:
        while after is not None:
            found = page(reader, acting.node, acting.by.scopes("xlsx"), chosen, after=after, size=_BLOCK)
            said = sources_of(reader, [int(r["decision_no"]) for r in found.rows])
            for row in found.rows:
                line = shown(catalog, row, acting.today)
                conflict = as_value(row, said.get(int(row["decision_no"]), []))
                values = "；".join(f"{s.source}：{masked(catalog, row, s.value) or '（空）'}" for s in conflict.sources)
                cells = [row["decision_no"], row["version"], *(line[n] for n in SHOWN), values, "", "", "", "", ""]
                yield ["" if c is None else str(c) for c in cells]
            after = found.after


def write_sheet(path: Path, headers: tuple[str, ...], rows: list[list[str]], *, private: bool = False) -> Path:
    """A workbook with one sheet `sheet1`, every cell text, required headers red; `private`: only its owner reads it."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("sheet1")
    top = []
    for name in headers:
        cell = WriteOnlyCell(sheet, name)
        if name in REQUIRED:
            cell.font = _RED
        top.append(cell)
    sheet.append(top)
    for row in rows:
        sheet.append([_text(sheet, value) for value in row])
    part = path.with_name(f".{path.name}.part")
    try:
        book.save(part)
        part.chmod(0o600 if private else 0o644)
        os.replace(part, path)
    except OSError as error:
        raise UsageError("E1022", "文件写不了", where=path.name, step="检查目录、权限与磁盘空间") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _text(sheet: Any, value: str) -> Any:
    cell = WriteOnlyCell(sheet, value)
    cell.data_type, cell.number_format = "s", "@"
    return cell


def import_sheet(store: Store, catalog: Catalog, acting: Acting, file: Path, wrong: Path) -> tuple[int, int]:
    """Good rows become proposals under review, in one transaction; (proposed, wrong). `InputError`: a spoiled file."""
    if file.suffix.lower() != ".xlsx":
        raise InputError("E3332", "只能上传xlsx文件，且最多5000行", where=file.name, step="另存为 xlsx 后重试")
    sheet = read_sheet(file)
    names = {at: text.strip().rstrip("*") for at, _, text in sheet.header[1]}
    missing = [n for n in (NUMBER, VERSION, WHAT, SOURCE, VALUE, REASON, NOTE) if n not in names.values()]
    if missing:
        raise InputError("E3332", f"表头缺少列：{'、'.join(missing)}", where=file.name, step="用导出的文件填写后重试")
    good, bad = 0, []
    with store.begin() as tx:
        for number, cells in sheet.lines:
            row = {names[at]: text.strip() for at, _, text in cells if at in names}
            if not any(row.get(n) for n in (WHAT, SOURCE, VALUE, REASON, NOTE)):
                continue  # nothing was filled in
            try:
                with tx.connection.begin_nested():
                    _take(tx, catalog, acting, row)
                good += 1
            except HubError as error:
                bad.append([*(row.get(h, "") for h in HEADERS), str(number), error.what])
    if bad:
        write_sheet(wrong, (*HEADERS, ROW, WHY), bad)
    return good, len(bad)


def _take(tx: Any, catalog: Catalog, acting: Acting, row: Mapping[str, str]) -> None:
    """One row as a proposal: proposed and submitted."""
    if not (row.get(NUMBER, "").isdigit() and row.get(VERSION, "").isdigit()):
        raise InputError("E3333", "冲突编号与版本须是数字，不要改动", step="用导出的文件重新填写")
    number, version = int(row[NUMBER]), int(row[VERSION])
    stored, conflict = load(tx, number, acting)
    move = Move(Action.PROPOSE, row.get(REASON, ""), row.get(NOTE, ""), _proposal(catalog, stored, conflict, row))
    step = transition(tx, acting, number, move, version=version)
    transition(tx, acting, number, Move(Action.SUBMIT), version=step.after.version)


def _proposal(catalog: Catalog, stored: Mapping[str, Any], conflict: Conflict, row: Mapping[str, str]) -> Proposal:
    what, source, value = row.get(WHAT, ""), row.get(SOURCE, ""), row.get(VALUE, "")
    if what == str(Kind.RETURN):
        return Proposal(Kind.RETURN)
    if what == str(Kind.ADOPT):
        said = next((s.value for s in conflict.sources if s.source == source and s.value), None)
        if said is None:
            raise InputError("E3333", "没有这个采用来源，或该来源没有值", step="填写“各来源的值”中的来源代号")
        return Proposal(Kind.ADOPT, source, said)
    if what != str(Kind.MANUAL):
        raise InputError("E3333", "处理意见须是采用来源值、手工值或退回源头平台", step="改正后重试")
    shapes = {masked(catalog, stored, s.value) for s in conflict.sources if s.value}
    if "*" in value or (value in shapes and value not in {s.value for s in conflict.sources}):
        raise InputError("E3333", "脱敏显示的内容不能作为手工值", step="填写完整的值，或改用采用来源值")
    entity = catalog.entities[stored["entity"]]
    check_value(catalog, entity, stored["field"], value, conflict.number)
    return Proposal(Kind.MANUAL, None, value)
