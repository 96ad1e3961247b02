"""Versions of the authority registry in a node's store: what was published or received, and what is in force.

Decides that the shipped document is the version in force until another was put in force, that a version in force is
never followed by an older one, and that only signed ones count: at a province, the document is read from the very bytes
of the part whose digest the ministry's manifest names, and that manifest is verified again each time. The code tables
that came with a version are part of it: read, proven and put in force together with its document.

States: `published` (ministry), `held` (received, not in force), `in force`, `past`.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.batch import wire
from hub.batch.admission import open_manifest
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import MINISTRY, manifest_name
from hub.batch.manifest import CodesetRef, read_manifest
from hub.catalog import Catalog, codes, load_catalog
from hub.catalog.authority import read_registry
from hub.catalog.model import Registry
from hub.errors import UsageError, VerificationError
from hub.keyring import Keyring
from hub.registered import codeset_ref
from hub.store.ledger import INBOX
from hub.store.registry_tables import REGISTRY_CODES, REGISTRY_VERSION
from schemas import ROOT

PUBLISHED: Final = "published"
HELD: Final = "held"
IN_FORCE: Final = "in force"
PAST: Final = "past"
STATES: Final = {PUBLISHED: "已发布", HELD: "已收到", IN_FORCE: "启用", PAST: "曾启用"}
TABLE: Final = "registry"
CODE_TABLE: Final = "code"


@dataclass(frozen=True)
class Version:
    """One version as stored. `document`: the YAML text; `codes`: digest of the code tables it was published with.

    `tables`: those tables as `hub.catalog.codes.emit` writes them; empty of a version that was taken in without them.
    """

    number: int
    state: str
    digest: str
    document: str
    codes: str
    note: str
    batch_id: str | None
    signer: str | None
    created: str
    applied_at: str | None
    tables: str = ""


def shipped_document() -> str:
    """The registry this installation brings (`schemas/authority.yaml`)."""
    return (ROOT / "authority.yaml").read_text(encoding="utf-8")


def shipped() -> Version:
    """The shipped registry as a version; in force while the store names no other."""
    number, text = load_catalog().registry.version, shipped_document()
    catalog = load_catalog()
    digest, tables = codes_digest(catalog), tables_text(catalog)
    return Version(number, IN_FORCE, digest_of(text), text, digest, "随软件安装", None, None, "", None, tables)


def digest_of(document: str) -> str:
    """`sha256:` + hex over the text's UTF-8 bytes."""
    return "sha256:" + hashlib.sha256(document.encode()).hexdigest()


def codes_digest(catalog: Catalog) -> str:
    """Digest of the national code tables of a catalogue, whatever a site has added (ruling 8)."""
    body = json.dumps({n: dict(t) for n, t in catalog.codes.national.items()}, ensure_ascii=False, sort_keys=True)
    return "sha256:" + hashlib.sha256(body.encode()).hexdigest()


def tables_text(catalog: Catalog) -> str:
    """The national code tables of a catalogue as a version keeps them: those that have codes."""
    return codes.emit({n: t for n, t in catalog.codes.national.items() if t})


def stored(connection: sa.Connection) -> tuple[Version, ...]:
    """Every version the node holds, oldest first; the shipped one first where it is not among them."""
    c = REGISTRY_VERSION.c
    names = (c.version, c.state, c.digest, c.document, c.codes, c.note, c.batch_id, c.signer, c.created, c.applied_at)
    joined = sa.outerjoin(REGISTRY_VERSION, REGISTRY_CODES, REGISTRY_CODES.c.version == c.version)
    query = sa.select(*names, REGISTRY_CODES.c.tables).select_from(joined).order_by(c.version)
    found = [_version(list(row)) for row in connection.execute(query)]
    base = shipped()
    if base.number in {v.number for v in found}:
        return tuple(found)
    base = replace(base, state=PAST if any(v.state == IN_FORCE for v in found) else IN_FORCE)
    return tuple(sorted((base, *found), key=lambda v: v.number))


def _version(row: list[Any]) -> Version:
    return Version(*[*row[:-1], row[-1] or ""])  # a version taken in before tables were kept has none


def numbers(connection: sa.Connection) -> tuple[tuple[int, str], ...]:
    """(number, state) of every version stored, oldest first: what changes when the node holds another one."""
    c = REGISTRY_VERSION.c
    query = sa.select(c.version, c.state).order_by(c.version)
    return tuple((int(number), str(state)) for number, state in connection.execute(query))


def find(connection: sa.Connection, number: int) -> Version:
    """One version; `UsageError` E3442 when the node does not hold it."""
    for version in stored(connection):
        if version.number == number:
            return version
    raise UsageError("E3442", f"本节点没有权威源登记第 {number} 版", step="先用 hub registry ls 查看已有版本")


def in_force(connection: sa.Connection) -> Version:
    """The version rows are settled under now."""
    return next(v for v in reversed(stored(connection)) if v.state == IN_FORCE)


def held(connection: sa.Connection) -> Version:
    """The version a node works by: the one in force at a province, the newest published at the ministry."""
    newest = stored(connection)[-1]
    return newest if newest.state == PUBLISHED else in_force(connection)


@lru_cache(maxsize=16)
def registry_of(document: str) -> Registry:
    """The registry of a stored document; raises as `read_registry`."""
    return read_registry(document, load_catalog().entities)


def under(catalog: Catalog, version: Version) -> Catalog:
    """The catalogue with that version's registry and code tables in place of the shipped ones."""
    if version.batch_id is None:
        return catalog
    ruled = replace(catalog, registry=registry_of(version.document))
    return codes.with_tables(ruled, codes.parse(version.tables)) if version.tables else ruled


def codeset_of(connection: sa.Connection, catalog: Catalog, number: int | None = None) -> CodesetRef:
    """The code set of rows settled under a version (the one held by default), as batches name it (protocol 3.3)."""
    version = held(connection) if number is None else find(connection, number)
    return codeset_ref(under(catalog, version), version=version.number)


def put_in_force(connection: sa.Connection, version: Version, at: datetime) -> None:
    """The given version in force, the one before it past. `VerificationError` E3441 when it is not a newer one."""
    now = in_force(connection)
    if version.number <= now.number:
        raise VerificationError(
            "E3441",
            f"权威源登记只进不退：现行第 {now.number} 版，不能改用第 {version.number} 版",
            where=f"第 {version.number} 版",
            step="需要恢复旧规定时，由部级以更高的版本号重新发布",
        )
    c = REGISTRY_VERSION.c
    connection.execute(sa.update(REGISTRY_VERSION).where(c.state == IN_FORCE).values(state=PAST))
    connection.execute(
        sa.update(REGISTRY_VERSION)
        .where(c.version == version.number)
        .values(state=IN_FORCE, applied_at=wire.write_utc(at))
    )


def check_signed(connection: sa.Connection, version: Version, keyring: Keyring | None) -> None:
    """The stored document is what the ministry signed; `VerificationError` E3444 otherwise.

    With a keyring the manifest's signature is verified as of its receipt (protocol 10.7), before a version is put in
    force. Without one the chain document, part, manifest is: a key that was rotated since takes nothing back.
    """
    if version.batch_id is None:
        if version != replace(shipped(), state=version.state):
            raise _unsigned(version.number)
        return
    c = INBOX.c
    row = connection.execute(sa.select(c.envelope, c.received_at).where(c.batch_id == version.batch_id)).first()
    parts = _evidence(connection, version.number)
    if row is None or parts[TABLE] is None or (version.tables and parts[CODE_TABLE] is None):
        raise _unsigned(version.number)
    name, envelope = manifest_name(version.batch_id), bytes(row[0])
    if keyring is not None:
        at = datetime.fromisoformat(row[1].replace("Z", "+00:00"))
        manifest = open_manifest(envelope, name, uploader=MINISTRY, trust=keyring.trust, at=at).manifest
    else:
        manifest = read_manifest(parse(envelope, PayloadType.BATCH_MANIFEST, where=name).payload, where=name)
    signed = {entry.entity: entry.digest.plain_sha256 for entry in manifest.files}
    read = {TABLE: document_of, CODE_TABLE: tables_of}
    for table, said in ((TABLE, version.document), (CODE_TABLE, version.tables)):
        body = parts[table]
        if not said and table not in signed:
            continue  # a version that brought no code tables
        if body is None or hashlib.sha256(body).hexdigest() != signed.get(table):
            raise _unsigned(version.number)
        if read[table](pq.read_table(io.BytesIO(body))) != said:
            raise _unsigned(version.number)


def _evidence(connection: sa.Connection, number: int) -> dict[str, bytes | None]:
    """The signed bytes of both parts of a version, as they were received."""
    found: dict[str, bytes | None] = {}
    for name, table in ((TABLE, REGISTRY_VERSION), (CODE_TABLE, REGISTRY_CODES)):
        query = sa.select(table.c.evidence).where(table.c.version == number)
        found[name] = connection.execute(query).scalar_one_or_none()
    return found


def document_of(lines: Any) -> str:
    """The document of a `registry` part: its lines in order."""
    rows = sorted(zip(lines.column("line").to_pylist(), lines.column("text").to_pylist(), strict=True))
    return "\n".join(text or "" for _, text in rows) + "\n"


def tables_of(rows: Any) -> str:
    """The code tables of a `code` part, in the order of its rows, as `hub.catalog.codes.emit` writes them."""
    tables: dict[str, dict[str, str]] = {}
    columns = [rows.column(c).to_pylist() for c in ("pk", "code_table", "code", "name")]
    for _, table, code, name in sorted(zip(*columns, strict=True), key=lambda row: row[0]):
        tables.setdefault(table, {})[code] = name
    return codes.emit(tables)


def _unsigned(number: int) -> VerificationError:
    return VerificationError(
        "E3444",
        f"权威源登记第 {number} 版与部级签名不符，不予采用",
        where=f"第 {number} 版",
        step="怀疑数据库被改动：保留现场并查审计日志；由部级重新发布后再收取",
    )
