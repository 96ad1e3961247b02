"""The province by hand: batches with a valid signature and any content, and what the ministry must not have moved.

Everything is laid into `ready/` as an uploader would, past the province's own software, and judged by what the
ministry's next run says and leaves behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub.batch import wire
from hub.batch.admission import seal_certs
from hub.batch.cipher import encrypt_file
from hub.batch.layout import StreamId, batch_id, manifest_name, part_name
from hub.batch.manifest import (
    FileEntry,
    Manifest,
    Producer,
    Recipient,
    RowCounts,
    Watermark,
    sign_manifest,
)
from hub.catalog import load_catalog
from hub.registered import codeset_ref, schema_ref
from hub.settings import Node
from hub.trust.keys import Signer
from ministry_node.decide import Decision
from ministry_node.intake import IntakeResult, run_intake
from pipelines.lab.setup import Lab
from tests.round.labs import AT, keyring, rows, store_of

STREAM = StreamId("13", "up", "main", 1)
CATALOG = load_catalog()


@dataclass(frozen=True)
class Forged:
    """A batch as it would be uploaded: parts by name, the manifest's envelope, its digest."""

    manifest: Manifest
    envelope: bytes
    digest: str
    parts: dict[str, bytes]

    @property
    def name(self) -> str:
        return manifest_name(self.manifest.batch_id)

    @property
    def files(self) -> dict[str, bytes]:
        return {**self.parts, self.name: self.envelope}

    @property
    def hi(self) -> int:
        return self.manifest.watermark.hi


class Province:
    """A province of a lab, with its keys and no scruples."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.keys = keyring(lab.province)
        self.party = lab.province.party
        self.stream = StreamId(self.party, "up", "main", 1)
        self._made = len(list(lab.folder.glob("forged-*")))

    @property
    def ministry(self) -> Node:
        return self.lab.ministry

    @property
    def ready(self) -> Path:
        return self.lab.exchange_root / f"p{self.party}" / "in" / "ready"

    @property
    def out(self) -> dict[str, bytes]:
        folder = self.lab.exchange_root / f"p{self.party}" / "out"
        return {p.name: p.read_bytes() for p in folder.iterdir() if ".receipt" in p.name}

    def intake(self, at: datetime = AT) -> IntakeResult:
        return run_intake(self.ministry, at=at)

    def decide(self, at: datetime = AT) -> Decision:
        """The only decision of a run."""
        (decision,) = self.intake(at).decisions
        return decision

    def position(self) -> dict[str, Any]:
        found = rows(self.ministry, "peer_stream")
        (row,) = (r for r in found if (r["stream"], r["party"]) == ("main", self.party))
        return dict(row)

    def changes(self, entity: str, count: int, op: str = "U", *, ver: int = 2) -> pa.Table:
        """Change rows for rows the ministry holds: the first ones the province sent, as `op` at version `ver`."""
        (path,) = (self.lab.province.changes / "00000001").glob(f"{entity}-001.parquet")
        table = pq.read_table(path).slice(0, count)
        assert table.num_rows == count
        for name, column in (("op", pa.array([op] * count)), ("row_ver", pa.array([ver] * count, pa.int64()))):
            table = table.set_column(table.schema.get_field_index(name), name, column)
        return table

    def part(self, batch: str, n: int, content: pa.Table | bytes, **options: Any) -> tuple[FileEntry, bytes]:
        """A sealed part around a table, or around bytes that claim to be one. Options: entity, counts, certs."""
        self._made += 1
        folder = self.lab.folder / f"forged-{self._made}"
        folder.mkdir()
        plain = folder / "plain"
        if isinstance(content, bytes):
            plain.write_bytes(content)
        else:
            content = content.replace_schema_metadata({b"exch.nonce": os.urandom(32).hex().encode()})
            pq.write_table(content, plain, compression="zstd")
        name = part_name(batch, n)
        certs = options.get("certs") or [c.cert for c in seal_certs(self.stream, self.keys.trust, AT)]
        digest = encrypt_file(plain, folder / name, certs, os.urandom)
        counts = options.get("counts") or _counted(content)
        return FileEntry(n, name, options.get("entity", "xx"), digest, counts, 1), (folder / name).read_bytes()

    def batch(
        self,
        contents: Sequence[tuple[str, pa.Table | bytes]] = (),
        *,
        seq: int | None = None,
        prev: str | None = None,
        lo: int | None = None,
        stream_id: StreamId | None = None,
        part: dict[str, Any] | None = None,
        signer: Signer | None = None,
        **changes: Any,
    ) -> Forged:
        """The next batch after the ministry's position unless told otherwise; by default one updated school."""
        here, stream_id = self.position(), stream_id or self.stream
        seq = here["last_seq"] + 1 if seq is None else seq
        lo = here["hi"] + 1 if lo is None else lo
        contents = contents or [("xx", self.changes("xx", 1))]
        made = [
            self.part(batch_id(stream_id, seq), n, content, **{"entity": entity, **(part or {})})
            for n, (entity, content) in enumerate(contents, 1)
        ]
        entries = tuple(entry for entry, _ in made)
        manifest = Manifest(
            stream_id=stream_id,
            seq=seq,
            prev=prev or here["last_digest"],
            kind="delta",
            created=AT - timedelta(minutes=1),
            expires=AT + timedelta(days=30),
            schema=schema_ref(CATALOG),
            codeset=codeset_ref(CATALOG),
            watermark=Watermark(lo, lo + sum(e.rows.total for e in entries) - 1),
            files=entries,
            recipients=tuple(Recipient(c.party, c.keyid) for c in seal_certs(self.stream, self.keys.trust, AT)),
            producer=Producer(f"p{self.party}-hub", "hub/0.1", "sha256:" + "3" * 64, "run-1"),
            trust_version=self.keys.trust.version,
        )
        return self.sign(replace(manifest, **changes), {e.name: body for e, body in made}, signer=signer)

    def sign(self, manifest: Manifest, parts: dict[str, bytes], *, signer: Signer | None = None) -> Forged:
        payload, envelope = sign_manifest(manifest, signer or self.keys.signer)
        return Forged(manifest, envelope, wire.digest_of(payload), parts)

    def window(self, count: int) -> list[Forged]:
        """`count` batches that follow each other; batch k brings version k + 1 of one school."""
        made: list[Forged] = []
        for k in range(1, count + 1):
            last = made[-1] if made else None
            after: dict[str, Any] = (
                {"seq": last.manifest.seq + 1, "prev": last.digest, "lo": last.hi + 1} if last else {}
            )
            made.append(self.batch([("xx", self.changes("xx", 1, ver=k + 1))], **after))
        return made

    def upload(self, *batches: Forged, leave_out: Sequence[str] = (), **named: bytes) -> None:
        """Parts first, manifest last. `named`: other bytes for `manifest` or `part`."""
        for forged in batches:
            for name, body in forged.files.items():
                if name not in leave_out:
                    kind = "manifest" if name == forged.name else "part"
                    (self.ready / name).write_bytes(named.get(kind, body))

    def state(self) -> dict[str, Any]:
        """What no refusal may move: golden rows and their digests, the stream's position, the inbox."""
        store = store_of(self.ministry)
        try:
            golden = {e.name: store.digest(e, self.party) for e in CATALOG.entities.values()}
        finally:
            store.close()
        return {
            "golden": golden,
            "peer_stream": rows(self.ministry, "peer_stream"),
            "inbox": [{k: v for k, v in row.items() if k != "envelope"} for row in rows(self.ministry, "inbox")],
            "lineage": rows(self.ministry, "lineage"),
        }

    def golden(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state()["golden"]
        return found

    def receipts(self) -> list[tuple[int, int, str]]:
        """(seq, number, verdict) in the order issued within the chain's batches."""
        return [(r["seq"], r["receipt_no"], r["type"]) for r in rows(self.ministry, "receipt", "seq, receipt_no")]

    def evidence(self) -> dict[str, bytes]:
        root = self.ministry.store / self.party
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def plaintext_left(self) -> list[str]:
        """Files below the working folders after a run; none may stay (protocol 5.6)."""
        return [p.name for p in (self.ministry.work / "plain").rglob("*") if p.is_file()]


def frozen_state(state: dict[str, Any], code: str) -> dict[str, Any]:
    """The same state with the stream frozen, which is all a fork may change."""
    return {**state, "peer_stream": [{**row, "state": code} for row in state["peer_stream"]]}


def flip(body: bytes, at: int | None = None) -> bytes:
    """One bit turned over, in the middle by default."""
    at = len(body) // 2 if at is None else at
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def _counted(content: pa.Table | bytes) -> RowCounts:
    if isinstance(content, bytes):
        return RowCounts(0, 1, 0)
    ops = content.column("op").to_pylist()
    return RowCounts(ops.count("I"), ops.count("U"), ops.count("D"))
