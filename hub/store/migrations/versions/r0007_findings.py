"""Findings and rates per run.

A finding is keyed by the record it is about as well: one source row can found several records.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import TABLES, _column

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEPT = "entity, src_rid, rule, field, natural_key, severity, source, detail, state, run_no, closed_run"
FINDING = (
    "entity C20!; src_rid C64!; rule C20!; field C30!; pk C20!; natural_key C255#; school C20; severity C8; "
    "source C80; detail C400; state C8; run_no B; closed_run B"
)
RATE = "run_no B!; school C20!; dimension C20!; division C6; good B; total B"


def upgrade() -> None:
    _replace("finding", FINDING, f"{KEPT}, pk", f"{KEPT}, '-'")
    _create("quality_rate", RATE)


def downgrade() -> None:
    op.drop_table("quality_rate")
    op.execute("DELETE FROM finding WHERE pk <> '-'")
    _replace("finding", TABLES["finding"], KEPT, KEPT)


def _replace(name: str, columns: str, into: str, read: str) -> None:
    """A table of another key, with the rows of the one it replaces."""
    op.execute(f"CREATE TABLE {name}_before AS SELECT * FROM {name}")
    op.drop_table(name)
    _create(name, columns)
    op.execute(f"INSERT INTO {name} ({into}) SELECT {read} FROM {name}_before")
    op.drop_table(f"{name}_before")


def _create(name: str, columns: str) -> None:
    made = [_column(text) for text in columns.split("; ")]
    keys = [c.name for c in made if c.info["key"]]
    op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))
