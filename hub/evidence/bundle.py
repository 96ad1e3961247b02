"""A stored batch as a zip that `hub verify` checks without database or network (console 5, protocol 13.8).

Decides what goes in: the manifest's envelope, the receipts and the ciphertext, byte for byte as they are kept.
Plaintext never does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from hub.batch.layout import manifest_name, receipt_name
from hub.evidence.kept import Kept, find, receipt_envelope


def write_evidence(kept: Kept, target: Path) -> tuple[str, ...]:
    """Writes the zip; returns the names of files this node no longer keeps."""
    missing = []
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as archive:
        for name, content in _members(kept):
            inside = f"{kept.batch_id}/{name}"
            if content is None:
                missing.append(name)
            elif isinstance(content, Path):
                archive.write(content, inside)
            else:
                archive.writestr(inside, content)
    return tuple(missing)


def _members(kept: Kept) -> Iterator[tuple[str, bytes | Path | None]]:
    manifest = kept.manifest()
    yield manifest_name(kept.batch_id), kept.envelope
    for entry in manifest.files if manifest else ():
        yield entry.name, find(kept.folders, entry.name)
    for row in kept.receipts:
        name = str(row["name"] or receipt_name(kept.batch_id, int(row["receipt_no"])))
        yield name, receipt_envelope(kept, row, name)
