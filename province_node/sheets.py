"""Workbooks that go back to people: one way to write cells, so that nothing in them runs and digits stay digits.

Decides the form of a cell: text always, a formula never (protocol 11.3). What stands in it, masked or plain, is the
caller's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from hub.errors import UsageError

Rows = Iterable[Sequence[object]]


def write_book(
    path: Path, sheets: Sequence[tuple[str, Sequence[str], Rows]], *, red: Sequence[str] = (), private: bool = False
) -> None:
    """Writes sheets (name, headers, rows) whole or not at all; headers in `red` are red. `UsageError` E1022."""
    book = Workbook(write_only=True)
    for name, headers, rows in sheets:
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        for at, header in enumerate(headers, start=1):
            sheet.column_dimensions[get_column_letter(at)].width = max(10, 2 * len(header) + 2)
        sheet.append([_head(sheet, h, red=h in red) for h in headers])
        for row in rows:
            sheet.append([_text(sheet, value) for value in row])
    part = path.with_name(f".{path.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o644)
        with os.fdopen(handle, "wb") as file:
            book.save(file)
        os.replace(part, path)
    except OSError as error:
        raise UsageError("E1022", "文件写不了", where=path.name, step="检查 --out 的目录、权限与磁盘空间") from error
    finally:
        part.unlink(missing_ok=True)


def _head(sheet: Any, header: str, *, red: bool) -> Any:
    cell = WriteOnlyCell(sheet, header)
    cell.font = Font(bold=True, color="FFFF0000" if red else "FF000000")
    return cell


def _text(sheet: Any, value: object) -> Any:
    cell = WriteOnlyCell(sheet, None if value is None else str(value))
    if value is not None:
        cell.data_type = "s"
        cell.number_format = "@"
    return cell
