"""Online preview of a workbook (文件在线预览, console 5): its sheets as a grid, page by page, without a download.

Decides the look of a sheet on a page. What stands in the cells, masked by the entity's definition, is the room's that
makes the file; nothing on these pages opens plaintext, whatever the visitor's role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from hub.web.ask import Ask
from hub.web.listing import paging, turned

# (number of the row in its sheet, its cells)
Rows = Iterable[tuple[int, Sequence[object]]]


@dataclass(frozen=True)
class Shown:
    """One sheet. `rows(size, offset)`: that many of its `total` data rows from there; `red`: required headers."""

    name: str
    headers: Sequence[str]
    total: int
    rows: Callable[[int, int], Rows]
    red: Sequence[str] = ()


@dataclass(frozen=True)
class File:
    """A workbook on a page. `note`: what it is and where it lies; `download`: where the file itself is had, empty when
    it is not kept; `posted`: it is had by a form."""

    title: str
    note: str
    back: str
    download: str = ""
    posted: bool = False


def of_list(name: str, headers: Sequence[str], rows: Sequence[Sequence[object]], red: Sequence[str] = ()) -> Shown:
    """A sheet whose rows are at hand; they are numbered as a sheet numbers them, behind the header."""

    def some(size: int, offset: int) -> Rows:
        return [(offset + at + 2, row) for at, row in enumerate(rows[offset : offset + size])]

    return Shown(name, headers, len(rows), some, red)


def show(ask: Ask, file: File, sheets: Sequence[Shown]) -> Response:
    """The page: a tab per sheet, one of them as a grid."""
    at = min(ask.number("sheet", 0), len(sheets) - 1)
    sheet = sheets[at]
    where = paging(ask, sheet.total)
    rows = [
        (number, ["" if cell is None else str(cell) for cell in cells])
        for number, cells in sheet.rows(where.size, where.offset)
    ]
    where = turned(ask, where, [str(number) for number, _ in rows])
    return ask.page("sheet.html", file=file, sheets=sheets, chosen=at, sheet=sheet, rows=rows, paging=where)
