"""The queue at scale: what a bulk assigns or dates, typed identifiers, plaintext exports. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0002_decisions import _column

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPERATION = "assignee C80; due C10"
PLAIN_EXPORT = (
    "request_no B!; filter T#; purpose C400; state C16; asked_by C80; asked_actor C80; asked_at C40; decided_by C80; "
    "decided_actor C80; decided_at C40; taken_at C40; rows_out B"
)
TWO_PERSONS = "state NOT IN ('已批准', '已导出') OR (decided_by IS NOT NULL AND decided_by <> asked_by)"


TYPED = "token C40!; name C80; typed T#; made_at C40"


def upgrade() -> None:
    op.create_table(
        "typed_query",
        *(_column(column) for column in TYPED.split("; ")),
        sa.PrimaryKeyConstraint("token", name="pk_typed_query"),
    )
    for column in OPERATION.split("; "):
        op.add_column("bulk_operation", _column(column))
    op.create_table(
        "plain_export",
        *(_column(column) for column in PLAIN_EXPORT.split("; ")),
        sa.PrimaryKeyConstraint("request_no", name="pk_plain_export"),
        sa.CheckConstraint(TWO_PERSONS, name="ck_plain_export_persons"),
    )


def downgrade() -> None:
    op.drop_table("plain_export")
    op.drop_table("typed_query")
    for column in reversed(OPERATION.split("; ")):
        op.drop_column("bulk_operation", column.split()[0])
