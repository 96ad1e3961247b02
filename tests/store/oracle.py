"""The Oracle of the tests: what `ORACLE_URL` names, real or the stand-in; one schema, used by one test at a time.

The tests empty that schema. They take only one that is empty or carries their mark, so that a URL pasted by mistake
does no harm. Over the stand-in (H2 behind the real driver) the views of Oracle's dictionary that the product asks are
made from H2's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import oracledb
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from hub.audit.chain import FIRST_DIGEST
from hub.store import Store
from hub.store.ledger import NODE_STATE
from hub.store.oracle_session import oracle_engine

URL = os.environ.get("ORACLE_URL", "")
MARK = "hub_test_schema"
ABSENT = "no ORACLE_URL: rungs 2 (stand-in) and 3 (a real Oracle) have not run"
_KEPT = (MARK.upper(), "NLS_DATABASE_PARAMETERS")
# Words that are H2's and not Oracle's.
_H2_WORDS = "SET NON_KEYWORDS VALUE, KEY, DAY, MONTH, YEAR, HOUR, MINUTE, SECOND, USER"
_H2_SNAPSHOT = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SNAPSHOT"
_VIEWS = (
    "CREATE TABLE nls_database_parameters (parameter VARCHAR2(30 CHAR), value VARCHAR2(64 CHAR))",
    "INSERT INTO nls_database_parameters (parameter, value) SELECT 'NLS_CHARACTERSET', 'AL32UTF8' FROM dual",
    "CREATE VIEW user_tab_columns AS SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION COLUMN_ID "
    "FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'PUBLIC'",
)


def is_stand_in(raw: object) -> bool:
    """The stand-in says SIM to every question about the session; a server gives a number."""
    with raw.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT SYS_CONTEXT('USERENV', 'SID') FROM dual")
        return str(cursor.fetchone()[0]) == "SIM"


@event.listens_for(sa.engine.Engine, "connect")
def _understand(raw: object, _record: object) -> None:
    """H2 takes `value` for a word of its own, in every session anew."""
    if isinstance(raw, oracledb.Connection) and is_stand_in(raw):
        with raw.cursor() as cursor:
            cursor.execute(_H2_WORDS)


@event.listens_for(sa.engine.Engine, "before_cursor_execute", retval=True)
def _wait_not(
    connection: sa.Connection, _cursor: object, statement: str, parameters: object, _context: object, _many: bool
) -> tuple[str, object]:
    """H2 knows no `FOR UPDATE WAIT n`; it waits five seconds. A transaction with one view it calls a snapshot."""
    if connection.dialect.name == "oracle" and statement == "SET TRANSACTION READ ONLY" and stand_in():
        return _H2_SNAPSHOT, parameters
    if connection.dialect.name == "oracle" and " FOR UPDATE WAIT " in statement and stand_in():
        statement = statement.rpartition(" WAIT ")[0]
    return statement, parameters


_known: list[bool] = []


def stand_in() -> bool:
    """Whether `ORACLE_URL` names the stand-in; decides which findings mean something."""
    if not _known:
        engine = oracle_engine(sa.make_url(URL))
        raw = engine.raw_connection()
        _known.append(is_stand_in(raw.driver_connection))
        raw.close()
        engine.dispose()
    return _known[0]


@contextmanager
def oracle_schema(*, bare: bool = False) -> Iterator[str]:
    """The URL of a schema without rows (`bare`: without tables), this test's alone until the block ends."""
    if not URL:
        pytest.skip(ABSENT)
    lock = Path(tempfile.gettempdir()) / f"hub-oracle-{hashlib.sha256(URL.encode()).hexdigest()[:12]}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _empty(bare)
        yield URL


@contextmanager
def character_set_of(engine: sa.Engine, name: str) -> Iterator[None]:
    """The stand-in says that its character set is another; a real server keeps its own."""
    if not stand_in():
        pytest.skip("a real server keeps its own character set")
    said = "UPDATE nls_database_parameters SET value = '{}' WHERE parameter = 'NLS_CHARACTERSET'"
    with engine.begin() as connection:
        connection.exec_driver_sql(said.format(name))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(said.format("AL32UTF8"))


def fewer(store: Store, rows: int) -> int:
    """The stand-in takes 5,000 rows a second; what a test says about many rows it says about fewer there."""
    return rows // 20 if store.where.startswith("oracle") and stand_in() else rows


def skip_on_stand_in(store: Store, why: str) -> None:
    """For what the stand-in cannot show; a real Oracle is asked."""
    if store.where.startswith("oracle") and stand_in():
        pytest.skip(f"the stand-in {why}")


def _empty(bare: bool) -> None:
    engine = oracle_engine(sa.make_url(URL))
    with engine.connect() as connection:
        have = [str(n) for n in connection.exec_driver_sql("SELECT table_name FROM user_tables").scalars()]
        if have and MARK.upper() not in have:
            pytest.fail("ORACLE_URL names a schema that holds tables and is not the tests': give them an empty user")
        if not have:
            connection.exec_driver_sql(f"CREATE TABLE {MARK} (one NUMBER(1))")
            for statement in _VIEWS if stand_in() else ():
                connection.exec_driver_sql(statement)
        for name in have:
            if name in _KEPT:
                continue
            if bare:
                tail = "" if stand_in() else " CASCADE CONSTRAINTS PURGE"
                connection.exec_driver_sql(f'DROP TABLE "{name}"{tail}')
            elif name != "ALEMBIC_VERSION":
                connection.exec_driver_sql(f'DELETE FROM "{name}"')
        if not bare and "NODE_STATE" in have:
            connection.execute(sa.insert(NODE_STATE), {"name": "audit.head", "value": f"0 {FIRST_DIGEST}"})
        connection.commit()
    engine.dispose()
