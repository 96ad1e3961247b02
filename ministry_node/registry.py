"""Publishing the authority registry: one signed version after the other, down the public stream `codes`.

Decides what may be published: a document that can be executed, with a version above every earlier one, together with
the codes that belong to it (code tables, divisions, majors, labels): those of the version before, or of this
installation, with the tables of files in place of their own. Document, tables, stream position and audit are stored in
one transaction; shipping follows and can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.batch.layout import EVERYONE
from hub.batch.manifest import CodesetRef
from hub.catalog import Catalog, Registry, load_catalog
from hub.catalog.authority import changed, read_registry
from hub.catalog.code_files import CodeFile, overlaid
from hub.catalog.codes import CodeChange, Tables, changed_tables, emit, parse, with_tables
from hub.down.form import CODES, plain_table
from hub.errors import UsageError
from hub.keyring import open_keyring
from hub.registry import versions
from hub.registry.versions import PUBLISHED, Version, codes_digest, digest_of
from hub.settings import Node
from hub.store import Store, open_store
from hub.store.registry_tables import REGISTRY_CODES, REGISTRY_VERSION
from hub.transport import open_server
from ministry_node.desk import require_ministry
from ministry_node.down import DownBatch, Random, Sender, plain_parts, seal, ship


@dataclass(frozen=True)
class Published:
    """A published version: its batch, and how many data items have another owner than in the version before."""

    version: int
    batch: DownBatch
    changed: int
    tables: tuple[CodeChange, ...] = ()


def publish_registry(
    node: Node,
    document: str,
    *,
    name: str,
    note: str,
    actor: str,
    at: datetime,
    rng: Random,
    codes: Sequence[CodeFile] = (),
    installed: bool = False,
) -> Published:
    """Checks, seals and ships a registry. `name`: the file's, for faults; `note`: one sentence why.

    `codes`: files of tables that take the place of those before; `installed`: begin with the tables of this
    installation instead of the version before (after an upgrade of the software). Raises `InputError` E1111, E1112
    (document), E1114 (codes), `UsageError` E3443 (version not above the last), and what sealing raises; nothing is
    published then.
    """
    require_ministry(node)
    catalog = load_catalog()
    registry = read_registry(document, catalog.entities, where=name)
    store = open_store(node.database_url, catalog)
    try:
        with store.reading() as reader:
            last = versions.stored(reader.connection)[-1]
        base = catalog.codes.national if installed or not last.tables else parse(last.tables)
        tables = _filled(overlaid({**{n: {} for n in catalog.codes.national}, **base}, codes))
        _check_newer(registry, last, name)
        sender = Sender(node, store, open_keyring(node, at=at), open_server(node.transport_url), at, rng)
        batch = _seal(sender, registry.version, document, tables, note, actor)
        ship(sender)
    finally:
        store.close()
    owners = len(changed(versions.registry_of(last.document), registry))
    before = parse(last.tables) if last.tables else catalog.codes.national
    return Published(registry.version, batch, owners, changed_tables(_filled(before), tables))


def _check_newer(registry: Registry, last: Version, name: str) -> None:
    if registry.version <= last.number:
        raise UsageError(
            "E3443",
            f"已有权威源登记第 {last.number} 版，新版版本号应更大，文件中为 {registry.version}",
            where=name,
            step=f"把文件的 version 改为 {last.number + 1} 后重新发布",
        )


def _filled(tables: Tables) -> Tables:
    """The tables that have codes; only those travel with a version."""
    return {name: table for name, table in tables.items() if table}


def published_codesets(store: Store) -> frozenset[CodesetRef]:
    """Code sets a province may name in its batches: every version that was ever published (protocol 3.3)."""
    catalog = load_catalog()
    with store.reading() as reader:
        found = versions.stored(reader.connection)
        return frozenset(versions.codeset_of(reader.connection, catalog, v.number) for v in found)


def definitions_under(store: Store, version: int) -> Catalog:
    """The definitions with the registry and code tables of a published version, by which its rows are asked again."""
    with store.reading() as reader:
        return versions.under(load_catalog(), versions.find(reader.connection, version))


def _seal(sender: Sender, version: int, document: str, tables: Tables, note: str, actor: str) -> DownBatch:
    content = _parts(version, document, tables)
    parts = plain_parts(sender, CODES, content)
    subject, stored = f"registry {version}", versions.document_of(content["registry"])
    try:
        with sender.store.begin() as tx:
            batch = seal(tx, sender, stream=CODES, party=EVERYONE, parts=parts, subject=subject)
            tx.connection.execute(
                sa.insert(REGISTRY_VERSION),
                {
                    "version": version,
                    "digest": digest_of(stored),
                    "state": PUBLISHED,
                    "document": stored,
                    "codes": codes_digest(with_tables(load_catalog(), tables)),
                    "note": note[:400] or None,
                    "batch_id": batch.batch_id,
                    "signer": sender.keyring.signer.keyid,
                    "created": wire.write_utc(sender.at),
                },
            )
            tx.connection.execute(sa.insert(REGISTRY_CODES), {"version": version, "tables": emit(tables)})
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


def _parts(version: int, document: str, tables: Tables) -> dict[str, Any]:
    """The document line by line, and the code tables code by code, in the order of `emit`."""
    lines = [
        {"op": "I", "pk": f"{n:06d}", "row_ver": version, "src_rid": "", "line": n, "text": text}
        for n, text in enumerate(document.splitlines(), 1)
    ]
    rows = [
        {"op": "I", "pk": f"{n:06d}", "row_ver": version, "src_rid": "", "code_table": t, "code": c, "name": label}
        for n, (t, c, label) in enumerate(
            ((name, c, label) for name in sorted(tables) for c, label in tables[name].items()), 1
        )
    ]
    return {"registry": plain_table(CODES, "registry", lines), "code": plain_table(CODES, "code", rows)}
