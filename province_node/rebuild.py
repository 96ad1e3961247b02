"""Rebuilding the settling state after its file was lost or is behind its store (`hub sync rebuild`).

Decides what can be had back: the golden image, tombstones and counters from the provincial store; record numbers that
a key change kept (ruling 19) by comparing them with what their key would give. Contributions come from the sources:
the next run reads every table in full, and settling finds again what it had decided, so nothing changes unless a
source did. Decisions are read from the store by every round; open conflicts are known again, other open issues are
listed anew by that run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from hub.audit import Event, append
from hub.catalog import Catalog, Entity, load_catalog
from hub.errors import UsageError
from hub.settings import Node
from hub.store import Store, open_store
from hub.store.finding_tables import FINDING
from hub.store.ledger import CHANGE_SET, CONFLICT, EXTRACT, QUARANTINE, RUN, TOMBSTONE
from hub.store.supplement_tables import TRANSIT_ROW
from province_node.in_force import catalog_in_force
from province_node.state import counter, open_state, set_counter, transaction
from province_node.transit import restore_register
from quality.decisions_effect import forget_beneath
from quality.expressions import ident, key_text, record_number, text
from quality.issues import KNOWN_CONFLICT
from quality.recode import find_retired

_BLOCK = 20_000


@dataclass(frozen=True)
class Rebuilt:
    """Rows per entity taken from the store, and the change set the state stands at."""

    rows: dict[str, int]
    change_set: int
    key_changes: int


def rebuild(node: Node, *, today: str, at: datetime, progress: Callable[[str], None] = lambda _: None) -> Rebuilt:
    """Makes a new settling state out of the store; `at`: aware. `UsageError` E3511 while the old one stands."""
    if node.state.exists():
        raise UsageError(
            "E3511",
            "定值状态文件仍在，不重建",
            where=node.state.name,
            step="确认它已损坏后将其改名，再运行 hub sync rebuild",
        )
    catalog = load_catalog()
    store = open_store(node.database_url, catalog)
    con = open_state(node, catalog, today=today)
    try:
        with transaction(con):
            rows, kept = {}, 0
            for entity in catalog.entities.values():
                progress(entity.cn)
                rows[entity.name] = _image(con, store, entity, node.party)
                kept += _aliases(con, entity, node.secret())
            number = _counters(con, store, catalog, node.party)
            forget_beneath(con, catalog)
            find_retired(con, catalog_in_force(node, catalog).catalog)
            _known_conflicts(con, store)
            _register(con, store)
            _close_issues(con, store, node, at)
        return Rebuilt(rows, number, kept)
    except BaseException:
        con.close()
        node.state.unlink(missing_ok=True)
        raise
    finally:
        con.close()
        store.close()


def _image(con: duckdb.DuckDBPyConnection, store: Store, entity: Entity, party: str) -> int:
    names = ["pk", "row_ver", "src_rid", "prov", *entity.columns]
    rows = 0
    for block in store.read(entity, node=party):
        batch = pa.Table.from_batches([block]).select(names)
        con.register("stored", batch)
        con.execute(f"INSERT INTO g_{entity.name} BY NAME SELECT {', '.join(ident(n) for n in names)} FROM stored")
        con.unregister("stored")
        rows += block.num_rows
    return rows


def _aliases(con: duckdb.DuckDBPyConnection, entity: Entity, secret: bytes) -> int:
    number = record_number(secret, entity.name, key_text(entity.key, "g."))
    con.execute(
        f"INSERT INTO key_alias SELECT {text(entity.name)}, n, pk "
        f"FROM (SELECT g.pk, {number} AS n FROM g_{entity.name} g) WHERE n <> pk"
    )
    row = con.execute("SELECT count(*) FROM key_alias WHERE entity = ?", [entity.name]).fetchall()
    return int(row[0][0])


def _counters(con: duckdb.DuckDBPyConnection, store: Store, catalog: Catalog, party: str) -> int:
    with store.reading() as reader:
        link = reader.connection
        number, hi = link.execute(
            sa.select(sa.func.max(CHANGE_SET.c.cs_no), sa.func.max(CHANGE_SET.c.hi)).where(CHANGE_SET.c.node == party)
        ).one()
        run = link.execute(sa.select(sa.func.max(RUN.c.run_no))).scalar()
        extract = link.execute(sa.select(sa.func.max(EXTRACT.c.extract_no))).scalar()
        buried = link.execute(
            sa.select(TOMBSTONE.c.entity, TOMBSTONE.c.pk, TOMBSTONE.c.row_ver).where(TOMBSTONE.c.node == party)
        ).all()
    for name, value in (("change_set", number), ("change_log", hi), ("run", run), ("extract", extract)):
        set_counter(con, name, int(value or 0))
    if buried:
        con.executemany("INSERT INTO tombstone VALUES (?, ?, ?)", [list(r) for r in buried if r[0] in catalog.entities])
    con.execute("INSERT INTO meta VALUES ('rebuilt', ?)", [json.dumps({"change_set": number})])
    return int(number or 0)


def _known_conflicts(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Conflicts that stand are known to the new state, so the next run neither closes nor opens them again."""
    con.execute(f"CREATE TABLE known_disagreement ({KNOWN_CONFLICT})")
    names = [part.split()[0] for part in KNOWN_CONFLICT.split(", ")]
    query = sa.select(*(CONFLICT.c[n] for n in names)).where(CONFLICT.c.closed_run.is_(None))
    with store.reading() as reader:
        for rows in reader.connection.execute(query.execution_options(yield_per=_BLOCK)).partitions(_BLOCK):
            block = pa.table({n: list(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)})
            con.register("stored", block)
            con.execute("INSERT INTO known_disagreement SELECT * FROM stored")
            con.unregister("stored")
    # Empty texts were stored as NULL.
    con.execute("UPDATE known_disagreement SET rule = coalesce(rule, ''), clash = coalesce(clash, '')")


def _register(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """The register of rows that wait goes on where it stood; closed rows keep their numbers taken."""
    with store.reading() as reader:
        rows = [list(r) for r in reader.connection.execute(sa.select(TRANSIT_ROW))]
    restore_register(con, rows)


def _close_issues(con: duckdb.DuckDBPyConnection, store: Store, node: Node, at: datetime) -> None:
    """The next run lists what is wrong anew, under new source rows: what the store listed is closed here."""
    run = counter(con, "run")
    with store.begin() as tx:
        for table in (QUARANTINE, FINDING):
            tx.connection.execute(sa.update(table).where(table.c.closed_run.is_(None)).values(closed_run=run))
        append(tx.connection, Event.STATE_REBUILT, ts=at, node=node.party, actor="hub", object=f"run {run}")
