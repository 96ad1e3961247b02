"""Tables of the conflict workflow: decision, events, bulk operations, corrections, operators, exports (console 3).

Decides columns, keys, the indexes that lists of a million conflicts need, and what the database itself refuses: a
decision of a person is in effect only with a second person's name (four-eyes), whoever writes the row.

- `decision` is the conflict as people see it: one row per field of one record (or per clash of rows), however many
  `conflict` rows (one per losing value) speak of it. Its number never changes; a reopened one starts a new `round_no`.
- `version` rises with every decision and with every pull that changes the sources; comments, 分派, 截止日期 leave it.
- `stamp` is the number of the audit record under which the row changed last: what changed since a preview is one
  comparison.
- `closed` is 1 while the state is 已生效, else 0. No index holds what a bulk changes (state, operation number): open
  rows are found by this marker, an operation's by the range of numbers it took. So a million rows are decided without
  a million new index entries; on PostgreSQL they are changed in place (`hub.store.postgresql`).
- `decision_event` is the history: every transition with person, reason, text, time and operation number; kept for ever.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, PRIVATE, char, long_text, text, value_text

# A decision stands in these states; only a second person brings one there.
FOUR_EYES: Final = (
    "kind IS NULL OR state NOT IN ('已生效', '退回源头平台') OR (proposer IS NOT NULL AND reviewer IS NOT NULL "
    "AND reviewer <> proposer)"
)

# A plaintext export leaves by two persons' word (protocol 14.3).
TWO_PERSONS: Final = "state NOT IN ('已批准', '已导出') OR (decided_by IS NOT NULL AND decided_by <> asked_by)"


def _column(name: str, type_: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, **options)


def _key(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, nullable=False, autoincrement=False)


def _numbers(*names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(_column(n, sa.BigInteger) for n in names)


def _texts(**lengths: int) -> tuple[sa.Column[Any], ...]:
    return tuple(_column(n, text(size)) for n, size in lengths.items())


def _private(*names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(_column(n, long_text(), comment=PRIVATE) for n in names)


def _values(*names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(_column(n, value_text(), comment=PRIVATE) for n in names)


def _natural_key() -> sa.Column[Any]:
    return _column("natural_key", text(255), comment=PRIVATE)


DECISION: Final = sa.Table(
    "decision",
    METADATA,
    _key("decision_no", sa.BigInteger),
    *_texts(subject=24, entity=20),
    _column("pk", char(20)),
    _natural_key(),
    *_texts(field=30, rule=20, clash=24, school=20, division=6, state=16, cause=40, state_before=16, until=10),
    *_numbers("version", "stamp", "events", "round_no", "open_rows", "waiting"),
    _column("basis", text(24), comment=PRIVATE),
    *_texts(authority=8, authority_ok=1),
    *_values("authority_value"),
    *_texts(suggest_source=8),
    *_values("suggest_value"),
    *_texts(kind=16, chosen_source=8),
    *_values("chosen_value"),
    *_texts(effect=1, reason=20),
    *_private("note"),
    *_texts(proposer=80, proposed_at=40, reviewer=80, reviewed_at=40, op_no=40, assignee=80, due=10),
    *_numbers("opened_run", "moved_run", "closed_run"),
    *_texts(evidence=80, changed_at=40),
    _column("closed", text(1), default="0"),
    sa.CheckConstraint(FOUR_EYES, name="ck_decision_four_eyes"),
)
sa.Index("ix_decision_subject", DECISION.c.subject, unique=True)
sa.Index("ix_decision_open", DECISION.c.closed, DECISION.c.decision_no)
sa.Index("ix_decision_record", DECISION.c.pk)

DECISION_EVENT: Final = sa.Table(
    "decision_event",
    METADATA,
    _key("decision_no", sa.BigInteger),
    _key("event_no", sa.BigInteger),
    *_numbers("round_no", "version"),
    *_texts(action=24, from_state=16, to_state=16, cause=40, person=80, actor=80, role=40, kind=16, chosen_source=8),
    *_values("chosen_value"),
    *_texts(reason=20),
    *_private("note"),
    *_texts(op_no=40, evidence=80, ts=40),
)
BULK_OPERATION: Final = sa.Table(
    "bulk_operation",
    METADATA,
    _key("op_no", text(40)),
    *_texts(action=24, kind=16),
    _column("filter", long_text(), comment=PRIVATE),
    *_texts(reason=20),
    *_private("note"),
    *_texts(person=80, actor=80, role=40, state=16),
    *_numbers("as_of", "hits", "able", "done", "missed", "last_no", "undone", "kept"),
    _column("skipped", long_text()),
    *_texts(started=40, ended=40, undone_by=80, undone_at=40, assignee=80, due=10),
    *_numbers("first_no"),
)
CORRECTION: Final = sa.Table(
    "correction",
    METADATA,
    _key("correction_no", sa.BigInteger),
    *_numbers("decision_no", "round_no"),
    *_texts(system=8, entity=20),
    _column("pk", char(20)),
    _natural_key(),
    *_texts(field=30, rule=20, school=20),
    *_values("old_value", "wanted_value"),
    *_texts(reason=20),
    *_private("note"),
    *_texts(state=16, asked_by=80, asked_at=40, due=10, sent_at=40),
    *_numbers("confirmed_run"),
    *_texts(evidence=80, closed_at=40),
)
sa.Index("ix_correction_decision", CORRECTION.c.decision_no)
sa.Index("ix_correction_system", CORRECTION.c.system, CORRECTION.c.state)

PLAIN_EXPORT: Final = sa.Table(
    "plain_export",
    METADATA,
    _key("request_no", sa.BigInteger),
    _column("filter", long_text(), comment=PRIVATE),
    *_texts(purpose=400, state=16, asked_by=80, asked_actor=80, asked_at=40, decided_by=80, decided_actor=80),
    *_texts(decided_at=40, taken_at=40),
    *_numbers("rows_out"),
    sa.CheckConstraint(TWO_PERSONS, name="ck_plain_export_persons"),
)
# An identifier somebody typed, under the opaque number that stands in its place in the URL (console 1).
TYPED_QUERY: Final = sa.Table(
    "typed_query", METADATA, _key("token", text(40)), *_texts(name=80), *_private("typed"), *_texts(made_at=40)
)

OPERATOR: Final = sa.Table("operator", METADATA, _key("name", text(80)), *_texts(person=80, state=8, created=40))
OPERATOR_ROLE: Final = sa.Table(
    "operator_role",
    METADATA,
    _key("name", text(80)),
    _key("role", text(40)),
    _column("scope", long_text()),
)
