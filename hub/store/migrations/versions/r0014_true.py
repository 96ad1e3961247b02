"""The code tables that belong to a version of the authority registry."""

from __future__ import annotations

from alembic import op

from hub.store.migrations.versions.r0007_findings import _create

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


REGISTRY_CODES = "version B!; tables T; evidence X"


def upgrade() -> None:
    _create("registry_codes", REGISTRY_CODES)


def downgrade() -> None:
    op.drop_table("registry_codes")
