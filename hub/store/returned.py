"""Taking rows out of `returned_row` once a later version of their record is in force (protocol 7.2).

Decides that by versions alone, with the golden table and the tombstones of the node, in one statement.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.catalog import Entity
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import TOMBSTONE
from hub.store.tables import golden_name


def clear_returned(connection: sa.Connection, entity: Entity, node: str, *, by: str) -> int:
    """Marks what has been put right as cleared `by` a batch or change set; how many faults."""
    c, golden = RETURNED_ROW.c, sa.table(golden_name(entity), *(sa.column(n) for n in ("node", "pk", "row_ver")))
    stored = sa.exists().where(golden.c.node == c.node, golden.c.pk == c.pk, golden.c.row_ver > c.row_ver)
    grave = sa.exists().where(
        TOMBSTONE.c.node == c.node,
        TOMBSTONE.c.entity == c.entity,
        TOMBSTONE.c.pk == c.pk,
        TOMBSTONE.c.row_ver > c.row_ver,
    )
    open_ = sa.and_(c.node == node, c.entity == entity.name, c.cleared_by.is_(None))
    done = connection.execute(sa.update(RETURNED_ROW).where(open_, stored | grave).values(cleared_by=by))
    return int(done.rowcount)
