"""What a contribution keeps when it is judged anew though its source says what it said before.

A round under other definitions drops the contributions of a table and takes them again from a full read. Decides that a
raw row which is still the same keeps the place it was first read at (extract and line: its lineage, and with it the open
issue that names it), and that update times are compared with those of the dropped rows, so that a row which went back in
time is noticed in that round too (JS05).
"""

from __future__ import annotations

import duckdb

from quality.expressions import text

_MARKED, _DROPPED = "regressed_before", "row_before"


def keep_rows(con: duckdb.DuckDBPyConnection, store: str, mark: str) -> None:
    """Remembers the rows of a holding table that is about to be dropped, and their JS05 marks."""
    con.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {_DROPPED} (store VARCHAR, _rk VARCHAR, _raw UBIGINT, stamp TIMESTAMP, "
        "_ext INTEGER, _line BIGINT)"
    )
    con.execute(
        f"INSERT INTO {_DROPPED} SELECT {text(store)}, _rk, _raw, try_cast(_stamp AS TIMESTAMP), _ext, _line FROM {store}"
    )
    keep_regressed(con, store, mark, "TRUE")


def keep_regressed(con: duckdb.DuckDBPyConnection, store: str, mark: str, which: str) -> None:
    """Remembers the JS05 marks of rows that are about to be judged anew; `which`: SQL over the holding table."""
    con.execute(f"CREATE TEMP TABLE IF NOT EXISTS {_MARKED} (store VARCHAR, _rk VARCHAR, stamp TIMESTAMP)")
    con.execute(
        f"INSERT INTO {_MARKED} SELECT {text(store)}, _rk, try_cast(_stamp AS TIMESTAMP) FROM {store} "
        f"WHERE list_contains(coalesce(_soft, []), {text(mark)}) AND {which}"
    )


def mark_regressed(con: duckdb.DuckDBPyConnection, store: str, mark: str) -> None:
    """JS05: the source's update time is earlier than that of the version held (`regressed`); the mark stays with the row."""
    con.execute(
        f"UPDATE {store} SET _soft = list_append(coalesce(_soft, []), {text(mark)}) "
        f"WHERE _rk IN (SELECT _rk FROM regressed) AND NOT list_contains(coalesce(_soft, []), {text(mark)})"
    )


def mark_still_regressed(con: duckdb.DuckDBPyConnection, store: str, mark: str) -> None:
    """A row judged anew under the very update time that had gone back keeps its mark until the time moves on."""
    if not _known(con, _MARKED):
        return
    con.execute(
        f"UPDATE {store} SET _soft = list_append(coalesce(_soft, []), {text(mark)}) FROM {_MARKED} b "
        f"WHERE b.store = {text(store)} AND b._rk = {store}._rk AND b.stamp = try_cast({store}._stamp AS TIMESTAMP) "
        f"AND NOT list_contains(coalesce({store}._soft, []), {text(mark)})"
    )
    con.execute(f"DELETE FROM {_MARKED} WHERE store = ?", [store])


def take_up_rows(con: duckdb.DuckDBPyConnection, store: str, mark: str) -> None:
    """After a dropped table was taken again: places of rows that are the same, JS05 of rows that went back."""
    if not _known(con, _DROPPED):
        return
    con.execute(
        "CREATE OR REPLACE TEMP TABLE regressed AS SELECT n._rk FROM "
        f"(SELECT _rk, max(try_cast(_stamp AS TIMESTAMP)) AS stamp FROM {store} GROUP BY _rk) n JOIN (SELECT _rk, "
        f"max(stamp) AS stamp FROM {_DROPPED} WHERE store = {text(store)} GROUP BY _rk) b USING (_rk) WHERE n.stamp < b.stamp"
    )
    mark_regressed(con, store, mark)
    # Copies of one row keep their places among themselves, so two rows never share one.
    nth = "row_number() OVER (PARTITION BY _rk, _raw ORDER BY _ext, _line) AS nth"
    con.execute(
        f"UPDATE {store} SET _ext = p._ext, _line = p._line FROM (SELECT n.at, b._ext, b._line FROM "
        f"(SELECT rowid AS at, _rk, _raw, {nth} FROM {store}) n JOIN (SELECT _rk, _raw, _ext, _line, {nth} "
        f"FROM {_DROPPED} WHERE store = {text(store)}) b USING (_rk, _raw, nth)) p WHERE p.at = {store}.rowid"
    )
    con.execute(f"DELETE FROM {_DROPPED} WHERE store = ?", [store])


def _known(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall())
