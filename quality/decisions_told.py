"""Whether the owning platforms now say what was asked of them: corrections beside the golden rows just published.

Decides by value and provenance: only a value that the platform itself delivered (letters S, T, O) confirms or
contradicts; a prior value kept, a supplement or a decision says nothing about the platform.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.catalog import Catalog, Field
from hub.store import Transaction


def compare_with_golden(tx: Transaction, node: str, catalog: Catalog) -> None:
    """Fills `told_conflict` (confirmed, contradicted, old_value, gone) for every open or confirmed correction.

    Reads `decision`, `correction`, `moved_conflict` and the golden tables, one statement per field concerned.
    """
    asked = "(d.state = '退回源头平台' OR (d.state = '已生效' AND d.cause = '源头已更新')) AND d.kind IS NOT NULL"
    pairs = tx.connection.execute(
        sa.text(f"SELECT DISTINCT entity, field FROM decision d WHERE {asked} AND clash IS NULL")
    ).all()
    letters = ", ".join(f"'{s.letter}'" for s in catalog.systems.values())
    for name, field_name in pairs:
        entity = catalog.entities[name]
        at = entity.columns.index(field_name) + 1
        table, field = tx.golden(name).name, entity[field_name]
        value = f"g.{field_name.lower()}"
        own = f"substr(g.prov, {at}, 1) IN ({letters})"
        shown, said, old = (_compared(field, v) for v in (value, "d.chosen_value", "c.old_value"))
        tx.connection.execute(
            sa.text(
                "INSERT INTO told_conflict SELECT d.decision_no, "
                f"CASE WHEN {own} AND {shown} = {said} THEN 1 ELSE 0 END, "
                f"CASE WHEN {own} AND {shown} <> {said} THEN 1 ELSE 0 END, "
                f"CASE WHEN m.authority_value = c.old_value OR ({own} AND {shown} = {old}) THEN 1 ELSE 0 END, "
                "CASE WHEN g.pk IS NULL THEN 1 ELSE 0 END FROM decision d "
                f"LEFT JOIN {table} g ON g.node = :node AND g.pk = d.pk "
                "LEFT JOIN moved_conflict m ON m.decision_no = d.decision_no "
                "LEFT JOIN correction c ON c.decision_no = d.decision_no AND c.round_no = d.round_no "
                "AND c.state IN ('待源头确认', '已确认') "
                f"WHERE {asked} AND d.clash IS NULL AND d.entity = :entity AND d.field = :field"
            ),
            {"node": node, "entity": name, "field": field_name},
        )


def _compared(field: Field, value: str) -> str:
    """A stored value or one kept as text, so that the two compare; numbers compare as numbers."""
    return f"CAST({value} AS DECIMAL(38, 8))" if field.type == "N" else value
