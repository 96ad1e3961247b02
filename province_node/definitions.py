"""Whether a round must judge everything anew: labels, rules, source layouts, site dictionaries and school codes.

Decides by digests kept in the settling state. A change of definitions drops contributions that this round has read
whole; those of a source that was out of reach stay until it answers, and are judged anew then. A change of the old/new
school codes alone is carried into the kept ones. Code tables are compared code by code (`quality.recode`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple

import duckdb

from hub.catalog import Catalog, SourceTable
from hub.catalog.shelves import site_labels
from province_node.extract import Extracts
from province_node.state import meta, set_meta
from quality.anew import keep_rows
from quality.changed import scalar
from quality.contributions import holding
from quality.matching import load_crosswalk

CROSSWALK = "school_crosswalk"
WAITING = "definitions.waiting"


def definitions_changed(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> bool:
    """Labels or rules other than those the contributions were judged by: everything is read and judged again."""
    return meta(con, "definitions") not in (None, definitions_digest(catalog))


def definitions_digest(catalog: Catalog) -> str:
    """Digest of what normalising and row rules depend on: fields, layouts, a site's own labels and dictionaries, rules.

    Who owns a value and which codes and labels a version has does not matter here (`quality.authority` and
    `quality.recode` settle again what they touch).
    """
    codes = catalog.codes
    body = json.dumps(
        [
            [[e.name, e.key, [astuple(f) for f in e.fields]] for e in catalog.entities.values()],
            [_layout(t) for t in catalog.source_tables() if t.entity is not None],
            site_labels(codes),
            sorted(codes.site_loaded),
            sorted(catalog.rules),
            {r.id: sorted(r.thresholds.items()) for r in catalog.rules.values() if "settled" in r.executed},
            duckdb.__version__,
        ],
        ensure_ascii=False,
        sort_keys=True,
    )
    return hashlib.sha256(body.encode()).hexdigest()


def _layout(table: SourceTable) -> list[object]:
    """What a table's rows mean: a column that comes, goes or arrives in another form is read anew for every record."""
    columns = [(c.name, c.site, c.form, c.compare) for c in table.columns]
    return [table.name, table.site, table.entity, table.key, table.updated, table.state, table.approval, columns]


def judge_whole(con: duckdb.DuckDBPyConnection, catalog: Catalog, extracts: Extracts) -> bool:
    """Takes the crosswalk; true when every record must be settled again."""
    crosswalk = next((e for e in extracts.taken if e.table.purpose == CROSSWALK), None)
    before = con.execute("SELECT old, new, confirmed FROM crosswalk ORDER BY ALL").fetchall()
    if crosswalk is not None and (crosswalk.rows or not before):  # an emptied crosswalk changes nothing
        load_crosswalk(con, str(crosswalk.file), crosswalk.number)
    after = con.execute("SELECT old, new, confirmed FROM crosswalk ORDER BY ALL").fetchall()
    first = not any(scalar(con, f"SELECT count(*) FROM (SELECT 1 FROM g_{e} LIMIT 1)") for e in catalog.entities)
    changed = definitions_changed(con, catalog)
    if after != before and not changed:  # rows may have come before the codes, and wait without a golden record
        _recode_schools(con, catalog)
    due = _due(con, catalog, extracts, changed=changed)
    _judge_anew(con, due)
    set_meta(con, "definitions", definitions_digest(catalog))
    return first or changed or after != before or bool(due)


def _due(con: duckdb.DuckDBPyConnection, catalog: Catalog, extracts: Extracts, *, changed: bool) -> list[SourceTable]:
    """Tables whose contributions older definitions judged and that this round has read whole; the others wait."""
    held = (*catalog.source_tables(), *(t for s in catalog.own for t in s.tables), *(e.table for e in extracts.taken))
    tables = {t.name: t for t in held if t.entity}
    waiting = set(json.loads(meta(con, WAITING) or "[]"))
    if changed:
        waiting = {n for n, t in tables.items() if scalar(con, f"SELECT count(*) FROM {holding(t)}")}
    due = [e.table for e in extracts.taken if e.complete and e.table.entity and (changed or e.table.name in waiting)]
    waiting -= {t.name for t in due}
    for name in waiting:
        con.execute("DELETE FROM watermark WHERE source_table = ?", [name])  # read whole as soon as it answers
    set_meta(con, WAITING, json.dumps(sorted(waiting)))
    return due


def _recode_schools(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """With a changed crosswalk only, kept contributions take the new school codes in place."""
    stores = [(e, f"c_{e.name}") for e in catalog.entities.values()]
    stores += [(catalog.entities[str(t.entity)], holding(t)) for s in catalog.own for t in s.tables if t.entity]
    for entity, store in stores:
        for f in entity.fields:
            if f.kind in ("school", "school_ref"):
                con.execute(
                    f"UPDATE {store} SET {f.name} = w.new FROM crosswalk w WHERE w.confirmed AND w.old = {f.name}"
                )


def _judge_anew(con: duckdb.DuckDBPyConnection, tables: Iterable[SourceTable]) -> None:
    """Contributions judged by older definitions are dropped, so they are judged anew when they are taken."""
    for table in tables:
        keep_rows(con, holding(table), f"JS05:{table.updated}")
        con.execute(f"DELETE FROM {holding(table)}")
