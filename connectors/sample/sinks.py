"""Where generated tables go, under the names the layout gives them: a SQLite file, or a PostgreSQL database over COPY.

What stood there before is replaced only when everything is written: a file by renaming, tables in one transaction.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from connectors.sample.table import Table
from hub.catalog import SourceColumn, SourceSystem
from hub.errors import PeerUnreachableError, UsageError


class Sink(Protocol):
    """Takes the tables of one system, block by block."""

    def write(self, table: Table) -> int: ...

    def close(self) -> None:
        """Puts the written tables in place."""

    def discard(self) -> None:
        """Leaves what stood there before."""


def open_sink(system: SourceSystem, out: Path, url: str | None) -> Sink:
    """SQLite `s1.db` beside the others, or the database of a URL."""
    if url is None:
        return SqliteSink(system, out / f"{system.system.lower()}.db")
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteSink(system, Path(str(parsed.database)))
    return PostgresSink(system, parsed.set(drivername="postgresql+psycopg"))


def check_url(system: str, url: str) -> None:
    """Raises `UsageError` E1603 when the URL is malformed or names another kind of database."""
    with contextlib.suppress(ArgumentError):
        parsed = sa.engine.make_url(url)
        if parsed.get_backend_name() == "postgresql" or (parsed.get_backend_name() == "sqlite" and parsed.database):
            return
    raise UsageError(
        "E1603",
        "样例数据源只能写入 SQLite 或 PostgreSQL",
        where=f"--url-{system.lower()}",
        step="改用其中一种数据库的地址",
    )


class SqliteSink:
    """All columns TEXT, no keys, no indexes: duplicates are planted."""

    def __init__(self, system: SourceSystem, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._part.unlink(missing_ok=True)
        self._base = sqlite3.connect(self._part, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")
        for table in (t.native for t in system.tables):
            columns = ", ".join(f'"{c}" TEXT' for c in table.column_names)
            self._base.execute(f'CREATE TABLE "{table.table}" ({columns})')
        self._base.execute("BEGIN")

    def write(self, table: Table) -> int:
        columns = [c.tolist() for c in table.arrays()]
        marks = ", ".join("?" * len(columns))
        self._base.executemany(
            f'INSERT INTO "{table.source.native.table}" VALUES ({marks})', zip(*columns, strict=True)
        )
        return len(columns[0])

    def close(self) -> None:
        self._base.execute("COMMIT")
        self._base.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        self._base.close()
        self._part.unlink(missing_ok=True)


class PostgresSink:
    """One transaction per system; text, numeric and timestamp columns, no keys."""

    def __init__(self, system: SourceSystem, url: sa.URL) -> None:
        meta = sa.MetaData()
        for table in (t.native for t in system.tables):
            sa.Table(table.table, meta, *(sa.Column(c.name, _type(c)) for c in table.columns))
        try:
            self._engine = sa.create_engine(url, poolclass=sa.NullPool)
            self._base = self._engine.connect()
        except SQLAlchemyError as error:
            raise PeerUnreachableError(
                "E1604", "连不上样例数据源的数据库", where=system.system, step="检查地址与数据库是否启动后重试"
            ) from error
        meta.drop_all(self._base)
        meta.create_all(self._base)

    def write(self, table: Table) -> int:
        arrays = [pa.array(c, type=pa.string()) for c in table.arrays()]
        batch = pa.table(arrays, names=list(table.source.column_names))
        text = io.BytesIO()
        pa.csv.write_csv(batch, text, pa.csv.WriteOptions(include_header=False, quoting_style="needed"))
        driver: Any = self._base.connection.driver_connection
        with driver.cursor().copy(f'COPY "{table.source.native.table}" FROM STDIN (FORMAT csv)') as copy:
            copy.write(text.getbuffer())
        return int(batch.num_rows)

    def close(self) -> None:
        self._base.commit()
        self.discard()

    def discard(self) -> None:
        self._base.close()
        self._engine.dispose()


def _type(column: SourceColumn) -> sa.types.TypeEngine[Any]:
    if column.type == "TS":
        return sa.TIMESTAMP()
    return sa.Numeric(column.length, column.scale) if column.type == "N" else sa.Text()
