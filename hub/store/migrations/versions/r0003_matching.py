"""Down streams and versions of the authority registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _text(name: str, length: int, *, key: bool = False) -> sa.Column[str]:
    kind = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=not key)


def _fixed(name: str, length: int) -> sa.Column[str]:
    kind = sa.CHAR(length).with_variant(sa.CHAR(length, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _long(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text().with_variant(sa.Text(collation="C"), "postgresql"))


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=not key, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "down_batch",
        _text("party", 8, key=True),
        _text("stream", 16, key=True),
        _number("epoch", key=True),
        _number("seq", key=True),
        _text("batch_id", 64),
        _text("digest", 80),
        _text("subject", 80),
        *(_number(n) for n in ("rows_i", "rows_u", "rows_d", "parts", "bytes")),
        sa.Column("envelope", sa.LargeBinary),
        *(_text(n, 40) for n in ("sealed_at", "shipped_at", "acked_at")),
        sa.PrimaryKeyConstraint("party", "stream", "epoch", "seq", name="pk_down_batch"),
    )
    op.create_table(
        "registry_version",
        _number("version", key=True),
        _text("digest", 80),
        _text("state", 16),
        _long("document"),
        _long("codes"),
        _text("note", 400),
        _text("batch_id", 64),
        _text("signer", 80),
        sa.Column("evidence", sa.LargeBinary),
        _text("created", 40),
        _text("applied_at", 40),
        sa.PrimaryKeyConstraint("version", name="pk_registry_version"),
    )
    op.create_table(
        "row_registry",
        _fixed("node", 2),
        _text("entity", 20, key=True),
        _fixed("pk", 20),
        _number("version"),
        sa.PrimaryKeyConstraint("node", "entity", "pk", name="pk_row_registry"),
    )


def downgrade() -> None:
    op.drop_table("row_registry")
    op.drop_table("registry_version")
    op.drop_table("down_batch")
