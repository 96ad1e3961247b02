"""Every statement the store sends to Oracle, collected without a server.

Two sources: the migrations as Alembic writes them for Oracle, and the statements of the store's own methods, sent to a
connection that notes them. What the rooms above say is heard while tests run (`tests.oracle.recording`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.oracle import oracledb as driver
from sqlalchemy.schema import CreateTable

from hub.catalog import Catalog
from hub.store import Transaction
from hub.store.oracle import Oracle
from hub.store.oracle_session import SESSION
from hub.store.oracle_stage import REJECT, stage_ddl, standing
from hub.store.revisions import MIGRATIONS
from hub.store.tables import Tables, build_tables
from tests.store.rows import AT, batch, change, pk


def dialect(version: tuple[int, ...]) -> sa.Dialect:
    """SQLAlchemy's Oracle as it behaves towards a server of this version."""
    old = version < (12,)
    oracle: Any = driver.dialect
    made: sa.Dialect = oracle(max_identifier_length=30 if old else 128, enable_offset_fetch=not old)
    made.server_version_info = version
    return made


def rendered(statement: Any, made: sa.Dialect) -> str:
    """As it is sent: limits and IN lists written out."""
    return str(statement.compile(dialect=made, compile_kwargs={"render_postcompile": True}))


class Noted:
    """A connection on which everything succeeds and nothing happens."""

    def __init__(self, version: tuple[int, ...]) -> None:
        self.said: list[str] = []
        self.dialect = dialect(version)
        self.connection = self
        self.driver_connection = self

    def exec_driver_sql(self, statement: str) -> Any:
        self.said.append(statement)
        return self

    def execute(self, statement: Any, *_parameters: Any) -> Any:
        self.said.append(statement if isinstance(statement, str) else rendered(statement, self.dialect))
        return self

    def executemany(self, statement: str, _rows: Any, **_options: Any) -> None:
        self.said.append(statement)

    def fetch_df_batches(self, statement: str, **_options: Any) -> Iterator[Any]:
        self.said.append(statement)
        return iter(())

    def cursor(self) -> Noted:
        return self

    def __enter__(self) -> Noted:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def getbatcherrors(self) -> list[Any]:
        return []

    def scalar_one(self) -> Any:
        return 1

    def first(self) -> Any:
        return (1,)

    def one(self) -> Any:
        return (0, 0, 0)

    rowcount = 0


def of_migrations(version: tuple[int, ...]) -> list[str]:
    """What an upgrade of an empty schema sends, comments and version rows included."""
    out = io.StringIO()
    options = {"as_sql": True, "output_buffer": out, "oracle_batch_separator": "\n/\n"}
    context = MigrationContext.configure(dialect=dialect(version), opts=options)
    impl: Any = context.impl
    impl.bulk_insert = lambda table, _rows, **_: out.write(f"{sa.insert(table).compile(dialect=context.dialect)}\n/\n")
    with Operations.context(context):
        for revision in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())):
            revision.module.upgrade()
    return [s.strip() for s in out.getvalue().split("\n/\n") if s.strip()]


def of_the_store(catalog: Catalog, version: tuple[int, ...]) -> list[str]:
    """Stages, merges, reads, digests, snapshots, repairs of every entity; ledger rows replaced."""
    tables, noted, oracle = build_tables(catalog), Noted(version), Oracle()
    oracle._charset = "AL32UTF8"
    transaction: Any = Transaction(noted, oracle, tables, "oracle")  # type: ignore[arg-type]
    for entity in catalog.entities.values():
        rows = batch(entity, [change(entity, "I", 1, 1), change(entity, "D", 2, 2)])
        transaction.apply(entity, "13", [rows], batch="b", at=AT)
        list(transaction.read(entity, node="13", order="natural", pks=[pk(1)]))
        transaction.digest(entity, "13")
        transaction.forget(entity, "13", [pk(1)], at=AT)
        transaction.swap(entity, "13", batch="b", at=AT)
    transaction.unstage("13")
    keys = pa.record_batch({"entity": ["xs"], "src_rid": ["S1.1"], "rule": ["YX01"], "field": ["XM"]})
    transaction.ingest("quarantine", [keys], replace=True)
    return [*SESSION, *_standing(tables, noted.dialect), *noted.said]


def _standing(tables: Tables, made: sa.Dialect) -> list[str]:
    drops = [f"DROP TABLE {t.name}" for t in standing(tables)]
    return [*(stage_ddl(t, made) for t in standing(tables)), *drops, str(CreateTable(REJECT).compile(dialect=made))]


def of_script(script: Path | str) -> list[str]:
    """Statements of a SQL*Plus script, each ended by a line that holds `/` alone; comments and settings left out."""
    text = script.read_text(encoding="utf-8") if isinstance(script, Path) else script
    lines = [line for line in text.splitlines() if not line.startswith(("--", "SET ", "WHENEVER "))]
    return [s.strip() for s in "\n".join(lines).split("\n/") if s.strip()]
