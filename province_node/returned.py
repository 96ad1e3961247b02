"""Rows the ministry sent back (down stream `errors`): the province's list, and issues a person sees (protocol 7.2).

Decides that a returned row is an open `returned_row` and, under the rule it broke, an open `quarantine` row of source
`部级退回`, found by record number in our own golden table; and that both are closed when a later version of the record
is published. A row that was mended before the error file came is taken in as closed. The record itself stays as it is
here: what is wrong is mended in its source, and travels as an ordinary change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from hub.catalog import Catalog, Entity, load_catalog
from hub.store import Transaction
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import NO_FIELD, QUARANTINE, RUN
from hub.store.returned import clear_returned
from hub.verdict import refused
from province_node.down_parts import Received
from province_node.ledger import moment

SOURCE: Final = "部级退回"
STATE: Final = "退回"
_SEVERITY: Final = "错误"


def take_errors(transaction: Transaction, received: Received) -> None:
    """The handler of stream `errors`. RefusedError E_SCHEMA when a row names what the definitions do not know."""
    catalog, party = load_catalog(), received.manifest.stream_id.party
    told = received.tables["error"].to_pylist() if "error" in received.tables else []
    for row in told:
        entity = catalog.entities.get(row["entity"])
        if entity is None or row["code"] not in catalog.rules or row["field"] not in (*entity.by_name, NO_FIELD):
            raise refused("E_SCHEMA", "错误明细指向未登记的实体、字段或规则", where=received.batch_id)
    if not told:
        return
    at = moment(received.at)
    transaction.ingest("returned_row", [_returned(party, told, at)], replace=True)
    run = int(transaction.connection.execute(sa.select(sa.func.max(RUN.c.run_no))).scalar_one() or 0)
    by_entity: dict[str, list[Mapping[str, Any]]] = {}
    for row in told:
        by_entity.setdefault(row["entity"], []).append(row)
    for name, some in by_entity.items():
        _open_issues(transaction, catalog, catalog.entities[name], some, party, run)
    close_returned(transaction, catalog, party, by_entity, by=received.batch_id, run=run)


def close_returned(
    transaction: Transaction, catalog: Catalog, party: str, entities: Iterable[str], *, by: str, run: int
) -> int:
    """Closes what later versions have put right; how many faults. Call after the golden rows were written.

    `by`: the change set or batch that did it; `run`: number of the round, which the issue shows.
    """
    closed = sum(
        clear_returned(transaction.connection, catalog.entities[name], party, by=by) for name in sorted(set(entities))
    )
    if closed:
        c, q = RETURNED_ROW.c, QUARANTINE.c
        same = (c.entity == q.entity, c.src_rid == q.src_rid, c.rule == q.rule, c.field == q.field)
        standing = sa.exists().where(*same, c.node == party, c.cleared_by.is_(None))
        transaction.connection.execute(
            sa.update(QUARANTINE).where(q.source == SOURCE, q.closed_run.is_(None), ~standing).values(closed_run=run)
        )
    return closed


def _returned(party: str, told: Iterable[Mapping[str, Any]], at: str) -> Any:
    rows = {
        (r["entity"], r["pk"], r["row_ver"], r["code"], r["field"]): {
            "node": party,
            "entity": r["entity"],
            "pk": r["pk"],
            "row_ver": r["row_ver"],
            "rule": r["code"],
            "field": r["field"],
            "src_rid": r["src_rid"],
            "batch_id": r["batch_id"],
            "file_no": r["file_no"],
            "row_no": r["row_no"],
            "returned_at": at,
        }
        for r in told
    }
    return pa.RecordBatch.from_pylist(list(rows.values()))


def _open_issues(
    transaction: Transaction,
    catalog: Catalog,
    entity: Entity,
    some: Iterable[Mapping[str, Any]],
    party: str,
    run: int,
) -> None:
    listed = list(some)
    named = _named(transaction, entity, party, sorted({r["pk"] for r in listed}))
    rows = {
        (r["src_rid"] or NO_FIELD, r["code"], r["field"]): {
            "entity": entity.name,
            "src_rid": r["src_rid"] or NO_FIELD,
            "rule": r["code"],
            "field": r["field"],
            "natural_key": named.get(r["pk"], (None, None))[0],
            "school": named.get(r["pk"], (None, None))[1],
            "reason": f"部级退回：{catalog.rules[r['code']].name}",
            "severity": _SEVERITY,
            "source": SOURCE,
            "state": STATE,
            "run_no": run,
            "closed_run": None,
        }
        for r in listed
    }
    numbers = ("run_no", "closed_run")
    schema = pa.schema([(c.name, pa.int64() if c.name in numbers else pa.string()) for c in QUARANTINE.columns])
    transaction.ingest("quarantine", [pa.RecordBatch.from_pylist(list(rows.values()), schema=schema)], replace=True)


def _named(
    transaction: Transaction, entity: Entity, party: str, pks: list[str]
) -> dict[str, tuple[str | None, str | None]]:
    """Natural key as a person reads it, and school, per record number we hold."""
    columns = ["pk", *entity.key, *(["XXDM"] if "XXDM" in entity.by_name and "XXDM" not in entity.key else [])]
    found: dict[str, tuple[str | None, str | None]] = {}
    for block in transaction.read(entity, node=party, columns=columns, pks=pks):
        for row in block.to_pylist():
            key = "|".join(str(row[k] or "") for k in entity.key)[:255]
            found[str(row["pk"])] = key, row.get("XXDM")
    return found
