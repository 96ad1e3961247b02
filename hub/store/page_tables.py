"""Tables of the console's own papers: changes of quality rules by two persons, and the monthly form (console 3, 5).

Decides columns and keys. `rule_change.settings` is a JSON object of thresholds and `enabled`; who decides is another
person than who asked. `monthly_report` holds one row per revision of a month; `answers` is a JSON object by item.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, long_text, text

TWO_PERSONS: Final = "decided_by IS NULL OR decided_by <> asked_by"


def _key(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, nullable=False, autoincrement=False)


def _texts(**sizes: int) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(name, text(size)) for name, size in sizes.items())


RULE_CHANGE: Final = sa.Table(
    "rule_change",
    METADATA,
    _key("change_no", sa.BigInteger),
    *_texts(rule=20),
    sa.Column("settings", long_text()),
    *_texts(reason=400, state=16, asked_by=80, asked_actor=80, asked_at=40, decided_by=80, decided_actor=80),
    *_texts(decided_at=40, decided_note=400),
    sa.CheckConstraint(TWO_PERSONS, name="ck_rule_change_persons"),
)
MONTHLY_REPORT: Final = sa.Table(
    "monthly_report",
    METADATA,
    _key("month", text(7)),
    _key("revision", sa.BigInteger),
    sa.Column("version", sa.BigInteger),
    *_texts(state=16),
    sa.Column("answers", long_text()),
    *_texts(edited_by=80, edited_at=40, submitted_by=80, submitted_at=40),
)
