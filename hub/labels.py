"""What a code stands for: the label of its code table, the name of a division.

Decides nothing else; a masked value has no label, because a label would say what the mask hides.
"""

from __future__ import annotations

from hub.catalog import Catalog, Field
from hub.masking import is_masked


def code_label(catalog: Catalog, field: Field | None, value: str) -> str:
    """汉族, 石家庄市: for a value of a field with a code table or a division; empty otherwise."""
    if field is None:
        return ""
    if field.kind in ("division", "division_history"):
        return catalog.codes.division_names.get(value, "")
    table = catalog.codes.tables.get(field.code) if field.code else None
    return (table.codes.get(value, "") if table is not None and table.codes else "") or ""


def unknown_code(catalog: Catalog, field: Field | None, value: str) -> bool:
    """Whether the field has a code table and this is none of its codes."""
    table = catalog.codes.tables.get(field.code) if field is not None and field.code else None
    return table is not None and bool(table.codes) and value not in table.codes


def with_label(catalog: Catalog, field: Field | None, value: str) -> str:
    """01 汉族; the value alone where it has no label or is private."""
    label = code_label(catalog, field, value) if field is not None and value and not is_masked(field) else ""
    return f"{value} {label}" if label else value
