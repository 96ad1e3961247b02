"""Indexes for what pages, metrics and exchange ask of tables that only grow (issue 5.4). Frozen.

Batches in the order of their list, what is not shipped, published or decided, open issues by rule, events by kind.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_lineage_lo": "lineage node lo",
    "ix_lineage_batch": "lineage batch_id",
    "ix_outbox_sealed": "outbox sealed_at batch_id",
    "ix_outbox_state": "outbox state decided_at",
    "ix_inbox_received": "inbox received_at batch_id",
    "ix_inbox_verdict": "inbox party verdict decided_at received_at",
    "ix_receipt_type": "receipt type created",
    "ix_receipt_published": "receipt published_at party created",
    "ix_down_batch_sealed": "down_batch sealed_at batch_id",
    "ix_down_batch_shipped": "down_batch shipped_at party",
    "ix_quarantine_open": "quarantine closed_run rule",
    "ix_finding_open": "finding closed_run rule",
    "ix_returned_row_open": "returned_row cleared_by rule",
    "ix_returned_row_source": "returned_row entity src_rid",
    "ix_supplement_row_state": "supplement_row state file_no",
    "ix_audit_event_action": "audit_event action i",
}


def upgrade() -> None:
    for name, of in INDEXES.items():
        table, *columns = of.split()
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, of in INDEXES.items():
        op.drop_index(name, table_name=of.split()[0])
