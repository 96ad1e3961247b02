"""Whether a round must judge everything anew: labels, rules, site dictionaries and school codes.

Decides by digests kept in the settling state. A change of definitions drops contributions that this round has read
whole; a change of the old/new school codes alone is carried into the kept ones. Code tables are compared code by code
(`quality.recode`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple

import duckdb

from hub.catalog import Catalog
from hub.catalog.shelves import site_labels
from province_node.extract import Extracts
from province_node.state import meta, set_meta
from quality.changed import keep_regressed, scalar
from quality.contributions import holding
from quality.matching import load_crosswalk

CROSSWALK = "school_crosswalk"


def definitions_changed(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> bool:
    """Labels or rules other than those the contributions were judged by: everything is read and judged again."""
    return meta(con, "definitions") not in (None, definitions_digest(catalog))


def definitions_digest(catalog: Catalog) -> str:
    """Digest of what normalising and row rules depend on: the fields, a site's own labels and dictionaries, rules.

    Who owns a value and which codes and labels a version has does not matter here (`quality.authority` and
    `quality.recode` settle again what they touch).
    """
    codes = catalog.codes
    body = json.dumps(
        [
            [[e.name, e.key, [astuple(f) for f in e.fields]] for e in catalog.entities.values()],
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


def judge_whole(con: duckdb.DuckDBPyConnection, catalog: Catalog, extracts: Extracts) -> bool:
    """Takes the crosswalk; true when every record must be settled again."""
    crosswalk = next((e for e in extracts.taken if e.table.purpose == CROSSWALK), None)
    before = con.execute("SELECT old, new, confirmed FROM crosswalk ORDER BY ALL").fetchall()
    if crosswalk is not None and (crosswalk.rows or not before):  # an emptied crosswalk changes nothing
        load_crosswalk(con, str(crosswalk.file), crosswalk.number)
    after = con.execute("SELECT old, new, confirmed FROM crosswalk ORDER BY ALL").fetchall()
    first = not any(scalar(con, f"SELECT count(*) FROM (SELECT 1 FROM g_{e} LIMIT 1)") for e in catalog.entities)
    changed = definitions_changed(con, catalog)
    if changed or (after != before and not first):
        _judge_anew(con, catalog, extracts, only_codes=not changed)
    set_meta(con, "definitions", definitions_digest(catalog))
    return first or changed or after != before


def _judge_anew(con: duckdb.DuckDBPyConnection, catalog: Catalog, extracts: Extracts, *, only_codes: bool) -> None:
    """Contributions judged by older definitions are dropped where the whole table was read, so they are judged anew.

    With a changed crosswalk only, kept contributions take the new school codes in place.
    """
    if only_codes:
        for entity in catalog.entities.values():
            for f in entity.fields:
                if f.kind == "school_ref":
                    con.execute(
                        f"UPDATE c_{entity.name} SET {f.name} = w.new FROM crosswalk w "
                        f"WHERE w.confirmed AND w.old = {f.name}"
                    )
        return
    for extract in extracts.taken:
        if extract.complete and extract.table.entity:
            keep_regressed(con, holding(extract.table), f"JS05:{extract.table.updated}", "TRUE")
            con.execute(f"DELETE FROM {holding(extract.table)}")
