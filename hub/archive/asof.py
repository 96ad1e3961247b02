"""What was golden at a moment, and every version there ever was: live tables and archive read as one.

Decides which versions answer a question. A version answers for a moment when it was held then: from `held_from` up to,
not including, `held_to`. Of a version that lies in both places (a database restored beside a newer archive) one copy
counts. DuckDB reads the archive's files, of which only those are opened whose last version ended after the moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from hub.archive.files import Verifier
from hub.archive.index import read_index, standing
from hub.catalog import Entity
from hub.errors import UsageError
from hub.store import Reader
from hub.store.history_tables import HELD_FROM, HELD_TO, moment
from hub.store.reader import node_literal, version_schema
from hub.store.tables import SCHOOL

# A date means the end of that day where the schools are.
CALENDAR: Final = ZoneInfo("Asia/Shanghai")
# Where a version lies, in the words shown.
LIVE, WAITING, ARCHIVED = "正式库", "历史表", "归档"
PLACE: Final = "place"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_RECORD: Final = re.compile(r"[0-9a-f]{20}")
_SCHOOL: Final = re.compile(r"[0-9A-Z]{1,10}")


@dataclass(frozen=True)
class Question:
    """Some records by number, or one school's records, of an entity. `node`: one province's, or None for all.

    `at`: a moment as `hub.store.history_tables.moment` writes it, None for every version. `limit`: rows handed out.
    """

    entity: Entity
    node: str | None = None
    pks: tuple[str, ...] = ()
    school: str | None = None
    at: str | None = None
    limit: int = 1_000

    def __post_init__(self) -> None:
        if bool(self.pks) == (self.school is not None):
            raise RuntimeError("a question is about records or about one school")
        if not all(_RECORD.fullmatch(pk) for pk in self.pks):
            raise RuntimeError("a record number is 20 hexadecimal digits")
        if self.school is not None and not _SCHOOL.fullmatch(self.school):
            raise RuntimeError("a school code is letters and digits")


@dataclass(frozen=True)
class Answer:
    """Rows of `version_schema` with the place of each, `limit` of them; `total`: all that answer.

    `files`: archive files that were opened.
    """

    rows: Any
    total: int
    files: int


def parse_moment(text: str) -> str:
    """A date (its end in China) or an ISO moment; `UsageError` E3547."""
    given = text.strip()
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError("E3547", "日期写法不对", step="写成 2024-09-01，或 2024-09-01T08:00:00+08:00") from None
    if _DATE.fullmatch(given):
        found += timedelta(days=1) - timedelta(milliseconds=1)
    return moment(found if found.tzinfo else found.replace(tzinfo=CALENDAR))


def school_code(entity: Entity, code: str) -> str:
    """A school code that may be asked about; `UsageError` E3548 when it is none or the entity names no school."""
    if SCHOOL.upper() not in entity.by_name:
        raise UsageError(
            "E3548", f"{entity.cn}的记录不带学校代码，不能按学校查", step="改查学校、班级、教职工、学生等实体"
        )
    given = code.strip().upper()
    if not _SCHOOL.fullmatch(given):
        raise UsageError("E3548", "学校代码应为 10 位数字或大写字母", where="--school", step="按机构代码填写")
    return given


def ask(reader: Reader, folder: Path, question: Question, *, memory: Path | None, memory_mb: int = 512) -> Answer:
    """The versions that answer, newest first (at a moment: by record number). `memory`: as `Verifier` takes it.

    Raises `VerificationError` E3541, E3542, E3543 of archive files and index.
    """
    entity = question.entity
    paths = _paths(reader, folder, memory, entity, question.node, question.at)
    con = duckdb.connect(config={"memory_limit": f"{memory_mb}MB", "threads": 2})
    try:
        for name, golden in (("live", True), ("ended", False)):
            which = _which(question, reader.nodes(reader.golden(entity.name) if golden else reader.ended(entity.name)))
            con.register(name, _table(entity, reader.versions(entity, which, golden=golden)))
        sources = [_select(question, "live", LIVE), _select(question, "ended", WAITING)]
        if paths:
            sources.append(_select(question, "kept", ARCHIVED, _view(con, paths)))
        found = con.sql(f"SELECT * FROM ({' UNION ALL '.join(sources)}) {_once(question)}").to_arrow_table()
    finally:
        con.close()
    return Answer(found.slice(0, question.limit), found.num_rows, len(paths))


def numbers_of(
    reader: Reader, folder: Path, entity: Entity, node: str | None, key: tuple[str, ...], *, memory: Path | None
) -> tuple[str, ...]:
    """Record numbers that ever had a natural key, in any place; the key is private and stands in no statement."""
    found: set[str] = set()
    for table in (reader.golden(entity.name), reader.ended(entity.name)):
        terms = [table.c[k.lower()] == part for k, part in zip(entity.key, key, strict=True)]
        terms += [] if node is None else [table.c.node == node]
        found |= set(reader.connection.execute(sa.select(table.c.pk).where(*terms)).scalars())
    paths = _paths(reader, folder, memory, entity, node, None)
    if paths:
        con = duckdb.connect(config={"memory_limit": "512MB", "threads": 2})
        try:
            _view(con, paths)
            same = " AND ".join(f'CAST("{k}" AS VARCHAR) = ?' for k in entity.key)
            found |= {
                str(r[0]) for r in con.execute(f"SELECT DISTINCT pk FROM kept WHERE {same}", list(key)).fetchall()
            }
        finally:
            con.close()
    return tuple(sorted(found))


def _paths(
    reader: Reader, folder: Path, memory: Path | None, entity: Entity, node: str | None, at: str | None
) -> list[Path]:
    """Files that hold a version of the entity which ended after the moment."""
    entries = [
        e
        for e in standing(read_index(reader.connection))
        if e.entity == entity.name and node in (None, e.node) and (at is None or e.last_to > at)
    ]
    return Verifier(folder, memory).paths(entries)


def _view(con: duckdb.DuckDBPyConnection, paths: Iterable[Path]) -> set[str]:
    """The files as the view `kept`; its columns."""
    listed = ",".join("'" + str(p).replace("'", "''") + "'" for p in paths)
    con.execute(f"CREATE VIEW kept AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")
    return {str(row[0]) for row in con.execute("DESCRIBE kept").fetchall()}


def _which(question: Question, nodes: Iterable[str]) -> str:
    """The question as a condition of a database table that has rows of these nodes."""
    asked = nodes if question.node is None else (question.node,)
    whose = f"t.node IN ({_listed(node_literal(n) for n in asked) or 'NULL'})"
    if question.pks:
        return f"{whose} AND t.pk IN ({_listed(question.pks)})"
    return f"{whose} AND t.{SCHOOL} = '{question.school}'"


def _listed(codes: Iterable[str]) -> str:
    return ",".join(f"'{code}'" for code in codes)


def _select(question: Question, source: str, place: str, have: set[str] | None = None) -> str:
    """The versions of one source under today's columns; what an old file does not know is NULL."""
    shown = [
        f'"{f.name}"' if have is None or f.name in have else f'NULL AS "{f.name}"'
        for f in version_schema(question.entity)
    ]
    terms = [] if question.node is None else [f"node = '{node_literal(question.node)}'"]
    terms.append(f"pk IN ({_listed(question.pks)})" if question.pks else f"{SCHOOL.upper()} = '{question.school}'")
    if question.at is not None:
        terms.append(f"({HELD_FROM} IS NULL OR {HELD_FROM} <= '{question.at}')")
        terms.append(f"({HELD_TO} IS NULL OR {HELD_TO} > '{question.at}')")
    return f"SELECT {','.join(shown)}, '{place}' AS {PLACE} FROM {source} WHERE {' AND '.join(terms)}"


def _once(question: Question) -> str:
    """One version per record at a moment, each version once in a history; in the order shown."""
    newest = f"{HELD_FROM} DESC NULLS LAST, row_ver DESC"
    if question.at is not None:
        same, order = "node, pk", "node, pk"
    else:
        same, order = f"node, pk, row_ver, {HELD_FROM}, {HELD_TO}", f"{HELD_TO} DESC NULLS FIRST, {newest}"
    return f"QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY {newest}, {PLACE}) = 1 ORDER BY {order}"


def _table(entity: Entity, batches: Iterable[Any]) -> Any:
    return pa.Table.from_batches(list(batches), schema=version_schema(entity))
