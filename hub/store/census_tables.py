"""Tables of census and snapshots at the ministry (protocol 9.2, 9.3).

`census`: one row per census batch, what it compared and what became of it; `buckets` is JSON, entity to the list of
differing buckets, no personal data. A snapshot's rows wait in shadow tables (`hub.store.tables`).
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, long_text, text

CENSUS_METADATA: Final = sa.MetaData(naming_convention=METADATA.naming_convention)

CENSUS: Final = sa.Table(
    "census",
    CENSUS_METADATA,
    sa.Column("party", text(8), primary_key=True, nullable=False, autoincrement=False),
    sa.Column("stream", text(16), primary_key=True, nullable=False, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("state", text(16)),
    sa.Column("compared", sa.BigInteger),
    sa.Column("differing", sa.BigInteger),
    sa.Column("rows_there", sa.BigInteger),
    sa.Column("rows_here", sa.BigInteger),
    sa.Column("buckets", long_text()),
    sa.Column("control_no", sa.BigInteger),
    sa.Column("repaired_by", text(64)),
    sa.Column("decided_at", text(40)),
)
