"""The store of a node: golden records and the hub's own tables in one database, written in one transaction.

Decides what a transaction is and that nothing of it stays when it fails (house rule 3); what is written is decided by
the callers. Built over `Dialect`, so a further database is one more implementation of that.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from hub.catalog import Catalog, Entity
from hub.errors import NotInitialisedError, UsageError
from hub.store.dialect import Dialect
from hub.store.faults import DRIVER_ERRORS, translated, unknown_commit
from hub.store.history import close_where
from hub.store.history_tables import RESET
from hub.store.lane import BLOCK_ROWS, blocks, fitted
from hub.store.merge import Merge
from hub.store.oracle import Oracle
from hub.store.postgresql import Postgresql
from hub.store.reader import Reader, TableDigest, node_literal, version_schema
from hub.store.revisions import MIGRATIONS, newest, refuse_newer, refuse_other
from hub.store.rows import ApplyCounts, change_blocks
from hub.store.shadow import align_shadows
from hub.store.snapshot import Shadows
from hub.store.sqlite import Sqlite
from hub.store.stage import WANTED, wanted_table
from hub.store.tables import Tables, build_tables

_DIALECTS: dict[str, type[Dialect]] = {
    "sqlite": Sqlite,
    "sqlite+pysqlite": Sqlite,
    "postgresql+psycopg": Postgresql,
    "oracle+oracledb": Oracle,
}


def open_store(url: str, catalog: Catalog, *, busy_seconds: int = 30) -> Store:
    """The store at a SQLAlchemy URL: `sqlite:///path`, `postgresql+psycopg://…`, `oracle+oracledb://…`.

    Connects only when used. `busy_seconds`: how long a transaction waits for another's locks before `LockedError`.
    Raises `UsageError` E3114.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    kind = _DIALECTS.get(parsed.drivername) if parsed else None
    if parsed is None or kind is None or (parsed.drivername.startswith("sqlite") and not parsed.database):
        raise UsageError(
            "E3114",
            "不支持这种数据库地址",
            step="用 sqlite:///文件路径、postgresql+psycopg://用户@主机/库名 或 oracle+oracledb://用户@主机/?service_name=服务名",
        )
    return Store(parsed, kind(), build_tables(catalog), busy_seconds)


class Transaction(Shadows):
    """One database transaction; `connection` takes single rows, `apply` and `ingest` take many."""

    def apply(
        self,
        entity: Entity,
        node: str,
        source: Iterable[Path] | Iterable[Any],
        *,
        batch: str,
        at: datetime,
        keys_under: int | None = None,
    ) -> ApplyCounts:
        """Merges change rows (`hub.changes.change_schema`) from Parquet files or record batches; see `hub.store.merge`.

        `batch`: what the tombstones name as the cause of a deletion; `at`: since when the rows are held, and until when
        those they replace were (`hub.store.history`); `keys_under`: the change set number under which
        records that take another natural key are noted in `key_change`. `InputError` for malformed change rows.
        """
        with translated(self._where):
            own = node_literal(node)
            merge = Merge(self._dialect, self.connection, self._tables, entity, own, batch, at, keys_under)
            return merge.run(change_blocks(entity, source))

    def ingest(self, table: str, batches: Iterable[Any], *, replace: bool = False) -> int:
        """Bulk insert into one of the hub's tables; returns the rows given. Columns by name, absent ones become NULL.

        `replace`: rows whose key is stored already take its place (keys must be distinct among the new rows).
        Without it, a stored key is an error. Binary columns go through `connection`.
        """
        target, rows = self._tables[table], 0
        key = [c.name for c in target.primary_key.columns]
        with translated(self._where):
            for block in blocks(batches, BLOCK_ROWS):
                schema = _arrow_schema(target, block.schema.names)
                fit = fitted(block, schema)
                if replace:
                    self._dialect.remove(self.connection, target, fit.select(key))
                self._dialect.insert(self.connection, target, fit)
                rows += fit.num_rows
        return rows

    def put_back(self, entity: Entity, batches: Iterable[Any]) -> None:
        """Versions (`hub.store.reader.version_schema`) that the archive gives back."""
        table = self._tables.history[entity.name]
        schema = pa.schema([(f.name.lower(), f.type) for f in version_schema(entity)])
        with translated(self._where):
            for block in batches:
                rows = pa.record_batch(block.columns, schema=schema)
                self._dialect.insert(self.connection, table, rows)

    def forget(self, entity: Entity, node: str, pks: Iterable[str], *, at: datetime) -> int:
        """Removes rows and tombstones of these record numbers, which stay in the history; returns the rows removed.

        For a census' repair, where the sender's word replaces ours whatever the versions (protocol 9.3).
        """
        with translated(self._where):
            self._want(pks)
            mine = f"node = '{node_literal(node)}' AND pk IN (SELECT pk FROM {WANTED})"
            golden, history = self._tables.golden[entity.name], self._tables.history[entity.name]
            self.connection.exec_driver_sql(close_where(golden, history, mine, RESET, at))
            gone = self.connection.exec_driver_sql(f"DELETE FROM {golden.name} WHERE {mine}")
            self.connection.exec_driver_sql(f"DELETE FROM tombstone WHERE entity = '{entity.name}' AND {mine}")
            self._dialect.discard(self.connection, wanted_table())
        return int(gone.rowcount)

    def scratch(self, table: sa.Table, batches: Iterable[Any] = ()) -> None:
        """A temporary table stands with the rows of record batches (columns by name), this transaction's alone."""
        with translated(self._where):
            self._dialect.scratch(self.connection, table)
            for block in blocks(batches, BLOCK_ROWS):
                fit = fitted(block, _arrow_schema(table, block.schema.names))
                self._dialect.insert(self.connection, table, fit)

    def discard(self, table: sa.Table) -> None:
        """A temporary table is no longer needed."""
        with translated(self._where):
            self._dialect.discard(self.connection, table)

    def analyse(self, table: str) -> None:
        """Statistics of a table just filled, for a planner that needs them."""
        with translated(self._where):
            self._dialect.analyse(self.connection, table)


class Store:
    """A node's database. Safe to share between threads; each transaction takes its own connection."""

    def __init__(self, url: sa.URL, dialect: Dialect, tables: Tables, busy_seconds: int) -> None:
        self.tables = tables
        place = url.database or str(url.query.get("service_name", ""))
        self.where = f"{url.get_backend_name()}：{Path(place).name}"
        self.file = url.database if url.get_backend_name() == "sqlite" else None
        self._url = url
        self.host, self.port, self.user = url.host, url.port, url.username
        self._dialect = dialect
        self._engine = dialect.engine(url, busy_seconds)
        # Whether several transactions may write at once.
        self.concurrent = self.file is None
        self._known = False  # that the tables are those of this program

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """One write transaction: committed when the block ends, rolled back whole when it raises.

        Raises `LockedError` (another writer), `PeerUnreachableError` (no database; E3112: outcome of COMMIT unknown),
        and the errors of `hub.store.revisions` for tables that are not this program's.
        """
        with translated(self.where), self._engine.connect().execution_options(hub_write=True) as connection:
            transaction = connection.begin()
            try:
                self._refuse_other(connection)
                yield Transaction(connection, self._dialect, self.tables, self.where)
            except BaseException:
                with suppress(*DRIVER_ERRORS):
                    transaction.rollback()
                raise
            try:
                transaction.commit()
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise unknown_commit(self.where) from None
                raise

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reader with one unchanging view of the database, whatever is committed meanwhile."""
        with translated(self.where), self._engine.connect() as connection:
            if self._dialect.reading_level:
                connection = connection.execution_options(isolation_level=self._dialect.reading_level)
            with connection.begin() as transaction:
                self._refuse_other(connection)
                yield Reader(connection, self._dialect, self.tables, self.where)
                transaction.rollback()

    def _refuse_other(self, connection: sa.Connection) -> None:
        if not self._known:
            refuse_other(connection, self.where)
            self._known = True

    @contextmanager
    def looking(self) -> Iterator[sa.Connection]:
        """A bare connection for questions about the database itself; whatever is done over it is undone."""
        with translated(self.where), self._engine.connect() as connection:
            yield connection
            connection.rollback()

    def read(
        self,
        entity: Entity,
        *,
        node: str | None = None,
        columns: Sequence[str] | None = None,
        order: Literal["pk", "natural"] = "pk",
        pks: Iterable[str] | None = None,
        block_rows: int = BLOCK_ROWS,
    ) -> Iterator[Any]:
        """As `Reader.read`, over a connection of its own."""
        with self.reading() as reader:
            yield from reader.read(entity, node=node, columns=columns, order=order, pks=pks, block_rows=block_rows)

    def read_one(self, entity: Entity, node: str, pk: str) -> dict[str, Any] | None:
        """As `Reader.read_one`."""
        with self.reading() as reader:
            return reader.read_one(entity, node, pk)

    def count(self, entity: Entity, node: str | None = None) -> int:
        """As `Reader.count`."""
        with self.reading() as reader:
            return reader.count(entity, node)

    def digest(self, entity: Entity, node: str) -> TableDigest:
        """As `Reader.digest`."""
        with self.reading() as reader:
            return reader.digest(entity, node)

    def upgrade(self) -> None:
        """Brings the database to the newest revision, in one transaction; does nothing if it is there already."""
        with translated(self.where):
            self._dialect.prepare(self._url)
            with self._engine.connect().execution_options(hub_write=True) as connection, connection.begin():
                self._dialect.check(connection)
                self._dialect.serialise(connection)
                have = MigrationContext.configure(connection).get_current_revision()
                refuse_newer(have, self.where)
                if have != newest():
                    self._dialect.before_upgrade(connection, self.tables)
                command.upgrade(_alembic(connection), "head")
                align_shadows(connection, self.tables)
                self._dialect.after_upgrade(connection, self.tables)

    def upgrade_sql(self, since: str | None) -> str:
        """The statements that `upgrade` would send to a database at revision `since` (None: an empty one).

        Written for an administrator who runs them himself, in one transaction where the database has such.
        Raises `UsageError` E3119 for a revision that is none.
        """
        script = ScriptDirectory(str(MIGRATIONS))
        known = [revision.revision for revision in script.walk_revisions()]
        if since is not None and since not in known:
            raise UsageError(
                "E3119", "没有这个结构版本", where="--from", step=f"从中选一个：base、{'、'.join(known[::-1])}"
            )
        out = io.StringIO()
        options: dict[str, Any] = {"as_sql": True, "starting_rev": since, "destination_rev": "head"}

        def steps(revision: Any, _context: Any) -> Any:
            return script._upgrade_revs("head", revision)

        with EnvironmentContext(Config(), script, fn=steps, **options) as environment:
            environment.configure(dialect_name=self._engine.dialect.name, output_buffer=out, transactional_ddl=True)
            environment.run_migrations()
        sql = out.getvalue()
        return sql if since == newest() else self._dialect.script(sql, self.tables, fresh=since is None)

    def make_parts(self, node: str) -> None:
        """A node's part of every golden table, where there are parts; called when a province joins.

        In a transaction of its own, because a part that is made keeps other new provinces waiting until it commits.
        """
        with translated(self.where), self._engine.connect() as connection, connection.begin():
            for table in self.tables.golden.values():
                self._dialect.make_part(connection, table, node_literal(node))

    def revision(self) -> tuple[str | None, str]:
        """(revision of the database or None before the first upgrade, newest revision known)."""
        head = newest()
        try:
            with self.looking() as connection:
                return MigrationContext.configure(connection).get_current_revision(), head
        except NotInitialisedError:
            return None, head

    def close(self) -> None:
        """Releases pooled connections."""
        self._engine.dispose()


def _alembic(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _arrow_schema(table: sa.Table, names: Sequence[str]) -> Any:
    unknown = [n for n in names if n not in table.c]
    if unknown:
        raise RuntimeError(f"table {table.name} has no columns {unknown}")
    fields = []
    for name in names:
        if isinstance(table.c[name].type, sa.LargeBinary):
            raise RuntimeError(f"binary column {name} does not go through ingest")
        fields.append((name, pa.int64() if isinstance(table.c[name].type, sa.Integer) else pa.string()))
    return pa.schema(fields)
