"""A data item that comes to an entity, or leaves it: its column in every table that holds the entity's rows.

Golden rows, versions that ended and a snapshot's waiting rows have the same columns. A column that came later stands
last in the database: rows are written and read by name.
"""

from __future__ import annotations

from alembic import op

from hub.store.migrations.versions.r0001_first import _column

_TABLES = ("g", "h", "z")


def add_field(entity: str, column: str) -> None:
    """`column` in the notation of revision 0001, for example `wxh C30`."""
    for kind in _TABLES:
        op.add_column(f"{kind}_{entity}", _column(column))


def drop_field(entity: str, name: str) -> None:
    """The reverse; the values are gone."""
    for kind in _TABLES:
        op.drop_column(f"{kind}_{entity}", name)
