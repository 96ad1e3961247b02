"""History: since when a golden row is held, versions that ended, the archive's index; partitions by node on PostgreSQL.

A table of PostgreSQL cannot become partitioned, so there golden tables are made anew and their rows moved over.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import TABLES, _column

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

GOLDEN = {name[2:]: columns for name, columns in TABLES.items() if name.startswith("g_")}
HELD_FROM = "held_from C24"
ARCHIVE_FILE = (
    "file_no B!; node H2; entity C20; held_year B; file_name C120; rows_kept B; file_size B; sha256 C80; "
    "first_to C24; last_to C24; state C16; archived_at C24; prev C80; digest C80"
)


def upgrade() -> None:
    for name, columns in GOLDEN.items():
        if op.get_context().dialect.name == "postgresql":
            _partition(f"g_{name}", columns)
        else:
            op.add_column(f"g_{name}", _column(HELD_FROM))
        if "; xxdm " in columns:
            op.create_index(f"ix_g_{name}_school", f"g_{name}", ["node", "xxdm"])
        held = [_column(text) for text in columns.replace("node H2!; pk H20!", "node H2; pk H20").split("; ")]
        ending = sa.Column("ended", sa.CHAR(1))
        op.create_table(f"h_{name}", *held, _column(HELD_FROM), _column("held_to C24"), ending)
        op.create_index(f"ix_h_{name}", f"h_{name}", ["node", "pk"])
    made = [_column(text) for text in ARCHIVE_FILE.split("; ")]
    op.create_table("archive_file", *made, sa.PrimaryKeyConstraint("file_no", name="pk_archive_file"))


def downgrade() -> None:
    op.drop_table("archive_file")
    for name, columns in reversed(GOLDEN.items()):
        op.drop_table(f"h_{name}")
        if op.get_context().dialect.name == "postgresql":
            _whole(f"g_{name}", columns)
        else:
            if "; xxdm " in columns:
                op.drop_index(f"ix_g_{name}_school", f"g_{name}")
            op.drop_column(f"g_{name}", "held_from")


def _partition(name: str, columns: str) -> None:
    _aside(name)
    _golden(name, f"{columns}; {HELD_FROM}", postgresql_partition_by="LIST (node)")
    names = ",".join(text.split(" ")[0] for text in columns.split("; "))
    op.execute(
        f"DO $$ DECLARE n text; BEGIN FOR n IN SELECT DISTINCT node FROM {name}_before LOOP "
        f"EXECUTE format('CREATE TABLE {name}_%s PARTITION OF {name} FOR VALUES IN (%L) "
        "WITH (fillfactor = 90)', n, n); END LOOP; END $$"
    )
    op.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM {name}_before")
    op.drop_table(f"{name}_before")


def _whole(name: str, columns: str) -> None:
    _aside(name)
    _golden(name, columns)
    names = ",".join(text.split(" ")[0] for text in columns.split("; "))
    op.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM {name}_before")
    op.drop_table(f"{name}_before")


def _aside(name: str) -> None:
    op.rename_table(name, f"{name}_before")
    op.drop_constraint(f"pk_{name}", f"{name}_before", type_="primary")


def _golden(name: str, columns: str, **options: Any) -> None:
    made = [_column(text) for text in columns.split("; ")]
    op.create_table(name, *made, sa.PrimaryKeyConstraint("node", "pk", name=f"pk_{name}"), **options)
