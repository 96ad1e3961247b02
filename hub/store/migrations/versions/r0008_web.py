"""The console: accounts and sessions. Frozen; column notation as in revision 0001."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import _column

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = {
    "web_account": (
        "name C80!; secret C255; changed_at C40; locked_until C40; failures B; data_secret C255; "
        "data_locked_until C40; data_failures B; subject C400; views_day C10; views B; page_size B"
    ),
    "web_session": (
        "digest C80!; name C80; csrf C80; created C40; seen C40; source C80; via C16; plain_until C40; "
        "plain_purpose C400"
    ),
}


def upgrade() -> None:
    for name, columns in TABLES.items():
        made = [_column(text) for text in columns.split("; ")]
        keys = [c.name for c in made if c.info["key"]]
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))
    op.create_index("ix_web_session_name", "web_session", ["name"])


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)
