"""Findings over what stands: the rules of severity 警告 and 提示, executed over the golden image after a round.

Decides which findings opened and closed. A finding is one record, rule and field; it closes when it no longer holds or
its record is gone. A round looks at what its changes bear on (`quality.soft_scope`), and with a new day at everything
dated rules say; after changed definitions or thresholds it looks at everything. Either way the findings are the same.

Writes `_opened_finding.parquet` and `_closed_finding.parquet` beside the change files. Natural keys in them are private
data; the files live and die with the change set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from hub.catalog import Catalog, Entity
from quality.expressions import any_of, ident, text, texts
from quality.keys import natural_key
from quality.own import founder
from quality.rules import RowRule
from quality.soft import DATED, row_rules
from quality.soft_cross import QUERIES, detail_sql
from quality.soft_scope import look_at_all, look_at_moved

KNOWN = (
    "entity VARCHAR, pk VARCHAR, rule VARCHAR, field VARCHAR, src_rid VARCHAR, natural_key VARCHAR, school VARCHAR, "
    "severity VARCHAR, source VARCHAR, detail VARCHAR, state VARCHAR, run_no BIGINT"
)
NOTED = "提示"
# What a finding is of that is about a round and not about a record.
RUN = "run"
IDENTITY = ("entity", "pk", "rule", "field")
JUDGED_BY, JUDGED_ON = "findings.definitions", "findings.today"


@dataclass(frozen=True)
class RunFinding:
    """A hit that is about the round itself: its rule, what it is about (a platform, a batch), and the words."""

    rule: str
    subject: str
    detail: str


def judge_standing(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    folder: Path,
    *,
    whole: bool,
    run: int,
    today: str,
    of_run: Sequence[RunFinding] = (),
) -> None:
    """Executes every rule that is switched on and brings `known_finding` up to date; `today` is YYYY-MM-DD.

    `of_run`: what the round itself was found to break, listed until a round no longer finds it.
    """
    con.execute(f"CREATE TABLE IF NOT EXISTS known_finding ({KNOWN})")
    digest, dated = definitions(catalog), _meta(con, JUDGED_ON) != today
    whole = whole or _meta(con, JUDGED_BY) != digest
    if whole:
        look_at_all(con, catalog)
    else:
        look_at_moved(con, catalog)
    find(con, catalog, everything=whole, dated=dated)
    con.execute("CREATE OR REPLACE TEMP TABLE found_of_run (rule VARCHAR, subject VARCHAR, detail VARCHAR)")
    if of_run:
        con.executemany("INSERT INTO found_of_run VALUES (?, ?, ?)", [[f.rule, f.subject, f.detail] for f in of_run])
    _open_and_close(con, catalog, folder, run, _looked(catalog, whole, dated))
    for name, value in ((JUDGED_BY, digest), (JUDGED_ON, today)):
        con.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [name, value]
        )


def skip_standing(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """A round without these rules: nothing opens or closes, and the next one that has them looks at everything."""
    con.execute(f"CREATE TABLE IF NOT EXISTS known_finding ({KNOWN})")
    con.execute("DELETE FROM meta WHERE name = ?", [JUDGED_BY])
    for kind in ("opened", "closed"):
        _write(con, folder, kind, "SELECT * FROM known_finding LIMIT 0")


def definitions(catalog: Catalog) -> str:
    """Digest of what these rules depend on besides the rows."""
    rules = [[r.id, r.severity, r.message, r.enabled, sorted(r.thresholds.items())] for r in catalog.rules.values()]
    codes = [
        sorted(catalog.codes.majors.items()),
        sorted(catalog.codes.divisions),
        sorted(catalog.codes.divisions_current),
        sorted(catalog.codes.division_successors.items()),
        sorted(catalog.codes.variants),
    ]
    body = json.dumps([rules, codes, sorted(catalog.codes.major_map.items())], ensure_ascii=False, default=list)
    return hashlib.sha256(body.encode()).hexdigest()


def find(con: duckdb.DuckDBPyConnection, catalog: Catalog, *, everything: bool, dated: bool) -> None:
    """Fills `found` (entity, pk, rule, field, hint) with every hit among `look_<entity>`.

    `dated`: the day is another one, so dated rules look at everything though the rest does not.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE found (entity VARCHAR, pk VARCHAR, rule VARCHAR, field VARCHAR, hint VARCHAR)"
    )
    for entity in catalog.entities.values():
        rules = row_rules(catalog, entity)
        old = [r for r in rules if r.rule in DATED and dated and not everything]
        _hits(con, entity, f"look_{entity.name}", [r for r in rules if r not in old])
        _hits(con, entity, f"g_{entity.name}", old)
        for rule in (r for r in rules if r.rule == "YX06"):
            _suggest(con, entity, rule.field)
    for (name, of), query in QUERIES.items():
        if catalog.rules[name].enabled:
            con.execute(f"INSERT INTO found SELECT {text(of)}, pk, {text(name)}, field, NULL FROM ({query(catalog)})")


def _hits(con: duckdb.DuckDBPyConnection, entity: Entity, table: str, rules: list[RowRule]) -> None:
    """One pass finds the rows that break anything; only those are asked rule by rule."""
    if not rules:
        return
    anything = " OR ".join(f"({r.condition})" for r in rules)
    con.execute(
        f"INSERT INTO found SELECT {text(entity.name)}, pk, split_part(hit, ':', 1), split_part(hit, ':', 2), NULL FROM "
        f"(SELECT pk, unnest({any_of([r.sql() for r in rules])}) AS hit FROM {table} WHERE {anything})"
    )


def _suggest(con: duckdb.DuckDBPyConnection, entity: Entity, field: str) -> None:
    """YX06 says which code stands in the place of the old one."""
    con.execute(
        f"UPDATE found SET hint = '：' || s.new FROM g_{entity.name} g JOIN division_successor s ON s.old = g.{ident(field)} "
        f"WHERE found.entity = {text(entity.name)} AND found.rule = 'YX06' AND found.field = {text(field)} AND g.pk = found.pk"
    )


def _looked(catalog: Catalog, whole: bool, dated: bool) -> str:
    """Condition on `known_finding k`: what this round would have found again if it still held."""
    if whole:
        return "TRUE"
    parts = [f"k.entity = {text(RUN)}"]
    parts += [
        f"k.entity = {text(n)} AND (k.pk IN (SELECT pk FROM look_{n}) OR k.pk IN (SELECT pk FROM moved_{n}))"
        for n in catalog.entities
    ]
    if dated:
        parts.append(f"k.rule IN {texts(DATED)}")
    return "(" + " OR ".join(f"({p})" for p in parts) + ")"


def _open_and_close(con: duckdb.DuckDBPyConnection, catalog: Catalog, folder: Path, run: int, looked: str) -> None:
    con.execute(f"CREATE OR REPLACE TEMP TABLE current_finding AS {' UNION ALL '.join(_named(catalog))}")
    same = " AND ".join(f"c.{n} IS NOT DISTINCT FROM k.{n}" for n in (*IDENTITY, "natural_key", "school", "detail"))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE closed_finding AS SELECT k.* FROM known_finding k WHERE {looked} "
        f"AND NOT EXISTS (SELECT 1 FROM current_finding c WHERE {same})"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE opened_finding AS SELECT c.*, {text(NOTED)} AS state, {run}::BIGINT AS run_no "
        f"FROM current_finding c WHERE NOT EXISTS (SELECT 1 FROM known_finding k WHERE {same})"
    )
    for kind in ("opened", "closed"):
        _write(con, folder, kind, f"SELECT * FROM {kind}_finding")
    row = f"({', '.join(IDENTITY)})"
    con.execute(f"DELETE FROM known_finding WHERE {row} IN (SELECT {row} FROM closed_finding)")
    con.execute("INSERT INTO known_finding BY NAME SELECT * FROM opened_finding")


def _named(catalog: Catalog) -> Iterator[str]:
    """SELECTs that give every hit its natural key, school, source and words."""
    severity = " ".join(f"WHEN {text(r.id)} THEN {text(r.severity)}" for r in catalog.rules.values())
    for entity in catalog.entities.values():
        table = catalog.platform_table(entity.name)
        system = text(table.system if table else "L")
        place, join = "g.XXDM", ""
        if "XXDM" not in entity.by_name:
            place, join = "x.XXDM", "LEFT JOIN g_xs x ON x.GRBSM = g.GRBSM"
        yield (
            f"SELECT DISTINCT f.entity, g.pk, f.rule, f.field, split_part(g.src_rid, ' ', 1) AS src_rid, "
            f"{natural_key(entity, 'g.')} AS natural_key, {place} AS school, CASE f.rule {severity} END AS severity, "
            f"{founder(catalog, entity, 'g.src_rid', system)} AS source, f.detail FROM "
            f"(SELECT *, {detail_sql(catalog)} AS detail FROM found WHERE entity = {text(entity.name)}) f "
            f"JOIN g_{entity.name} g ON g.pk = f.pk {join}"
        )
    yield (
        f"SELECT {text(RUN)}, '-', rule, '-', subject, '', NULL, CASE rule {severity} END, subject, detail FROM found_of_run"
    )


def _write(con: duckdb.DuckDBPyConnection, folder: Path, kind: str, query: str) -> None:
    path = text(str(folder / f"_{kind}_finding.parquet"))
    con.execute(f"COPY ({query}) TO {path} (FORMAT parquet, COMPRESSION zstd)")


def _meta(con: duckdb.DuckDBPyConnection, name: str) -> str | None:
    row = con.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
    return None if row is None else str(row[0])


def open_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Open findings per `rule/severity`."""
    found = con.execute("SELECT rule || '/' || severity, count(*) FROM known_finding GROUP BY 1 ORDER BY 1").fetchall()
    return {str(k): int(v) for k, v in found}
