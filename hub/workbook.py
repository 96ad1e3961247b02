"""Workbooks written as they are read from the database: every cell text, in a stream, whatever the number of rows.

Decides the form of the file: sheets of inline strings (a spreadsheet runs none of them, digits stay digits), a frozen
head, required headers red, who made it and what for among the document's properties. What stands in the cells, masked
or plain, is the caller's. A stream holds one block of rows at a time; `openpyxl` builds cell objects and is ten times
slower.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final
from xml.sax.saxutils import escape

Row = Sequence[str | None]
MAX_ROWS: Final = 1_048_575
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BLOCK: Final = 500
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATION: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_CORE: Final = f"{_PACKAGE}/metadata"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# Styles: 0 default, 1 text cell, 2 header, 3 required header (red).
_STYLES: Final = (
    f'<styleSheet xmlns="{_MAIN}"><fonts count="3"><font><sz val="11"/><name val="宋体"/></font>'
    '<font><b/><sz val="11"/><name val="宋体"/></font>'
    '<font><b/><sz val="11"/><color rgb="FFC00000"/><name val="宋体"/></font></fonts>'
    '<fills count="1"><fill><patternFill patternType="none"/></fill></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="4"><xf xfId="0"/>'
    '<xf xfId="0" numFmtId="49" applyNumberFormat="1"/><xf xfId="0" fontId="1" applyFont="1"/>'
    '<xf xfId="0" fontId="2" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


@dataclass(frozen=True)
class Sheet:
    """One sheet: its name, headers and rows, which are read once."""

    name: str
    headers: Sequence[str]
    rows: Iterable[Row]
    red: Collection[str] = ()


def stream_book(sheets: Sequence[Sheet], *, author: str = "", purpose: str = "") -> Iterator[bytes]:
    """The bytes of a workbook, a block at a time."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in _frame([s.name for s in sheets], author, purpose):
            book.writestr(zipfile.ZipInfo(name, _EPOCH), _HEAD + text, zipfile.ZIP_DEFLATED)
        yield sink.taken()
        for at, sheet in enumerate(sheets, start=1):
            entry = zipfile.ZipInfo(f"xl/worksheets/sheet{at}.xml", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED  # an entry of its own does not take the archive's
            with book.open(entry, "w", force_zip64=True) as part:
                for text in _sheet(sheet):
                    part.write(text.encode())
                    yield sink.taken()
    yield sink.taken()


def stream_books(name: Callable[[int], str], books: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Several files as one zip archive, streamed; `name`: of the file by its number, from 1."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for at, book in enumerate(books, start=1):
            with archive.open(zipfile.ZipInfo(name(at), _EPOCH), "w", force_zip64=True) as part:
                for block in book:
                    part.write(block)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What the archive has written since it was last asked; nothing is sought in it."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Everything written since."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def write_book(file: IO[bytes], sheets: Sequence[Sheet], *, author: str = "", purpose: str = "") -> None:
    """The same into an open file."""
    for block in stream_book(sheets, author=author, purpose=purpose):
        file.write(block)


def _sheet(sheet: Sheet) -> Iterator[str]:
    columns = [_column(at) for at in range(len(sheet.headers))]
    widths = "".join(
        f'<col min="{at}" max="{at}" width="{max(10, 2 * len(h) + 2)}" customWidth="1"/>'
        for at, h in enumerate(sheet.headers, start=1)
    )
    head = "".join(_cell(f"{c}1", h, 3 if h in sheet.red else 2) for c, h in zip(columns, sheet.headers, strict=True))
    yield (
        f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" '
        f'topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f"<cols>{widths}</cols><sheetData>"
        f'<row r="1">{head}</row>'
    )
    block: list[str] = []
    for number, row in enumerate(sheet.rows, start=2):
        if number > MAX_ROWS + 1:
            raise RuntimeError(f"a sheet holds at most {MAX_ROWS:,} rows")
        cells = "".join(_cell(f"{c}{number}", v, 1) for c, v in zip(columns, row, strict=True) if v not in (None, ""))
        block.append(f'<row r="{number}">{cells}</row>')
        if len(block) == _BLOCK:
            yield "".join(block)
            block.clear()
    yield "".join(block) + "</sheetData></worksheet>"


def _cell(place: str, value: str | None, style: int) -> str:
    text = escape(_ILLEGAL.sub("\ufffd", str(value)))
    return f'<c r="{place}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _column(at: int) -> str:
    name, at = "", at + 1
    while at:
        at, rest = divmod(at - 1, 26)
        name = chr(65 + rest) + name
    return name


def _frame(names: Sequence[str], author: str, purpose: str) -> Iterator[tuple[str, str]]:
    """Everything but the sheets: (name of the part, its text)."""
    openxml = "application/vnd.openxmlformats-package"
    parts = {"/xl/workbook.xml": f"{_TYPE}.sheet.main+xml", "/xl/styles.xml": f"{_TYPE}.styles+xml"}
    parts |= {f"/xl/worksheets/sheet{at}.xml": f"{_TYPE}.worksheet+xml" for at in range(1, len(names) + 1)}
    parts["/docProps/core.xml"] = f"{openxml}.core-properties+xml"
    kinds = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    rels = f'<Default Extension="rels" ContentType="{openxml}.relationships+xml"/>'
    yield "[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types">{rels}{kinds}</Types>'
    yield (
        "_rels/.rels",
        _relations(
            [(f"{_RELATION}/officeDocument", "xl/workbook.xml"), (f"{_CORE}/core-properties", "docProps/core.xml")]
        ),
    )
    core = f'xmlns:cp="{_CORE}/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    told = f"<dc:creator>{escape(author)}</dc:creator><dc:description>{escape(purpose)}</dc:description>"
    yield "docProps/core.xml", f"<cp:coreProperties {core}>{told}</cp:coreProperties>"
    listed = "".join(
        f'<sheet name="{escape(n)}" sheetId="{at}" r:id="rId{at}"/>' for at, n in enumerate(names, start=1)
    )
    yield "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATION}"><sheets>{listed}</sheets></workbook>'
    sheets = [(f"{_RELATION}/worksheet", f"worksheets/sheet{at}.xml") for at in range(1, len(names) + 1)]
    yield "xl/_rels/workbook.xml.rels", _relations([*sheets, (f"{_RELATION}/styles", "styles.xml")])
    yield "xl/styles.xml", _STYLES


def _relations(targets: Sequence[tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="rId{at}" Type="{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{listed}</Relationships>'
