"""The code tables that belong to a version of the authority registry; the persons behind a supplement's two names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import _column
from hub.store.migrations.versions.r0007_findings import _create

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


REGISTRY_CODES = "version B!; tables T; evidence X"


ROW = "file_no B!; row_no B!; state C16; operator C80; reviewer C80; reviewed_at C40; basis C40; reasons T; cells T#"
PERSONS = "operator_person C80; reviewer_person C80"
KEPT = "file_no, row_no, state, operator, reviewer, reviewed_at, basis, reasons, cells"
BY_NAME = "reviewer IS NULL OR reviewer <> operator"
FOUR_EYES = (
    "reviewer IS NULL OR (operator_person IS NOT NULL AND reviewer_person IS NOT NULL AND reviewer <> operator "
    "AND reviewer_person <> operator_person)"
)


def upgrade() -> None:
    _create("registry_codes", REGISTRY_CODES)
    _rows_again(
        f"{ROW}; {PERSONS}", FOUR_EYES, f"{KEPT}, operator_person, reviewer_person", f"{KEPT}, operator, reviewer"
    )


def downgrade() -> None:
    _rows_again(ROW, BY_NAME, KEPT, KEPT)
    op.drop_table("registry_codes")


def _rows_again(columns: str, check: str, into: str, read: str) -> None:
    """The rows of supplements under another rule of two persons."""
    op.execute("CREATE TABLE supplement_row_before AS SELECT * FROM supplement_row")
    op.drop_table("supplement_row")
    made = [_column(text) for text in columns.split("; ")]
    key = sa.PrimaryKeyConstraint("file_no", "row_no", name="pk_supplement_row")
    op.create_table("supplement_row", *made, key, sa.CheckConstraint(check, name="ck_supplement_four_eyes"))
    op.execute(f"INSERT INTO supplement_row ({into}) SELECT {read} FROM supplement_row_before")
    op.drop_table("supplement_row_before")
