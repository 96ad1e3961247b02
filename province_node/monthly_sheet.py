"""The monthly form as a workbook: the layout of the paper, one A4 page, every cell text.

Decides the look alone; what stands in it is `monthly_form` and the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, Side

from province_node.monthly_form import Form

_EDGE: Final = Side(style="thin")
_BOX: Final = Border(_EDGE, _EDGE, _EDGE, _EDGE)
_WIDTHS: Final = {"A": 8, "B": 16, "C": 10, "D": 62}


def write_form(path: Path, form: Form, province: str, answers: Mapping[str, str], *, date: str = "") -> None:
    """Writes the form to `path`."""
    book = Workbook()
    sheet: Any = book.active
    sheet.title = "月报"
    for column, width in _WIDTHS.items():
        sheet.column_dimensions[column].width = width
    at = 1
    for line in form.title:
        _put(sheet, at, 1, line, last=4, size=14, bold=True, across="center")
        at += 1
    _put(sheet, at, 1, f"省（区、市）：{province}", last=4)
    at = _body(sheet, at + 1, form, answers)
    for left, right in zip(form.signatures[::2], form.signatures[1::2], strict=True):
        _put(sheet, at, 1, f"{left}：", last=3)
        _put(sheet, at, 4, f"{right}：")
        sheet.row_dimensions[at].height = 24
        at += 1
    _put(sheet, at, 4, form.seal, across="right")
    _put(sheet, at + 1, 4, f"日期：{date}", across="right")
    for number, note in enumerate(form.notes, start=1):
        _put(sheet, at + 1 + number, 1, f"{number}．{note}", last=4, size=9)
        sheet.row_dimensions[at + 1 + number].height = 14 * (len(note) // 60 + 1)
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
    sheet.page_setup.fitToWidth = sheet.page_setup.fitToHeight = 1
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    book.save(path)


def _body(sheet: Any, at: int, form: Form, answers: Mapping[str, str]) -> int:
    for part in form.parts:
        first = at
        for group in part.groups:
            top = at
            for row in group.rows:
                lines = row.lines(answers)
                start = 3
                if row.label:
                    _put(sheet, at, 3, row.label, box=True)
                    start = 4
                _put(sheet, at, start, "\n".join(lines), last=4, box=True)
                sheet.row_dimensions[at].height = 17 * sum(len(line) // 38 + 1 for line in lines)
                at += 1
            _put(sheet, top, 2, group.name, down=at - 1, box=True)
        _put(sheet, first, 1, part.name, down=at - 1, box=True)
    return at


def _put(
    sheet: Any, row: int, column: int, text: str, *, last: int = 0, down: int = 0, size: int = 11, bold: bool = False,
    across: str = "left", box: bool = False,
) -> None:  # fmt: skip
    cell = sheet.cell(row, column, text)
    cell.data_type, cell.number_format = "s", "@"
    cell.font = Font(name="宋体", size=size, bold=bold)
    cell.alignment = Alignment(horizontal=across, vertical="center", wrap_text=True)
    end_row, end_column = max(row, down), max(column, last)
    if box:
        for r in range(row, end_row + 1):
            for c in range(column, end_column + 1):
                sheet.cell(r, c).border = _BOX
    if (end_row, end_column) != (row, column):
        sheet.merge_cells(start_row=row, start_column=column, end_row=end_row, end_column=end_column)
