"""Lineage by file, and the ministry's timeline of record versions (house rule 8).

Two files of one entity in one batch each have a lineage row of their own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import TABLES, _column

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEPT = "node, cs_no, entity, file_name, sha256, lo, hi, rows_i, rows_u, rows_d, extracts, batch_id"
LINEAGE = TABLES["lineage"].replace("file_name C255", "file_name C255!")
RECORD_VERSION = "node H2!; entity C20!; pk H20!; row_ver B!; cs_no B!; file_no B!; row_no B!; op C1"


def upgrade() -> None:
    _create("record_version", RECORD_VERSION)
    op.execute("UPDATE lineage SET file_name = '-' WHERE file_name IS NULL")
    _replace("lineage", LINEAGE)


def downgrade() -> None:
    op.execute(
        "DELETE FROM lineage WHERE EXISTS (SELECT 1 FROM lineage o WHERE o.node = lineage.node "
        "AND o.cs_no = lineage.cs_no AND o.entity = lineage.entity AND o.file_name < lineage.file_name)"
    )
    _replace("lineage", TABLES["lineage"])
    op.drop_table("record_version")


def _replace(name: str, columns: str) -> None:
    """The table under another key, with its rows."""
    op.execute(f"CREATE TABLE {name}_before AS SELECT * FROM {name}")
    op.drop_table(name)
    _create(name, columns)
    op.execute(f"INSERT INTO {name} ({KEPT}) SELECT {KEPT} FROM {name}_before")
    op.drop_table(f"{name}_before")


def _create(name: str, columns: str) -> None:
    made = [_column(text) for text in columns.split("; ")]
    keys = [c.name for c in made if c.info["key"]]
    op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))
