"""The console: work that runs beside the pages. Frozen; column notation as in revision 0001."""

from __future__ import annotations

from alembic import op

from hub.store.migrations.versions.r0007_findings import _create

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WORK = (
    "token C40!; name C80; worker C40; label C200; back C255; href C255; again C400; state C16; step C400; done B; "
    "total B; begun C40; beat C40; ended C40; outcome T#; error T"
)


def upgrade() -> None:
    _create("web_work", WORK)


def downgrade() -> None:
    op.drop_table("web_work")
