"""Down streams at the ministry: sealing what provinces are to hear, shipping it, hearing that it arrived.

    with store.begin() as tx:                                  # beside the rows that caused it
        seal(tx, sender, stream="errors", party="13", parts=parts, subject="quarantine 13-up-…")
    ship(sender)                                               # after the commit; repeatable
    seal_down(node, stream="codes", party="00", tables={…}, subject="registry 2", at=now, rng=os.urandom)   # all in one

Decides that a batch of a down stream is sealed once, next in its stream, in the caller's transaction (protocol 6.1):
parts lie in the spool, manifest bytes in `down_batch`, the position in `peer_stream` under direction `dn`. Parts of
`errors` and `case` are encrypted for the province, the escrow and ourselves; those of `codes` are public Parquet with
`cms_*` repeating size and digest (protocol 2.7). A spool file after the position is an orphan of a transaction that
did not commit and is swept before the next sealing. The province answers in `ack.dn` of its manifests (3.3).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, Result, append
from hub.batch import wire
from hub.batch.admission import check_trust, seal_certs
from hub.batch.cipher import PartDigest, encrypt_file
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import EVERYONE, NameKind, StreamId, batch_id, manifest_name, parse_name, part_name
from hub.batch.manifest import (
    CodesetRef,
    FileEntry,
    Manifest,
    Producer,
    Recipient,
    Watermark,
    read_manifest,
    sign_manifest,
)
from hub.batch.sequence import BatchHeader, advance
from hub.catalog import load_catalog
from hub.down import flow
from hub.down.form import CODES, DOWN, PlainPart, schema_ref, write_part
from hub.errors import HubError, RefusedError
from hub.keyring import Keyring, open_keyring
from hub.registry.versions import codeset_of
from hub.settings import FILE, Node
from hub.store import Store, Transaction, open_store
from hub.store.registry_tables import DOWN_BATCH
from hub.transport import ServerTransport, open_server
from hub.transport.durable import local_disk, sync_folder
from ministry_node.desk import require_ministry

SOFTWARE: Final = "hub/0.1"
ACTOR: Final = "hub"
# A province that was cut off for long must still get the registry: only the sequence decides what is old.
VALIDITY: Final = timedelta(days=400)
Random = Callable[[int], bytes]


@dataclass(frozen=True)
class Sender:
    """What sealing and shipping need. `at`: aware, now; `rng(n)`: n random bytes."""

    node: Node
    store: Store
    keyring: Keyring
    server: ServerTransport
    at: datetime
    rng: Random


@dataclass(frozen=True)
class DownBatch:
    """A sealed batch of a down stream; `subject` is what it is about, as the audit names it."""

    batch_id: str
    stream_id: StreamId
    seq: int
    digest: str
    parts: tuple[str, ...]
    rows: int
    subject: str


def seal_down(
    node: Node, *, stream: str, party: str, tables: Mapping[str, Any], subject: str, at: datetime, rng: Random
) -> DownBatch:
    """Seals Arrow tables (by table name of the stream) as the stream's next batch and ships it.

    `party`: province code, `00` for `codes`; `subject`: up to 80 characters without personal data. Raises `UsageError`
    E1005 at a province, `NotInitialisedError` E3431 without an epoch grant, `HubError` E3433 when the stream is frozen,
    and what keyring, store and disk raise; nothing is sealed then.
    """
    require_ministry(node)
    store = open_store(node.database_url, load_catalog())
    try:
        sender = Sender(node, store, open_keyring(node, at=at), open_server(node.transport_url), at, rng)
        parts = plain_parts(sender, stream, tables)
        try:
            with store.begin() as tx:
                sealed = seal(tx, sender, stream=stream, party=party, parts=parts, subject=subject)
        finally:
            for part in parts:
                part.path.unlink(missing_ok=True)
        ship(sender)
        return sealed
    finally:
        store.close()


def plain_parts(sender: Sender, stream: str, tables: Mapping[str, Any]) -> tuple[PlainPart, ...]:
    """Writes each table as a plain part into `work/`; the caller removes them after sealing."""
    folder = sender.node.work / "down"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = sender.rng(8).hex()
    return tuple(
        write_part(folder / f"{token}-{name}.parquet", stream, name, rows, nonce=sender.rng(32).hex())
        for name, rows in tables.items()
    )


def seal(
    tx: Transaction, sender: Sender, *, stream: str, party: str, parts: Sequence[PlainPart], subject: str
) -> DownBatch:
    """Seals plain parts as the next batch of (party, stream), in the caller's transaction; it is shipped by `ship`.

    Raises as `seal_down`. When the transaction does not commit, nothing was sealed and the next sealing takes the
    number. The plain files stay the caller's.
    """
    here = flow.required(flow.standing(tx.connection, sender.keyring, stream, party, lock=True), stream, party)
    if here.stream.frozen is not None:
        raise HubError(
            "E3433",
            f"下行数据流已冻结（{here.stream.frozen}），不再封装",
            where=str(here.stream.stream_id),
            step="查明原因，签发新的期次授权后重试",
        )
    if here.stored != here.stream.stream_id.epoch:
        _audit(tx, sender, Event.STREAM_OPENED, str(here.stream.stream_id), {"grant": here.stream.last_digest})
    batch = batch_id(here.stream.stream_id, here.stream.last_seq + 1)
    _sweep(sender.node.spool, here)
    entries = tuple(_seal_part(sender, batch, n, part) for n, part in enumerate(parts, 1))
    with local_disk("spool"):
        sync_folder(sender.node.spool)
    manifest = _manifest(sender, here, entries, codeset_of(tx.connection, load_catalog()))
    check_trust(manifest, sender.keyring.trust, at=sender.at, where=batch)
    payload, envelope = sign_manifest(manifest, sender.keyring.signer)
    digest = wire.digest_of(payload)
    flow.move(tx.connection, here, advance(here.stream, BatchHeader.of(manifest, digest)), manifest.watermark.hi)
    sealed = DownBatch(
        batch, manifest.stream_id, manifest.seq, digest, tuple(e.name for e in entries), manifest.rows.total, subject
    )
    _store(tx, sender, sealed, manifest, envelope)
    return sealed


def ship(sender: Sender, *, again: bool = False) -> tuple[str, ...]:
    """Publishes sealed batches to `out/` (or `pub/` of every province), parts first; returns their numbers.

    Repeatable: the same bytes again change nothing. `again`: also those shipped before, for a province that joined or
    lost its folder. Raises `HubError` E2405 when other bytes lie under a name, E2411 when the spool has lost a part.
    """
    c = DOWN_BATCH.c
    query = sa.select(c.envelope, c.batch_id).order_by(c.party, c.stream, c.epoch, c.seq)
    with sender.store.reading() as reader:
        rows = reader.connection.execute(query if again else query.where(c.shipped_at.is_(None))).all()
    for envelope, batch in rows:
        _publish(sender, batch, bytes(envelope))
        with sender.store.begin() as tx:
            done = tx.connection.execute(
                sa.update(DOWN_BATCH)
                .where(c.batch_id == batch, c.shipped_at.is_(None))
                .values(shipped_at=wire.write_utc(sender.at))
            )
            if done.rowcount:
                _audit(tx, sender, Event.DOWN_SENT, batch, {})
    return tuple(batch for _, batch in rows)


def note_acks(connection: sa.Connection, manifest: Manifest, *, node: Node, at: datetime) -> tuple[str, ...]:
    """Marks what an up manifest acknowledges (`ack.dn`, protocol 3.3), in the transaction that consumes the manifest.

    Returns the streams whose acknowledgement does not fit what was sealed: noted in the audit as refused, for a person
    to look at; the up batch is not held for it.
    """
    wrong, party, c = [], manifest.stream_id.party, DOWN_BATCH.c
    for ack in manifest.ack:
        whose = EVERYONE if ack.stream == CODES else party
        mine = sa.and_(c.party == whose, c.stream == ack.stream, c.epoch == ack.epoch)
        known = connection.execute(sa.select(c.digest).where(mine, c.seq == ack.seq)).scalar_one_or_none()
        if known != ack.digest:
            wrong.append(ack.stream)
            detail: dict[str, str | int] = {"stream": ack.stream, "epoch": ack.epoch, "seq": ack.seq}
            append(connection, Event.DOWN_ACKED, ts=at, node=node.party, actor="intake", object=manifest.batch_id,
                   result=Result.REFUSED, detail=detail)  # fmt: skip
        elif whose != EVERYONE:  # a public batch is read by many: one province's answer does not end it
            connection.execute(
                sa.update(DOWN_BATCH)
                .where(mine, c.seq <= ack.seq, c.acked_at.is_(None))
                .values(acked_at=wire.write_utc(at))
            )
    return tuple(wrong)


def _manifest(sender: Sender, here: flow.Standing, entries: tuple[FileEntry, ...], codeset: CodesetRef) -> Manifest:
    stream_id, seq, trust = here.stream.stream_id, here.stream.last_seq + 1, sender.keyring.trust
    config = "sha256:" + hashlib.sha256((sender.node.folder / FILE).read_bytes()).hexdigest()
    rows = sum(entry.rows.total for entry in entries)
    return Manifest(
        stream_id=stream_id,
        seq=seq,
        prev=here.stream.last_digest,
        kind="delta",
        created=sender.at,
        expires=sender.at + VALIDITY,
        schema=schema_ref(stream_id.stream),
        codeset=codeset,
        watermark=Watermark(here.hi + 1, here.hi + rows),
        files=entries,
        recipients=tuple(Recipient(e.party, e.keyid) for e in seal_certs(stream_id, trust, sender.at)),
        producer=Producer("moe-hub", SOFTWARE, config, str(stream_id)),
        trust_version=trust.version,
    )


def _seal_part(sender: Sender, batch: str, n: int, part: PlainPart) -> FileEntry:
    stream_id = parse_name(manifest_name(batch)).stream_id
    if stream_id is None:
        raise RuntimeError("a manifest name names its stream")
    spool = sender.node.spool
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stream_id.party == EVERYONE:
        name = part_name(batch, n, "parquet")
        with local_disk(name):
            shutil.copyfile(part.path, spool / name)
            body = (spool / name).read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        return FileEntry(
            n, name, part.entity, PartDigest(len(body), digest, len(body), digest), part.rows, part.row_groups
        )
    name = part_name(batch, n)
    certs = [entry.cert for entry in seal_certs(stream_id, sender.keyring.trust, sender.at)]
    with local_disk(name):
        sealed = encrypt_file(part.path, spool / name, certs, sender.rng)
    return FileEntry(n, name, part.entity, sealed, part.rows, part.row_groups)


def _sweep(spool: Path, here: flow.Standing) -> None:
    """Removes spool files of this stream after its position: their transaction did not commit (protocol 6.4)."""
    for path in _named(spool):
        parsed = parse_name(path.name)
        same = parsed.stream_id == here.stream.stream_id and parsed.kind is NameKind.PART
        if same and parsed.seq is not None and parsed.seq > here.stream.last_seq:
            path.unlink()


def _named(spool: Path) -> Iterable[Path]:
    for path in sorted(spool.glob(f"*-{DOWN}-*")):
        try:
            parse_name(path.name)
        except RefusedError:
            path.unlink()  # half-written: encryption works under a temporary name
            continue
        yield path


def _store(tx: Transaction, sender: Sender, sealed: DownBatch, manifest: Manifest, envelope: bytes) -> None:
    stream_id, rows = sealed.stream_id, manifest.rows
    tx.connection.execute(
        sa.insert(DOWN_BATCH),
        {
            "party": stream_id.party,
            "stream": stream_id.stream,
            "epoch": stream_id.epoch,
            "seq": sealed.seq,
            "batch_id": sealed.batch_id,
            "digest": sealed.digest,
            "subject": sealed.subject,
            "rows_i": rows.inserted,
            "rows_u": rows.updated,
            "rows_d": rows.deleted,
            "parts": len(sealed.parts),
            "bytes": sum(entry.digest.cms_size for entry in manifest.files),
            "envelope": envelope,
            "sealed_at": wire.write_utc(sender.at),
        },
    )
    detail: dict[str, str | int] = {"digest": sealed.digest, "rows": sealed.rows, "subject": sealed.subject}
    _audit(tx, sender, Event.DOWN_SEALED, sealed.batch_id, detail)


def _publish(sender: Sender, batch: str, envelope: bytes) -> None:
    name = manifest_name(batch)
    manifest = read_manifest(parse(envelope, PayloadType.BATCH_MANIFEST, where=name).payload, where=name)
    party = manifest.stream_id.party
    files: list[tuple[str, bytes | Path]] = [(e.name, sender.node.spool / e.name) for e in manifest.files]
    for file, content in [*files, (name, envelope)]:
        if party == EVERYONE:
            sender.server.publish_pub(file, content, provinces(sender.keyring))
        else:
            sender.server.publish(party, file, content)


def provinces(keyring: Keyring) -> tuple[str, ...]:
    """The provinces of the trust list: whose `pub/` holds what is for all."""
    return tuple(sorted(p for p in keyring.trust.members if p.isdigit() and p != EVERYONE))


def _audit(tx: Transaction, sender: Sender, event: Event, subject: str, detail: Mapping[str, str | int]) -> None:
    append(
        tx.connection, event, ts=sender.at, node=sender.node.party, actor=ACTOR, object=subject, detail=detail or None
    )
