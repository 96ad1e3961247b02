"""The outcome of a round: what is deleted, what stands, and the change rows (I, U, D) with `row_ver`.

Decides by comparing settled rows with the golden image, values and provenance; a row that says the same yields nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from hub.catalog import Entity
from hub.changes import ChangeFile, Counts
from quality.changed import scalar
from quality.expressions import ident, text
from quality.matching import STUDENT
from quality.survivorship import Round

# Rows per change file: the ministry decodes and a batch seals file by file (protocol 11.2: 256 MiB, 2 M rows a batch).
FILE_ROWS = 250_000


def find_gone(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    """`gone_<entity>`: golden records no source names any more, or a source has cancelled (ruling 17)."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE gone_{entity.name} (pk VARCHAR)")
    if not round_.has_golden:
        return
    match = " AND ".join(f"k.{ident(c)} = g.{ident(c)}" for c in entity.key)
    scope = "" if round_.whole else f"SEMI JOIN scope_{entity.name} USING ({_scope_columns(entity)})"
    golden, renamed = f"g_{entity.name}", ""
    if entity.name in STUDENT:
        # A golden row of a temporary number goes by its formal one; it gives way where that one has a record of its own.
        golden = (
            f"(SELECT g.* REPLACE (coalesce(a.new, g.GRBSM) AS GRBSM) FROM g_{entity.name} g "
            "LEFT JOIN student_alias a ON a.old = g.GRBSM)"
        )
        same = match.replace("k.", "s.")
        renamed = f"OR EXISTS (SELECT 1 FROM s_{entity.name} s WHERE s.pk <> g.pk AND {same})"
    absent = f"NOT EXISTS (SELECT 1 FROM k_{entity.name} k WHERE k._state <> '0' AND {match})"
    if entity.name in round_.has_local:
        absent += f" AND NOT EXISTS (SELECT 1 FROM m_{entity.name} k WHERE {match}) "
    con.execute(
        f"INSERT INTO gone_{entity.name} SELECT g.pk FROM (SELECT * FROM {golden} {scope}) g WHERE (({absent}) {renamed}) "
        f"AND NOT EXISTS (SELECT 1 FROM s_{entity.name} s WHERE s.pk = g.pk)"
    )
    main = {"jzg_gz": ("jzg", "XXDM", "GH")}.get(entity.name) or (
        ("xs", "GRBSM") if entity.parents and entity.parents[0].entity == "xs" else None
    )
    if main:
        keys = ", ".join(main[1:])
        con.execute(
            f"INSERT INTO gone_{entity.name} SELECT g.pk FROM g_{entity.name} g SEMI JOIN (SELECT {keys} FROM g_{main[0]} "
            f"WHERE pk IN (SELECT pk FROM gone_{main[0]})) m USING ({keys}) "
            f"WHERE g.pk NOT IN (SELECT pk FROM gone_{entity.name}) AND g.pk NOT IN (SELECT pk FROM s_{entity.name})"
        )


def _scope_columns(entity: Entity) -> str:
    from quality.scope import scope_key

    return ", ".join(ident(k) for k in scope_key(entity))


def find_alive(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    """`alive_<entity>`: keys in the store after this round; `new_<entity>`: those that were not there before."""
    keys = ", ".join(ident(k) for k in entity.key)
    old = (
        f"SELECT {keys} FROM g_{entity.name} g WHERE NOT EXISTS (SELECT 1 FROM gone_{entity.name} d WHERE d.pk = g.pk)"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE alive_{entity.name} AS SELECT {keys} FROM s_{entity.name}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE new_{entity.name} AS SELECT {keys} FROM s_{entity.name} WHERE FALSE")
    if round_.has_golden:
        con.execute(
            f"INSERT INTO new_{entity.name} SELECT {keys} FROM s_{entity.name} s "
            f"WHERE NOT EXISTS (SELECT 1 FROM g_{entity.name} g WHERE g.pk = s.pk)"
        )
        con.execute(
            f"INSERT INTO alive_{entity.name} SELECT {keys} FROM ({old}) o ANTI JOIN s_{entity.name} USING ({keys})"
        )


def diff(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> tuple[Counts, int]:
    """Builds `d_<entity>`: numbered change rows. Returns counts per operation and how many settled rows are unchanged."""
    names = ", ".join(ident(c) for c in entity.columns)
    settled = f"s_{entity.name}"
    total = int(scalar(con, f"SELECT count(*) FROM {settled}"))
    if not round_.has_golden:
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW d_{entity.name} AS SELECT 'I' AS op, pk, 1::BIGINT AS row_ver, src_rid, prov, {names} "
            f"FROM {settled}"
        )
        return Counts(inserted=total), 0
    same = " AND ".join(f"s.{ident(c)} IS NOT DISTINCT FROM g.{ident(c)}" for c in (*entity.columns, "prov"))
    own = ", ".join(f"s.{ident(c)}" for c in entity.columns)
    old = ", ".join(f"g.{ident(c)}" for c in entity.columns)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE d_{entity.name} AS "
        f"SELECT 'I' AS op, s.pk, coalesce(t.row_ver, 0) + 1 AS row_ver, s.src_rid, s.prov, {own} FROM {settled} s "
        f"LEFT JOIN tombstone t ON t.entity = {text(entity.name)} AND t.pk = s.pk "
        f"WHERE NOT EXISTS (SELECT 1 FROM g_{entity.name} g WHERE g.pk = s.pk) "
        f"UNION ALL SELECT 'U', s.pk, g.row_ver + 1, s.src_rid, s.prov, {own} FROM {settled} s JOIN g_{entity.name} g "
        f"ON g.pk = s.pk WHERE NOT ({same}) "
        f"UNION ALL SELECT 'D', g.pk, g.row_ver + 1, g.src_rid, g.prov, {old} FROM g_{entity.name} g "
        f"SEMI JOIN gone_{entity.name} d ON d.pk = g.pk"
    )
    ops = dict(con.execute(f"SELECT op, count(*) FROM d_{entity.name} GROUP BY op").fetchall())
    counts = Counts(ops.get("I", 0), ops.get("U", 0), ops.get("D", 0))
    return counts, total - counts.inserted - counts.updated


def write_files(
    con: duckdb.DuckDBPyConnection, entity: Entity, counts: Counts, folder: Path, *, lo: int, nonce: Callable[[], str]
) -> Iterator[ChangeFile]:
    """Writes the change rows as Parquet files of at most `FILE_ROWS` rows; `nonce` gives 32 random bytes in hex each.

    Deletes come first, so that a key can be freed and taken again in one change set.
    """
    if not counts.rows:
        return
    names = ", ".join(["op", "pk", "row_ver", "src_rid", "prov", *(ident(c) for c in entity.columns)])
    files = -(-counts.rows // FILE_ROWS)
    source = f"SELECT {names} FROM d_{entity.name}"
    if files > 1:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE numbered AS SELECT *, row_number() OVER () AS _n FROM d_{entity.name}"
        )
    for index in range(files):
        if files > 1:
            source = f"SELECT {names} FROM numbered WHERE _n > {index * FILE_ROWS} AND _n <= {(index + 1) * FILE_ROWS}"
        path = folder / f"{entity.name}-{index + 1:03d}.parquet"
        con.execute(
            f"COPY ({source}) TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
            f"ROW_GROUP_SIZE 65536, KV_METADATA {{'exch.nonce': {text(nonce())}}})"
        )
        ops = dict(con.execute(f"SELECT op, count(*) FROM read_parquet({text(str(path))}) GROUP BY op").fetchall())
        part = Counts(ops.get("I", 0), ops.get("U", 0), ops.get("D", 0))
        yield ChangeFile(entity.name, path, lo, lo + part.rows - 1, part)
        lo += part.rows


def advance_golden(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity, counts: Counts) -> None:
    """Brings the golden image and the tombstones of the settling state to what the change rows say."""
    if not counts.rows:
        return
    names = ", ".join(["pk", "row_ver", "src_rid", "prov", *(ident(c) for c in entity.columns)])
    if round_.has_golden:
        con.execute(f"DELETE FROM g_{entity.name} WHERE pk IN (SELECT pk FROM d_{entity.name})")
        con.execute(
            f"DELETE FROM tombstone WHERE entity = {text(entity.name)} AND pk IN (SELECT pk FROM d_{entity.name} WHERE op = 'I')"
        )
        con.execute(
            f"INSERT INTO tombstone SELECT {text(entity.name)}, pk, row_ver FROM d_{entity.name} WHERE op = 'D'"
        )
    con.execute(f"INSERT INTO g_{entity.name} BY NAME SELECT {names} FROM d_{entity.name} WHERE op <> 'D'")
