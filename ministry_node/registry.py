"""Publishing the authority registry: one signed version after the other, down the public stream `codes`.

Decides what may be published: a document that can be executed, with a version above every earlier one, together with
the code tables of this installation, so that a province notices when it holds others. Document, stream position and
audit are stored in one transaction; shipping follows and can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.layout import EVERYONE
from hub.batch.manifest import CodesetRef
from hub.catalog import load_catalog
from hub.catalog.authority import changed, read_registry
from hub.down.form import CODES, plain_table
from hub.errors import UsageError
from hub.keyring import open_keyring
from hub.registered import codeset_ref
from hub.registry import versions
from hub.registry.versions import PUBLISHED, codes_digest, digest_of
from hub.settings import Node
from hub.store import Store, open_store
from hub.store.registry_tables import REGISTRY_VERSION
from hub.transport import open_server
from ministry_node.desk import require_ministry
from ministry_node.down import DownBatch, Random, Sender, plain_parts, seal, ship


@dataclass(frozen=True)
class Published:
    """A published version: its batch, and how many data items have another owner than in the version before."""

    version: int
    batch: DownBatch
    changed: int


def publish_registry(
    node: Node, document: str, *, name: str, note: str, actor: str, at: datetime, rng: Random
) -> Published:
    """Checks, seals and ships a registry. `name`: the file's, for faults; `note`: one sentence why.

    Raises `InputError` E1111, E1112 (document), `UsageError` E3443 (version not above the last), and what sealing
    raises; nothing is published then.
    """
    require_ministry(node)
    catalog = load_catalog()
    registry = read_registry(document, catalog.entities, where=name)
    store = open_store(node.database_url, catalog)
    try:
        with store.reading() as reader:
            last = versions.stored(reader.connection)[-1]
        if registry.version <= last.number:
            raise UsageError(
                "E3443",
                f"已有权威源登记第 {last.number} 版，新版版本号应更大，文件中为 {registry.version}",
                where=name,
                step=f"把文件的 version 改为 {last.number + 1} 后重新发布",
            )
        sender = Sender(node, store, open_keyring(node, at=at), open_server(node.transport_url), at, rng)
        batch = _seal(sender, registry.version, document, note, actor)
        ship(sender)
    finally:
        store.close()
    return Published(registry.version, batch, len(changed(versions.registry_of(last.document), registry)))


def published_codesets(store: Store) -> frozenset[CodesetRef]:
    """Code sets a province may name in its batches: every version that was ever published (protocol 3.3)."""
    catalog = load_catalog()
    with store.reading() as reader:
        return frozenset(codeset_ref(catalog, version=v.number) for v in versions.stored(reader.connection))


def _seal(sender: Sender, version: int, document: str, note: str, actor: str) -> DownBatch:
    catalog = load_catalog()
    parts = plain_parts(sender, CODES, _tables(version, document))
    subject = f"registry {version}"
    try:
        with sender.store.begin() as tx:
            batch = seal(tx, sender, stream=CODES, party=EVERYONE, parts=parts, subject=subject)
            tx.connection.execute(
                sa.insert(REGISTRY_VERSION),
                {
                    "version": version,
                    "digest": digest_of(versions.document_of(_tables(version, document)["registry"])),
                    "state": PUBLISHED,
                    "document": versions.document_of(_tables(version, document)["registry"]),
                    "codes": codes_digest(catalog),
                    "note": note[:400] or None,
                    "batch_id": batch.batch_id,
                    "signer": sender.keyring.signer.keyid,
                    "created": wire.write_utc(sender.at),
                },
            )
            append(
                tx.connection,
                Event.REGISTRY_PUBLISHED,
                ts=sender.at,
                node=sender.node.party,
                actor=actor,
                object=subject,
                purpose=note[:400],
                detail={"batch": batch.batch_id},
            )
            return batch
    finally:
        for part in parts:
            part.path.unlink(missing_ok=True)


def _tables(version: int, document: str) -> dict[str, Any]:
    """The document line by line, and the code tables of this installation."""
    lines = [
        {"op": "I", "pk": f"{n:06d}", "row_ver": version, "src_rid": "", "line": n, "text": text}
        for n, text in enumerate(document.splitlines(), 1)
    ]
    codes = load_catalog().codes
    rows = [
        {"op": "I", "pk": f"{n:06d}", "row_ver": version, "src_rid": "", "code_table": t, "code": c, "name": label}
        for n, (t, c, label) in enumerate(
            ((t.name, c, label) for t in codes.tables.values() for c, label in t.codes.items()), 1
        )
    ]
    return {"registry": plain_table(CODES, "registry", lines), "code": plain_table(CODES, "code", rows)}
