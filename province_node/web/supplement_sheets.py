"""Online preview of a supplement's workbooks: the file as it was uploaded, and its wrong rows as they go back.

Of an upload the cells are kept as they were typed, by header and row; the workbook around them is not. So the sheet is
shown with every column of its template, blank or not, and rows keep the numbers they had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from connectors.templates import all_templates
from hub.web import Ask, Section
from hub.web.sheets import File, Rows, Shown, show
from province_node.supplement_export import OPEN, shown_cells, wrong_cells, wrong_headers
from province_node.supplement_list import count_lines, lines_page
from province_node.supplement_store import Line, State
from province_node.web.supplements import LOOK, file_here

section: Final = Section("supplement-sheets", "province_node.web", nodes=("province",))


@section.get("/supplements/{number:int}/sheet", allow=LOOK, manual="supplements")
def preview(ask: Ask) -> Response:
    """The upload; behind a tab its wrong rows with 原行号 and 错误原因."""
    file, catalog = file_here(ask), ask.site.catalog
    layout, here = all_templates(catalog)[file.template], f"/supplements/{file.number}"
    red = [c.header for c in layout.columns if c.required == "M"]

    def lines(states: Sequence[State], size: int, offset: int) -> tuple[Line, ...]:
        with ask.site.store.reading() as reader:
            return lines_page(reader, file.number, [str(s) for s in states], size=size, offset=offset)

    def uploaded(size: int, offset: int) -> Rows:
        return [(x.row, list(shown_cells(catalog, layout, x, plain=False))) for x in lines(list(State), size, offset)]

    def wrong(size: int, offset: int) -> Rows:
        some = enumerate(lines(OPEN, size, offset), start=offset + 2)
        return [(at, wrong_cells(catalog, layout, x)) for at, x in some]

    with ask.site.store.reading() as reader:
        count = count_lines(reader, file.number, [str(s) for s in OPEN])
    sheets = [Shown("上传的 sheet1", [c.header for c in layout.columns], file.rows, uploaded, red)]
    if count:
        sheets.append(Shown("错误行文件", wrong_headers(layout), count, wrong, red))
    may = count and ask.number("sheet", 0) == 1 and ask.visitor.may("xlsx", "confirm_import")
    return show(
        ask, File(file.name, f"{layout.cn}　补录第 {file.number} 号", here, f"{here}/wrong.xlsx" if may else ""), sheets
    )
