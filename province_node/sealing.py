"""Sealing: change files into encrypted parts and signed manifests in the spool (protocol 6.1 step 1, 5.6).

Decides how a change set is cut into batches (at most 64 files and `max_batch_rows` rows, files whole and in order) and
what their manifests say. Leaves the transaction that makes them count to `publish`: until that commits, the spool
holds orphans, which `sweep` removes (protocol 6.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from cryptography import x509

from hub.batch import wire
from hub.batch.admission import check_trust, seal_certs
from hub.batch.cipher import UNVERIFIED_SUFFIX, PartDigest, encrypt_file
from hub.batch.grant import Position
from hub.batch.layout import NameKind, StreamId, batch_id, parse_name, part_name
from hub.batch.manifest import (
    CodesetRef,
    FileEntry,
    Manifest,
    Producer,
    Recipient,
    RowCounts,
    SchemaRef,
    StreamAck,
    Watermark,
    sign_manifest,
)
from hub.batch.sequence import BatchHeader, PeerStream, advance
from hub.changes import ChangeFile, Counts
from hub.errors import RefusedError
from hub.keyring import Keyring
from hub.transport.durable import local_disk, sync_folder

SOFTWARE: Final = "hub/0.1"
VALIDITY: Final = timedelta(days=30)
Random = Callable[[int], bytes]


@dataclass(frozen=True)
class Plan:
    """A batch to be: its place in the stream and the files it carries.

    `watermark`: given for what carries no change of its own (heartbeat, census, repair, snapshot part); otherwise the
    files' change-log ids.
    """

    stream_id: StreamId
    seq: int
    files: tuple[ChangeFile, ...]
    supersedes: str | None = None
    kind: str = "delta"
    part: tuple[int, int] | None = None
    watermark: Watermark | None = None
    codeset: CodesetRef | None = None
    """Registry version and code tables its rows were settled under; those in force without one."""

    @property
    def batch_id(self) -> str:
        return batch_id(self.stream_id, self.seq)


@dataclass(frozen=True)
class Sealed:
    """A signed batch: `digest` is over the manifest's payload, `envelope` what is shipped; `bytes` of all its parts."""

    manifest: Manifest
    digest: str
    envelope: bytes
    files: tuple[ChangeFile, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.digest.cms_size for entry in self.manifest.files)


@dataclass(frozen=True)
class SealedBatch:
    """A batch in the outbox: its parts, bytes and rows, who signed, for whom it is encrypted."""

    batch_id: str
    seq: int
    digest: str
    parts: int
    bytes: int
    rows: Counts
    signer: str
    recipients: tuple[str, ...]

    @property
    def detail(self) -> dict[str, str | int]:
        """For the audit record of sealing."""
        return {"digest": self.digest, "parts": self.parts, "bytes": self.bytes}


@dataclass(frozen=True)
class Terms:
    """What all manifests of a change set have in common."""

    keyring: Keyring
    schema: SchemaRef
    codeset: CodesetRef
    producer: Producer
    last_receipt: Position | None
    created: datetime
    ack: tuple[StreamAck, ...] = ()


def plan_batches(
    position: PeerStream, files: Sequence[ChangeFile], *, max_rows: int, max_files: int
) -> tuple[Plan, ...]:
    """Cuts the files, in their order, into batches after `position`; a file larger than `max_rows` goes alone."""
    groups: list[list[ChangeFile]] = []
    for file in files:
        full = groups and (
            len(groups[-1]) == max_files or sum(f.counts.rows for f in groups[-1]) + file.counts.rows > max_rows
        )
        if full or not groups:
            groups.append([])
        groups[-1].append(file)
    first = position.last_seq + 1
    return tuple(Plan(position.stream_id, first + i, tuple(group)) for i, group in enumerate(groups))


@contextmanager
def encrypting(
    plans: Sequence[Plan], spool: Path, certs: Sequence[x509.Certificate], rng: Random, *, threads: int
) -> Iterator[Callable[[], list[list[FileEntry]]]]:
    """Encrypts all parts in the background; the yielded function waits and returns the entries of each batch.

    `cryptography` releases the GIL, so this runs beside the database's work. On an error the rest is cancelled and
    what was written stays for `sweep`.
    """
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="seal")
    try:
        work: list[list[Future[FileEntry]]] = [
            [pool.submit(_part, plan.batch_id, n, file, spool, certs, rng) for n, file in enumerate(plan.files, 1)]
            for plan in plans
        ]

        def finished() -> list[list[FileEntry]]:
            entries = [[part.result() for part in parts] for parts in work]
            with local_disk("spool"):
                sync_folder(spool)
            return entries

        yield finished
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _part(
    batch: str, n: int, file: ChangeFile, spool: Path, certs: Sequence[x509.Certificate], rng: Random
) -> FileEntry:
    name = part_name(batch, n)
    with local_disk(name):
        groups = pq.read_metadata(file.path).num_row_groups
        digest: PartDigest = encrypt_file(file.path, spool / name, certs, rng)
    counts = RowCounts(file.counts.inserted, file.counts.updated, file.counts.deleted)
    return FileEntry(n, name, file.entity, digest, counts, groups)


def sign_batches(
    position: PeerStream, plans: Sequence[Plan], entries: Sequence[Sequence[FileEntry]], terms: Terms
) -> list[Sealed]:
    """Manifests in stream order, each chained to the one before. Refuses what the ministry would refuse (E_BUDGET)."""
    certs = seal_certs(position.stream_id, terms.keyring.trust, terms.created)
    recipients = tuple(Recipient(entry.party, entry.keyid) for entry in certs)
    result = []
    for plan, parts in zip(plans, entries, strict=True):
        manifest = Manifest(
            stream_id=plan.stream_id,
            seq=plan.seq,
            prev=position.last_digest,
            kind=plan.kind,
            part=plan.part,
            created=terms.created,
            expires=terms.created + VALIDITY,
            schema=terms.schema,
            codeset=plan.codeset or terms.codeset,
            watermark=plan.watermark or Watermark(plan.files[0].lo, plan.files[-1].hi),
            files=tuple(parts),
            recipients=recipients,
            producer=terms.producer,
            trust_version=terms.keyring.trust.version,
            supersedes=plan.supersedes,
            ack=terms.ack,
            last_receipt=terms.last_receipt,
        )
        check_trust(manifest, terms.keyring.trust, at=terms.created, where=manifest.batch_id)
        payload, envelope = sign_manifest(manifest, terms.keyring.signer)
        digest = wire.digest_of(payload)
        result.append(Sealed(manifest, digest, envelope, plan.files))
        position = advance(position, BatchHeader.of(manifest, digest))
    return result


def after(position: PeerStream, batches: Sequence[Sealed]) -> PeerStream:
    """The stream's position after these batches."""
    for batch in batches:
        position = advance(position, BatchHeader.of(batch.manifest, batch.digest))
    return position


def summary(batch: Sealed, signer: str) -> SealedBatch:
    """What a person is told about a sealed batch. `signer`: key id."""
    manifest = batch.manifest
    rows = Counts(manifest.rows.inserted, manifest.rows.updated, manifest.rows.deleted)
    recipients = tuple(r.party for r in manifest.recipients)
    return SealedBatch(
        manifest.batch_id, manifest.seq, batch.digest, len(manifest.files), batch.bytes, rows, signer, recipients
    )


def producer(party: str, settings: bytes, run: int) -> Producer:
    """Who made a batch: node, software, digest of its settings file, run. Free of personal data."""
    return Producer(f"p{party}-hub", SOFTWARE, "sha256:" + hashlib.sha256(settings).hexdigest(), f"run-{run}")


def sweep(spool: Path, position: PeerStream) -> int:
    """Removes spool files of batches after `position`: they were never sealed (protocol 6.4). Returns how many."""
    if not spool.is_dir():
        return 0
    gone = 0
    with local_disk("spool"):
        for path in sorted(spool.iterdir()):
            if _is_orphan(path.name, position):
                path.unlink()
                gone += 1
        sync_folder(spool)
    return gone


def _is_orphan(name: str, position: PeerStream) -> bool:
    if name.endswith(UNVERIFIED_SUFFIX):
        return True
    try:
        parsed = parse_name(name)
    except RefusedError:
        return False
    if parsed.kind not in (NameKind.PART, NameKind.MANIFEST) or parsed.seq is None or parsed.stream_id is None:
        return False
    flow = replace(position.stream_id, epoch=parsed.stream_id.epoch)
    return parsed.stream_id == flow and (parsed.stream_id.epoch, parsed.seq) > (
        position.stream_id.epoch,
        position.last_seq,
    )
