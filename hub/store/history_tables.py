"""Columns and tables of history: when a version was held, and what of it lies in the archive.

Decides shapes only. A golden row says since when it is held (`held_from`; NULL: since before moments were noted); a
version that ended lies in `h_<entity>` with `held_to` and why it ended, until `hub archive run` moves it into Parquet
files that `archive_file` lists, one row per file, each row's digest covering the row before it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, char, text

HELD_FROM: Final = "held_from"
HELD_TO: Final = "held_to"
ENDED: Final = "ended"
# Why a version ended: another took its place, the record was deleted, a snapshot or a census repair set all anew.
REPLACED, DELETED, RESET = "U", "D", "R"

HISTORY_METADATA: Final = sa.MetaData(naming_convention=METADATA.naming_convention)


def moment(at: datetime) -> str:
    """Aware datetime -> `2026-11-23T05:51:20.123Z`: of one width, so that moments compare as texts do."""
    if at.tzinfo is None:
        raise RuntimeError("a moment needs a time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_column(name: str) -> sa.Column[Any]:
    """UTC, as `moment` writes it."""
    return sa.Column(name, text(24))


def closing_columns() -> tuple[sa.Column[Any], ...]:
    """What a version that ended has beside the columns of a golden row."""
    return moment_column(HELD_FROM), moment_column(HELD_TO), sa.Column(ENDED, sa.CHAR(1))


ARCHIVE_FILE: Final = sa.Table(
    "archive_file",
    HISTORY_METADATA,
    sa.Column("file_no", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("node", char(2)),
    sa.Column("entity", text(20)),
    sa.Column("held_year", sa.BigInteger),
    sa.Column("file_name", text(120)),
    sa.Column("rows_kept", sa.BigInteger),
    sa.Column("file_size", sa.BigInteger),
    sa.Column("sha256", text(80)),
    sa.Column("first_to", text(24)),
    sa.Column("last_to", text(24)),
    sa.Column("state", text(16)),
    sa.Column("archived_at", text(24)),
    sa.Column("prev", text(80)),
    sa.Column("digest", text(80)),
)
