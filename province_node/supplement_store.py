"""The waiting area of supplements in the node's store: files as imported, their rows and where each row stands.

Decides the numbers of files, what is kept of a row (cells by header, reasons without values), and which rows the next
round takes: those a second person approved. Who may do what is decided in `supplement_review`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from connectors.templates import all_templates
from connectors.xlsx_rows import Reject
from hub.catalog import Catalog, Template
from hub.errors import UsageError
from hub.roles_store import person_behind
from hub.settings import Node
from hub.store import Reader, Transaction, open_store
from hub.store.supplement_tables import SUPPLEMENT_FILE, SUPPLEMENT_ROW
from province_node.local import Supplement, identified, identity_labels

BLOCK: Final = 2_000


class State(StrEnum):
    """Where a row stands, as people read it."""

    WAITING = "待复核"
    APPROVED = "已通过"
    REFUSED = "已驳回"
    WRONG = "错误行"
    WITHDRAWN = "已撤回"


@dataclass(frozen=True)
class Line:
    """One row of a file. `reasons`: what is wrong with it, never a value."""

    row: int
    cells: Mapping[str, str]
    state: State = State.WAITING
    reasons: tuple[Reject, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """A file of the waiting area with the number of its rows per state."""

    number: int
    name: str
    sha256: str
    school: str
    template: str
    operator: str
    imported_at: str
    rows: int
    wrong: int
    version: int
    run: int | None
    extract: int | None
    note: str
    states: Mapping[str, int] = field(default_factory=dict)
    sampled: tuple[tuple[str, tuple[int, ...]], ...] = ()


def add_file(tx: Transaction, values: Mapping[str, Any], lines: Iterable[Line]) -> int:
    """Stores a file and its rows; returns its number. `values`: columns of `supplement_file`."""
    link = tx.connection
    number = int(link.execute(sa.select(sa.func.max(SUPPLEMENT_FILE.c.file_no))).scalar() or 0) + 1
    link.execute(sa.insert(SUPPLEMENT_FILE), {**values, "file_no": number, "version": 1})
    person = person_behind(link, str(values["operator"]))
    rows = [
        {
            "file_no": number,
            "row_no": line.row,
            "state": str(line.state),
            "operator": values["operator"],
            "operator_person": person,
            "reasons": json.dumps([[r.column, r.code, r.reason] for r in line.reasons], ensure_ascii=False),
            "cells": json.dumps(dict(line.cells), ensure_ascii=False),
        }
        for line in lines
    ]
    for at in range(0, len(rows), BLOCK):
        link.execute(sa.insert(SUPPLEMENT_ROW), rows[at : at + BLOCK])
    return number


def files(
    reader: Reader, *, school: str | None = None, number: int | None = None, waiting: bool = False,
    last: int | None = None,
) -> list[StoredFile]:  # fmt: skip
    """Every file, a school's, the one of a number, those with rows that wait, or so many of the newest of these; oldest
    first, with its rows per state."""
    c, of = SUPPLEMENT_FILE.c, SUPPLEMENT_ROW.c
    terms: list[Any] = [c.school == school] if school is not None else []
    terms += [c.file_no == number] if number is not None else []
    if waiting:
        terms.append(c.file_no.in_(sa.select(of.file_no).where(of.state == str(State.WAITING))))
    query = sa.select(SUPPLEMENT_FILE).where(*terms).order_by(c.file_no.desc())
    found = reader.connection.execute(query if last is None else query.limit(last)).mappings().all()[::-1]
    counts: dict[int, dict[str, int]] = {}
    grouped = sa.select(SUPPLEMENT_ROW.c.file_no, SUPPLEMENT_ROW.c.state, sa.func.count()).group_by(
        SUPPLEMENT_ROW.c.file_no, SUPPLEMENT_ROW.c.state
    )
    if terms:
        grouped = grouped.where(of.file_no.in_(sa.select(c.file_no).where(*terms)))
    if last is not None and found:
        grouped = grouped.where(of.file_no >= int(found[0]["file_no"]))
    for number, state, count in reader.connection.execute(grouped):
        counts.setdefault(int(number), {})[str(state)] = int(count)
    return [_file(row, counts.get(int(row["file_no"]), {})) for row in found]


def file_of(reader: Reader, number: int) -> StoredFile:
    """One file; `UsageError` E3710 when there is none of that number."""
    found = next(iter(files(reader, number=number)), None)
    if found is None:
        raise UsageError("E3710", f"没有第 {number} 号补录文件", step="用 hub supplement ls 查看文件编号")
    return found


def _file(row: Mapping[Any, Any], states: Mapping[str, int]) -> StoredFile:
    sampled = tuple((who, tuple(rows)) for who, rows in json.loads(row["sampled"] or "[]"))
    return StoredFile(
        number=int(row["file_no"]), name=row["file_name"], sha256=row["sha256"], school=row["school"],
        template=row["template"], operator=row["operator"], imported_at=row["imported_at"],
        rows=int(row["rows_total"]), wrong=int(row["rows_wrong"]), version=int(row["version"]),
        run=row["run_no"], extract=row["extract_no"], note=row["note"] or "", states=states, sampled=sampled,
    )  # fmt: skip


def lines(reader: Reader, number: int, states: Sequence[State] = tuple(State)) -> Iterator[Line]:
    """Rows of a file in the given states, in the order of the sheet."""
    query = (
        sa.select(SUPPLEMENT_ROW)
        .where(SUPPLEMENT_ROW.c.file_no == number, SUPPLEMENT_ROW.c.state.in_([str(s) for s in states]))
        .order_by(SUPPLEMENT_ROW.c.row_no)
        .execution_options(yield_per=BLOCK)
    )
    for row in reader.connection.execute(query).mappings():
        reasons = tuple(Reject(int(row["row_no"]), *r) for r in json.loads(row["reasons"] or "[]"))
        yield Line(int(row["row_no"]), json.loads(row["cells"] or "{}"), State(row["state"]), reasons)


def raw_table(template: Template, rows: Sequence[Line]) -> pa.Table:
    """Raw text by target, with `_row`: the shape `read_template` gives."""
    targets = {c.target: c.header for c in template.columns if c.target}
    arrays = {t: pa.array([line.cells.get(h) for line in rows], pa.string()) for t, h in targets.items()}
    return pa.table({**arrays, "_row": pa.array([line.row for line in rows], pa.int64())})


def approved_supplements(node: Node, catalog: Catalog, con: duckdb.DuckDBPyConnection) -> list[Supplement]:
    """Approved rows the state does not have yet, file by file in the order of import (ruling 9).

    A file whose approval moved is taken again with every later one of its school, so that the newest word of a school
    about a record is the same whatever the order of reviews.
    """
    with reading(node, catalog) as reader:
        if reader is None:
            return []
        known = dict(con.execute("SELECT name, sha256 FROM local_file WHERE starts_with(name, 'waiting:')").fetchall())
        moved: set[str] = set()
        taken: list[Supplement] = []
        for file in files(reader):
            name, seal = f"waiting:{file.number}", f"{file.version}:{file.sha256}"
            if not file.states.get(State.APPROVED):
                continue
            if known.get(name) == seal and file.school not in moved:
                continue
            moved.add(file.school)
            template = all_templates(catalog)[file.template]
            rows = raw_table(template, list(lines(reader, file.number, (State.APPROVED,))))
            rows = identified(rows, file.school, identity_labels(catalog))
            taken.append(Supplement(name, seal, file.template, file.school, rows, (), file.number))
        return taken


@contextmanager
def reading(node: Node, catalog: Catalog) -> Iterator[Reader | None]:
    """The node's store, None before it has one: settling needs none."""
    url = sa.make_url(node.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        yield None
        return
    store = open_store(node.database_url, catalog)
    try:
        with store.reading() as reader:
            yield reader
    finally:
        store.close()


def mark_taken(tx: Transaction, run: int, waiting: Mapping[str, int]) -> None:
    """Notes which round took a file, and the extract number that traces its rows (`src_rid` `L<extract>:<row>`)."""
    for number, extract in waiting.items():
        tx.connection.execute(
            sa.update(SUPPLEMENT_FILE)
            .where(SUPPLEMENT_FILE.c.file_no == int(number))
            .values(run_no=run, extract_no=extract)
        )
