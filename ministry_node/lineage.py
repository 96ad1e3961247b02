"""Where the rows of a batch came from: parts, digests of the plaintext, change-log ids (house rule 8).

Decides that a batch of the exchange is a change set here, numbered by epoch and seq in one number.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from hub.batch.manifest import FileEntry, Manifest, RowCounts
from hub.changes import joint_digest
from hub.store.ledger import LINEAGE

_FILE_NAMES: Final = 255
_EPOCH: Final = 10**10


def change_set_number(manifest: Manifest) -> int:
    """The number under which a batch is a change set here."""
    return manifest.stream_id.epoch * _EPOCH + manifest.seq


def write_lineage(connection: sa.Connection, manifest: Manifest) -> None:
    """One row per entity, in the transaction that applies the batch."""
    number = change_set_number(manifest)
    lo, spans = manifest.watermark.lo, dict[str, list[tuple[FileEntry, int]]]()
    for entry in manifest.files:
        spans.setdefault(entry.entity, []).append((entry, lo))
        lo += entry.rows.total
    for entity, some in spans.items():
        last, last_lo = some[-1]
        connection.execute(
            sa.insert(LINEAGE),
            {
                "node": manifest.stream_id.party,
                "cs_no": number,
                "entity": entity,
                "file_name": ",".join(entry.name for entry, _ in some)[:_FILE_NAMES],
                "sha256": joint_digest([entry.digest.plain_sha256 for entry, _ in some]),
                "lo": some[0][1],
                "hi": last_lo + last.rows.total - 1,
                **_operations([entry.rows for entry, _ in some]),
                "extracts": None,
                "batch_id": manifest.batch_id,
            },
        )


def _operations(rows: list[RowCounts]) -> dict[str, int]:
    return {
        "rows_i": sum(r.inserted for r in rows),
        "rows_u": sum(r.updated for r in rows),
        "rows_d": sum(r.deleted for r in rows),
    }
