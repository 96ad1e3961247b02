"""Whether the archive is what it was: index, chain, audit log, folder and every file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hub.archive.files import Verifier
from hub.archive.index import FIRST, Entry, check_agreement, read_copy, read_index, standing
from hub.audit import Event
from hub.errors import HubError, VerificationError
from hub.store import Store
from hub.store.ledger import AUDIT_EVENT

_TOLD = (Event.VERSIONS_ARCHIVED, Event.VERSIONS_RESTORED, Event.ARCHIVE_ADOPTED)


@dataclass(frozen=True)
class Verified:
    """What was looked at; `faults`: sentences, each naming its file. `unlisted`: files the index does not know."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    unlisted: tuple[str, ...]


def verify_archive(store: Store, folder: Path) -> Verified:
    """Digests every file anew; raises `VerificationError` E3543, E3544 when the index itself does not hold."""
    with store.reading() as reader:
        ours = read_index(reader.connection)
        _check_audit(reader.connection, ours)
    check_agreement(ours, read_copy(folder))
    verifier, faults = Verifier(folder, None), []
    for entry in standing(ours):
        try:
            verifier.paths([entry])
        except HubError as fault:
            faults.append(fault.sentence())
    listed = {e.file_name for e in ours}
    there = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*.parquet"))
    return Verified(ours, tuple(faults), tuple(n for n in there if n not in listed))


def _check_audit(connection: sa.Connection, ours: tuple[Entry, ...]) -> None:
    """The audit chain saw the index's head: who rewrites the index would have to rewrite the log too."""
    query = (
        sa.select(AUDIT_EVENT.c.detail)
        .where(AUDIT_EVENT.c.action.in_([e.value for e in _TOLD]))
        .order_by(AUDIT_EVENT.c.i.desc())
        .limit(1)
    )
    said = connection.execute(query).scalar_one_or_none()
    head = ours[-1].digest if ours else FIRST
    if (json.loads(said)["index"] if said else FIRST) != head:
        raise VerificationError(
            "E3546",
            "归档索引与审计日志所记的不一致",
            where="archive_file",
            step="保留现场，核对审计链（hub audit verify）并报告审计负责人",
        )
