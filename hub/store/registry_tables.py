"""Tables of the down streams and of the authority registry; described here, taken up by `hub.store.tables`.

Decides columns and keys under the rules of `ledger`: keys assigned by the application, moments as text, JSON as text.
`down_batch` is the ministry's outbox of the down streams (the province keeps what it took in as `inbox` rows);
`registry_version` holds every version of the registry a node published or received: `document` as it was signed,
`evidence` the bytes of the part that carried it; `registry_codes` the code tables that belong to a version, as JSON,
with the bytes of the part that carried them; `row_registry` the version of rows settled under another than the first.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, char, long_text, text

DOWN_BATCH: Final = sa.Table(
    "down_batch",
    METADATA,
    *(sa.Column(n, text(s), primary_key=True, nullable=False) for n, s in (("party", 8), ("stream", 16))),
    *(sa.Column(n, sa.BigInteger, primary_key=True, nullable=False, autoincrement=False) for n in ("epoch", "seq")),
    sa.Column("batch_id", text(64)),
    sa.Column("digest", text(80)),
    sa.Column("subject", text(80)),
    *(sa.Column(n, sa.BigInteger) for n in ("rows_i", "rows_u", "rows_d", "parts", "bytes")),
    sa.Column("envelope", sa.LargeBinary),
    *(sa.Column(n, text(40)) for n in ("sealed_at", "shipped_at", "acked_at")),
)
sa.Index("ix_down_batch_sealed", DOWN_BATCH.c.sealed_at, DOWN_BATCH.c.batch_id)
sa.Index("ix_down_batch_shipped", DOWN_BATCH.c.shipped_at, DOWN_BATCH.c.party)
REGISTRY_VERSION: Final = sa.Table(
    "registry_version",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("digest", text(80)),
    sa.Column("state", text(16)),
    sa.Column("document", long_text()),
    sa.Column("codes", long_text()),
    sa.Column("note", text(400)),
    sa.Column("batch_id", text(64)),
    sa.Column("signer", text(80)),
    sa.Column("evidence", sa.LargeBinary),
    *(sa.Column(n, text(40)) for n in ("created", "applied_at")),
)
REGISTRY_CODES: Final = sa.Table(
    "registry_codes",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("tables", long_text()),
    sa.Column("evidence", sa.LargeBinary),
)
ROW_REGISTRY: Final = sa.Table(
    "row_registry",
    METADATA,
    sa.Column("node", char(2), primary_key=True, nullable=False),
    sa.Column("entity", text(20), primary_key=True, nullable=False),
    sa.Column("pk", char(20), primary_key=True, nullable=False),
    sa.Column("version", sa.BigInteger),
)
