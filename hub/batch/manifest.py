"""Batch manifests as values: build, sign and read (protocol 3).

Decides the form: which payload bytes are a manifest, and that members saying the same thing twice agree. Whether it
may be believed is `admission`'s, where it stands in the stream `sequence`'s, whether the files are what it says
`cipher`'s and `content`'s. Unknown members are kept in the payload bytes and ignored (protocol 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.batch import strictjson, wire
from hub.batch.cipher import PartDigest
from hub.batch.envelope import PayloadType
from hub.batch.envelope import build as build_envelope
from hub.batch.grant import Position
from hub.batch.layout import EVERYONE, StreamId, batch_id, manifest_name, part_name
from hub.trust.keys import SUITE_I1, Signer
from hub.verdict import refused


@dataclass(frozen=True)
class RowCounts:
    """Rows per operation."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """All rows."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class FileEntry:
    """One payload file; `n` from 1, sizes and digests as `cipher.encrypt_file` gave them."""

    n: int
    name: str
    entity: str
    digest: PartDigest
    rows: RowCounts
    row_groups: int


@dataclass(frozen=True)
class Recipient:
    """Party and key id of the encryption certificate used."""

    party: str
    enc_key: str


@dataclass(frozen=True)
class SchemaRef:
    """Registered schema; the receiver holds the same digest."""

    id: str
    version: str
    digest: str


@dataclass(frozen=True)
class CodesetRef:
    """Registered set of code tables."""

    version: int
    digest: str


@dataclass(frozen=True)
class Producer:
    """Who made the batch; free of personal data."""

    node: str
    sw: str
    config: str
    job: str


@dataclass(frozen=True)
class Watermark:
    """Change-log ids covered, both ends included; without changes `hi` = `lo` - 1. Decimal strings on the wire."""

    lo: int
    hi: int


@dataclass(frozen=True)
class StreamAck:
    """What the sender has verified of one stream of the other direction."""

    stream: str
    epoch: int
    seq: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """A manifest as values. `audit` is passed through unread (protocol 13.4)."""

    stream_id: StreamId
    seq: int
    prev: str
    kind: str
    created: datetime
    expires: datetime
    schema: SchemaRef
    codeset: CodesetRef
    watermark: Watermark
    files: tuple[FileEntry, ...]
    recipients: tuple[Recipient, ...]
    producer: Producer
    trust_version: int
    part: tuple[int, int] | None = None
    supersedes: str | None = None
    ack: tuple[StreamAck, ...] = ()
    last_receipt: Position | None = None
    audit: dict[str, Any] | None = None
    suite: str = SUITE_I1

    @property
    def batch_id(self) -> str:
        """`13-up-main-e0001-s0000000042`."""
        return batch_id(self.stream_id, self.seq)

    @property
    def sender(self) -> str:
        """`from` on the wire."""
        return self.stream_id.sender

    @property
    def rows(self) -> RowCounts:
        """Declared rows of all files together."""
        return RowCounts(
            sum(entry.rows.inserted for entry in self.files),
            sum(entry.rows.updated for entry in self.files),
            sum(entry.rows.deleted for entry in self.files),
        )


def digest(payload: bytes) -> str:
    """Digest of protocol 3.5: over the payload bytes, never the envelope."""
    return wire.digest_of(payload)


def manifest_payload(manifest: Manifest) -> bytes:
    """Canonical payload bytes (RFC 8785); what the receiver's shape check would refuse is refused here."""
    data = {
        "v": wire.PROTOCOL_VERSION,
        "suite": manifest.suite,
        "from": manifest.stream_id.sender,
        "to": [manifest.stream_id.receiver],
        "stream": manifest.stream_id.stream,
        "dir": manifest.stream_id.direction,
        "epoch": manifest.stream_id.epoch,
        "seq": manifest.seq,
        "prev": manifest.prev,
        "batch_id": manifest.batch_id,
        "kind": manifest.kind,
        "part": {"i": manifest.part[0], "k": manifest.part[1]} if manifest.part else None,
        "created": wire.write_utc(manifest.created),
        "expires": wire.write_utc(manifest.expires),
        "schema": {"id": manifest.schema.id, "version": manifest.schema.version, "digest": manifest.schema.digest},
        "codeset": {"version": manifest.codeset.version, "digest": manifest.codeset.digest},
        "watermark": {"lo": str(manifest.watermark.lo), "hi": str(manifest.watermark.hi)},
        "files": [_write_file(entry) for entry in manifest.files],
        "recipients": [{"party": entry.party, "enc_key": entry.enc_key} for entry in manifest.recipients],
        "producer": vars(manifest.producer),
        "supersedes": manifest.supersedes,
        "ack": {
            "dn": [vars(entry) for entry in manifest.ack],
            "last_receipt": manifest.last_receipt.to_wire() if manifest.last_receipt else None,
        },
        "trust_version": manifest.trust_version,
        "audit": manifest.audit,
    }
    wire.check_shape("batch-manifest", data, where=manifest.batch_id)
    return strictjson.emit(data)


def sign_manifest(manifest: Manifest, signer: Signer) -> tuple[bytes, bytes]:
    """(payload bytes, envelope bytes); keep both: `digest(payload)` is the next batch's `prev`."""
    payload = manifest_payload(manifest)
    name = manifest_name(manifest.batch_id)
    return payload, build_envelope(PayloadType.BATCH_MANIFEST, payload, [signer], where=name)


def read_manifest(payload: bytes, *, minimum_version: int = 1, where: str = "manifest") -> Manifest:
    """Manifest from verified payload bytes: E_ENV_JSON, E_VERSION, E_NAME (members that contradict each other)."""
    data = strictjson.parse_object(payload, where=where)
    wire.check_version(data, minimum=minimum_version, where=where)
    wire.check_shape("batch-manifest", data, where=where)
    manifest = _from_wire(data, where)
    _check_own_members(manifest, data, where)
    return manifest


def _check_own_members(manifest: Manifest, data: dict[str, Any], where: str) -> None:
    """Members that say the same thing twice must agree (E_NAME), and files number and name themselves."""
    if data["from"] != manifest.stream_id.sender or data["to"] != [manifest.stream_id.receiver]:
        raise refused("E_NAME", "发送方或接收方与数据流不符", where=where)
    if data["batch_id"] != manifest.batch_id:
        raise refused("E_NAME", "批次号与各成员不符", where=where)
    public = manifest.stream_id.party == EVERYONE
    for n, entry in enumerate(manifest.files, start=1):
        if entry.n != n or entry.name != part_name(manifest.batch_id, n, "parquet" if public else "cms"):
            raise refused("E_NAME", f"第 {n} 个文件的编号或名称不符", where=where)
        same = (entry.digest.cms_size, entry.digest.cms_sha256) == (entry.digest.plain_size, entry.digest.plain_sha256)
        if same != public:
            raise refused("E_ENV_JSON", f"第 {n} 个文件的密文与明文摘要关系不对", where=where)


def _write_file(entry: FileEntry) -> dict[str, Any]:
    return {
        "n": entry.n,
        "name": entry.name,
        "entity": entry.entity,
        "format": "parquet",
        **vars(entry.digest),
        "rows": {"I": entry.rows.inserted, "U": entry.rows.updated, "D": entry.rows.deleted},
        "row_groups": entry.row_groups,
    }


def _read_file(data: dict[str, Any]) -> FileEntry:
    sizes = PartDigest(data["cms_size"], data["cms_sha256"], data["plain_size"], data["plain_sha256"])
    rows = RowCounts(data["rows"]["I"], data["rows"]["U"], data["rows"]["D"])
    return FileEntry(data["n"], data["name"], data["entity"], sizes, rows, data["row_groups"])


def _from_wire(data: dict[str, Any], where: str) -> Manifest:
    party = data["from"] if data["dir"] == "up" else data["to"][0]
    last, part, producer = data["ack"]["last_receipt"], data["part"], data["producer"]
    acks: Sequence[dict[str, Any]] = data["ack"]["dn"]
    return Manifest(
        stream_id=StreamId(party, data["dir"], data["stream"], data["epoch"]),
        seq=data["seq"],
        prev=data["prev"],
        kind=data["kind"],
        created=wire.read_utc(data["created"], where=where),
        expires=wire.read_utc(data["expires"], where=where),
        schema=SchemaRef(data["schema"]["id"], data["schema"]["version"], data["schema"]["digest"]),
        codeset=CodesetRef(data["codeset"]["version"], data["codeset"]["digest"]),
        watermark=Watermark(int(data["watermark"]["lo"]), int(data["watermark"]["hi"])),
        files=tuple(_read_file(entry) for entry in data["files"]),
        recipients=tuple(Recipient(entry["party"], entry["enc_key"]) for entry in data["recipients"]),
        producer=Producer(producer["node"], producer["sw"], producer["config"], producer["job"]),
        trust_version=data["trust_version"],
        part=(part["i"], part["k"]) if part else None,
        supersedes=data["supersedes"],
        ack=tuple(StreamAck(entry["stream"], entry["epoch"], entry["seq"], entry["digest"]) for entry in acks),
        last_receipt=Position(last["seq"], last["digest"]) if last else None,
        audit=data["audit"],
        suite=data["suite"],
    )
