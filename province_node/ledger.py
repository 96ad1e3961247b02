"""What publishing writes beside the golden rows: run, extracts, change set, lineage, issues, conflicts, outbox.

Decides how a round's own files become rows of the hub's tables; everything goes through the caller's transaction.
Issues move as Arrow blocks: a first load may bring hundreds of thousands.

Rules: a refusal (隔离, 挂起) is a `quarantine` row, a mere note (提示) a `finding`; what a round closed stays as a row
with `closed_run`. Natural keys and values are private data and go nowhere but into their columns.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import duckdb
import sqlalchemy as sa

from hub.batch.outbox import BatchState
from hub.store import Transaction
from hub.store.lane import BLOCK_ROWS
from hub.store.ledger import CHANGE_SET, CONFLICT, EXTRACT, LINEAGE, NO_FIELD, OUTBOX, RUN, TOMBSTONE, VALUE_LENGTH
from province_node.changeset import Settlement
from province_node.sealing import Sealed
from province_node.supplement_store import mark_taken
from province_node.transit import write_transit

REFUSED_STATES: Final = ("隔离", "挂起")
_DIGESTS_PER_STATEMENT: Final = 1_000  # Oracle takes no longer IN list
_DIGEST: Final = re.compile(r"[0-9a-f]{1,64}")
_FILE_NAME: Final = 255


@dataclass(frozen=True)
class Movement:
    """Rows that opened and closed in this round."""

    opened: int = 0
    closed: int = 0


def write_run(transaction: Transaction, settlement: Settlement, node: str, lo: int, at: datetime) -> None:
    """Run, extracts and change set. `lo`: first change-log id, also when the set has no row."""
    record, changes = settlement.record, settlement.changes
    counts = {k: record[k] for k in ("balance", "issues", "conflicts", "dirt", "gaps", "supplements", "key_changes")}
    transaction.connection.execute(
        sa.insert(RUN),
        {
            "run_no": settlement.run,
            "kind": "settle",
            "run_mode": "whole" if record["whole"] else "incremental",
            "today": record["today"],
            "state": "done",
            "started": moment(datetime.fromisoformat(asked)) if (asked := record.get("moment")) else None,
            "ended": moment(at),
            "counts": _json(counts),
            "note": "\n".join(record["alarms"]) or None,
        },
    )
    mark_taken(transaction, settlement.run, record.get("waiting", {}))
    write_transit(transaction, settlement.folder)
    extracts = [_extract(entry, settlement.run) for entry in record["extracts"]]
    if extracts:
        transaction.connection.execute(sa.insert(EXTRACT), extracts)
    transaction.connection.execute(
        sa.insert(CHANGE_SET),
        {
            "node": node,
            "cs_no": changes.number,
            "run_no": settlement.run,
            "lo": lo,
            "hi": max(lo - 1, changes.hi),
            "registry_version": record["registry_version"],
            "codes_digest": record["codes_digest"],
            **_operations(changes.counts.inserted, changes.counts.updated, changes.counts.deleted),
            "created": moment(at),
        },
    )


def write_lineage(transaction: Transaction, settlement: Settlement, node: str, batches: Sequence[Sealed]) -> None:
    """One row per file of the change set: its digest, change-log ids, the extracts of the round, and the batch that
    carries it; None while it waits to be sealed (`window`)."""
    extracts = _json([e["extract_no"] for e in settlement.record["extracts"]])
    sealed = {
        file.path: (entry.digest.plain_sha256, batch.manifest.batch_id)
        for batch in batches
        for entry, file in zip(batch.manifest.files, batch.files, strict=True)
    }
    rows = []
    for file in settlement.changes.files:
        digest, batch_id = sealed.get(file.path) or (_sha256(file.path), None)
        rows.append(
            {
                "node": node,
                "cs_no": settlement.changes.number,
                "entity": file.entity,
                "file_name": file.path.name[:_FILE_NAME],
                "sha256": f"sha256:{digest}",
                "lo": file.lo,
                "hi": file.hi,
                **_operations(file.counts.inserted, file.counts.updated, file.counts.deleted),
                "extracts": extracts,
                "batch_id": batch_id,
            }
        )
    if rows:
        transaction.connection.execute(sa.insert(LINEAGE), rows)


def name_batches(transaction: Transaction, node: str, batches: Sequence[Sealed]) -> None:
    """Lineage and tombstones of change sets that were sealed now, or sealed again, name the batches that carry them."""
    for batch in batches:
        mark, batch_id = batch.manifest.watermark, batch.manifest.batch_id
        c = LINEAGE.c
        mine = sa.and_(c.node == node, c.lo >= mark.lo, c.lo <= mark.hi)
        numbers = transaction.connection.execute(sa.select(c.cs_no, c.entity).where(mine).distinct()).all()
        transaction.connection.execute(sa.update(LINEAGE).where(mine).values(batch_id=batch_id))
        for number, entity in numbers:
            waiting = sa.and_(TOMBSTONE.c.node == node, TOMBSTONE.c.entity == entity)
            waiting = sa.and_(waiting, TOMBSTONE.c.batch == awaiting_batch(int(number)))
            transaction.connection.execute(sa.update(TOMBSTONE).where(waiting).values(batch=batch_id))


def awaiting_batch(number: int) -> str:
    """What a tombstone names as its cause while the change set is not sealed."""
    return f"change set {number}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_outbox(transaction: Transaction, number: int, batches: Sequence[Sealed]) -> None:
    """Outbox rows, state SEALED, with the exact bytes of the manifest's envelope."""
    for batch in batches:
        manifest = batch.manifest
        transaction.connection.execute(
            sa.insert(OUTBOX),
            {
                "stream": manifest.stream_id.stream,
                "epoch": manifest.stream_id.epoch,
                "seq": manifest.seq,
                "batch_id": manifest.batch_id,
                "cs_no": number,
                "lo": manifest.watermark.lo,
                "hi": manifest.watermark.hi,
                "prev": manifest.prev,
                "digest": batch.digest,
                "state": str(BatchState.SEALED),
                **_operations(manifest.rows.inserted, manifest.rows.updated, manifest.rows.deleted),
                "parts": len(manifest.files),
                "bytes": batch.bytes,
                "manifest": batch.envelope,
                "sealed_at": moment(manifest.created),
            },
        )


def write_issues(transaction: Transaction, settlement: Settlement) -> tuple[Movement, Movement]:
    """Quarantine and findings as the round opened and closed them; (quarantine, findings)."""
    result = []
    with _scratch() as con:
        for table, states, columns in (
            ("quarantine", REFUSED_STATES, "school, left(reason, 400) AS reason"),
            ("finding", ("提示",), "school, left(reason, 400) AS detail, '-' AS pk"),
        ):
            counts = [
                transaction.ingest(
                    table,
                    _issues(con, settlement.folder / f"_{kind}_issue.parquet", states, columns, closed),
                    replace=True,
                )
                for kind, closed in (("closed", settlement.run), ("opened", None))
            ]
            result.append(Movement(opened=counts[1], closed=counts[0]))
        standing = write_findings(transaction, con, settlement)
    noted = Movement(result[1].opened + standing.opened, result[1].closed + standing.closed)
    return result[0], noted


def write_findings(transaction: Transaction, con: duckdb.DuckDBPyConnection, settlement: Settlement) -> Movement:
    """Findings on standing records: what closed first, so that a finding which says something new stands open."""
    counts = []
    for kind, closed in (("closed", settlement.run), ("opened", None)):
        query = (
            "SELECT entity, src_rid, rule, field, pk, left(natural_key, 255) AS natural_key, school, severity, "
            f"left(source, 80) AS source, left(detail, 400) AS detail, state, run_no, {_number(closed)} AS closed_run "
            "FROM read_parquet(?)"
        )
        rows = con.sql(query, params=[str(settlement.folder / f"_{kind}_finding.parquet")])
        counts.append(transaction.ingest("finding", rows.to_arrow_reader(BLOCK_ROWS), replace=True))
    return Movement(opened=counts[1], closed=counts[0])


def _issues(
    con: duckdb.DuckDBPyConnection, path: Path, states: Sequence[str], columns: str, closed_run: int | None
) -> Iterator[Any]:
    """Rows keyed as the tables are; of rows with one key (two readings of a row's natural key) one stays."""
    wanted = ", ".join(f"'{s}'" for s in states)
    rule, field = _named("rule", 20), _named("field", 30)
    query = (
        f"SELECT entity, src_rid, {rule} AS rule, {field} AS field, left(natural_key, 255) AS natural_key, "
        f"{columns}, severity, left(source, 80) AS source, state, run_no, {_number(closed_run)} AS closed_run "
        f"FROM read_parquet(?) WHERE state IN ({wanted}) "
        f"QUALIFY row_number() OVER (PARTITION BY entity, src_rid, {rule}, {field} ORDER BY natural_key) = 1"
    )
    yield from con.sql(query, params=[str(path)]).to_arrow_reader(BLOCK_ROWS)


def write_conflicts(transaction: Transaction, settlement: Settlement) -> Movement:
    """Losing values of the round. Rows of one clash share `clash`; what closed is found by its digest."""
    with _scratch() as con:
        closed = con.sql(
            "SELECT DISTINCT digest FROM read_parquet(?)",
            params=[str(settlement.folder / "_closed_disagreement.parquet")],
        ).fetchall()
        digests = iter(str(row[0]) for row in closed)
        while some := list(islice(digests, _DIGESTS_PER_STATEMENT)):
            _close_conflicts(transaction, some, settlement.run)
        last = transaction.connection.execute(sa.select(sa.func.max(CONFLICT.c.conflict_no))).scalar_one() or 0
        opened = transaction.ingest(
            "conflict", _conflicts(con, settlement.folder / "_opened_disagreement.parquet", int(last))
        )
    return Movement(opened, len(closed))


def _close_conflicts(transaction: Transaction, digests: Sequence[str], run: int) -> None:
    """1,000 digests at a time: statements have a longest length."""
    if not all(_DIGEST.fullmatch(d) for d in digests):
        raise RuntimeError("a conflict digest is hex")
    named = ",".join(f"'{d}'" for d in digests)
    transaction.connection.exec_driver_sql(
        f"UPDATE conflict SET closed_run = {run} WHERE closed_run IS NULL AND digest IN ({named})"
    )


def _conflicts(con: duckdb.DuckDBPyConnection, path: Path, last: int) -> Iterator[Any]:
    query = (
        f"SELECT {last} + row_number() OVER (ORDER BY entity, clash, digest) AS conflict_no, entity, "
        "left(natural_key, 255) AS natural_key, field, rule, state, left(source, 80) AS source, "
        f"left(value, {VALUE_LENGTH}) AS value, left(winner_source, 80) AS winner_source, "
        f"left(winner_value, {VALUE_LENGTH}) AS winner_value, clash, digest, src_rid, rows_named, run_no, "
        "pk, subject, school, division, basis "
        "FROM read_parquet(?) ORDER BY conflict_no"
    )
    yield from con.sql(query, params=[str(path)]).to_arrow_reader(BLOCK_ROWS)


def lapsed_decisions(settlement: Settlement) -> tuple[int, ...]:
    """Decisions whose sources no longer say what was decided on, as settling found."""
    path = settlement.folder / "_lapsed.parquet"
    if not path.is_file():
        return ()
    with _scratch() as con:
        rows = con.sql("SELECT decision_no FROM read_parquet(?)", params=[str(path)]).fetchall()
        return tuple(int(row[0]) for row in rows)


def write_key_changes(transaction: Transaction, settlement: Settlement) -> int:
    """Records that took a new natural key under their old record number (ruling 19); returns how many."""
    path = settlement.folder / "_key_change.parquet"
    if not path.is_file():
        return 0
    with _scratch() as con:
        query = (
            f"SELECT entity, pk, {settlement.changes.number} AS cs_no, left(old_key, 255) AS old_key, "
            "left(new_key, 255) AS new_key FROM read_parquet(?) "
            "QUALIFY row_number() OVER (PARTITION BY entity, pk ORDER BY new_key) = 1"
        )
        return transaction.ingest("key_change", con.sql(query, params=[str(path)]).to_arrow_reader(BLOCK_ROWS))


def write_rates(transaction: Transaction, settlement: Settlement) -> int:
    """Rates per school and dimension as the round left them; returns the rows."""
    path = settlement.folder / "_rate.parquet"
    if not path.is_file():
        return 0
    with _scratch() as con:
        columns = "left(school, 20) AS school, dimension, division, good, total"
        query = f"SELECT {settlement.run} AS run_no, {columns} FROM read_parquet(?)"
        rows = con.sql(query, params=[str(path)]).to_arrow_reader(BLOCK_ROWS)
        return transaction.ingest("quality_rate", rows, replace=True)


@contextmanager
def _scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that reads a round's own Parquet files."""
    con = duckdb.connect(config={"memory_limit": "512MB", "threads": 1})
    try:
        yield con
    finally:
        con.close()


def moment(at: datetime) -> str:
    """Times as the tables hold them: UTC, ISO 8601, `Z`, milliseconds."""
    if at.tzinfo is None:
        raise RuntimeError("times are aware")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extract(entry: Mapping[str, Any], run: int) -> dict[str, Any]:
    return {
        "extract_no": entry["extract_no"],
        "run_no": run,
        "system": entry["system"],
        "source_table": entry["source_table"],
        "read_mode": entry["mode"],
        "since": entry["since"],
        "until_mark": entry["until_mark"],
        "rows_read": entry["rows_read"],
        "rows_taken": entry["rows_taken"],
        "file_name": entry["file"],
        "sha256": f"sha256:{entry['sha256']}",
        "state": "done",
    }


def _operations(inserted: int, updated: int, deleted: int) -> dict[str, int]:
    return {"rows_i": inserted, "rows_u": updated, "rows_d": deleted}


def _named(column: str, length: int) -> str:
    """A key column is never empty."""
    return f"coalesce(nullif(left({column}, {length}), ''), '{NO_FIELD}')"


def _number(value: int | None) -> str:
    return "NULL::BIGINT" if value is None else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
