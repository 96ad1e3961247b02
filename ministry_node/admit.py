"""Admission: from an envelope to a manifest that may be believed (protocol 4.2, 6.2).

What must hold before a batch is anybody's is `hub.batch.admission.authenticate`: its faults leave evidence and an
alarm, no receipt and no state. Decides the rest: `sealed_faults` are about signed content that shipping again does not
change; they are answered when it is the batch's turn in its stream, because a verdict that consumes a number cannot be
given out of order. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hub.batch.admission import VerifiedManifest, recipient_certs
from hub.batch.limits import check_declared
from hub.batch.manifest import CodesetRef, Manifest, SchemaRef
from hub.batch.sequence import BatchHeader, check_window
from hub.case_form import ANSWER
from hub.catalog import Catalog
from hub.census import CENSUS
from hub.census import KINDS as CENSUS_KINDS
from hub.trust.trust_list import EncryptionCert, TrustList
from hub.verdict import refused

KINDS = ("delta", "heartbeat", *sorted(CENSUS_KINDS))


@dataclass(frozen=True)
class Registered:
    """What both sides hold byte for byte (protocol 3.3)."""

    schema: SchemaRef
    codeset: CodesetRef
    catalog: Catalog
    published: frozenset[CodesetRef] = frozenset()
    """Code sets under every published version of the authority registry; a province moves on when it can."""


@dataclass(frozen=True)
class Terms:
    """What passing `sealed_faults` yields: the certificates a part must be encrypted for, warning codes."""

    certs: tuple[EncryptionCert, ...]
    warnings: tuple[str, ...]


def sealed_faults(
    manifest: Manifest,
    *,
    trust: TrustList,
    registered: Registered,
    first_seen: datetime,
    at: datetime,
    judged_at: datetime | None = None,
) -> Terms:
    """Recipients, validity, declared sizes, kind, schema and code set; the first fault is raised.

    `first_seen`: when the batch arrived for the first time (E_EXPIRED looks at nothing else); `judged_at`: the highest
    time seen, where our clock is behind it.
    """
    where = manifest.batch_id
    certs = recipient_certs(manifest, trust, at=at, where=where)
    warnings = check_window(
        manifest.created,
        manifest.expires,
        first_seen=first_seen,
        judged_at=judged_at,
        at_once=manifest.kind == "heartbeat",
        where=where,
    )
    check_declared(
        trust.limits,
        plain_sizes=[entry.digest.plain_size for entry in manifest.files],
        cipher_sizes=[entry.digest.cms_size for entry in manifest.files],
        rows=manifest.rows.total,
        where=where,
    )
    _check_registered(manifest, registered)
    return Terms(certs, warnings)


def _check_registered(manifest: Manifest, registered: Registered) -> None:
    """E_SCHEMA unless kind, schema, code set and entities are ones we hold (protocol 3.3)."""
    where = manifest.batch_id
    if manifest.kind not in KINDS:
        raise refused("E_SCHEMA", f"本节点不接收这种批次： {manifest.kind}", where=where)
    if manifest.kind == "heartbeat" and manifest.files:
        raise refused("E_SCHEMA", "心跳不得带有数据文件", where=where)
    if manifest.schema != registered.schema:
        raise refused("E_SCHEMA", "清单所述的数据结构没有登记", where=where)
    if manifest.codeset != registered.codeset and manifest.codeset not in registered.published:
        raise refused("E_SCHEMA", "清单所述的代码表版本没有登记", where=where)
    for entry in manifest.files:
        apart = {CENSUS: CENSUS_KINDS, ANSWER: {"delta"}}.get(entry.entity, ())
        if entry.entity not in registered.catalog.entities and manifest.kind not in apart:
            raise refused("E_SCHEMA", f"第 {entry.n} 个文件的实体没有登记", where=entry.name)


def header_of(verified: VerifiedManifest) -> BatchHeader:
    """What the sequence looks at."""
    return BatchHeader.of(verified.manifest, verified.digest)
