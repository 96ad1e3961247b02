"""The hub's own tables: runs, change sets, lineage, outbox, inbox, streams, receipts, quarantine, conflicts, audit.

Decides their columns and keys; what the rows mean is decided where they are written. Rules:
- Every key is assigned by the application (no identity, no sequence); a key column is never empty, `NO_FIELD` stands
  where a rule names no field, because Oracle reads '' as NULL.
- Moments are text, UTC, ISO 8601 with `Z`; digests are `sha256:` + hex; JSON is text.
- Names stay within 30 bytes and are reserved in no supported database (hence `run_mode`, `file_name`).
- `natural_key`, `value`, `winner_value`, `old_key`, `new_key` hold private data: never in logs, errors or file names.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

PRIVATE: Final = "private data: never logged, masked on display"
NO_FIELD: Final = "-"

METADATA: Final = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"})


def text(length: int) -> Any:
    """VARCHAR compared bytewise on every backend (PostgreSQL's default collation is the site's)."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def char(length: int) -> Any:
    """CHAR compared bytewise on every backend."""
    return sa.CHAR(length).with_variant(sa.CHAR(length, collation="C"), "postgresql")


def long_text() -> Any:
    """TEXT/CLOB: never compared, grouped or sorted in SQL (Oracle cannot)."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


# Characters of a disputed value that are kept: no field that two sources share is longer (schemas/entities).
VALUE_LENGTH: Final = 1333


def value_text() -> Any:
    """A value out of any field, kept as text to be compared; on Oracle within 4,000 bytes, because a CLOB cannot be."""
    return long_text().with_variant(sa.String(VALUE_LENGTH), "oracle")


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger)


def _text(name: str, length: int = 40) -> sa.Column[Any]:
    return sa.Column(name, text(length))


def _long(name: str) -> sa.Column[Any]:
    return sa.Column(name, long_text())


def _bytes(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary)


def _key(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, nullable=False, autoincrement=False)


def _private(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, comment=PRIVATE)


def _node() -> sa.Column[Any]:
    return _key("node", char(2))


def _entity() -> sa.Column[Any]:
    return _key("entity", text(20))


def _stream() -> tuple[sa.Column[Any], ...]:
    return _key("stream", text(16)), _key("epoch", sa.BigInteger), _key("seq", sa.BigInteger)


def _rows() -> tuple[sa.Column[Any], ...]:
    return _number("rows_i"), _number("rows_u"), _number("rows_d")


TOMBSTONE: Final = sa.Table(
    "tombstone", METADATA, _node(), _entity(), _key("pk", char(20)), _number("row_ver"), _text("batch", 64)
)
NODE_STATE: Final = sa.Table("node_state", METADATA, _key("name", text(80)), _long("value"))
RUN: Final = sa.Table(
    "run",
    METADATA,
    _key("run_no", sa.BigInteger),
    *(_text(c) for c in ("kind", "run_mode", "today", "state", "started", "ended")),
    _long("counts"),
    _long("note"),
)
EXTRACT: Final = sa.Table(
    "extract",
    METADATA,
    _key("extract_no", sa.BigInteger),
    _number("run_no"),
    *(_text(c, n) for c, n in (("system", 40), ("source_table", 80), ("read_mode", 40), ("since", 80))),
    _text("until_mark", 80),
    _number("rows_read"),
    _number("rows_taken"),
    _text("file_name", 255),
    _text("sha256", 80),
    *(_text(c) for c in ("started", "ended", "state")),
)
CHANGE_SET: Final = sa.Table(
    "change_set",
    METADATA,
    _node(),
    _key("cs_no", sa.BigInteger),
    *(_number(c) for c in ("run_no", "lo", "hi", "registry_version")),
    _text("codes_digest", 80),
    *_rows(),
    _text("created"),
)
LINEAGE: Final = sa.Table(
    "lineage",
    METADATA,
    _node(),
    _key("cs_no", sa.BigInteger),
    _entity(),
    _key("file_name", text(255)),
    _text("sha256", 80),
    _number("lo"),
    _number("hi"),
    *_rows(),
    _long("extracts"),
    _text("batch_id", 64),
)
sa.Index("ix_lineage_lo", LINEAGE.c.node, LINEAGE.c.lo)
sa.Index("ix_lineage_batch", LINEAGE.c.batch_id)
OUTBOX: Final = sa.Table(
    "outbox",
    METADATA,
    *_stream(),
    _text("batch_id", 64),
    _number("cs_no"),
    _number("lo"),
    _number("hi"),
    _text("prev", 80),
    _text("digest", 80),
    _text("state", 16),
    *_rows(),
    _number("parts"),
    _number("bytes"),
    _bytes("manifest"),
    *(_text(c) for c in ("sealed_at", "sent_at", "decided_at", "verdict")),
    _number("sends"),
)
sa.Index("ix_outbox_sealed", OUTBOX.c.sealed_at, OUTBOX.c.batch_id)
sa.Index("ix_outbox_state", OUTBOX.c.state, OUTBOX.c.decided_at)
INBOX: Final = sa.Table(
    "inbox",
    METADATA,
    _key("party", text(8)),
    *_stream(),
    _text("batch_id", 64),
    _text("digest", 80),
    _text("verdict"),
    _long("codes"),
    _text("received_at"),
    _text("decided_at"),
    *_rows(),
    _number("noop"),
    _number("quarantined"),
    _bytes("envelope"),
)
sa.Index("ix_inbox_received", INBOX.c.received_at, INBOX.c.batch_id)
sa.Index("ix_inbox_verdict", INBOX.c.party, INBOX.c.verdict, INBOX.c.decided_at, INBOX.c.received_at)
PEER_STREAM: Final = sa.Table(
    "peer_stream",
    METADATA,
    _key("party", text(8)),
    _key("direction", text(4)),
    _key("stream", text(16)),
    _number("epoch"),
    _number("last_seq"),
    _text("last_digest", 80),
    _number("hi"),
    _text("state", 16),
    _text("base_digest", 80),
)
RECEIPT: Final = sa.Table(
    "receipt",
    METADATA,
    _key("party", text(8)),
    *_stream(),
    _key("receipt_no", sa.BigInteger),
    _text("type"),
    _text("digest", 80),
    _bytes("body"),
    _text("name", 80),
    _text("published_at"),
    _text("created"),
)
sa.Index("ix_receipt_type", RECEIPT.c.type, RECEIPT.c.created)
sa.Index("ix_receipt_published", RECEIPT.c.published_at, RECEIPT.c.party, RECEIPT.c.created)
TRUST_STATE: Final = sa.Table(
    "trust_state",
    METADATA,
    _key("name", text(80)),
    _number("version"),
    _text("digest", 80),
    _bytes("body"),
    _text("seen_at"),
)


def _row_rule() -> tuple[sa.Column[Any], ...]:
    return _entity(), _key("src_rid", text(64)), _key("rule", text(20)), _key("field", text(30))


QUARANTINE: Final = sa.Table(
    "quarantine",
    METADATA,
    *_row_rule(),
    _private("natural_key", text(255)),
    _text("school", 20),
    _text("reason", 400),
    _text("severity", 8),
    _text("source", 80),
    _text("state", 8),
    _number("run_no"),
    _number("closed_run"),
)
# `rule` is never empty, so that Oracle too finds the open ones, whose first column is.
sa.Index("ix_quarantine_open", QUARANTINE.c.closed_run, QUARANTINE.c.rule)
CONFLICT: Final = sa.Table(
    "conflict",
    METADATA,
    _key("conflict_no", sa.BigInteger),
    _text("entity", 20),
    sa.Column("pk", char(20)),
    _private("natural_key", text(255)),
    _text("field", 30),
    _text("rule", 20),
    _text("state", 16),
    _text("source", 80),
    _private("value", value_text()),
    _text("winner_source", 80),
    _private("winner_value", value_text()),
    _text("clash", 24),
    _text("digest", 24),
    _text("src_rid", 64),
    _number("rows_named"),
    _number("run_no"),
    _number("closed_run"),
    _number("decision_no"),
    _text("subject", 24),
    _text("school", 20),
    _text("division", 6),
    _private("basis", text(24)),
)
sa.Index("ix_conflict_decision", CONFLICT.c.decision_no)
sa.Index("ix_conflict_digest", CONFLICT.c.digest)
sa.Index("ix_conflict_run", CONFLICT.c.run_no)
sa.Index("ix_conflict_closed", CONFLICT.c.closed_run)
KEY_CHANGE: Final = sa.Table(
    "key_change",
    METADATA,
    _entity(),
    _key("pk", char(20)),
    _key("cs_no", sa.BigInteger),
    _private("old_key", text(255)),
    _private("new_key", text(255)),
)
AUDIT_EVENT: Final = sa.Table(
    "audit_event",
    METADATA,
    _key("i", sa.BigInteger),
    _text("ts"),
    _text("node", 8),
    _text("actor", 80),
    _text("actor_role"),
    _text("action"),
    _text("object", 255),
    _text("purpose", 400),
    _text("result", 16),
    _long("detail"),
    _text("prev", 80),
    _text("digest", 80),
)
sa.Index("ix_audit_event_action", AUDIT_EVENT.c.action, AUDIT_EVENT.c.i)
