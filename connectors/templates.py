"""Which xlsx layouts there are, how a header row is recognised, and the empty template a school fills in.

Decides the layout of a header row; everything else is derived from the catalogue, so a template cannot drift from it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from hub.catalog import Catalog, CodeTable, Entity, Field, Template, TemplateColumn
from hub.errors import InputError

# What schools supply themselves and no real template exists for (ruling 9).
SCHOOL_ENTITIES = ("xq", "jg", "zy", "bj", "jzg_gz", "xx")
# The initialisation templates of the national guide, one per entity, loaded in this order.
PEOPLE_ENTITIES = ("jzg", "xs", "xs_sx", "xs_xj", "xs_jz")
# What the hub counts itself and a school may state beside it, to be compared and never taken (YZ19).
STATED = ("bj.ZRS",)
# A person is found by 证件类型 + 证件号 (ruling 9); in the sheets of what hangs on the person they only say who it is.
IDENTITY = ("SFZJLXM", "SFZJH")
IDENTITY_LOOKUP = "identity"
SCHOOL_FIELD = "XXDM"
# Field kinds that hold dates, and how many of yyyyMMdd they keep.
DATE_KINDS = {"date": 8, "month": 6}
MAX_LABELS = 30
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})
_FORMATS = {"date": "yyyyMMdd", "month": "yyyyMM", "year": "yyyy", "school_year": "yyyy-yyyy"}
_REQUIRED = {"M": "必填", "C": "条件必填：来源平台没有该记录时须填", "O": "选填"}


def header_key(text: str) -> str:
    """Header text as it is compared: NFKC, without blanks, asterisks and the shape of quotes."""
    plain = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    return re.sub(r"[\s*]+", "", plain)


def shown_header(text: str) -> str:
    """A header for messages, cut and with digit runs hidden: a file without a header has data where it should be."""
    return re.sub(r"\d{5,}", "***", text.strip())[:20]


def recognise(file: str, row: int, headers: Sequence[str], templates: Sequence[Template]) -> Template:
    """The layout whose `match` headers all stand in the row; of several, the one that knows the most headers.

    Raises `InputError` naming the nearest layout and the headers it lacks; `file` is the name to show.
    """
    have = {header_key(h) for h in headers}
    fitting = [t for t in templates if not _lacking(t, have)]
    if fitting:
        return max(fitting, key=lambda t: (_known(t, have), -len(t.columns)))
    near = max(templates, key=lambda t: (len(t.match) - len(_lacking(t, have)), _known(t, have)))
    missing = "、".join(_lacking(near, have))
    raise InputError(
        "E2306",
        f"表头不是任何一种已知模板；最接近“{near.cn}”，缺少列：{missing}",
        where=f"文件 {file}，第 {row} 行，列 {missing}",
        step="使用下发的模板，表头文字不要改动，表头放在第一行",
    )


def kind_of(catalog: Catalog, column: TemplateColumn) -> str:
    """The kind of the field a column feeds; `text` for columns that are not taken or are looked up by name."""
    found = _field(catalog, column)
    taken = found is not None and column.parts is not None and column.parts[3] in (None, IDENTITY_LOOKUP)
    return found.kind if found is not None and taken else "text"


def derived_templates(catalog: Catalog) -> tuple[Template, ...]:
    """Templates of the entities schools supply themselves, with the Chinese field names as headers."""
    return tuple(derive(catalog.entities[name], catalog) for name in (*SCHOOL_ENTITIES, *PEOPLE_ENTITIES))


def all_templates(catalog: Catalog) -> dict[str, Template]:
    """Every layout by name: the national ones and those derived from the definitions."""
    return {t.name: t for t in (*catalog.templates.values(), *derived_templates(catalog))}


def derive(entity: Entity, catalog: Catalog) -> Template:
    """A template of the fields a school may fill.

    学校标识码 is optional: the file name says it, a row may confirm it. Red is what the school owns or names the record
    by; what a platform owns is needed only where the platform has no such record (C). A sheet is recognised by its key
    and its first name, or where it has neither, by what only schools know.
    """
    owners = catalog.registry.owners
    if entity.name in PEOPLE_ENTITIES and entity.name != "jzg":
        return _derive_student(entity, catalog)
    named = [f for f in entity.fields if f.cn.endswith(("名称", "姓名")) and f.name not in entity.key][:1]
    columns, match = [], []
    for f in entity.fields:
        fill = f.name in entity.key or owners[entity.name, f.name].fill or f"{entity.name}.{f.name}" in STATED
        if fill or f in named:
            required = _demand(catalog, entity, f) if fill else "O"
            columns.append(TemplateColumn(f.cn, required, f"{entity.name}.{f.name}" if fill else None))
        if f in named or (f.name in entity.key and f.name != SCHOOL_FIELD):
            match.append(f)
    local = [f for f in entity.fields if owners[entity.name, f.name].order[0] == "L" and f not in match]
    match += local[: max(0, 2 - len(match))]
    if entity.name == "jzg":
        match += [entity[n] for n in IDENTITY]
    return Template(entity.name, f"{entity.cn}（学校补录）", tuple(f.cn for f in match), tuple(columns))


def _derive_student(entity: Entity, catalog: Catalog) -> Template:
    """A student's sheet: schools know no 学籍号, so the person's 证件 names the record (ruling 9)."""
    person, owners = catalog.entities["xs"], catalog.registry.owners
    columns = [TemplateColumn(person[n].cn, "M", f"xs.{n}:{IDENTITY_LOOKUP}") for n in IDENTITY]
    own = [f for f in entity.fields if f.name != "GRBSM" and (f.name in entity.key or owners[entity.name, f.name].fill)]
    if entity.name == "xs":
        columns, own = [], [f for f in own if f.name != SCHOOL_FIELD]
    for f in own:
        required = "M" if f.name in IDENTITY else _demand(catalog, entity, f)
        columns.append(TemplateColumn(f.cn, required, f"{entity.name}.{f.name}"))
    first = [f for f in own if f.name not in IDENTITY][:2]
    match = (*(person[n].cn for n in IDENTITY), *(f.cn for f in first))
    return Template(entity.name, f"{entity.cn}（学校补录）", match, tuple(columns))


def _demand(catalog: Catalog, entity: Entity, field: Field) -> str:
    """M (red): always; C: where the platform has no such record; O: optional."""
    if field.name == SCHOOL_FIELD or field.required == "O":
        return "O"
    owned = "L" in catalog.registry.owners[entity.name, field.name].order
    return field.required if field.required == "C" or owned or field.name in entity.key else "C"


def write_template(template: Template | Entity, path: Path, *, catalog: Catalog) -> None:
    """Writes an empty xlsx: `sheet1` with the headers (required ones red, columns as text) and `填写说明`."""
    layout = derive(template, catalog) if isinstance(template, Entity) else template
    book = Workbook()
    sheet = book.active
    if not isinstance(sheet, Worksheet):
        raise RuntimeError("a new workbook has a worksheet")
    sheet.title = "sheet1"
    sheet.freeze_panes = "A2"
    for at, column in enumerate(layout.columns, start=1):
        cell = sheet.cell(1, at, column.header)
        cell.font = Font(bold=True, color="FFFF0000" if column.required == "M" else "FF000000")
        cell.number_format = "@"
        letter = sheet.column_dimensions[get_column_letter(at)]
        letter.width = max(10, 2 * len(column.header) + 2)
        letter.number_format = "@"  # digits typed by hand stay digits
    _write_notes(book.create_sheet("填写说明"), layout, catalog)
    _write_codes(book, layout, catalog)
    book.save(path)


def _write_notes(sheet: Worksheet, layout: Template, catalog: Catalog) -> None:
    sheet.append(["列名", "是否必填", "长度与格式", "取值", "说明"])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for column in layout.columns:
        found = _field(catalog, column)
        name = [column.header, _REQUIRED[column.required]]
        sheet.append([*name, *(_explained(catalog, column, found) if found else ("", "", "本系统不采用此列"))])
    for letter, width in zip("ABCDE", (28, 10, 18, 60, 50), strict=True):
        sheet.column_dimensions[letter].width = width
        for cell in sheet[letter]:
            cell.alignment = Alignment(wrap_text=True, vertical="top")


def _write_codes(book: Workbook, layout: Template, catalog: Catalog) -> None:
    """`代码表`: every allowed word of the tables too long for the notes, one column per table."""
    long: dict[str, CodeTable] = {}
    for column in layout.columns:
        found = _field(catalog, column)
        table = catalog.codes.tables.get(found.code) if found and found.code else None
        if table is not None and len(set(table.codes.values())) > MAX_LABELS:
            long[table.name] = table
    if not long:
        return
    sheet = book.create_sheet("代码表")
    for at, table in enumerate(long.values(), start=1):
        sheet.cell(1, at, table.cn).font = Font(bold=True)
        for line, label in enumerate(dict.fromkeys(table.codes.values()), start=2):
            sheet.cell(line, at, label)
        sheet.column_dimensions[get_column_letter(at)].width = 24


def _explained(catalog: Catalog, column: TemplateColumn, found: Field) -> tuple[str, str, str]:
    """(length and format, values, note) of a column."""
    lookup = column.parts[3] if column.parts else None
    if lookup not in (None, IDENTITY_LOOKUP):
        return "", "", "填写本校的班级或专业，名称、编号均可" if lookup == "name" else "填写本校专业的简称或名称"
    if found.name == SCHOOL_FIELD:
        return "10 位数字", "", "可不填；填写时须与文件名中的学校标识码一致"
    if found.kind in _FORMATS:
        size = _FORMATS[found.kind]
    elif found.type == "N":
        size = f"数字，不超过 {found.length} 位" + (f"，{found.scale} 位小数" if found.scale else "")
    else:
        size = f"文本，不超过 {found.length} 字" if found.length else "文本"
    table = catalog.codes.tables.get(found.code) if found.code else None
    if table is None:
        return ("" if found.code else size), "", found.note
    labels = list(dict.fromkeys(table.codes.values()))
    values = (
        "、".join(labels) if len(labels) <= MAX_LABELS else f"{'、'.join(labels[:5])}……共 {len(labels)} 项，见“代码表”"
    )
    return "填写名称或代码", f"{table.cn}：{values}" if labels else table.cn, found.note


def _field(catalog: Catalog, column: TemplateColumn) -> Field | None:
    if column.parts is None:
        return None
    entity, _, name, _ = column.parts
    return catalog.entities[entity].by_name.get(name)


def _lacking(template: Template, have: set[str]) -> list[str]:
    return [h for h in template.match if header_key(h) not in have]


def _known(template: Template, have: set[str]) -> int:
    return len({header_key(c.header) for c in template.columns} & have)
