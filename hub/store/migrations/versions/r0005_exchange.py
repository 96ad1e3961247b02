"""Verdicts on single rows: what the ministry returned of a batch; how often a batch was shipped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text(name: str, length: int, *, key: bool = False) -> sa.Column[str]:
    kind = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=not key)


def _char(name: str, length: int) -> sa.Column[str]:
    kind = sa.CHAR(length).with_variant(sa.CHAR(length, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=not key, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "returned_row",
        _char("node", 2),
        _text("entity", 20, key=True),
        _char("pk", 20),
        _number("row_ver", key=True),
        _text("rule", 20, key=True),
        _text("field", 30, key=True),
        _text("src_rid", 64),
        _text("batch_id", 64),
        _number("file_no"),
        _number("row_no"),
        _text("returned_at", 40),
        _text("cleared_by", 64),
        sa.PrimaryKeyConstraint("node", "entity", "pk", "row_ver", "rule", "field", name="pk_returned_row"),
    )
    op.add_column("outbox", _number("sends"))


def downgrade() -> None:
    op.drop_column("outbox", "sends")
    op.drop_table("returned_row")
