"""Which contributions changed: brings an extract into the settling state and notes the touched keys.

Decides by comparing row hashes per raw key (full row-hash comparison), so an overlap read twice, or a full read, costs
a comparison and nothing else. A key's rows are replaced together: duplicates of a key stay visible to the gate.

Leaves finding the rows (watermark, key sets) to the province's extract step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from hub.catalog import Catalog, Entity, SourceTable
from quality.anew import keep_regressed, mark_regressed, mark_still_regressed, take_up_rows
from quality.contributions import LOCAL_MARKS, Projection, holding, platform_marks, platform_projection
from quality.expressions import ident, key_text, text
from quality.normalise import dirt_counts, mapped_columns


@dataclass(frozen=True)
class Ingested:
    """Rows of one extract: read, unchanged since the last one, taken (new or changed), raw keys removed."""

    read: int
    unchanged: int
    taken: int
    removed: int


def scalar(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """First column of the first row."""
    rows = con.execute(sql).fetchall()  # to the end: DuckDB refuses other work while a result is open
    if not rows:
        raise RuntimeError("query returned no row")
    return rows[0][0]


def begin_round(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Empties the tables of touched rows: `t_<entity>` keeps every old and new version touched in this round."""
    for entity in catalog.entities.values():
        columns = ", ".join(f"{ident(f.name)} VARCHAR" for f in entity.fields)
        con.execute(f"CREATE OR REPLACE TEMP TABLE t_{entity.name} ({columns})")
    con.execute("CREATE OR REPLACE TEMP TABLE fresh_local (_ext INTEGER)")
    con.execute("CREATE OR REPLACE TEMP TABLE dirt (source VARCHAR, field VARCHAR, kind VARCHAR, hits BIGINT)")


def _note_touched(con: duckdb.DuckDBPyConnection, entity: Entity, table: str, condition: str) -> None:
    columns = ", ".join(f"{ident(f.name)}::VARCHAR" for f in entity.fields)
    con.execute(f"INSERT INTO t_{entity.name} SELECT {columns} FROM {table} WHERE {condition}")
    if table.startswith("o_"):  # an own system may name the person by the card alone
        person = "xs" if "GRBSM" in entity.key else "jzg" if "GH" in entity.key else None
        place = ", XXDM" if person == "jzg" else ""
        if person is not None:
            con.execute(
                f"INSERT INTO t_{person} BY NAME SELECT _id_type AS SFZJLXM, _id_no AS SFZJH{place} FROM {table} "
                f"WHERE ({condition}) AND _id_no IS NOT NULL"
            )


def ingest_platform(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    table: SourceTable,
    file: str,
    *,
    extract_no: int,
    row_hash: str,
    complete: bool,
    whole: bool = False,
    removed: pa.Table | None = None,
) -> Ingested:
    """Takes one extract of a platform table (Parquet of raw text, whole rows of every key it names).

    `complete`: the extract is the whole table, so absent keys are gone; `whole`: this round settles everything, so a
    first load need not be noted row by row; `removed`: raw keys (column `_rk`) found gone by a key comparison. Returns the counts; touched rows are noted in `t_<entity>`.
    """
    if table.entity is None:
        raise RuntimeError(f"{table.name} feeds no entity")
    entity = catalog.entities[table.entity]
    store = holding(table)
    raw = f"SELECT * FROM read_parquet({text(file)}, file_row_number = true)"
    marks = platform_marks(table, extract_no, row_hash)
    read = int(scalar(con, f"SELECT count(*) FROM read_parquet({text(file)})"))
    first = int(scalar(con, f"SELECT count(*) FROM (SELECT 1 FROM {store} LIMIT 1)")) == 0
    gone, taken = 0, read
    if not first:
        gone = _mark_replaced(con, raw, marks, store, complete=complete, removed=removed)
        if not scalar(con, "SELECT count(*) FROM replaced"):  # most tables of most days: nothing to write
            _keep_up(con, entity, table)
            return Ingested(read, read, 0, 0)
        raw = f"SELECT r.* FROM ({raw}) r SEMI JOIN replaced p ON p._rk = {key_text(table.key, 'r.')}"
        _take_out_replaced(con, entity, table)
        taken = int(scalar(con, f"SELECT count(*) FROM ({raw})"))
    _count_dirt(con, entity, table, raw)
    con.execute(f"INSERT INTO {store} BY NAME {platform_projection(catalog, table).sql(raw, marks)}")
    _mark_times(con, store, f"JS05:{table.updated}", first=first)
    if not (first and whole):  # a table that was empty or out of reach until now comes in among golden records
        _note_touched(con, entity, store, f"_ext = {extract_no}")
    return Ingested(read, read - taken, taken, gone)


def _mark_times(con: duckdb.DuckDBPyConnection, store: str, mark: str, *, first: bool) -> None:
    """Rows whose update time went back (JS05); in a table that comes in whole, those marked before."""
    if first:
        take_up_rows(con, store, mark)
    else:
        mark_regressed(con, store, mark)
    mark_still_regressed(con, store, mark)


def _keep_up(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable) -> None:
    """Rows that say what they said: their update times, and the mark of those that went back (JS05)."""
    store, mark = holding(table), f"JS05:{table.updated}"
    if table.updated:
        _keep_stamps(con, entity, store, mark)
    mark_regressed(con, store, mark)
    mark_still_regressed(con, store, mark)


def _take_out_replaced(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable) -> None:
    """Rows of the keys in `replaced` leave the state, noted as touched; the others keep up with their update times."""
    store, mark, which = holding(table), f"JS05:{table.updated}", "_rk IN (SELECT _rk FROM replaced)"
    _note_touched(con, entity, store, which)
    keep_regressed(con, store, mark, which)
    con.execute(f"DELETE FROM {store} WHERE {which}")
    if table.updated:
        _keep_stamps(con, entity, store, mark)


def _mark_replaced(
    con: duckdb.DuckDBPyConnection,
    raw: str,
    marks: dict[str, str],
    store: str,
    *,
    complete: bool,
    removed: pa.Table | None,
) -> int:
    """Fills `replaced` with the raw keys whose rows differ or are gone; returns how many are gone."""
    stamp = "max(try_cast(_stamp AS TIMESTAMP)) AS stamp"
    digest = f"count(*) AS n, bit_xor(_raw) AS x, sum(_raw::HUGEINT) AS s, {stamp}"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE seen AS SELECT _rk, {digest} FROM "
        f"(SELECT {marks['_rk']} AS _rk, {marks['_raw']} AS _raw, {marks['_stamp']} AS _stamp FROM ({raw})) GROUP BY _rk"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE compared AS SELECT s._rk, s.stamp, o.stamp AS held, "
        "o._rk IS NULL OR o.n <> s.n OR o.x <> s.x OR o.s <> s.s AS differs FROM seen s LEFT JOIN "
        f"(SELECT _rk, {digest} FROM {store} WHERE _rk IN (SELECT _rk FROM seen) GROUP BY _rk) o ON o._rk = s._rk"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE replaced AS SELECT _rk FROM compared WHERE differs")
    con.execute("CREATE OR REPLACE TEMP TABLE regressed AS SELECT _rk FROM compared WHERE stamp < held")
    before = int(scalar(con, "SELECT count(*) FROM replaced"))
    if complete:
        con.execute(f"INSERT INTO replaced SELECT DISTINCT _rk FROM {store} WHERE _rk NOT IN (SELECT _rk FROM seen)")
    elif removed is not None and removed.num_rows:
        con.register("removed_keys", removed)
        con.execute(
            f"INSERT INTO replaced SELECT DISTINCT _rk FROM {store} WHERE _rk IN (SELECT _rk FROM removed_keys)"
        )
        con.unregister("removed_keys")
    return int(scalar(con, "SELECT count(*) FROM replaced")) - before


def _keep_stamps(con: duckdb.DuckDBPyConnection, entity: Entity, store: str, mark: str) -> None:
    """Rows that say the same under another update time keep up with it; one that caught up loses its mark (JS05)."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE restamped AS SELECT _rk, stamp FROM compared WHERE NOT differs AND stamp <> held"
    )
    if not scalar(con, "SELECT count(*) FROM restamped"):
        return
    marked = f"_rk IN (SELECT _rk FROM restamped) AND list_contains(coalesce(_soft, []), {text(mark)})"
    _note_touched(con, entity, store, f"{marked} OR _rk IN (SELECT _rk FROM regressed SEMI JOIN restamped USING (_rk))")
    con.execute(
        f"UPDATE {store} SET _soft = nullif(list_filter(_soft, lambda x: x <> {text(mark)}), []) WHERE {marked}"
    )
    con.execute(
        f"UPDATE {store} SET _stamp = strftime(r.stamp, '%Y-%m-%d %H:%M:%S.%f') FROM restamped r WHERE r._rk = {store}._rk"
    )


def _count_dirt(con: duckdb.DuckDBPyConnection, entity: Entity, table: SourceTable, raw: str) -> None:
    counts = dirt_counts(mapped_columns(entity, table.columns))
    if not counts:
        return
    row = con.execute(f"SELECT {', '.join(sql for _, _, sql in counts)} FROM ({raw})").fetchone()
    hits = [[table.name, f, k, n] for (f, k, _), n in zip(counts, row or (), strict=True) if n]
    if hits:
        con.executemany("INSERT INTO dirt VALUES (?, ?, ?, ?)", hits)


def ingest_local(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    entity: Entity,
    file: str,
    columns: dict[str, str],
    *,
    reviewed: bool,
) -> int:
    """Takes the rows a school's template supplies for one entity; returns how many.

    `file`: Parquet of raw text with `_ext`, `_row`, `_school`, `_id_type`, `_id_no`; `columns`: raw column → field name.
    A school's later rows replace its earlier ones by identity (ruling 9); absence deletes nothing.
    """
    marks = {
        "_school": "_school",
        "_id_type": "_id_type",
        "_id_no": "_id_no",
        "_ext": "_ext",
        "_line": "_row",
    }
    source = f"SELECT * FROM read_parquet({text(file)}) WHERE {says_something(columns)}"
    select = local_projection(catalog, entity, columns).sql(source, marks)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming AS SELECT *, {'TRUE' if reviewed else 'FALSE'} AS _reviewed FROM ({select})"
    )
    own = " AND ".join(
        f"i.{ident(k)} IS NOT DISTINCT FROM l.{ident(k)}" for k in entity.key if k not in ("GRBSM", "XXDM")
    )
    same = "i._school = l._school AND i._id_type IS NOT DISTINCT FROM l._id_type AND i._id_no IS NOT DISTINCT FROM l._id_no"
    match = f"{same} AND {own}" if own else same
    # Files are taken template by template: what a later file of the school said stays.
    con.execute(
        f"DELETE FROM incoming i WHERE EXISTS (SELECT 1 FROM l_{entity.name} l WHERE {match} AND l._ext > i._ext)"
    )
    con.execute("INSERT INTO fresh_local SELECT DISTINCT _ext FROM incoming")
    con.execute(f"DELETE FROM l_{entity.name} l WHERE EXISTS (SELECT 1 FROM incoming i WHERE {match})")
    names = ", ".join([*(ident(f.name) for f in entity.fields), *(m.split()[0] for m in LOCAL_MARKS.split(", "))])
    con.execute(f"INSERT INTO l_{entity.name} BY NAME SELECT {names} FROM incoming")
    return int(scalar(con, "SELECT count(*) FROM incoming"))


def local_projection(catalog: Catalog, entity: Entity, columns: dict[str, str]) -> Projection:
    """How a school's raw columns become an entity's fields; `columns`: raw column → field name."""
    fields = [
        (raw, "label" if entity[name].code or name == "XZ" else "text", entity[name]) for raw, name in columns.items()
    ]
    return Projection(catalog, entity, fields, of_school=True)


def says_something(columns: dict[str, str]) -> str:
    """SQL that holds for a row with any value; a family member's number stands in every row and says nothing."""
    return " OR ".join(f"coalesce(trim({ident(raw)}), '') <> ''" for raw, n in columns.items() if n != "CYXH")


def accept_reviewed(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Supplement rows that waited for 数据复核员 take effect in this round (ruling 9)."""
    for entity in catalog.entities.values():
        con.execute(f"INSERT INTO fresh_local SELECT DISTINCT _ext FROM l_{entity.name} WHERE NOT _reviewed")
        con.execute(f"UPDATE l_{entity.name} SET _reviewed = TRUE WHERE NOT _reviewed")
