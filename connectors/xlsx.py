"""School supplements: one xlsx file into rows named by what its columns mean (ruling 9, protocol 11.3).

Decides whether a file is one of our layouts, which cell goes to which field, and which rows cannot be trusted. Leaves
labels, codes and validity to `quality`. The workbook itself is opened by `xlsx_child` in a process with limits.

- Only the first sheet counts, and it is named sheet1. Columns are found by header text, never by position.
- What spoils the file raises `InputError` with file, row and next step; what spoils a row is a `Reject` beside the
  good rows.
- Cells are text as typed: formulas are their formula text, numbers have no `.0`, date cells are yyyyMMdd (yyyyMM where
  the field is a month), Excel serial numbers are dates only in date columns. Each conversion is counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.templates import all_templates, header_key, recognise, shown_header
from connectors.xlsx_rows import REASON_HEADER, ROW_HEADER, Line, Original, Reject, Rows
from hub.catalog import Catalog, Template, TemplateColumn
from hub.errors import InputError

MAX_ROWS = 5000
MAX_FILE = 50 << 20
LIMITS = {
    "rows": MAX_ROWS,
    "columns": 512,
    "cell": 32_767,
    "unpacked": 128 << 20,
    "output": 64 << 20,
    "memory": 1 << 30,
    "seconds": 60,
}
_CHILD = Path(__file__).with_name("xlsx_child.py")
_SCHOOL = re.compile(r"(?<!\d)(\d{10})$")


@dataclass(frozen=True)
class TemplateRead:
    """A supplement as read.

    `rows`: one string column per target of the template (`xs.XM`, `xs_jtcy[1].LXDH`, `xs_xj.BH:name`; absent columns
    are null) and `_row` (int64, sheet row). `counts`: conversions by kind (date_cell, excel_serial, formula, number).
    """

    template: str
    school: str
    rows: pa.Table
    trailing_blank: int
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    lines: tuple[Original, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """The first sheet: header line, data lines (sheet row, cells by column index), blank rows after the last one."""

    header: Line
    lines: list[Line]
    trailing_blank: int
    epoch_1904: bool


def read_template(
    path: Path,
    catalog: Catalog,
    *,
    school: str | None = None,
    earlier: Mapping[int, Mapping[str, str]] | None = None,
) -> TemplateRead:
    """Reads one supplement; `school`: its 10-digit code where the file name lacks it. Raises `InputError`.

    `earlier`: for a corrected file of wrong rows, the cells that came first by their row (原行号): a masked cell that
    was not touched stands for the value it hides.
    """
    code = _school(path, school)
    sheet = read_sheet(path)
    candidates = list(all_templates(catalog).values())
    texts = {at: text for at, _, text in sheet.header[1] if header_key(text)}
    template = recognise(path_shown(path), sheet.header[0], list(texts.values()), candidates)
    columns, notes = _columns(path, sheet.header[0], texts, template)
    numbers = [at for at, text in texts.items() if header_key(text) == ROW_HEADER]
    reader = Rows(catalog, columns, code, sheet.epoch_1904, numbers[0] if numbers else None, earlier or {})
    rows = reader.table(sheet.lines, _targets(template))
    return TemplateRead(
        template.name,
        code,
        rows,
        sheet.trailing_blank,
        (*notes, *reader.notes()),
        tuple(reader.rejects),
        dict(reader.counts),
        tuple(reader.lines),
    )


def read_sheet(path: Path) -> Sheet:
    """The first sheet's cells, parsed out of process under `LIMITS`."""
    lines = _child(path)
    head: dict[str, Any] = lines[0] if lines else {}
    tail: dict[str, Any] = lines[-1] if lines and isinstance(lines[-1], dict) else {}
    for line in (head, tail):
        if "refuse" in line:
            raise _refusal(path, line)
    if "end" not in tail:
        raise _refusal(path, {"refuse": "memory"})  # killed before it could say so
    body: list[Line] = [(row, [(at, kind, text) for at, kind, text in cells]) for row, cells in lines[1:-1]]
    if not body:
        raise _spoiled(path, "E2304", "工作表没有表头", 1, "使用下发的模板重新填写")
    return Sheet(body[0], body[1:], tail["end"] - body[-1][0], head["epoch_1904"])


def path_shown(path: Path) -> str:
    """A file's name for messages; long runs of digits, which may be somebody's number, are hidden."""
    return re.sub(r"\d{11,}[\dXx]?", "***", path.name)


def _child(path: Path) -> list[Any]:
    try:
        size = path.stat().st_size
    except OSError:
        raise _spoiled(path, "E2301", "文件不存在或不可读", 0, "核对文件位置和权限") from None
    if size > MAX_FILE:
        raise _refusal(path, {"refuse": "unpacked"})
    command = [sys.executable, "-I", str(_CHILD), str(path), json.dumps(LIMITS)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMITS["seconds"] + 5, check=False
        )
    except subprocess.TimeoutExpired:
        raise _refusal(path, {"refuse": "memory"}) from None
    try:
        return [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError:  # killed in the middle of a line
        raise _refusal(path, {"refuse": "memory"}) from None


def _spoiled(path: Path, code: str, what: str, row: int, step: str) -> InputError:
    where = f"文件 {path_shown(path)}" + (f"，第 {row} 行" if row else "")
    return InputError(code, what, where=where, step=step)


def _refusal(path: Path, line: dict[str, Any]) -> InputError:
    """The child's refusal as a person reads it."""
    at = int(line.get("row", 0))
    reason = line["refuse"]
    if reason == "sheet":
        names = "、".join(line["sheets"]) or "（无）"
        what = f"第一个工作表不是 sheet1，文件中的工作表有：{names}"
        return _spoiled(path, "E2303", what, 0, "把数据放在第一个工作表并命名为 sheet1")
    if reason == "rows":
        what = f"数据超过 {MAX_ROWS} 行，第 {MAX_ROWS + 1} 条数据在表内第 {at} 行"
        return _spoiled(path, "E2307", what, at, f"拆成每个不超过 {MAX_ROWS} 行的文件")
    if reason == "cell":
        what = f"第 {line.get('column')} 列的单元格超过 {LIMITS['cell']} 个字符"
        return _spoiled(path, "E2309", what, at, "删去多余内容后重新提交")
    if reason in ("unpacked", "output"):
        return _spoiled(path, "E2302", "文件展开后的内容过大，已拒绝读取", at, "核对文件来源，用下发的模板重新填写")
    if reason == "memory":
        return _spoiled(path, "E2310", "读取该文件超出内存或时间限制，已中止", at, "核对文件来源，用下发的模板重新填写")
    if reason == "unprotected":
        raise RuntimeError("openpyxl runs without defusedxml")
    return _spoiled(path, "E2301", "文件不是可读的 xlsx", at, "用 Excel 或 WPS 另存为 .xlsx 后重新提交")


def _school(path: Path, given: str | None) -> str:
    found = _SCHOOL.search(path.stem)
    named = found[1] if found else None
    if given is not None and not re.fullmatch(r"\d{10}", given):
        raise _spoiled(path, "E2308", "学校标识码不是 10 位数字", 0, "核对导入时给出的学校标识码")
    if given is not None and named is not None and given != named:
        raise _spoiled(path, "E2308", f"文件名的学校 {named} 与给出的学校 {given} 不一致", 0, "核对文件属于哪所学校")
    code = given or named
    if code is None:
        step = "文件名以“_10位学校标识码.xlsx”结尾，或导入时给出学校标识码"
        raise _spoiled(path, "E2308", "不知道文件属于哪所学校", 0, step)
    return code


def _columns(
    path: Path, row: int, texts: dict[int, str], template: Template
) -> tuple[dict[int, TemplateColumn], list[str]]:
    """Sheet column index → template column, and notes about headers. Only a column that is taken must stand alone."""
    keys = {at: header_key(text) for at, text in texts.items()}
    known = {header_key(c.header): c for c in template.columns}
    twice = sorted({shown_header(texts[at]) for at, k in keys.items() if k in known and [*keys.values()].count(k) > 1})
    if twice:
        shown = "、".join(twice)
        where = f"文件 {path_shown(path)}，第 {row} 行，列 {shown}"
        raise InputError("E2305", f"表头重复：{shown}", where=where, step="每个列名只保留一列后重新提交")
    columns = {at: known[k] for at, k in keys.items() if k in known}
    unknown = [
        shown_header(texts[at]) for at, k in keys.items() if k not in known and k not in (ROW_HEADER, REASON_HEADER)
    ]
    lacking = [c.header for k, c in known.items() if k not in keys.values() and c.target]
    notes = [f"不认识的列，未采用：{'、'.join(dict.fromkeys(unknown))}"] if unknown else []
    notes += [f"模板中有而文件中没有的列：{'、'.join(lacking)}"] if lacking else []
    return columns, notes


def _targets(template: Template) -> list[str]:
    return [c.target for c in template.columns if c.target]
