"""What a changed authority touches: the records whose value or provenance could differ under the new owners.

Decides from owner to owner, per data item: a record is asked again when a supplement says something about the item, when
its value stands under a source that may no longer speak, when a newly heard source says something, or when a required
item is missing. Everything else has the same outcome under both versions and is left alone (issue: only what it touches).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from hub.catalog import Catalog, Entity, Field, SourceTable
from hub.catalog.model import Authority
from quality.expressions import ident, text

Owners = Mapping[tuple[str, str], tuple[tuple[str, ...], bool]]


@dataclass(frozen=True)
class Change:
    """A data item with another owner."""

    entity: str
    field: str
    before: Authority
    after: Authority


def touched_fields(before: Owners, catalog: Catalog) -> tuple[Change, ...]:
    """Data items whose owner or filling differs from `before` (order, fill), in the definitions' order."""
    return tuple(
        Change(entity, field, Authority(*before[entity, field]), after)
        for (entity, field), after in catalog.registry.owners.items()
        if (entity, field) in before and before[entity, field] != (after.order, after.fill)
    )


def own_speaks(entity: Entity, field: Field, table: SourceTable | None, authority: Authority) -> bool:
    """Whether the platform's column may fill the field: it owns it, or carries a key or a reference to the owner's record.

    A derived item takes what the platform sends until its formula has run.
    """
    if field.name in entity.key or field.kind in ("school", "school_ref") or authority.order == ("D",):
        return True
    return table is None or table.system in authority.order


def touch(con: duckdb.DuckDBPyConnection, catalog: Catalog, changes: tuple[Change, ...]) -> None:
    """Notes the touched records in `t_<entity>`, as if their rows had come in this round (`quality.scope` goes on)."""
    for entity in catalog.entities.values():
        mine = [c for c in changes if c.entity == entity.name]
        if mine:
            _touch(con, catalog, entity, mine)


def _touch(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, changes: list[Change]) -> None:
    table = catalog.platform_table(entity.name)
    columns = ", ".join(f"{{}}.{ident(f.name)}::VARCHAR" for f in entity.fields)
    key = ", ".join(ident(k) for k in entity.key)
    said = " OR ".join(f"m.{ident(c.field)} IS NOT NULL" for c in changes)
    keys = [f"SELECT {key} FROM m_{entity.name} m WHERE {said}"]
    keys.append(
        f"SELECT {key} FROM g_{entity.name} g WHERE {' OR '.join(_of_golden(catalog, entity, table, c) for c in changes)}"
    )
    if table is not None:
        letter = catalog.systems[table.system].letter
        match = " AND ".join(f"g.{ident(k)} = c.{ident(k)}" for k in entity.key)
        heard = " OR ".join(_of_contribution(entity, table, letter, c) for c in changes)
        keys.append(
            f"SELECT c.{', c.'.join(ident(k) for k in entity.key)} FROM c_{entity.name} c LEFT JOIN g_{entity.name} g ON {match} WHERE {heard}"
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE reowned AS SELECT DISTINCT {key} FROM ({' UNION ALL '.join(keys)})")
    for source in (f"g_{entity.name}", f"c_{entity.name}", f"m_{entity.name}"):
        con.execute(
            f"INSERT INTO t_{entity.name} SELECT {columns.replace('{}', 'r')} FROM {source} r SEMI JOIN reowned USING ({key})"
        )


def _of_golden(catalog: Catalog, entity: Entity, table: SourceTable | None, change: Change) -> str:
    """The value stands under a source that may not speak any more, or as a prior value; or a required one is missing."""
    field = entity[change.field]
    mark = f"substr(g.prov, {entity.columns.index(change.field) + 1}, 1)"
    may = {"-", "D"}
    if own_speaks(entity, field, table, change.after) and table is not None:
        may.add(catalog.systems[table.system].letter)
    if change.after.fill or table is None:
        may.add("L")
    if "D" in change.after.order:
        may.add("F")
    condition = f"{mark} NOT IN ({', '.join(text(m) for m in sorted(may))})"
    return f"({condition} OR g.{ident(change.field)} IS NULL)" if field.required == "M" else condition


def _of_contribution(entity: Entity, table: SourceTable, letter: str, change: Change) -> str:
    """The platform is heard from now on and says something, or a row was refused for the item it lacked."""
    field, name = entity[change.field], ident(change.field)
    mark = f"substr(g.prov, {entity.columns.index(change.field) + 1}, 1)"
    conditions = ["FALSE"]
    if own_speaks(entity, field, table, change.after):
        conditions.append(f"c.{name} IS NOT NULL AND coalesce({mark}, '') <> {text(letter)}")
    if field.required == "M":
        conditions.append(f"c.{name} IS NULL AND g.pk IS NULL")
    return "(" + " OR ".join(conditions) + ")"
