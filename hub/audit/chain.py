"""The audit chain: gap-free numbers, each record's digest covering the one before.

Decides numbering, chaining and what may not stand in a record; whether an action is audited is decided by the action,
which calls `append` in its own transaction: if the audit row cannot be written, the action did not happen
(protocol 15 #67). Digest: SHA-256 over the record as canonical JSON (sorted keys, no spaces, UTF-8) with `prev`, the
digest of the record before. The head (`node_state` row `audit.head`) is locked while appending, so numbers have no
gap, and it makes a cut-off tail visible.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.audit.events import Event, Result
from hub.errors import InputError, VerificationError
from hub.store.ledger import AUDIT_EVENT, NODE_STATE

FIRST_DIGEST: Final = "sha256:" + "0" * 64
_HEAD: Final = "audit.head"
_CHUNK: Final = 5_000
# ID number or student number, mobile number: standing alone, so that digests and batch numbers pass.
_PERSONAL: Final = re.compile(r"(?<![0-9A-Za-z])(?:[GJL]?\d{17}[0-9Xx]|1[3-9]\d{9})(?![0-9A-Za-z])")


def append(
    connection: sa.Connection,
    event: Event,
    *,
    ts: datetime,
    node: str,
    actor: str,
    actor_role: str = "",
    object: str = "",
    purpose: str = "",
    result: Result = Result.DONE,
    detail: Mapping[str, str | int] | None = None,
) -> int:
    """Writes one record in the caller's transaction; returns its number, from 1.

    `ts`: aware; `object`: batch, table or record number; `detail`: counts and codes. Raises `InputError` E3211 when a
    text holds what looks like an ID, student or mobile number (protocol 1.3 #7), `VerificationError` E3202 when the
    head is gone.
    """
    number, previous = _head(connection, lock=True)
    texts = {"actor": actor, "actor_role": actor_role, "object": object, "purpose": purpose}
    record: dict[str, Any] = {
        "i": number + 1,
        "ts": _stamp(ts),
        "node": node,
        "action": event.value,
        "result": result.value,
        **{name: text or None for name, text in texts.items()},
        "detail": _canonical(detail) if detail else None,
        "prev": previous,
    }
    _refuse_personal(record)
    digest = _digest(record)
    connection.execute(sa.insert(AUDIT_EVENT), {**record, "digest": digest})
    moved = connection.execute(
        sa.update(NODE_STATE).where(NODE_STATE.c.name == _HEAD).values(value=f"{number + 1} {digest}")
    )
    if moved.rowcount != 1:
        raise RuntimeError("the audit head was not moved")
    return number + 1


def _stamp(ts: datetime) -> str:
    if ts.tzinfo is None:
        raise RuntimeError("audit time needs a time zone")
    return ts.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def next_number(connection: sa.Connection) -> int:
    """The number the next record will have; the chain is held until the transaction ends, so that it will."""
    return _head(connection, lock=True)[0] + 1


def verify(connection: sa.Connection) -> int | None:
    """Number of the first record that is missing, altered or cut off; None when the chain holds."""
    expected, previous = 1, FIRST_DIGEST
    query = sa.select(AUDIT_EVENT).order_by(AUDIT_EVENT.c.i).execution_options(yield_per=_CHUNK)
    with connection.execute(query) as rows:
        for row in rows.mappings():
            record = dict(row)
            digest = record.pop("digest")
            if record["i"] != expected or record["prev"] != previous or _digest(record) != digest:
                return expected
            expected, previous = expected + 1, digest
    try:
        head = _head(connection, lock=False)
    except VerificationError:
        return expected
    return None if head == (expected - 1, previous) else min(expected, head[0] + 1)


def _head(connection: sa.Connection, *, lock: bool) -> tuple[int, str]:
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _HEAD)
    found = connection.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    number, _, digest = (found or "").partition(" ")
    if not number.isdigit() or not digest:
        raise VerificationError(
            "E3202", "审计链头缺失", where="node_state", step="停止写入，从备份恢复审计记录并报告审计管理员"
        )
    return int(number), digest


def _digest(record: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(_canonical(record).encode()).hexdigest()


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _refuse_personal(record: Mapping[str, Any]) -> None:
    for name in ("actor", "object", "purpose", "detail"):
        if _PERSONAL.search(record[name] or ""):
            raise InputError(
                "E3211", "审计记录中不得写入证件号、学籍号或手机号", where=name, step="改写为记录号或不含个人信息的说明"
            )
