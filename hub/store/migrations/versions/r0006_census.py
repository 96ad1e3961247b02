"""Snapshots and census: shadow tables of the golden ones, and the ledger of census batches.

The shadow tables are those of the first release; a revision that touches a golden table touches its shadow too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import TABLES, _column

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CENSUS = (
    "party C8!; stream C16!; epoch B!; seq B!; state C16; compared B; differing B; rows_there B; rows_here B; "
    "buckets T; control_no B; repaired_by C64; decided_at C40"
)


def upgrade() -> None:
    for name, columns in _tables().items():
        made = [_column(text) for text in columns.split("; ")]
        keys = [c.name for c in made if c.info["key"]]
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))


def downgrade() -> None:
    for name in reversed(_tables()):
        op.drop_table(name)


def _tables() -> dict[str, str]:
    shadows = {f"z_{name[2:]}": columns for name, columns in TABLES.items() if name.startswith("g_")}
    return {"census": CENSUS, **shadows}
