"""Invalid values of the authority beside a valid prior one: the value falls, its row stands (ruling 21).

Decides which contributions the gate spares, and lists every value that falls. Leaves to `quality.gate` what becomes of
the rest of the row, to `quality.survivorship` what stands in the field.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from hub.catalog import Entity
from quality.expressions import ident, text
from quality.keys import natural_key, school
from quality.recode import still_valid

# Rules that speak of one value only: the rest of the row may stand without it.
OF_ONE_VALUE = ("YX05", "YX14", "YX18")


def spare_values(
    con: duckdb.DuckDBPyConnection, entity: Entity, source: str, retired: Mapping[str, frozenset[str]]
) -> list[str]:
    """Invalid values of the authority where a valid prior one stands: the value falls, not its row (ruling 21).

    Fills `spared_<entity>` (rid, fields) and lists each such value as 隔离; returns the fields concerned. A row stays
    out whole when a rule over several values, a key, or a value without a prior one is concerned.
    """
    fields = [f.name for f in entity.fields if f.name not in entity.key]
    match = " AND ".join(f"g.{ident(k)} = k.{ident(k)}" for k in entity.key)
    prior = " ".join(f"WHEN {text(f)} THEN g.{ident(f)} IS NOT NULL{still_valid(entity[f], retired)}" for f in fields)
    field, rule = "split_part(h, ':', 2)", "split_part(h, ':', 1)"
    good = f"{rule} IN ({', '.join(text(r) for r in OF_ONE_VALUE)}) AND CASE {field} {prior} ELSE FALSE END"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE spared_{entity.name} AS SELECT rid, list(DISTINCT {field}) AS fields FROM ("
        f"SELECT k.rid, g.*, unnest(k._bad) AS h FROM k_{entity.name} k JOIN g_{entity.name} g ON {match} "
        "WHERE k._bad IS NOT NULL AND k._state <> '0' AND NOT k._superseded AND k._approval NOT IN ('1', '3')) g "
        f"GROUP BY rid HAVING bool_and({good})"
    )
    found = con.execute(f"SELECT DISTINCT unnest(fields) FROM spared_{entity.name} ORDER BY 1").fetchall()
    if found:
        head = f"{text(entity.name)}, k._ext, k._line, {natural_key(entity, 'k.')}, {school(entity, 'k.')}"
        con.execute(
            f"INSERT INTO issue SELECT {head}, split_part(k.hit, ':', 1), split_part(k.hit, ':', 2), "
            f"'该值无效，保留前值，其余字段照常采用', '错误', {source}, '隔离' FROM (SELECT k.*, unnest(k._bad) AS hit "
            f"FROM k_{entity.name} k JOIN spared_{entity.name} s ON s.rid = k.rid) k"
        )
    return [row[0] for row in found]
