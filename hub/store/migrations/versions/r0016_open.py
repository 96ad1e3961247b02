"""The queue at a million: open conflicts found by one marker, operations by the range of numbers they took. Frozen.

A bulk decision changes state and operation number of every row; an index on either is written anew a million times.
"""

from __future__ import annotations

from alembic import op

from hub.store.migrations.versions.r0002_decisions import _column

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decision", _column("closed C1"))
    op.execute("UPDATE decision SET closed = CASE WHEN state = '已生效' THEN '1' ELSE '0' END")
    op.add_column("bulk_operation", _column("first_no B"))
    for name in ("ix_decision_state", "ix_decision_op"):
        op.drop_index(name, table_name="decision")
    op.create_index("ix_decision_open", "decision", ["closed", "decision_no"])


def downgrade() -> None:
    op.drop_index("ix_decision_open", table_name="decision")
    op.create_index("ix_decision_state", "decision", ["state", "decision_no"])
    op.create_index("ix_decision_op", "decision", ["op_no"])
    op.drop_column("bulk_operation", "first_no")
    op.drop_column("decision", "closed")
