"""The console's own papers: changes of quality rules by two persons, the monthly form. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import _column

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = {
    "rule_change": (
        "change_no B!; rule C20; settings T; reason C400; state C16; asked_by C80; asked_actor C80; asked_at C40; "
        "decided_by C80; decided_actor C80; decided_at C40; decided_note C400"
    ),
    "monthly_report": (
        "month C7!; revision B!; version B; state C16; answers T; edited_by C80; edited_at C40; submitted_by C80; "
        "submitted_at C40"
    ),
}
CHECKS = {"rule_change": ("ck_rule_change_persons", "decided_by IS NULL OR decided_by <> asked_by")}


def upgrade() -> None:
    for name, columns in TABLES.items():
        made: list[sa.schema.SchemaItem] = [_column(text) for text in columns.split("; ")]
        keys = [c.name for c in made if isinstance(c, sa.Column) and c.info["key"]]
        if name in CHECKS:
            made.append(sa.CheckConstraint(CHECKS[name][1], name=CHECKS[name][0]))
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)
