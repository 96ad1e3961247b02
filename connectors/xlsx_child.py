"""Reads the first sheet of one xlsx in a process of its own and prints its cells as JSON lines (protocol 11.3).

Decides nothing about layouts: it only turns cells into text and gives up when a limit is passed. It imports neither
pyarrow, which `RLIMIT_AS` breaks, nor anything of this project; a file that kills it kills nobody else.

Lines: `{"sheets": […], "epoch_1904": false}`, then `[row, [[column, kind, text], …]]` for each row that is not blank,
then `{"end": last_row}`. Instead of any line: `{"refuse": reason, …}`. Kinds: s text, n number, d date (yyyyMMdd),
f formula (its text, not its cached value), b truth value, e error value.
"""

import datetime
import json
import os
import resource
import sys
import zipfile
from decimal import Decimal
from typing import Any

LAST_ROW = 1_048_576
PARTS = 2000


class Refuse(Exception):  # noqa: N818 - a verdict, not an error
    """Carries the reason and where."""

    def __init__(self, reason: str, **where: object) -> None:
        super().__init__(reason)
        self.line = {"refuse": reason, **where}


class Printer:
    """Standard output with a cap: shared strings let a small file print a great deal."""

    def __init__(self, cap: int) -> None:
        self.left = cap

    def put(self, line: object, row: int = 0) -> None:
        text = json.dumps(line, separators=(",", ":"))
        self.left -= len(text)
        if self.left < 0:
            raise Refuse("output", row=row)
        sys.stdout.write(text + "\n")


def main() -> int:
    path, limits = sys.argv[1], json.loads(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory"], limits["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["seconds"], limits["seconds"] + 1))
    printer = Printer(limits["output"])
    try:
        check_zip(path, limits["unpacked"])
        read(path, limits, printer)
    except Refuse as refusal:
        print(json.dumps(refusal.line))  # noqa: T201 - standard output is this process's answer
    except MemoryError:
        print(json.dumps({"refuse": "memory"}))  # noqa: T201
    except Exception:  # noqa: BLE001 - any failure of a hostile file is one answer
        print(json.dumps({"refuse": "unreadable"}))  # noqa: T201
    return 0


def check_zip(path: str, cap: int) -> None:
    """Declared sizes bound what zipfile hands out: a part that lies about its size fails when it is read."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if len(parts) > PARTS or sum(p.file_size for p in parts) > cap:
        raise Refuse("unpacked")


def read(path: str, limits: dict[str, int], printer: Printer) -> None:
    os.environ["OPENPYXL_LXML"] = "False"
    sys.modules["numpy"] = None  # type: ignore[assignment]  # not needed, slow to import, and it breaks under RLIMIT_AS
    import openpyxl
    from openpyxl.xml import DEFUSEDXML

    if not DEFUSEDXML:
        raise Refuse("unprotected")
    book = openpyxl.load_workbook(path, read_only=True, data_only=False, keep_links=False)
    sheets = [str(n)[:31] for n in book.sheetnames[:20]]
    if not sheets or sheets[0].strip().casefold() != "sheet1" or not hasattr(book[book.sheetnames[0]], "iter_rows"):
        raise Refuse("sheet", sheets=sheets)
    printer.put({"sheets": sheets, "epoch_1904": book.epoch.year == 1904})
    sheet = book[book.sheetnames[0]]
    sheet.reset_dimensions()  # the declared size may lie
    data, last = -1, 0  # the first row that is not blank is the header
    for last, cells in enumerate(sheet.iter_rows(), start=1):  # a missing row is an empty tuple
        if last > LAST_ROW:
            raise Refuse("unreadable", kind="rows", row=last)
        row: list[list[Any]] = [
            [at, *text_of(cell)] for at, cell in enumerate(cells[: limits["columns"]]) if cell.value is not None
        ]
        if not any(text.strip() for _, _, text in row):
            continue
        data += 1
        if data > limits["rows"]:
            raise Refuse("rows", row=last)
        for at, _, text in row:
            if len(text) > limits["cell"]:
                raise Refuse("cell", row=last, column=at + 1)
        printer.put([last, row], last)
    printer.put({"end": last})


def text_of(cell: Any) -> tuple[str, str]:
    """(kind, text) of a cell that is not empty."""
    value = cell.value
    if cell.data_type == "f":
        return "f", _clean(str(getattr(value, "text", None) or value))
    if isinstance(value, bool):
        return "b", "1" if value else "0"
    if isinstance(value, datetime.date):
        return "d", f"{value.year:04d}{value.month:02d}{value.day:02d}"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return "n", str(int(value)) if whole else format(Decimal(repr(value)), "f")
    if isinstance(value, int):
        return "n", str(value)
    return ("e" if cell.data_type == "e" else "s"), _clean(str(value))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    sys.exit(main())
