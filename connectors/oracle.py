r"""Oracle as a source: one read-only transaction, text made by the server, blocks fetched as Arrow.

One open source is one connection in `SET TRANSACTION READ ONLY`: every statement sees the database as of the first one,
so the tables of one extract agree with each other. That needs no privilege (flashback by SCN would need FLASHBACK on
every table) and holds as long as the server keeps undo; beyond that it refuses (ORA-01555) and is tried again.

The character set is asked first: where Chinese cannot be kept as characters, nothing is read (E2110).

Tables are described by asking them for no row, not through the dictionary: what the account may read counts, whether it
is a table, a view or a synonym. `…&schema=OWNER` names whose tables are meant. Thin and thick as in
`hub.store.oracle_session`. Not run against a real Oracle server by us: only over the stand-in of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import oracledb
import pyarrow as pa
import sqlalchemy as sa

from connectors.base import BLOCK_ROWS, Probe, block_schema, check_since, columns_missing, table_missing
from connectors.database import DatabaseSource, key_chunks, shown
from connectors.oracle_columns import OracleColumn, described, is_name, quoted, spellings
from hub.catalog import SourceTable
from hub.errors import HubError, InputError, PeerUnreachableError, UsageError
from hub.store.oracle_session import character_set, oracle_engine

SCHEMA: Final = "schema"
# What Chinese is kept in without loss. Old schools' systems keep GBK bytes in a database that was made for US7ASCII or
# WE8ISO8859P1: the server then hands out other characters, or question marks, without an error.
CHARACTER_SETS: Final = ("AL32UTF8", "UTF8", "ZHS16GBK", "ZHS32GB18030", "ZHS16CGB231280")
_NO_TABLE, _TOO_OLD = "ORA-00942", ("ORA-01555", "ORA-01466", "ORA-08103")


@dataclass(frozen=True)
class _Found:
    """A table as it stands: the name to ask it by, its columns by layout name, columns outside the layout."""

    name: str
    columns: dict[str, OracleColumn]
    extra: tuple[str, ...]


class OracleSource(DatabaseSource):
    """An Oracle database, read in one read-only transaction."""

    driver_errors = (oracledb.Error,)

    def __init__(self, url: sa.URL) -> None:
        self.url, self.name = url, shown(url)
        query = dict(url.query)
        self._schema = str(query.pop(SCHEMA, ""))
        if self._schema and not is_name(self._schema):
            raise UsageError(
                "E2105", "数据源 URL 不正确", where=f"参数 {SCHEMA}", step="写表所属用户的名称，如 schema=ZZXJ"
            )
        self.engine = oracle_engine(url.set(query=query), poolclass=sa.NullPool)
        self._holder: sa.Connection | None = None

    def close(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        super().close()

    def probe(self, table: SourceTable) -> Probe:
        with self._asking(table):
            found = self._described(table)
            if found is None:
                return Probe(present=False)
            missing = tuple(n for n in table.column_names if n not in found.columns)
            return Probe(True, missing, found.extra, self._counted(found))

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self._asking(table):
            found, where = self._whole(table), ""
            if since is not None and table.updated is not None:
                updated = found.columns[table.updated]
                # A row without an update time can never pass a watermark, so it is read every time.
                where = f" WHERE {updated.quoted} >= {updated.mark(check_since(since))} OR {updated.quoted} IS NULL"
            yield from self._fetched(table, found, table.column_names, where, (), block_rows)

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        with self._asking(table):
            yield from self._fetched(table, self._whole(table), table.key, "", (), block_rows)

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        with self._asking(table):
            found = self._whole(table)
            for present, chunk in key_chunks(table, keys):
                where, binds = _having([found.columns[k] for k in table.key], present, chunk)
                yield from self._fetched(table, found, table.column_names, where, binds, block_rows)

    def count(self, table: SourceTable) -> int:
        with self._asking(table):
            return self._counted(self._whole(table))

    def high_mark(self, table: SourceTable) -> str | None:
        if table.updated is None:
            return None
        with self._asking(table):
            found = self._whole(table)
            column = found.columns[table.updated]
            greatest = f"(SELECT MAX({column.quoted}) AS {column.quoted} FROM {found.name}) m"
            row = self._one(f"SELECT {column.text('timestamp')} FROM {greatest}")
            return None if row is None else str(row)

    # --- the one connection -----------------------------------------------------------------------------------------

    def _connect(self) -> AbstractContextManager[sa.Connection]:
        if self._holder is None:  # never made anew: a second one would see another moment
            holder = self.engine.connect()
            if self._schema:
                holder.exec_driver_sql(f"ALTER SESSION SET CURRENT_SCHEMA = {quoted(self._schema.upper())}")
            holder.exec_driver_sql("SET TRANSACTION READ ONLY")
            self._holder = holder
            self._refuse_unreadable(character_set(holder))
        return nullcontext(self._holder)

    def _refuse_unreadable(self, name: str) -> None:
        if name not in CHARACTER_SETS:
            self.close()
            raise InputError(
                "E2110",
                f"源库字符集是 {name}，读出的汉字会是乱码",
                where=f"数据源 {self.name}",
                step=f"请源库管理员以视图、数据泵或文件把数据放到字符集为 {CHARACTER_SETS[0]} 或 ZHS16GBK 的库再读",
            )

    @property
    def _raw(self) -> Any:
        if self._holder is None:
            raise RuntimeError("asked outside a question")
        return self._holder.connection.driver_connection

    def _one(self, sql: str) -> Any:
        with self._raw.cursor() as cursor:
            return cursor.execute(sql).fetchone()[0]

    def _counted(self, found: _Found) -> int:
        return int(self._one(f"SELECT COUNT(*) FROM {found.name}"))

    def _described(self, table: SourceTable) -> _Found | None:
        for name in spellings(table.table):
            with self._raw.cursor() as cursor:
                try:
                    cursor.execute(f"SELECT * FROM {name} WHERE 1 = 0")
                except oracledb.DatabaseError as error:
                    if _NO_TABLE in str(error):
                        continue
                    raise
                have = [described(info) for info in cursor.description]
            layout = {n.casefold(): n for n in table.column_names}
            columns = {layout[c.name.casefold()]: c for c in have if c.name.casefold() in layout}
            return _Found(name, columns, tuple(c.name for c in have if c.name.casefold() not in layout))
        return None

    def _whole(self, table: SourceTable) -> _Found:
        found = self._described(table)
        if found is None:
            raise table_missing(self.name, table)
        if missing := tuple(n for n in table.column_names if n not in found.columns):
            raise columns_missing(self.name, table, missing)
        return found

    def _fetched(
        self, table: SourceTable, found: _Found, names: Sequence[str], where: str, binds: Sequence[object], rows: int
    ) -> Iterator[pa.RecordBatch]:
        forms = {c.name: c.form for c in table.columns}
        texts = ", ".join(f"{found.columns[n].text(forms[n])} AS c{at}" for at, n in enumerate(names))
        schema = block_schema(tuple(names))
        sql = f"SELECT {texts} FROM {found.name}{where}"
        for frame in self._raw.fetch_df_batches(sql, list(binds), size=rows):
            block = pa.table(frame).combine_chunks()
            if block.num_rows:
                columns = [c.chunk(0).cast(pa.string()) for c in block.columns]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _refusal(self, table: SourceTable, cause: BaseException) -> HubError:
        if any(code in str(cause) for code in _TOO_OLD):
            return PeerUnreachableError(
                "E2103",
                "读取时间超过了数据库保留旧数据的时间",
                where=f"数据源 {self.name}，表 {table.name}",
                step="系统会自动重试；屡次出现时请数据库管理员加大 UNDO_RETENTION，或改在夜间读取",
            )
        return super()._refusal(table, cause)


def _having(
    key: Sequence[OracleColumn], present: tuple[bool, ...], chunk: list[tuple[str, ...]]
) -> tuple[str, list[object]]:
    """WHERE clause and binds of a chunk of keys (≤ 1,000, Oracle's longest IN list)."""
    tests = [f"{c.quoted} IS NULL" for c, p in zip(key, present, strict=True) if not p]
    asked = [c for c, p in zip(key, present, strict=True) if p]
    binds = [c.key(v) for row in chunk for v, c in zip(row, asked, strict=True)]
    if asked:
        marks = [f":{n}" for n in range(1, len(binds) + 1)]
        if len(asked) == 1:
            tests.append(f"{asked[0].quoted} IN ({', '.join(marks)})")
        else:
            width = len(asked)
            rows = ", ".join(f"({', '.join(marks[n : n + width])})" for n in range(0, len(marks), width))
            tests.append(f"({', '.join(c.quoted for c in asked)}) IN ({rows})")
    return f" WHERE {' AND '.join(tests)}", binds
