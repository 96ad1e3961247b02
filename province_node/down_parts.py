"""From a believed manifest of a down stream to its tables (protocol 6.2: the order of the checks).

Decides whether the content is what the manifest says: kind, schema, validity, watermark; then per part size and digest
of what arrived, its recipients, the plaintext's digest, the registered columns within the limits, and the rows per
operation. Nothing is decrypted or decoded before its digest held. Touches the given folder only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hub.batch.admission import VerifiedManifest, recipient_certs
from hub.batch.cipher import check_cipher_file, check_recipients, decrypt_file
from hub.batch.content import check_counts, check_watermark
from hub.batch.layout import EVERYONE
from hub.batch.manifest import FileEntry, Manifest, RowCounts
from hub.batch.sequence import check_window
from hub.down.form import read_part, schema_ref
from hub.keyring import Keyring
from hub.transport import ClientTransport
from hub.verdict import refused


@dataclass(frozen=True)
class Received:
    """A batch that may be believed: `tables` by the stream's table names, as Arrow tables with the head columns.

    `public`: of the public stream, the bytes of each part as they were signed, to be kept as evidence.
    """

    manifest: Manifest
    digest: str
    signer: str
    tables: Mapping[str, Any]
    at: datetime
    public: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def batch_id(self) -> str:
        return self.manifest.batch_id


def open_received(
    verified: VerifiedManifest,
    *,
    previous_hi: int,
    transport: ClientTransport,
    keyring: Keyring,
    work: Path,
    at: datetime,
) -> Received:
    """Fetches and opens the parts in `work`, which is empty of them again on return.

    `previous_hi`: last change-log id taken in; `at`: time of receipt. Raises RefusedError with a protocol 7.3 code,
    NotThereError while a part is not there yet, and the transport's retryable errors.
    """
    manifest, where = verified.manifest, verified.manifest.batch_id
    check_window(manifest.created, manifest.expires, first_seen=at, where=where)
    if manifest.kind != "delta" or manifest.schema != schema_ref(manifest.stream_id.stream):
        raise refused("E_SCHEMA", "下行批次的种类或数据结构没有登记", where=where)
    check_watermark(manifest.watermark, previous_hi=previous_hi, rows=manifest.rows.total, where=where)
    tables: dict[str, Any] = {}
    counted: dict[int, RowCounts] = {}
    public: dict[str, bytes] = {}
    for entry in manifest.files:
        if entry.entity in tables:
            raise refused("E_SCHEMA", "同一批次中一张表出现两次", where=entry.name)
        plain = _plain(manifest, entry, transport, keyring, work, at)
        try:
            tables[entry.entity], counted[entry.n] = read_part(
                plain, manifest.stream_id.stream, entry.entity, keyring.trust.limits, where=entry.name
            )
            if manifest.stream_id.party == EVERYONE:
                public[entry.entity] = plain.read_bytes()
        finally:
            plain.unlink()
    check_counts(manifest, counted, where=where)
    return Received(manifest, verified.digest, verified.signer.keyid, tables, at, public)


def _plain(
    manifest: Manifest, entry: FileEntry, transport: ClientTransport, keyring: Keyring, work: Path, at: datetime
) -> Path:
    """The part as plain Parquet: as it came for the public party, decrypted otherwise."""
    public = manifest.stream_id.party == EVERYONE
    got = work / entry.name
    (transport.get_pub if public else transport.get)(entry.name, got, entry.digest.cms_size)
    try:
        check_cipher_file(got, entry.digest)
        if public:
            return got.rename(got.with_suffix(".plain"))
        certs = recipient_certs(manifest, keyring.trust, at=at)
        check_recipients(got, [listed.cert for listed in certs])
        key, cert = keyring.opening([listed.keyid for listed in certs])
        decrypt_file(got, got.with_suffix(".plain"), key, cert, expect=entry.digest)
        return got.with_suffix(".plain")
    finally:
        got.unlink(missing_ok=True)
