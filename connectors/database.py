"""Any database by SQLAlchemy URL as a source; PostgreSQL, SQLite and Oracle have children of `DatabaseSource`.

Decides how a layout table is found in a database, which statements are sent, and which failures are worth trying
again. Every statement is a SELECT composed by SQLAlchemy; keys and watermarks are bound parameters. Oracle gives ''
as NULL, which is what the layouts mean by it too, and shows its names in upper case, so names are matched without case.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc

from connectors.base import (
    BLOCK_ROWS,
    Probe,
    block_schema,
    check_since,
    columns_missing,
    table_missing,
    text_of,
    undecodable,
)
from hub.catalog import SourceColumn, SourceTable
from hub.errors import HubError, InputError, PeerUnreachableError, UsageError

KEYS_PER_QUERY = 1000  # Oracle takes no longer IN list
_LOGIN = (
    *("authentication failed", "no password supplied", "Access denied", "28P01", 'role "', "认证失败"),
    *("ORA-01017", "ORA-28000", "ORA-28001", "ORA-01045"),
)
_NO_DATABASE = ("does not exist", "Unknown database")
# An error's number, the one thing of a driver's text that is passed on.
_NUMBER = re.compile(r"\b(?:ORA-\d{5}|DP[YI]-\d{4})\b")
_AWAY = ("ORA-03113", "ORA-03114", "ORA-03135", "ORA-12", "DPY-4011", "DPY-6", "DPY-1001")


@dataclass(frozen=True)
class Found:
    """A layout table as it stands in a database: `columns` by layout name, `extra` the columns outside the layout."""

    relation: sa.TableClause
    columns: dict[str, sa.ColumnClause[Any]]
    extra: tuple[str, ...]


class DatabaseSource:
    """A source system in a database. Not thread-safe; iterators may be interleaved."""

    driver_errors: tuple[type[Exception], ...] = ()  # what a fast path may raise past SQLAlchemy

    def __init__(self, url: sa.URL, **options: Any) -> None:
        self.url = url
        self.name = shown(url)
        if url.get_backend_name() == "oracle":
            options.setdefault("arraysize", 2000)
        try:
            self.engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, **options)
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as cause:
            raise UsageError(
                "E2105",
                f"没有可用的数据库驱动：{url.drivername}",
                where=f"数据源 {self.name}",
                step="核对 URL 中的“方言+驱动”，并安装该驱动",
            ) from cause

    def close(self) -> None:
        self.engine.dispose()

    def probe(self, table: SourceTable) -> Probe:
        with self._asking(table) as conn:
            found = self._find(conn, table)
            if found is None:
                return Probe(present=False)
            missing = _missing(table, found)
            rows = int(conn.execute(sa.select(sa.func.count()).select_from(found.relation)).scalar_one())
            return Probe(True, missing, found.extra, rows)

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self._asking(table) as conn:
            found = self._needed(conn, table)
            yield from self._blocks(conn, self._select(table, found, table.columns, since), table.columns, block_rows)

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        columns = tuple(c for k in table.key for c in table.columns if c.name == k)
        with self._asking(table) as conn:
            found = self._needed(conn, table)
            yield from self._blocks(conn, self._select(table, found, columns, None), columns, block_rows)

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self._asking(table) as conn:
            found = self._needed(conn, table)
            base = self._select(table, found, table.columns, None)
            for present, chunk in key_chunks(table, keys):
                condition = self._having(found, table.key, present, chunk)
                yield from self._rows(conn, base.where(condition), table.columns, block_rows)

    def count(self, table: SourceTable) -> int:
        with self._asking(table) as conn:
            found = self._needed(conn, table)
            return int(conn.execute(sa.select(sa.func.count()).select_from(found.relation)).scalar_one())

    def high_mark(self, table: SourceTable) -> str | None:
        if table.updated is None:
            return None
        with self._asking(table) as conn:
            column = self._compared(self._needed(conn, table).columns[table.updated])
            return text_of(conn.execute(sa.select(sa.func.max(column))).scalar(), "timestamp")

    # --- what a dialect may do better -------------------------------------------------------------------------------

    def _connect(self) -> AbstractContextManager[sa.Connection]:
        return self.engine.connect()

    def _type(self, declared: Any) -> Any:
        """The type a column is bound and compared with."""
        return declared

    def _text(self, column: sa.ColumnClause[Any], layout: SourceColumn) -> sa.ColumnElement[Any]:
        """The column as it is asked for; children render text in the database."""
        del layout
        return column

    def _compared(self, column: sa.ColumnClause[Any]) -> sa.ColumnElement[Any]:
        """The column as it is compared with keys and watermarks."""
        return column

    def _blocks(
        self, conn: sa.Connection, query: sa.Select[Any], columns: Sequence[SourceColumn], block_rows: int
    ) -> Iterator[pa.RecordBatch]:
        return self._rows(conn, query, columns, block_rows)

    # --- shared -----------------------------------------------------------------------------------------------------

    def _rows(
        self, conn: sa.Connection, query: sa.Select[Any], columns: Sequence[SourceColumn], block_rows: int
    ) -> Iterator[pa.RecordBatch]:
        schema = block_schema(tuple(c.name for c in columns))
        with conn.execution_options(stream_results=True, max_row_buffer=block_rows).execute(query) as result:
            for rows in result.partitions(block_rows):
                arrays = [_array(values, c.form) for values, c in zip(zip(*rows, strict=True), columns, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _find(self, conn: sa.Connection, table: SourceTable) -> Found | None:
        look = sa.inspect(conn)
        actual = _pick(table.table, _names(look))
        if actual is None:
            return None
        have = {c["name"]: c["type"] for c in look.get_columns(actual)}
        columns: dict[str, sa.ColumnClause[Any]] = {}
        for name in table.column_names:
            if (real := _pick(name, list(have))) is not None:
                columns[name] = sa.column(real, self._type(have[real]))
        layout = {n.casefold() for n in table.column_names}
        extra = tuple(n for n in have if n.casefold() not in layout)
        return Found(sa.table(actual, *columns.values()), columns, extra)

    def _needed(self, conn: sa.Connection, table: SourceTable) -> Found:
        found = self._find(conn, table)
        if found is None:
            raise table_missing(self.name, table)
        if missing := _missing(table, found):
            raise columns_missing(self.name, table, missing)
        return found

    def _select(
        self, table: SourceTable, found: Found, columns: Sequence[SourceColumn], since: str | None
    ) -> sa.Select[Any]:
        texts = [self._text(found.columns[c.name], c).label(found.columns[c.name].name) for c in columns]
        query = sa.select(*texts).select_from(found.relation)
        if since is None or table.updated is None:
            return query
        updated = self._compared(found.columns[table.updated])
        mark = sa.literal(bind_value(check_since(since), updated.type), updated.type)
        # A row without an update time can never pass a watermark, so it is read every time.
        return query.where(sa.or_(updated >= mark, updated.is_(None)))

    def _having(
        self, found: Found, key: tuple[str, ...], present: tuple[bool, ...], chunk: list[tuple[str, ...]]
    ) -> sa.ColumnElement[bool]:
        own = [self._compared(found.columns[k]) for k in key]
        tests: list[sa.ColumnElement[bool]] = [c.is_(None) for c, p in zip(own, present, strict=True) if not p]
        asked = [c for c, p in zip(own, present, strict=True) if p]
        if asked:
            rows = [tuple(bind_value(v, c.type) for v, c in zip(row, asked, strict=True)) for row in chunk]
            tests.append(
                asked[0].in_([r[0] for r in rows]) if len(asked) == 1 else sa.tuple_(*asked).in_(rows),
            )
        return sa.and_(*tests)

    @contextmanager
    def _asking(self, table: SourceTable) -> Iterator[sa.Connection]:
        """A connection whose failures speak the hub's language; driver texts may hold values and are left out."""
        try:
            with self._connect() as conn:
                yield conn
        except (UnicodeDecodeError, pa.ArrowInvalid):
            raise undecodable(self.name, table) from None
        except exc.SQLAlchemyError as cause:
            raise self._refusal(table, getattr(cause, "orig", None) or cause) from None
        except self.driver_errors as cause:
            raise self._refusal(table, cause) from None

    def _refusal(self, table: SourceTable, cause: BaseException) -> HubError:
        """What a driver's failure means; drivers share the class names of PEP 249."""
        where, text = f"数据源 {self.name}，表 {table.name}", str(cause)
        if any(m in text for m in _LOGIN):
            return InputError("E2104", "数据库拒绝了账号或口令", where=where, step="核对数据源 URL 中的账号和口令")
        kinds = {k.__name__ for k in type(cause).__mro__}
        if "OperationalError" in kinds and any(m in text for m in _NO_DATABASE):
            return InputError("E2102", "数据库不存在", where=where, step="核对数据源 URL 中的库名")
        if kinds & {"OperationalError", "InterfaceError"} or any(m in text for m in _AWAY):
            number = f"，{found.group()}" if (found := _NUMBER.search(text)) else ""
            step = "检查网络、服务名和数据库状态；系统会自动重试"
            return PeerUnreachableError("E2103", "数据库没有应答", where=f"{where}{number}", step=step)
        return InputError(
            "E2109",
            f"数据库拒绝了查询（{_number(cause)}）",
            where=where,
            step="核对账号的查询权限和表、列的类型",
        )


def _number(cause: BaseException) -> str:
    """What an administrator looks up: Oracle's number, SQLSTATE, or the driver's name for the error."""
    found = _NUMBER.search(str(cause))
    return found.group() if found else str(getattr(cause, "sqlstate", None) or type(cause).__name__)


def shown(url: sa.URL) -> str:
    """A URL that may be printed: no password and no options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def bind_value(text: str, declared: Any) -> object:
    """Key or watermark text as the Python value a column of this type is compared with."""
    kinds: list[tuple[Any, Callable[[str], object]]] = [
        (sa.Integer, int),
        (sa.Numeric, Decimal),
        (sa.DateTime, dt.datetime.fromisoformat),
        (sa.Date, lambda t: dt.datetime.fromisoformat(t).date()),
        (sa.Boolean, lambda t: t == "1"),
    ]
    return next((parse(text) for kind, parse in kinds if isinstance(declared, kind)), text)


def key_chunks(table: SourceTable, keys: pa.Table) -> Iterator[tuple[tuple[bool, ...], list[tuple[str, ...]]]]:
    """Keys in chunks of at most `KEYS_PER_QUERY`, each with one pattern of which key columns are present (not NULL)."""
    groups: dict[tuple[bool, ...], dict[tuple[str, ...], None]] = {}
    for batch in keys.select(list(table.key)).to_batches(max_chunksize=KEYS_PER_QUERY):
        for row in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            present = tuple(v is not None for v in row)
            group = groups.setdefault(present, {})
            group[tuple(v for v in row if v is not None)] = None
            if len(group) == KEYS_PER_QUERY:
                yield present, list(groups.pop(present))
    for present, group in groups.items():
        yield present, list(group)


def _array(values: Sequence[object], form: str) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([text_of(v, form) for v in values], pa.string())


def _names(look: sa.Inspector) -> list[str]:
    """Tables and views; sites often open views to us and nothing else."""
    names = [*look.get_table_names(), *look.get_view_names()]
    with suppress(NotImplementedError):  # most dialects know no such thing
        names += look.get_materialized_view_names()
    return names


def _pick(name: str, among: list[str]) -> str | None:
    if name in among:
        return name
    return next((n for n in among if n.casefold() == name.casefold()), None)


def _missing(table: SourceTable, found: Found) -> tuple[str, ...]:
    return tuple(n for n in table.column_names if n not in found.columns)
