"""What a province knows of the ministry's cases beside the conflict itself: reading functions, SQL to frozen values.

Decides nothing and shows nothing of the person; record number, provinces, schools, days and what was told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.store import Reader
from hub.store.case_tables import CASE_ANSWER, CASE_NOTICE


@dataclass(frozen=True)
class Told:
    """One answer the province gave: when it was sealed, what, in which batch."""

    created_at: str
    answer: str
    reason: str | None
    batch_id: str


@dataclass(frozen=True)
class Notice:
    """A case as the ministry told it. `state`: 处理中 or 已关闭; `stage`: 0, 1 催办, 2 升级催办; `persons`: what the
    other side may be told apart by, once both have opened the case: private, masked unless shown after step-up."""

    case_no: str
    decision_no: int
    pk: str
    counterpart: tuple[str, ...]
    schools: tuple[str, ...]
    reason: str | None
    state: str
    round_no: int
    due: str | None
    reminders: int
    stage: int
    keeper: str | None
    received_at: str
    closed_at: str | None
    cause: str | None
    evidence: str | None
    persons: tuple[Mapping[str, Any], ...]
    answers: tuple[Told, ...]


def notice_of(reader: Reader, decision_no: int) -> Notice | None:
    """The case behind a conflict of the queue, None for any other conflict."""
    query = sa.select(CASE_NOTICE).where(CASE_NOTICE.c.decision_no == decision_no)
    row = reader.connection.execute(query).mappings().first()
    if row is None:
        return None
    a = CASE_ANSWER.c
    said = reader.connection.execute(
        sa.select(a.created_at, a.answer, a.reason, a.batch_id).where(a.case_no == row["case_no"]).order_by(a.answer_no)
    ).all()
    plain: dict[str, Any] = {n: int(row[n] or 0) for n in ("decision_no", "round_no", "reminders", "stage")}
    plain |= {n: row[n] for n in ("case_no", "pk", "reason", "state", "due", "keeper", "received_at", "closed_at",
                                 "cause", "evidence")}  # fmt: skip
    return Notice(
        counterpart=_split(row["counterpart"]), schools=_split(row["schools"]),
        persons=tuple(json.loads(row["particulars"] or "[]")), answers=tuple(Told(*s) for s in said), **plain,
    )  # fmt: skip


def counterparts(reader: Reader, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The other provinces of some cases, by the conflict's number."""
    query = sa.select(CASE_NOTICE.c.decision_no, CASE_NOTICE.c.counterpart).where(
        CASE_NOTICE.c.decision_no.in_(numbers)
    )
    return {int(n): _split(c) for n, c in reader.connection.execute(query)} if numbers else {}


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
