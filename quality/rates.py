"""Quality rates of a run per school and dimension (MODEL §7: 完整率, 有效率, 唯一率, 一致率, 关联率, 及时率).

Decides what counts: 完整率 is filled required items of required items; every other rate is records without an open hit
of 错误 or 警告 in the dimension, of all records a rule of that dimension is asked of. Records that stand and records that
a rule keeps out both count. 提示 only counts itself and lowers no rate.

Writes `_rate.parquet` beside the change files: school (`-` where it is unknown), dimension, division, good, total; no
personal data. The sums over counties, cities and the province follow the reporting tree and are the reader's.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from hub.catalog import Catalog, Entity
from quality.expressions import ident, text, texts
from quality.keys import natural_key

COMPLETE = "完整性"
NOWHERE = "-"
COUNTED = "('错误', '警告')"


def write_rates(con: duckdb.DuckDBPyConnection, catalog: Catalog, folder: Path) -> None:
    """Rates of everything as it stands after the round, findings brought up to date before."""
    _stock(con, catalog)
    _hits(con, catalog)
    path = text(str(folder / "_rate.parquet"))
    con.execute(
        f"COPY (SELECT r.school, r.dimension, x.XZQHM AS division, r.good, r.total FROM ({_rates(catalog)}) r "
        f"LEFT JOIN g_xx x ON x.XXDM = r.school WHERE r.total > 0 ORDER BY ALL) TO {path} (FORMAT parquet, COMPRESSION zstd)"
    )


def _stock(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """`stock`: standing records per entity and school, and how many of their required items are empty."""
    selects = []
    for entity in catalog.entities.values():
        empty = " + ".join(f"count(*) FILTER (g.{ident(n)} IS NULL)" for n in _may_be_empty(catalog, entity)) or "0"
        school, join = _place(entity, "g")
        selects.append(
            f"SELECT {text(entity.name)} AS entity, coalesce({school}, '{NOWHERE}') AS school, count(*) AS n, {empty} AS empty "
            f"FROM g_{entity.name} g {join} GROUP BY 2"
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE stock AS {' UNION ALL '.join(selects)}")


def _may_be_empty(catalog: Catalog, entity: Entity) -> list[str]:
    """Required items the gate lets pass empty: a school's own, and derived ones (ruling 5)."""
    table = catalog.platform_table(entity.name)
    carried = set(table.column_names) if table else set()
    found = []
    for item in entity.fields:
        owner = catalog.registry.owners[entity.name, item.name].order[0]
        if item.required == "M" and item.name not in entity.key and (owner in "LD" or item.name not in carried):
            found.append(item.name)
    return found


def _place(entity: Entity, alias: str) -> tuple[str, str]:
    """SQL of a record's school, and the join it takes."""
    if "XXDM" in entity.by_name:
        return f"{alias}.XXDM", ""
    return "x.XXDM", f"LEFT JOIN g_xs x ON x.GRBSM = {alias}.GRBSM"


def _hits(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """`bad`: open hits that lower a rate; `refused`: records a rule keeps out and that do not stand from before."""
    of_student = texts(e.name for e in catalog.entities.values() if "XXDM" not in e.by_name)
    rules = ", ".join(f"({text(r.id)}, {text(r.dimension)})" for r in catalog.rules.values())
    known = (
        "SELECT entity, natural_key, school, rule, state <> '提示' AS out FROM known_issue "
        f"WHERE natural_key <> '' AND (state <> '提示' OR severity IN {COUNTED}) UNION ALL "
        f"SELECT entity, natural_key, school, rule, FALSE FROM known_finding WHERE natural_key <> '' AND severity IN {COUNTED}"
    )
    school = f"coalesce(k.school, CASE WHEN k.entity IN {of_student} THEN p.XXDM END)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE bad AS SELECT k.entity, k.natural_key, k.rule, d.dimension, k.out, "
        f"CASE WHEN regexp_full_match({school}, '[0-9]{{10}}') THEN {school} ELSE '{NOWHERE}' END AS school "
        f"FROM ({known}) k JOIN (VALUES {rules}) d(rule, dimension) USING (rule) LEFT JOIN (SELECT GRBSM, min(XXDM) AS XXDM "
        f"FROM c_xs GROUP BY GRBSM) p ON k.school IS NULL AND p.GRBSM = split_part(k.natural_key, '|', 1)"
    )
    standing = " UNION ALL ".join(
        f"SELECT DISTINCT b.entity, b.natural_key FROM bad b SEMI JOIN (SELECT {natural_key(e)} AS natural_key FROM g_{e.name}) "
        f"USING (natural_key) WHERE b.out AND b.entity = {text(e.name)}"
        for e in catalog.entities.values()
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE refused AS SELECT entity, natural_key, min(school) AS school, "
        "bool_or(rule = 'WZ01') AS empty FROM bad WHERE out GROUP BY ALL"
    )
    con.execute(f"DELETE FROM refused WHERE (entity, natural_key) IN ({standing})")


def _rates(catalog: Catalog) -> str:
    """SELECT of school, dimension, good, total."""
    dimensions = dict.fromkeys(r.dimension for r in catalog.rules.values())
    return " UNION ALL ".join(_complete(catalog) if d == COMPLETE else _of_records(catalog, d) for d in dimensions)


def _complete(catalog: Catalog) -> str:
    required = " ".join(
        f"WHEN {text(e.name)} THEN {sum(f.required == 'M' for f in e.fields)}" for e in catalog.entities.values()
    )
    items = f"CASE entity {required} END"
    parts = (
        f"SELECT school, n * {items} - empty AS good, n * {items} AS total FROM stock",
        f"SELECT school, {items}, {items} FROM refused WHERE empty",
        f"SELECT school, CASE WHEN rule = 'WZ01' THEN -1 ELSE 0 END, CASE WHEN rule = 'WZ01' THEN 0 ELSE 1 END FROM bad "
        f"WHERE dimension = {text(COMPLETE)}",
    )
    return (
        f"SELECT school, {text(COMPLETE)} AS dimension, sum(good)::BIGINT AS good, sum(total)::BIGINT AS total "
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY school"
    )


def _of_records(catalog: Catalog, dimension: str) -> str:
    scopes = {s for r in catalog.rules.values() if r.dimension == dimension for s in r.scope}
    asked = texts(e for e in catalog.entities if "*" in scopes or e in scopes)
    parts = (
        f"SELECT school, n AS good, n AS total FROM stock WHERE entity IN {asked}",
        f"SELECT school, 1, 1 FROM refused WHERE entity IN {asked}",
        f"SELECT DISTINCT ON (entity, natural_key) school, -1, 0 FROM bad WHERE dimension = {text(dimension)} "
        f"AND entity IN {asked}",
    )
    return (
        f"SELECT school, {text(dimension)} AS dimension, greatest(sum(good), 0)::BIGINT AS good, sum(total)::BIGINT AS total "
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY school"
    )
