"""Shadow tables follow the golden ones (protocol 9.2): whatever columns an entity has now, its shadow has.

Decides that they are made from the definitions of this release after every upgrade, never altered by a revision. What
was staged in a table that no longer fits is gone with it; the last part of that snapshot is then refused by its census.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.store.oracle_ddl import stored_columns
from hub.store.tables import Tables


def align_shadows(connection: sa.Connection, tables: Tables) -> list[str]:
    """Makes anew every shadow table whose columns are not the definition's; their names."""
    made = []
    have = stored_columns(connection) if connection.dialect.name == "oracle" else _inspected(connection, tables)
    for table in tables.shadow.values():
        there = have.get(table.name)
        if there != [c.name for c in table.columns]:
            if there is not None:
                table.drop(connection)
            table.create(connection)
            made.append(table.name)
    return made


def _inspected(connection: sa.Connection, tables: Tables) -> dict[str, list[str]]:
    found = sa.inspect(connection)
    names = [t.name for t in tables.shadow.values() if found.has_table(t.name)]
    return {name: [c["name"] for c in found.get_columns(name)] for name in names}
