"""Supplements as the console lists them: files and rows of the waiting area by filter and page; gaps by school.

Decides order (newest file first, rows as in the sheet) and that counting is done by the database: nothing here walks
the rows of a large table. Who may act is decided in `supplement_review`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from connectors.xlsx_rows import Reject
from hub.catalog import Catalog
from hub.roles import Scope
from hub.store import Reader
from hub.store.ledger import QUARANTINE
from hub.store.supplement_tables import SUPPLEMENT_FILE, SUPPLEMENT_ROW
from province_node.supplement_missing import WANTING, counted
from province_node.supplement_store import Line, State
from quality.places import within_schools

_FILE, _ROW = SUPPLEMENT_FILE.c, SUPPLEMENT_ROW.c
FACETS: Final = ("state", "template", "operator")


@dataclass(frozen=True)
class Chosen:
    """Filter of the list of files; empty means all. `state`: files with at least one row in it."""

    school: str = ""
    state: tuple[str, ...] = ()
    template: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileRow:
    """One file of the list."""

    number: int
    name: str
    school: str
    template: str
    operator: str
    imported_at: str
    rows: int
    run: int | None
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SchoolGaps:
    """What one school still has to supply: empty required values by entity, and records kept out for want of one."""

    school: str
    name: str
    empty: Mapping[str, int]
    kept_out: int

    @property
    def total(self) -> int:
        return sum(self.empty.values()) + self.kept_out


def _terms(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Chosen, without: str = "") -> list[Any]:
    terms = [within_schools(reader, node, scopes, _FILE.school)]
    if chosen.school:
        terms.append(_FILE.school == chosen.school)
    if chosen.state and without != "state":
        some = sa.select(_ROW.file_no).where(_ROW.file_no == _FILE.file_no, _ROW.state.in_(chosen.state))
        terms.append(some.exists())
    if chosen.template and without != "template":
        terms.append(_FILE.template.in_(chosen.template))
    if chosen.operator and without != "operator":
        terms.append(_FILE.operator.in_(chosen.operator))
    return terms


def count_files(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Chosen) -> int:
    """Files of the filter in scope."""
    query = sa.select(sa.func.count()).select_from(SUPPLEMENT_FILE).where(*_terms(reader, node, scopes, chosen))
    return int(reader.connection.execute(query).scalar_one())


def files_page(
    reader: Reader, node: str, scopes: Sequence[Scope], chosen: Chosen, *, size: int, before: int = 0, offset: int = 0
) -> tuple[FileRow, ...]:
    """One page, newest first: below file number `before` when it is given, else from `offset`."""
    query = (
        sa.select(SUPPLEMENT_FILE)
        .where(*_terms(reader, node, scopes, chosen))
        .order_by(_FILE.file_no.desc())
        .limit(size)
    )
    query = query.where(_FILE.file_no < before) if before else query.offset(offset)
    found = reader.connection.execute(query).mappings().all()
    states = _states(reader, [int(r["file_no"]) for r in found])
    return tuple(
        FileRow(
            int(r["file_no"]), r["file_name"], r["school"], r["template"], r["operator"], r["imported_at"],
            int(r["rows_total"]), r["run_no"], states.get(int(r["file_no"]), {}),
        )
        for r in found
    )  # fmt: skip


def _states(reader: Reader, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    query = (
        sa.select(_ROW.file_no, _ROW.state, sa.func.count())
        .where(_ROW.file_no.in_(numbers))
        .group_by(_ROW.file_no, _ROW.state)
    )
    found: dict[int, dict[str, int]] = {}
    for number, state, count in reader.connection.execute(query):
        found.setdefault(int(number), {})[str(state)] = int(count)
    return found


def file_facet(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Chosen, name: str) -> dict[str, int]:
    """Files per value of one facet, which ignores its own filter (console 2)."""
    terms = _terms(reader, node, scopes, chosen, without=name)
    if name == "state":
        query = (
            sa.select(_ROW.state, sa.func.count(sa.distinct(_FILE.file_no)))
            .select_from(SUPPLEMENT_FILE.join(SUPPLEMENT_ROW, _ROW.file_no == _FILE.file_no))
            .where(*terms)
            .group_by(_ROW.state)
        )
    else:
        column = _FILE[name]
        query = sa.select(column, sa.func.count()).where(*terms).group_by(column)
    found = {str(v or ""): int(n) for v, n in reader.connection.execute(query)}
    return dict(sorted(found.items(), key=lambda c: (-c[1], c[0])))


def in_scope(reader: Reader, node: str, scopes: Sequence[Scope], school: str) -> bool:
    """Whether a school lies in the scopes; one the store does not have lies in the whole alone."""
    if any(s.whole and not s.categories for s in scopes) or any(school in s.schools for s in scopes):
        return True
    xx = reader.golden("xx")
    query = sa.select(sa.literal(1)).where(xx.c.node == node, xx.c.xxdm == school)
    return bool(reader.connection.execute(query.where(within_schools(reader, node, scopes, xx.c.xxdm))).first())


def count_lines(reader: Reader, number: int, states: Sequence[str]) -> int:
    """Rows of a file in these states."""
    query = sa.select(sa.func.count()).select_from(SUPPLEMENT_ROW)
    return int(
        reader.connection.execute(query.where(_ROW.file_no == number, _ROW.state.in_(list(states)))).scalar_one()
    )


def lines_page(
    reader: Reader, number: int, states: Sequence[str], *, size: int, after: int = 0, offset: int = 0
) -> tuple[Line, ...]:
    """One page of a file's rows in the order of the sheet: behind row `after` when it is given, else from `offset`."""
    query = (
        sa.select(SUPPLEMENT_ROW)
        .where(_ROW.file_no == number, _ROW.state.in_(list(states)))
        .order_by(_ROW.row_no)
        .limit(size)
    )
    query = query.where(_ROW.row_no > after) if after else query.offset(offset)
    return tuple(
        Line(
            int(r["row_no"]),
            json.loads(r["cells"] or "{}"),
            State(r["state"]),
            tuple(Reject(int(r["row_no"]), *one) for one in json.loads(r["reasons"] or "[]")),
        )
        for r in reader.connection.execute(query).mappings()
    )


def gaps_by_school(reader: Reader, catalog: Catalog, node: str, scopes: Sequence[Scope]) -> tuple[SchoolGaps, ...]:
    """Schools of the scope that have something to supply, most first. One grouped pass per entity."""
    empty: dict[str, dict[str, int]] = {}
    names = _names(reader, node, scopes)
    for name in catalog.entities:
        for school, (_, values, present) in counted(reader, catalog, catalog.entities[name], node).items():
            if school in names and values > present:
                empty.setdefault(school, {})[name] = values - present
    kept = _kept_out(reader, node, scopes)
    codes = {*empty, *kept}
    found = [SchoolGaps(c, names.get(c, ""), empty.get(c, {}), kept.get(c, 0)) for c in codes]
    return tuple(sorted(found, key=lambda s: (-s.total, s.school)))


def _kept_out(reader: Reader, node: str, scopes: Sequence[Scope]) -> dict[str, int]:
    q = QUARANTINE.c
    query = (
        sa.select(q.school, sa.func.count())
        .where(q.closed_run.is_(None), q.rule.in_(WANTING), within_schools(reader, node, scopes, q.school, q.entity))
        .group_by(q.school)
    )
    found: dict[str, int] = {}
    for school, rows in reader.connection.execute(query):  # '' and NULL are one school, on Oracle they are one value
        found[str(school or "")] = found.get(str(school or ""), 0) + int(rows)
    return found


def _names(reader: Reader, node: str, scopes: Sequence[Scope]) -> dict[str, str]:
    xx = reader.golden("xx")
    query = sa.select(xx.c.xxdm, xx.c.xxmc).where(xx.c.node == node, within_schools(reader, node, scopes, xx.c.xxdm))
    return {str(code): str(name or "") for code, name in reader.connection.execute(query)}
