"""Issues over rounds: what a round opened and what it closed.

Decides by comparing this round's reasons, findings and disagreements with the open ones of the state, within what the
round looked at. Writes four Parquet files beside the change files: `_opened_issues`, `_closed_issues`,
`_opened_conflicts`, `_closed_conflicts`; publishing brings them to the store in the change set's transaction.

Natural keys and values in these files are private data; the files live and die with the change set.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from hub.catalog import Catalog
from quality.expressions import text, texts
from quality.keys import natural_key, school
from quality.matching import unknown_to_platform

# Columns of `known_disagreement`, in the order `open_and_close` selects them.
KNOWN_CONFLICT = (
    "entity VARCHAR, natural_key VARCHAR, field VARCHAR, rule VARCHAR, state VARCHAR, source VARCHAR, value VARCHAR, "
    "winner_source VARCHAR, winner_value VARCHAR, pk VARCHAR, school VARCHAR, division VARCHAR, basis VARCHAR, "
    "subject VARCHAR, clash VARCHAR, src_rid VARCHAR, rows_named BIGINT, digest VARCHAR, run_no INTEGER"
)
SOURCES = "CASE _src WHEN 'S' THEN 'S1' WHEN 'T' THEN 'S2' WHEN 'O' THEN 'S3' ELSE _src END"


def findings(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Adds to `issue` what the standing rows of the round only note (severity 警告 or 提示)."""
    off = texts(["", *(r.id for r in catalog.rules.values() if not r.enabled)])
    for entity in catalog.entities.values():
        table = catalog.platform_table(entity.name)
        if table is None:
            continue
        con.execute(
            f"INSERT INTO issue SELECT {text(entity.name)}, _ext, _line, {natural_key(entity)}, {school(entity)}, "
            f"split_part(hit, ':', 1), split_part(hit, ':', 2), '', '警告', {text(table.system)}, '提示' FROM "
            f"(SELECT *, unnest(_soft) AS hit FROM open_{entity.name} WHERE _soft IS NOT NULL) "
            f"WHERE split_part(hit, ':', 1) NOT IN {off}"
        )
    for rule in catalog.rules.values():
        con.execute(
            "UPDATE issue SET severity = ? WHERE rule = ? AND state = '提示'",
            [rule.severity.replace("错误", "警告"), rule.id],
        )
        # Where the rule itself says nothing closer, its message does.
        con.execute("UPDATE issue SET reason = ? WHERE rule = ? AND reason = ''", [rule.message, rule.id])


def review_list(con: duckdb.DuckDBPyConnection) -> None:
    """Supplement rows that belong to no record yet wait in the review area (ruling 9)."""
    con.execute(
        "INSERT INTO issue SELECT r.entity, r._ext, r._line, '', r._school, '待复核', 'GRBSM', r.reason, '提示', 'L', '挂起' FROM review r"
    )


def list_issues(con: duckdb.DuckDBPyConnection, catalog: Catalog, folder: Path, *, whole: bool, run: int) -> None:
    """Everything a person may have to look at after a round, written beside the change files."""
    findings(con, catalog)
    missing_dictionaries(con, catalog)
    review_list(con)
    if not whole:
        note_looked_at(con, catalog)
    open_and_close(con, folder, whole=whole, run=run)
    write_key_changes(con, folder)
    lapsed = text(str(folder / "_lapsed.parquet"))
    con.execute(f"COPY (SELECT decision_no FROM ruling WHERE NOT holds) TO {lapsed} (FORMAT parquet, COMPRESSION zstd)")


def open_and_close(con: duckdb.DuckDBPyConnection, folder: Path, *, whole: bool, run: int) -> None:
    """Writes what opened and closed in this round and brings `known_issue`, `known_conflict` up to date."""
    _step(
        con, folder, "issue",
        "entity, CASE WHEN source = 'L' THEN 'L' ELSE '' END || _ext || ':' || _line AS src_rid, rule, field, natural_key, "
        "school, max(reason) AS reason, max(severity) AS severity, source, max(state) AS state",
        "entity, src_rid, rule, field", "GROUP BY entity, _ext, _line, rule, field, natural_key, school, source", whole, run,
    )  # fmt: skip
    _step(
        con, folder, "disagreement",
        "entity, natural_key, field, rule, max(state) AS state, source, value, max(winner_source) AS winner_source, "
        "max(winner_value) AS winner_value, max(pk) AS pk, max(school) AS school, max(division) AS division, max(basis) AS basis, "
        "CASE WHEN clash <> '' THEN clash ELSE substr(sha256(entity || chr(31) || coalesce(max(pk), natural_key) || chr(31) || field), "
        "1, 24) END AS subject, clash, CASE WHEN source = 'L' THEN 'L' ELSE '' END || max(_ext) || ':' || max(_line) "
        "AS src_rid, max(rows_named) AS rows_named",
        "entity, natural_key, field, rule, state, source, coalesce(value, ''), clash, winner_source, "
        "coalesce(winner_value, ''), coalesce(basis, '')", "GROUP BY entity, natural_key, field, rule, source, value, clash", whole, run,
    )  # fmt: skip


def write_key_changes(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """`_key_change.parquet`: records that took a new natural key in this round (ruling 19); entity, pk, old and new key."""
    con.execute(f"COPY key_change TO {text(str(folder / '_key_change.parquet'))} (FORMAT parquet, COMPRESSION zstd)")


def _step(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    name: str,
    columns: str,
    identity: str,
    group: str,
    whole: bool,
    run: int,
) -> None:
    parts = identity.split(", ")
    digest = "sha256(" + " || chr(31) || ".join(f"coalesce({p}::VARCHAR, '')" for p in _joined(parts)) + ")"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE current_{name} AS SELECT *, substr({digest}, 1, 24) AS digest FROM "
        f"(SELECT {columns} FROM {name} {group})"
    )
    con.execute(f"CREATE TABLE IF NOT EXISTS known_{name} AS SELECT *, 0 AS run_no FROM current_{name} WHERE FALSE")
    looked = "TRUE" if whole else _in_scope(name)
    opened = f"SELECT *, {run} AS run_no FROM current_{name} ANTI JOIN known_{name} USING (digest)"
    closed = f"SELECT k.* FROM known_{name} k WHERE {looked} AND k.digest NOT IN (SELECT digest FROM current_{name})"
    for kind, sql in (("opened", opened), ("closed", closed)):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {kind}_{name} AS {sql}")
        path = folder / f"_{kind}_{name}.parquet"
        con.execute(f"COPY {kind}_{name} TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    con.execute(f"DELETE FROM known_{name} WHERE digest IN (SELECT digest FROM closed_{name})")
    con.execute(f"INSERT INTO known_{name} SELECT * FROM opened_{name}")


def _joined(parts: list[str]) -> list[str]:
    """`coalesce(value, '')` was split at its comma: put it together again."""
    result: list[str] = []
    for part in parts:
        if result and result[-1].count("(") > result[-1].count(")"):
            result[-1] += ", " + part
        else:
            result.append(part)
    return result


def _in_scope(name: str) -> str:
    """What an incremental round looked at, by natural key.

    The review area (no key) is listed whole in every round, and so are the disagreements over schools' names and codes.
    """
    always = "k.natural_key = ''" + (" OR k.entity = 'xx'" if name == "disagreement" else "")
    return f"({always} OR (k.entity, k.natural_key) IN (SELECT (entity, natural_key) FROM looked_at))"


def note_looked_at(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """`looked_at`: natural keys an incremental round settled again, old versions included."""
    con.execute("CREATE OR REPLACE TEMP TABLE looked_at (entity VARCHAR, natural_key VARCHAR)")
    for entity in catalog.entities.values():
        # Records founded by supplements alone are settled in every round; others only within the scope.
        local = f"(SELECT m.* FROM m_{entity.name} m WHERE {unknown_to_platform(entity)})"
        for source in (f"k_{entity.name}", f"t_{entity.name}", local):
            con.execute(
                f"INSERT INTO looked_at SELECT DISTINCT {text(entity.name)}, {natural_key(entity)} FROM {source}"
            )


def missing_dictionaries(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """One finding per field whose site dictionary is not loaded: its values stand as text (ruling 8)."""
    for entity in catalog.entities.values():
        table = catalog.platform_table(entity.name)
        for field in entity.fields:
            codes = catalog.codes.tables.get(field.code) if field.code else None
            if table is None or field.name not in table.column_names or codes is None or codes.codes or not codes.open:
                continue
            con.execute(
                "INSERT INTO issue VALUES (?, 0, 0, '', NULL, 'YX05', ?, ?, '提示', ?, '提示')",
                [entity.name, field.name, f"{field.cn}：未加载站点字典，按原文保存", table.system],
            )
