"""The queue at scale: what a bulk assigns or dates, so that an operation can be taken up again from its row."""

from __future__ import annotations

from alembic import op

from hub.store.migrations.versions.r0002_decisions import _column

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPERATION = "assignee C80; due C10"


def upgrade() -> None:
    for column in OPERATION.split("; "):
        op.add_column("bulk_operation", _column(column))


def downgrade() -> None:
    for column in reversed(OPERATION.split("; ")):
        op.drop_column("bulk_operation", column.split()[0])
