"""Where the rows of a batch came from: parts, digests of the plaintext, change-log ids (house rule 8).

Decides that a batch of the exchange is a change set here, numbered by epoch and seq in one number.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.batch.manifest import Manifest
from hub.census import CENSUS, KINDS
from hub.store.ledger import LINEAGE
from hub.store.version_tables import number_of


def change_set_number(manifest: Manifest) -> int:
    """The number under which a batch is a change set here."""
    return number_of(manifest.stream_id.epoch, manifest.seq)


def write_lineage(connection: sa.Connection, manifest: Manifest) -> None:
    """One row per file of rows, in the transaction that applies the batch.

    Rows of a repair or of a snapshot are no changes of the log: `lo` and `hi` stay empty there.
    """
    number, counted = change_set_number(manifest), manifest.kind not in KINDS
    lo, rows = manifest.watermark.lo, []
    for entry in manifest.files:
        if entry.entity == CENSUS:
            continue
        hi = lo + entry.rows.total - 1
        rows.append(
            {
                "node": manifest.stream_id.party,
                "cs_no": number,
                "entity": entry.entity,
                "file_name": entry.name,
                "sha256": f"sha256:{entry.digest.plain_sha256}",
                "lo": lo if counted else None,
                "hi": hi if counted else None,
                "rows_i": entry.rows.inserted,
                "rows_u": entry.rows.updated,
                "rows_d": entry.rows.deleted,
                "extracts": None,
                "batch_id": manifest.batch_id,
            }
        )
        lo = hi + 1
    if rows:
        connection.execute(sa.insert(LINEAGE), rows)
