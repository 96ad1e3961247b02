"""The register of rows that wait: in transit (在途, SPZTM 1), rejected (驳回, SPZTM 3), held for their main record.

Decides when such a row is opened, what it waits for now, and how it ended: it came back and is golden (已入库), or
its source cancelled it (已注销) or took it away (已撤回). A row that came back and fell to a rule is not done: it
stays open as 隔离. So the register proves after a migration that nothing was lost (rulings 1, 16).

The register lives in the settling state and moves with the round; `write_transit` brings what moved to the store.
Natural keys are private data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from hub.catalog import Catalog, Entity
from hub.store import Transaction
from hub.store.lane import BLOCK_ROWS
from quality.expressions import text
from quality.keys import natural_key, school
from quality.matching import STUDENT

IN_TRANSIT, REJECTED, HELD, QUARANTINED = "在途", "驳回", "主记录未入库", "隔离"
STORED, CANCELLED, WITHDRAWN = "已入库", "已注销", "已撤回"
KINDS: Final = {"in_transit": IN_TRANSIT, "rejected": REJECTED, "held": HELD}
FILE: Final = "_transit.parquet"
COLUMNS: Final = (
    "transit_no BIGINT, entity VARCHAR, natural_key VARCHAR, school VARCHAR, source VARCHAR, kind VARCHAR, "
    "src_rid VARCHAR, opened_run BIGINT, kind_run BIGINT, closed_run BIGINT, outcome VARCHAR"
)


@dataclass(frozen=True)
class Transit:
    """What a round did to the register, in counts. `waiting`: open rows by `entity/kind`; `schools`: with rows 在途."""

    opened: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    schools: int = 0

    @property
    def in_transit(self) -> int:
        """Open rows whose approval is pending at the source."""
        return sum(n for k, n in self.waiting.items() if k.endswith(f"/{IN_TRANSIT}"))


def make_register(con: duckdb.DuckDBPyConnection) -> None:
    """The register of an empty settling state."""
    con.execute(f"CREATE TABLE IF NOT EXISTS transit ({COLUMNS})")


def follow_transit(con: duckdb.DuckDBPyConnection, catalog: Catalog, folder: Path, *, whole: bool, run: int) -> Transit:
    """Brings the register up to date after settling, within what the round looked at, and writes what moved.

    Reads the round's `k_`, `x_` and `g_` tables and, of an incremental round, `looked_at`.
    """
    make_register(con)
    _follow_keys(con)
    con.execute(f"CREATE OR REPLACE TEMP TABLE now_waiting ({COLUMNS})")
    for entity in catalog.entities.values():
        _waiting(con, catalog, entity, run)
    looked = "TRUE" if whole else "(t.entity, t.natural_key) IN (SELECT (entity, natural_key) FROM looked_at)"
    con.execute("CREATE OR REPLACE TEMP TABLE moved (transit_no BIGINT, kind VARCHAR, outcome VARCHAR)")
    con.execute(
        "INSERT INTO moved SELECT t.transit_no, n.kind, NULL FROM transit t "
        "JOIN now_waiting n USING (entity, natural_key) "
        "WHERE t.closed_run IS NULL AND t.kind <> n.kind"
    )
    for entity in catalog.entities.values():
        _ended(con, entity, looked)
    con.execute(
        f"UPDATE transit SET kind = coalesce(m.kind, transit.kind), kind_run = {run}, outcome = m.outcome, "
        f"closed_run = CASE WHEN m.outcome IS NOT NULL THEN {run} END FROM moved m "
        "WHERE m.transit_no = transit.transit_no"
    )
    con.execute(
        "INSERT INTO transit SELECT (SELECT coalesce(max(transit_no), 0) FROM transit) + row_number() OVER "
        "(ORDER BY entity, natural_key), * EXCLUDE (transit_no) FROM now_waiting n WHERE NOT EXISTS "
        "(SELECT 1 FROM transit t WHERE t.closed_run IS NULL AND t.entity = n.entity AND t.natural_key = n.natural_key)"
    )
    touched = f"SELECT * FROM transit WHERE opened_run = {run} OR kind_run = {run}"
    con.execute(f"COPY ({touched}) TO {text(str(folder / FILE))} (FORMAT parquet, COMPRESSION zstd)")
    return _told(con, run)


def _follow_keys(con: duckdb.DuckDBPyConnection) -> None:
    """A temporary student number that became formal takes its waiting rows along (ruling 19)."""
    students = ", ".join(text(s) for s in STUDENT)
    con.execute(
        "UPDATE transit SET natural_key = a.new || substr(natural_key, length(a.old) + 1) FROM new_alias a "
        f"WHERE closed_run IS NULL AND entity IN ({students}) AND split_part(natural_key, '|', 1) = a.old"
    )


def _waiting(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, run: int) -> None:
    """What of an entity waits after this round; one row per record, the pending approval first."""
    table = catalog.platform_table(entity.name)
    if table is None:
        return
    kinds = " ".join(f"WHEN {text(k)} THEN {text(v)}" for k, v in KINDS.items())
    con.execute(
        f"INSERT INTO now_waiting SELECT NULL, {text(entity.name)}, nk, school, {text(table.system)}, kind, src_rid, "
        f"{run}, {run}, NULL, NULL FROM (SELECT {natural_key(entity, 'k.')} AS nk, {school(entity, 'k.')} AS school, "
        f"CASE x.outcome {kinds} END AS kind, k._ext || ':' || k._line AS src_rid, k._ext, k._line "
        f"FROM k_{entity.name} k JOIN x_{entity.name} x ON x.rid = k.rid "
        f"WHERE x.outcome IN ('in_transit', 'rejected', 'held')) "
        "QUALIFY row_number() OVER (PARTITION BY nk ORDER BY kind <> '在途', kind <> '驳回', _ext, _line) = 1"
    )


def _ended(con: duckdb.DuckDBPyConnection, entity: Entity, looked: str) -> None:
    """Rows that wait no longer: golden, cancelled, gone from the source, or fallen to a rule (open as 隔离)."""
    left = (
        f"SELECT t.transit_no, t.natural_key, t.kind FROM transit t WHERE t.closed_run IS NULL "
        f"AND t.entity = {text(entity.name)} AND {looked} AND NOT EXISTS (SELECT 1 FROM now_waiting n "
        "WHERE n.entity = t.entity AND n.natural_key = t.natural_key)"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE left_waiting AS {left}")
    row = con.execute("SELECT count(*) FROM left_waiting").fetchall()
    if not row[0][0]:
        return
    rows = f"SELECT * FROM c_{entity.name}"
    if entity.name in STUDENT:
        rows = (
            f"SELECT c.* REPLACE (coalesce(a.new, c.GRBSM) AS GRBSM) FROM c_{entity.name} c "
            "LEFT JOIN student_alias a ON a.old = c.GRBSM"
        )
    con.execute(
        f"INSERT INTO moved SELECT transit_no, CASE WHEN outcome IS NULL THEN {text(QUARANTINED)} END, outcome FROM ("
        f"SELECT l.transit_no, l.kind, CASE WHEN g.nk IS NOT NULL THEN {text(STORED)} WHEN c.nk IS NULL THEN "
        f"{text(WITHDRAWN)} WHEN NOT c.stands THEN {text(CANCELLED)} END AS outcome FROM left_waiting l "
        f"LEFT JOIN (SELECT DISTINCT {natural_key(entity)} AS nk FROM g_{entity.name}) g ON g.nk = l.natural_key "
        f"LEFT JOIN (SELECT {natural_key(entity)} AS nk, bool_or(_state <> '0') AS stands FROM ({rows}) GROUP BY 1) c "
        f"ON c.nk = l.natural_key) WHERE outcome IS NOT NULL OR kind <> {text(QUARANTINED)}"
    )


def _told(con: duckdb.DuckDBPyConnection, run: int) -> Transit:
    opened = con.execute(f"SELECT count(*) FROM transit WHERE opened_run = {run}").fetchall()[0][0]
    closed = con.execute(f"SELECT outcome, count(*) FROM transit WHERE closed_run = {run} GROUP BY 1").fetchall()
    waiting = con.execute(
        "SELECT entity || '/' || kind, count(*) FROM transit WHERE closed_run IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    schools = con.execute(
        "SELECT count(DISTINCT school) FROM transit WHERE closed_run IS NULL AND kind = ?", [IN_TRANSIT]
    ).fetchall()[0][0]
    return Transit(int(opened), dict(closed), dict(waiting), int(schools))


def write_transit(transaction: Transaction, folder: Path) -> int:
    """What moved in a round, into `transit_row`; rows written before are replaced. Returns the rows."""
    path = folder / FILE
    if not path.is_file():
        return 0
    con = duckdb.connect(config={"memory_limit": "256MB", "threads": 1})
    try:
        return transaction.ingest("transit_row", _blocks(con, path), replace=True)
    finally:
        con.close()


def _blocks(con: duckdb.DuckDBPyConnection, path: Path) -> Iterator[Any]:
    query = "SELECT * REPLACE (left(natural_key, 255) AS natural_key) FROM read_parquet(?)"
    yield from con.sql(query, params=[str(path)]).to_arrow_reader(BLOCK_ROWS)


def restore_register(con: duckdb.DuckDBPyConnection, rows: list[list[Any]]) -> None:
    """Open rows as the store has them, for a state that was lost (`hub sync rebuild`)."""
    make_register(con)
    if rows:
        con.executemany(f"INSERT INTO transit VALUES ({', '.join('?' * 11)})", rows)
