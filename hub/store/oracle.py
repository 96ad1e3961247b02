"""Oracle 11.2 and newer: array binds of Arrow rows, standing stages, MERGE, refused rows listed.

Not run against a real Oracle server by us: only over the stand-in of the tests (README). Rows go in by
`executemany` with `batcherrors`, which takes Arrow columns without Python objects, and come out as Arrow. Direct path
load would be faster and is left out: it commits, and a batch is one transaction. Statistics are left to the site's own
job (DBMS_STATS commits too); stages have none, so the optimizer samples them.

There are no savepoints here: rows of a block that went in before a key was met are taken out again by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import sqlalchemy as sa
from sqlalchemy import event

from hub.errors import HubError
from hub.store.history_tables import HELD_FROM, moment
from hub.store.oracle_charset import GBK, guard, refusal, unholdable
from hub.store.oracle_ddl import compare
from hub.store.oracle_faults import UNIQUE, named
from hub.store.oracle_session import character_set, oracle_engine, refuse_unknown
from hub.store.oracle_stage import REJECT, drop_stages, make_standing, script, stage_name
from hub.store.stage import rows_table
from hub.store.staged import Staged
from hub.store.tables import Tables, plain_columns

# Rows of one array bind: 5,000 × 30 columns are a few MB on either side.
_BIND_ROWS = 5_000
_INTEGRITY = (UNIQUE, 1400, 1407, 2290, 2291)
_QUOTED = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")


class Oracle:
    """`Dialect` for Oracle."""

    # Readers write into a stage, which READ ONLY would refuse.
    staged_by_key = False
    reading_level: str | None = "SERIALIZABLE"

    def __init__(self) -> None:
        self._charset: str | None = None

    def engine(self, url: sa.URL, busy_seconds: int) -> sa.Engine:
        engine = oracle_engine(url, pool_pre_ping=True)
        engine.dialect.statement_compiler = _waiting(engine.dialect.statement_compiler, busy_seconds)
        event.listen(engine, "before_cursor_execute", guard(self._character_set))
        return engine

    def prepare(self, url: sa.URL) -> None:
        """User and tablespace are made by the administrator (deploy/oracle)."""

    def _character_set(self, connection: sa.Connection) -> str:
        if self._charset is None:
            self._charset = character_set(connection)
        return self._charset

    def check(self, connection: sa.Connection) -> None:
        self._charset = character_set(connection)
        refuse_unknown(self._charset)

    def serialise(self, connection: sa.Connection) -> None:
        """No lock survives DDL here; a second migration at the same time fails on the first one's version row."""

    def script(self, sql: str, tables: Tables, *, fresh: bool) -> str:
        return script(sql, tables, fresh=fresh)

    def before_upgrade(self, connection: sa.Connection, tables: Tables) -> None:
        drop_stages(connection, tables)

    def after_upgrade(self, connection: sa.Connection, tables: Tables) -> None:
        compare(connection, tables)
        make_standing(connection, tables)

    def insert(self, connection: sa.Connection, table: sa.Table, batch: Any) -> None:
        errors = self._load(connection, table, batch)
        if errors:
            raise _refused(connection, table, batch, errors)

    def insert_new(self, connection: sa.Connection, table: sa.Table, batch: Any) -> bool:
        errors = self._load(connection, table, batch)
        if not errors:
            return True
        if any(code != UNIQUE for code, _ in errors.values()):
            raise _refused(connection, table, batch, errors)
        went_in = pa.array([n for n in range(batch.num_rows) if n not in errors], pa.int64())
        if len(went_in):
            self.remove(connection, table, batch.select([c.name for c in table.primary_key.columns]).take(went_in))
        return False

    def remove(self, connection: sa.Connection, table: sa.Table, keys: Any) -> None:
        where = " AND ".join(f"{name} = :{place}" for place, name in enumerate(keys.schema.names, 1))
        with _raw(connection).cursor() as cursor:
            for start in range(0, keys.num_rows, _BIND_ROWS):
                cursor.executemany(f"DELETE FROM {table.name} WHERE {where}", _bindable(keys, start))

    def stage_for(self, table: sa.Table) -> sa.Table:
        return rows_table(table, keyed=False, name=stage_name(table.name))

    def scratch(self, connection: sa.Connection, table: sa.Table) -> None:
        connection.exec_driver_sql(f"DELETE FROM {table.name}")

    def scratch_from(self, connection: sa.Connection, table: sa.Table, select: str) -> None:
        self.scratch(connection, table)
        names = ",".join(c.name for c in table.columns)
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) {select}")

    def discard(self, connection: sa.Connection, table: sa.Table) -> None:
        """COMMIT empties it."""

    def renew(self, connection: sa.Connection, staged: Staged) -> int:
        del connection, staged
        return 0

    def replace(
        self, connection: sa.Connection, table: sa.Table, node: str, at: datetime, stage: sa.Table, effect: sa.Table
    ) -> None:
        names = [c.name for c in plain_columns(table) if c.name != "pk"]
        held = moment(at)
        rows = f"SELECT {','.join(f's.{n}' for n in ('pk', *names))} FROM {effect.name} e JOIN {stage.name} s "
        connection.exec_driver_sql(
            f"MERGE INTO {table.name} t USING ({rows}ON s.ord = e.ord WHERE e.op <> 'D') w "
            f"ON (t.node = '{node}' AND t.pk = w.pk) "
            f"WHEN MATCHED THEN UPDATE SET t.{HELD_FROM} = '{held}',{','.join(f't.{n} = w.{n}' for n in names)} "
            f"WHEN NOT MATCHED THEN INSERT (node,pk,{HELD_FROM},{','.join(names)}) "
            f"VALUES ('{node}',w.pk,'{held}',{','.join(f'w.{n}' for n in names)})"
        )
        gone = f"SELECT pk FROM {effect.name} WHERE op = 'D' AND ver_row IS NOT NULL"
        connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE node = '{node}' AND pk IN ({gone})")

    def part(self, table: sa.Table, node: str) -> str:
        del node
        return table.name

    def make_part(self, connection: sa.Connection, table: sa.Table, node: str) -> None:
        """One table for all nodes."""

    def analyse(self, connection: sa.Connection, table: str, columns: Sequence[str] = ()) -> None:
        """See the module: statistics commit."""

    def csv(
        self, connection: sa.Connection, columns: Sequence[sa.Column[Any]], tail: str, block_rows: int
    ) -> Iterator[bytes]:
        sql = f"SELECT {','.join(f't.{c.name}' for c in columns)} {tail}"
        for frame in _raw(connection).fetch_df_batches(sql, size=block_rows, fetch_decimals=True):
            rows = pa.table(frame)
            if rows.num_rows:
                sink = pa.BufferOutputStream()
                pacsv.write_csv(_shown(rows, columns), sink, _QUOTED)
                yield sink.getvalue().to_pybytes()

    def ascending(self, column: str) -> str:
        return f"{column} NULLS FIRST"

    def _load(self, connection: sa.Connection, table: sa.Table, batch: Any) -> dict[int, tuple[int, str]]:
        """Inserts what it can; refused rows by place in the batch: Oracle's code and message."""
        if self._character_set(connection) == GBK and (rare := unholdable(batch)):
            number = _listed(connection, table, batch, {row: (None, name) for row, name in rare.items()})
            raise refusal(table.name, rare, batch, f"，各行见 {REJECT.name} 表 load_no {number}")
        # LOBs last: values too long for an ordinary bind may not stand before others (ORA-24816).
        names = sorted(batch.schema.names, key=lambda n: isinstance(table.c[n].type, sa.Text))
        marks = ",".join(f":{place}" for place in range(1, len(names) + 1))
        sql = f"INSERT INTO {table.name} ({','.join(names)}) VALUES ({marks})"
        errors: dict[int, tuple[int, str]] = {}
        with _raw(connection).cursor() as cursor:
            for start in range(0, batch.num_rows, _BIND_ROWS):
                cursor.executemany(sql, _bindable(batch.select(names), start), batcherrors=True)
                errors |= {start + e.offset: (int(e.code), e.message) for e in cursor.getbatcherrors()}
        return errors


def _bindable(batch: Any, start: int) -> Any:
    """Rows of one array bind, copied: python-oracledb 3.4 reads a sliced Arrow array from its buffer's beginning."""
    rows = range(start, min(start + _BIND_ROWS, batch.num_rows))
    return pa.Table.from_batches([batch.take(pa.array(rows, pa.int64()))])


def _raw(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _waiting(compiler: Any, seconds: int) -> Any:
    """Without WAIT a row held by a forgotten session would be waited for without end."""

    class Waiting(compiler):  # type: ignore[misc]
        def for_update_clause(self, select: Any, **options: Any) -> str:
            clause: str = super().for_update_clause(select, **options)
            return f"{clause} WAIT {seconds}" if clause.endswith("FOR UPDATE") else clause

    return Waiting


def _shown(rows: Any, columns: Sequence[sa.Column[Any]]) -> Any:
    """Everything as text, numbers at their column's scale, whatever the driver took them for."""
    shown = []
    for values, column in zip(rows.columns, columns, strict=True):
        kind = column.type
        if isinstance(kind, sa.Integer):
            values = values.cast(pa.int64())
        elif isinstance(kind, sa.Numeric):
            values = values.cast(pa.decimal128(kind.precision or 38, kind.scale or 0))
        shown.append(values.cast(pa.string()))
    return pa.table(shown, names=[c.name for c in columns])


def _refused(connection: sa.Connection, table: sa.Table, batch: Any, errors: dict[int, tuple[int, str]]) -> HubError:
    """Lists the rows and says what the first of them met."""
    places = {row: (code, named(code, message) or None) for row, (code, message) in errors.items()}
    number = _listed(connection, table, batch, places)
    code, message = errors[min(errors)]
    where = f"ORA-{code:05d}，表 {table.name}，{named(code, message) or '列不明'}，{len(errors)} 行"
    step = f"本次已整体回退；各行见 {REJECT.name} 表 load_no {number}"
    if code in _INTEGRITY:
        return HubError("E3108", "写入违反了表的约束", where=where, step=step)
    return HubError("E3109", "有值放不进所在的列（过长、超范围或含非法字符）", where=where, step=step)


def _listed(
    connection: sa.Connection, table: sa.Table, batch: Any, places: Mapping[int, tuple[int | None, str | None]]
) -> int:
    """Lists rows in `load_reject` in a transaction of its own, with code (None: none) and column; the list's number."""
    names, rows = batch.schema.names, sorted(places)
    taken = batch.take(pa.array(rows, pa.int64()))
    known = {n: taken.column(n).to_pylist() for n in ("pk", "src_rid") if n in names}
    with connection.engine.begin() as own:
        number = int(own.execute(sa.select(sa.func.max(REJECT.c.load_no))).scalar_one() or 0) + 1
        own.execute(
            sa.insert(REJECT).values(rejected_at=sa.literal_column("SYSTIMESTAMP")),
            [
                {
                    "load_no": number,
                    "target": table.name,
                    "row_no": row,
                    "pk": known["pk"][at] if "pk" in known else None,
                    "src_rid": known["src_rid"][at] if "src_rid" in known else None,
                    "code": places[row][0],
                    "place": places[row][1],
                }
                for at, row in enumerate(rows)
            ],
        )
    return number
