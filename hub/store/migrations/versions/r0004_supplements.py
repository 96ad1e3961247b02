"""Supplements waiting for review, rows in transit."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PRIVATE = "private data: never logged, masked on display"


def _number(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=not key, autoincrement=False)


def _text(name: str, size: int = 40, comment: str | None = None) -> sa.Column[Any]:
    kind = sa.String(size).with_variant(sa.String(size, collation="C"), "postgresql")
    return sa.Column(name, kind, comment=comment)


def _long(name: str, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), comment=comment)


def upgrade() -> None:
    op.create_table(
        "supplement_file",
        _number("file_no", key=True),
        *(_text(n, s) for n, s in (("file_name", 255), ("sha256", 80), ("school", 10), ("template", 60))),
        _text("operator", 80),
        _text("imported_at"),
        *(_number(n) for n in ("rows_total", "rows_wrong", "version", "corrects")),
        _long("sampled"),
        _long("note"),
        _number("run_no"),
        _number("extract_no"),
        sa.PrimaryKeyConstraint("file_no", name="pk_supplement_file"),
    )
    op.create_table(
        "supplement_row",
        _number("file_no", key=True),
        _number("row_no", key=True),
        *(_text(n, s) for n, s in (("state", 16), ("operator", 80), ("reviewer", 80), ("reviewed_at", 40))),
        _text("basis"),
        _long("reasons"),
        _long("cells", PRIVATE),
        sa.PrimaryKeyConstraint("file_no", "row_no", name="pk_supplement_row"),
        sa.CheckConstraint("reviewer IS NULL OR reviewer <> operator", name="ck_supplement_four_eyes"),
    )
    op.create_table(
        "transit_row",
        _number("transit_no", key=True),
        _text("entity", 20),
        _text("natural_key", 255, PRIVATE),
        *(_text(n, s) for n, s in (("school", 20), ("source", 80), ("kind", 16), ("src_rid", 64))),
        *(_number(n) for n in ("opened_run", "kind_run", "closed_run")),
        _text("outcome", 16),
        sa.PrimaryKeyConstraint("transit_no", name="pk_transit_row"),
    )


def downgrade() -> None:
    for name in ("transit_row", "supplement_row", "supplement_file"):
        op.drop_table(name)
