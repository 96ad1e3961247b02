"""What a round found, as a document that may be shown to anybody: counts and record numbers, no value, no key.

Decides what of the open hits, of the second judge's opinions and of the rates stands in a run's quality pages. A record
is named by its record number, a source row that founded none by extract and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from hub.catalog import Catalog
from quality.expressions import text
from quality.judgement import Judgement

SAMPLES = 10


def validation_results(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, judgement: Judgement | None, folder: Path, *, run: int, today: str
) -> dict[str, Any]:
    """The document of one run; call it when findings and rates are up to date."""
    return {
        "schema_version": 1,
        "run": run,
        "today": today,
        "rules": [
            {
                "rule": r.id, "name": r.name, "dimension": r.dimension, "severity": r.severity, "enabled": r.enabled,
                "executed": list(r.executed), "message": r.message, "thresholds": dict(r.thresholds),
            }
            for r in catalog.rules.values()
        ],
        "hits": _hits(con, run),
        "judge": _judged(judgement),
        "rates": _rates(con, folder),
    }  # fmt: skip


def _hits(con: duckdb.DuckDBPyConnection, run: int) -> list[dict[str, Any]]:
    """Open hits by rule, entity, field and state: how many, how many of them new, closed ones, and some records."""
    known = (
        "SELECT rule, entity, field, severity, state, run_no, src_rid AS record FROM known_issue UNION ALL "
        "SELECT rule, entity, field, severity, state, run_no, CASE WHEN pk = '-' THEN src_rid ELSE pk END FROM known_finding"
    )
    closed = " UNION ALL ".join(f"SELECT rule, entity, field, state FROM closed_{t}" for t in _closed_tables(con))
    columns = ("rule", "entity", "field", "severity", "state", "open", "opened", "closed", "records")
    rows = con.execute(
        f"SELECT rule, entity, field, max(severity), state, sum(n)::BIGINT, sum(fresh)::BIGINT, sum(gone)::BIGINT, "
        f"coalesce(flatten(list(records) FILTER (records IS NOT NULL)), []) FROM ("
        f"SELECT rule, entity, field, severity, state, count(*) AS n, count(*) FILTER (run_no = {run}) AS fresh, 0 AS gone, "
        f"min(record, {SAMPLES}) AS records FROM ({known}) GROUP BY ALL UNION ALL "
        f"SELECT rule, entity, field, NULL, state, 0, 0, count(*), NULL FROM ({closed}) GROUP BY ALL) "
        f"GROUP BY rule, entity, field, state ORDER BY rule, entity, field, state"
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _closed_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """`closed_issue` and, where the rules that do not block ran, `closed_finding`."""
    found = con.execute("SELECT table_name FROM duckdb_tables() WHERE table_name IN ('closed_issue', 'closed_finding')")
    return sorted(str(row[0]).removeprefix("closed_") for row in found.fetchall())


def _judged(judgement: Judgement | None) -> dict[str, Any] | None:
    if judgement is None:
        return None
    failed = [o for o in judgement.opinions if o.failed]
    return {
        "rows": dict(judgement.rows),
        "checks": len(judgement.opinions),
        "failed": [
            {
                "entity": o.entity, "rule": o.rule, "field": o.field, "severity": o.severity, "checked": o.checked,
                "failed": o.failed, "records": list(o.records[:SAMPLES]),
            }
            for o in failed
        ],
    }  # fmt: skip


def _rates(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, list[int]]:
    """Good and total of the whole province per dimension."""
    path = folder / "_rate.parquet"
    if not path.is_file():
        return {}
    query = f"SELECT dimension, sum(good)::BIGINT, sum(total)::BIGINT FROM read_parquet({text(str(path))}) GROUP BY 1 ORDER BY 1"
    return {str(d): [int(g), int(t)] for d, g, t in con.execute(query).fetchall()}
