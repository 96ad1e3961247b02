"""Tables that stand in an Oracle schema beside the described ones: stages, and the list of refused rows.

DDL commits on Oracle, so temporary tables cannot be made inside a transaction: they stand as global temporary tables,
whose rows belong to one transaction (`ON COMMIT DELETE ROWS`). They follow from the golden tables and are made anew
whenever those change; a crash in between leaves some missing, and the next upgrade makes them.

`load_reject`: which rows an array insert refused, all of them rather than the first. The load itself is rolled back
whole; this list is written beside it. No values, because values are personal: the record number, Oracle's code, the
column.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import oracle
from sqlalchemy.schema import CreateTable

from hub.changes import PK_LENGTH
from hub.store.follow_stage import FOLLOW_TABLES
from hub.store.match_stage import match_tables
from hub.store.oracle_faults import code_of
from hub.store.stage import effect_table, rows_table, twice_table, wanted_table
from hub.store.tables import Tables

NO_SUCH_TABLE, NAME_TAKEN = 942, 955
# Constraints name states in 汉字, so the client's character set matters; `&` and blank lines must mean nothing.
_HEAD = """\
-- 以本系统的 Oracle 用户在 SQL*Plus 中执行。
-- 文件按 UTF-8 保存，执行前设 NLS_LANG=AMERICAN_AMERICA.AL32UTF8，否则约束中的汉字会写坏。
-- DDL 自动提交：中途出错时改正原因，由 hub db upgrade 接着做；它会跳过已做完的语句。
-- 本程序从未在真实的 Oracle 上运行过，本脚本亦然（见 deploy/oracle/README.md）。
WHENEVER SQLERROR EXIT FAILURE
SET SQLBLANKLINES ON
SET DEFINE OFF

"""
REJECT = sa.Table(
    "load_reject",
    sa.MetaData(),
    sa.Column("load_no", sa.BigInteger, nullable=False),
    sa.Column("target", sa.String(30), nullable=False),
    sa.Column("row_no", sa.BigInteger, nullable=False),
    sa.Column("pk", sa.String(PK_LENGTH)),
    sa.Column("src_rid", sa.String(64)),
    sa.Column("code", sa.BigInteger),
    sa.Column("place", sa.String(30)),
    sa.Column("rejected_at", oracle.TIMESTAMP),
    sa.PrimaryKeyConstraint("load_no", "row_no", name="pk_load_reject"),
)


def stage_name(table: str) -> str:
    """`s_xs` for `g_xs` and for its shadow."""
    return f"s{table[1:]}"


def standing(tables: Tables) -> list[sa.Table]:
    """Every stage, as it is described for other databases too."""
    rows = [rows_table(t, keyed=False, name=stage_name(t.name)) for t in tables.golden.values()]
    return [*rows, twice_table(), effect_table(), wanted_table(), *FOLLOW_TABLES, *match_tables().values()]


def stage_ddl(table: sa.Table, dialect: sa.Dialect) -> str:
    """`CREATE GLOBAL TEMPORARY TABLE`, whose rows live until COMMIT."""
    made = str(CreateTable(table).compile(dialect=dialect)).strip()
    return made.replace("CREATE TEMPORARY TABLE", "CREATE GLOBAL TEMPORARY TABLE") + " ON COMMIT DELETE ROWS"


def script(sql: str, tables: Tables, *, fresh: bool) -> str:
    """What an administrator runs in SQL*Plus where the hub may not make tables: each statement ended by `/` alone.

    Stages are made anew as an upgrade by the hub makes them; `fresh`: none stands yet.
    """
    made = oracle.dialect()  # type: ignore[no-untyped-call]
    reject = str(CreateTable(REJECT).compile(dialect=made)).strip()
    drops = [] if fresh else [_passing(f"DROP TABLE {t.name}", NO_SUCH_TABLE) for t in standing(tables)]
    creates = [stage_ddl(t, made) for t in standing(tables)]
    last = reject if fresh else _passing(reject, NAME_TAKEN)
    return _HEAD + sql + "".join(f"{statement}\n\n/\n\n" for statement in (*drops, *creates, last))


def _passing(statement: str, bar: int) -> str:
    """DDL as a block in which the error `bar` says that it is done already."""
    return (
        f"BEGIN\n  EXECUTE IMMEDIATE '{statement}';\n"
        f"EXCEPTION WHEN OTHERS THEN IF SQLCODE <> -{bar} THEN RAISE; END IF;\nEND;"
    )


def make_standing(connection: sa.Connection, tables: Tables) -> None:
    """Makes what is missing."""
    have = {str(n).lower() for n in connection.exec_driver_sql("SELECT table_name FROM user_tables").scalars()}
    for table in standing(tables):
        if table.name not in have:
            do(connection, stage_ddl(table, connection.dialect), bar=NAME_TAKEN)
    if REJECT.name not in have:
        do(connection, str(CreateTable(REJECT).compile(dialect=connection.dialect)).strip(), bar=NAME_TAKEN)


def drop_stages(connection: sa.Connection, tables: Tables) -> None:
    """Takes away every stage; they hold nothing between transactions."""
    for table in standing(tables):
        do(connection, f"DROP TABLE {table.name}", bar=NO_SUCH_TABLE)


def do(connection: sa.Connection, statement: str, *, bar: int) -> None:
    """Runs DDL; the error `bar` says that it is done already (Oracle has no IF EXISTS before 23ai)."""
    try:
        connection.exec_driver_sql(statement)
    except sa.exc.DatabaseError as error:
        if error.orig is None or code_of(error.orig) != bar:
            raise
