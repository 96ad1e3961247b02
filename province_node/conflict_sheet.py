"""Conflict sheets as files of the command line: written whole or not at all, read in a child process with limits.

What stands in them is decided by `quality.decisions_sheet`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from connectors.xlsx import read_sheet
from hub.catalog import Catalog
from hub.csvfile import new_file
from hub.store import Store
from hub.workbook import Sheet, stream_book
from quality.decisions_query import Filter
from quality.decisions_sheet import Mark, begin_export, books, import_lines, refuse_name
from quality.decisions_store import Acting


def export_files(store: Store, catalog: Catalog, acting: Acting, chosen: Filter, out: Path) -> tuple[int, list[Path]]:
    """The whole filter in files of at most 5,000 rows, masked and audited; (rows, files)."""
    return begin_export(store, acting, chosen), write_books(store, catalog, acting, chosen, out)


def write_books(
    store: Store, catalog: Catalog, acting: Acting, chosen: Filter, out: Path, mark: Mark | None = None
) -> list[Path]:
    """The files, numbered from the second on; one with `mark` is only its owner's to read."""
    files: list[Path] = []
    for at, book in enumerate(books(store, catalog, acting, chosen, mark=mark), start=1):
        path = out if at == 1 else out.with_name(f"{out.stem}_{at}{out.suffix}")
        _write(path, book, private=mark is not None)
        files.append(path)
    return files


def write_sheet(path: Path, headers: tuple[str, ...], rows: list[list[str]], *, private: bool = False) -> Path:
    """A workbook with one sheet `sheet1`, every cell text; `private`: only its owner reads it."""
    _write(path, stream_book([Sheet("sheet1", headers, rows)]), private=private)
    return path


def import_file(store: Store, catalog: Catalog, acting: Acting, file: Path, wrong: Path) -> tuple[int, int]:
    """Good rows become proposals under review; wrong ones stand in `wrong`. (proposed, wrong)."""
    refuse_name(file.name)
    sheet = read_sheet(file)
    done = import_lines(store, catalog, acting, sheet.header[1], sheet.lines, name=file.name)
    if done.wrong:
        _write(wrong, done.book(), private=False)
    return done.proposed, len(done.wrong)


def _write(path: Path, blocks: Iterable[bytes], *, private: bool) -> None:
    with new_file(path, private=private) as file:
        for block in blocks:
            file.write(block)
