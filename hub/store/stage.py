"""Temporary tables of an apply and of a read by record number: their shapes, once for all databases.

SQLite and PostgreSQL make them when they are needed (`Temporary`). On Oracle DDL commits, so there they stand as global
temporary tables that `Store.upgrade` makes, one `s_<entity>` for the rows of each golden table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hub.changes import PK_LENGTH
from hub.store.ledger import char
from hub.store.tables import plain_columns

STAGE, TWICE, EFFECT, WANTED, INCOMING = "stage_rows", "stage_twice", "stage_effect", "stage_wanted", "stage_incoming"


def rows_table(table: sa.Table, *, keyed: bool, name: str = STAGE) -> sa.Table:
    """Row order, operation, then what a change row brings of the golden table."""
    order = sa.Column(
        "ord", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=keyed, autoincrement=False
    )
    rest = [sa.Column(c.name, c.type) for c in plain_columns(table)]
    return _temporary(name, order, sa.Column("op", sa.CHAR(1)), *rest)


def twice_table() -> sa.Table:
    """Record numbers that came more than once."""
    return _temporary(TWICE, sa.Column("pk", char(PK_LENGTH)))


def effect_table() -> sa.Table:
    """The staged rows that take effect, with the versions they meet."""
    order, ver_row, ver_grave = (sa.Column(n, sa.BigInteger) for n in ("ord", "ver_row", "ver_grave"))
    return _temporary(EFFECT, order, sa.Column("pk", char(PK_LENGTH)), sa.Column("op", sa.CHAR(1)), ver_row, ver_grave)


def wanted_table() -> sa.Table:
    """Record numbers a reader asks for."""
    return _temporary(WANTED, sa.Column("pk", char(PK_LENGTH), primary_key=True, nullable=False))


def _temporary(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])


def key_table(target: sa.Table, keys: Sequence[str]) -> sa.Table:
    """Keys whose stored rows give way."""
    return _temporary(INCOMING, *(sa.Column(k, target.c[k].type) for k in keys))
