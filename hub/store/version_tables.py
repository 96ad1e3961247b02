"""The ministry's timeline: one row per record version of every batch in force (house rule 8).

Decides only where a version came from: batch (as a change set number), file and line. What it said stands in the golden
row or among the versions that ended; when it was decided and under which receipt, in inbox and receipts. The key names
file and line too: two files of one batch may carry the same version of one record.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, char, text

_EPOCH: Final = 10**10


def number_of(epoch: int, seq: int) -> int:
    """The number under which a batch is a change set at the ministry."""
    return epoch * _EPOCH + seq


def place_of(number: int) -> tuple[int, int]:
    """(epoch, seq) of such a number."""
    return divmod(number, _EPOCH)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


RECORD_VERSION: Final = sa.Table(
    "record_version",
    METADATA,
    _key("node", char(2)),
    _key("entity", text(20)),
    _key("pk", char(20)),
    _key("row_ver", sa.BigInteger()),
    _key("cs_no", sa.BigInteger()),
    _key("file_no", sa.BigInteger()),
    _key("row_no", sa.BigInteger()),
    sa.Column("op", text(1)),
)
