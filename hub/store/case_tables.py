"""Tables of the ministry's cases and of a province's share in them (protocol 14.4, 14.5); described in METADATA.

`person_mark` and `enrolment_mark` are the blind index: keyed digests, no value, written and read by the ministry's
matching alone. `mark` stands for a person's document, `link` for the 学籍号 that joins a student with the enrolment.
`cross_case` is one person who stands in several provinces: its number never changes and a registration that comes back
starts a new `round_no`. `case_party` is one record of it in one province, `case_event` the history, kept for ever.
At a province `case_notice` is a case as the ministry told it, and `case_answer` what was told back.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, PRIVATE, char, long_text, text


def _key(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, nullable=False, autoincrement=False)


def _numbers(*names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(n, sa.BigInteger) for n in names)


def _texts(**lengths: int) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(n, text(size)) for n, size in lengths.items())


def _marked() -> tuple[sa.Column[Any], ...]:
    return _key("node", char(2)), _key("pk", char(20)), _key("key_ver", sa.BigInteger)


PERSON_MARK: Final = sa.Table("person_mark", METADATA, *_marked(), *_texts(mark=64, link=40, school=20))
sa.Index("ix_person_mark_mark", PERSON_MARK.c.mark)
sa.Index("ix_person_mark_link", PERSON_MARK.c.node, PERSON_MARK.c.link)

ENROLMENT_MARK: Final = sa.Table("enrolment_mark", METADATA, *_marked(), *_texts(link=40, status=2))
sa.Index("ix_enrolment_mark_link", ENROLMENT_MARK.c.node, ENROLMENT_MARK.c.link)

CROSS_CASE: Final = sa.Table(
    "cross_case",
    METADATA,
    _key("case_no", text(24)),
    *_texts(mark=64, state=16, cause=40, reason=20),
    *_numbers("round_no", "version", "events", "reminders", "stage"),
    *_texts(opened_at=40, issued_at=40, due=10, reminded_at=40, keeper=2, ruled_at=40, closed_at=40, closed_by=80),
    *_texts(evidence=80),
)
sa.Index("ix_cross_case_mark", CROSS_CASE.c.mark, unique=True)
sa.Index("ix_cross_case_state", CROSS_CASE.c.state, CROSS_CASE.c.due)

CASE_PARTY: Final = sa.Table(
    "case_party",
    METADATA,
    _key("case_no", text(24)),
    _key("node", char(2)),
    _key("pk", char(20)),
    *_texts(school=20, standing=1, settled=1),
    *_numbers("told_round", "told_close", "answer_no"),
    *_texts(answer=16, answer_reason=20, answered_at=40, answer_batch=64, opened_at=40, left_by=64, left_cause=40),
)
sa.Index("ix_case_party_record", CASE_PARTY.c.node, CASE_PARTY.c.pk)

CASE_EVENT: Final = sa.Table(
    "case_event",
    METADATA,
    _key("case_no", text(24)),
    _key("event_no", sa.BigInteger),
    *_numbers("round_no", "version"),
    *_texts(action=24, node=2, to_state=16, cause=40, person=80, second=80, evidence=80, ts=40),
    sa.Column("note", long_text(), comment=PRIVATE),
)

CASE_NOTICE: Final = sa.Table(
    "case_notice",
    METADATA,
    _key("case_no", text(24)),
    *_numbers("decision_no", "round_no", "last_no", "reminders", "stage"),
    sa.Column("pk", char(20)),
    *_texts(counterpart=120, schools=400, reason=20, state=16, due=10, keeper=2),
    *_texts(batch_id=64, received_at=40, closed_at=40, cause=40, evidence=80),
    sa.Column("particulars", long_text(), comment=PRIVATE),
)
sa.Index("ix_case_notice_decision", CASE_NOTICE.c.decision_no)

CASE_ANSWER: Final = sa.Table(
    "case_answer",
    METADATA,
    _key("answer_no", sa.BigInteger),
    *_texts(case_no=24),
    sa.Column("pk", char(20)),
    *_numbers("round_no"),
    *_texts(answer=16, reason=20, batch_id=64, created_at=40),
)
sa.Index("ix_case_answer_case", CASE_ANSWER.c.case_no, CASE_ANSWER.c.answer_no)
