"""What goes back to a school: wrong and refused rows in its template, with 原行号 and 错误原因 (console 3).

Decides columns and masking: masked by default, and a masked cell that comes back untouched keeps its value
(`hub supplement import --corrects`). Plain values leave only for a stated purpose, which the caller audits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.templates import all_templates, write_template
from connectors.xlsx_rows import REASON_HEADER, ROW_HEADER, shown_masked
from hub.catalog import Catalog, Template, TemplateColumn
from hub.errors import UsageError
from hub.labels import with_label
from hub.store import Store
from province_node.sheets import Rows, write_book
from province_node.supplement_store import Line, State, file_of, lines

OPEN = (State.WRONG, State.REFUSED)


def write_empty(catalog: Catalog, name: str, out: Path) -> Template:
    """Writes the empty template of that name whole or not at all. `UsageError` E1035 (no such template), E1022."""
    known = all_templates(catalog)
    if name not in known:
        listed = "、".join(f"{t.name}（{t.cn}）" for t in known.values())
        raise UsageError("E1035", "没有这个模板", step=f"从中选一个：{listed}")
    part = out.with_name(f".{out.name}.part")
    try:
        write_template(known[name], part, catalog=catalog)
        part.replace(out)
    except OSError as error:
        raise UsageError("E1022", "文件写不了", where=out.name, step="检查 --out 的目录、权限与磁盘空间") from error
    finally:
        part.unlink(missing_ok=True)
    return known[name]


def export_wrong(store: Store, catalog: Catalog, number: int, out: Path, *, plain: bool) -> int:
    """Writes the wrong and refused rows of a file; returns how many. The sheet is read again as the template it is."""
    with store.reading() as reader:
        file = file_of(reader, number)
        template = all_templates(catalog)[file.template]
        some = list(lines(reader, number, OPEN))
        rows = (wrong_cells(catalog, template, line, plain=plain) for line in some)
        note = [[f"补录文件第 {number} 号的错误行。改正后导入：hub supplement import 文件 --corrects {number}"],
                ["脱敏显示（含 *）的单元格不改动即保留原值；要改则填写完整的新值。"]]  # fmt: skip
        red = [c.header for c in template.columns if c.required == "M"]
        sheets: list[tuple[str, Sequence[str], Rows]] = [
            ("sheet1", wrong_headers(template), rows),
            ("填写说明", ["说明"], note),
        ]
        write_book(out, sheets, red=red, private=plain)
    return len(some)


def wrong_headers(template: Template) -> list[str]:
    """The columns of a file of wrong rows."""
    return [*(c.header for c in template.columns), ROW_HEADER, REASON_HEADER]


def wrong_cells(catalog: Catalog, template: Template, line: Line, *, plain: bool = False) -> list[object]:
    """One row of it."""
    return [*shown_cells(catalog, template, line, plain=plain), line.row, reasons_of(line)]


def reasons_of(line: Line) -> str:
    """Why a row came back, one text."""
    return "；".join(f"【{r.column}】{r.reason}（{r.code}）" if r.column else r.reason for r in line.reasons)


def shown_cells(catalog: Catalog, template: Template, line: Line, *, plain: bool) -> Iterator[str | None]:
    """Cells in the order of the template."""
    for column in template.columns:
        text = line.cells.get(column.header)
        yield text if plain or text is None else shown_masked(catalog, column, text)


def _labelled(catalog: Catalog, column: TemplateColumn, text: str) -> str:
    if column.parts is None:
        return text
    entity, _, name, _ = column.parts
    return with_label(catalog, catalog.entities[entity].by_name.get(name), text)


def shown_lines(
    catalog: Catalog, template: Template, some: Sequence[Line]
) -> list[dict[str, str | int | dict[str, str]]]:
    """Rows for the screen: masked cells by header, codes with what they mean, state and reasons."""
    return [
        {
            "row": line.row,
            "state": str(line.state),
            "reasons": reasons_of(line),
            "cells": {
                c.header: _labelled(catalog, c, t)
                for c, t in zip(template.columns, shown_cells(catalog, template, line, plain=False), strict=True)
                if t
            },
        }
        for line in some
    ]
