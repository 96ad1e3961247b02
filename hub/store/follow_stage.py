"""Temporary tables of the follow-up of conflicts and of bulk decisions (`quality.decisions_follow`, `decisions_bulk`).

Decides their shapes, once for all databases, so that they can stand beforehand where a transaction cannot make them
(`hub.store.stage`). What the rows mean is decided where they are written.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import text, value_text


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger)


def _decision() -> sa.Column[Any]:
    return sa.Column("decision_no", sa.BigInteger, primary_key=True, nullable=False, autoincrement=False)


# What the sources say now of every conflict that a round moved.
MOVED: Final = _table(
    "moved_conflict",
    _decision(),
    *(_number(n) for n in ("waited", "open_rows", "waiting")),
    sa.Column("basis", text(24)),
    sa.Column("authority_value", value_text()),
    sa.Column("authority_ok", text(1)),
    sa.Column("other_source", text(80)),
    sa.Column("other_value", value_text()),
)
# Which state a conflict takes in this round, and why.
STEP: Final = _table(
    "step_conflict", _decision(), sa.Column("to_state", text(16)), sa.Column("cause", text(40)), _number("clears")
)
# What the golden rows say of what platforms were asked to correct.
TOLD: Final = _table(
    "told_conflict", _decision(), *(_number(n) for n in ("confirmed", "contradicted", "old_value", "gone"))
)
OWNER: Final = _table(
    "owner_field", sa.Column("entity", text(20)), sa.Column("field", text(30)), sa.Column("system", text(8))
)
LAPSED: Final = _table("lapsed_conflict", _decision())
FOLLOW_TABLES: Final = (MOVED, STEP, TOLD, OWNER, LAPSED)
