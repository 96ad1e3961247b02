"""Where a case stands, from what its provinces said: values in, one word out (console 5, 跨省核查). No I/O.

Decides when a case is answered, what the answers amount to, and when a province is late. A province speaks with one
voice however many records it has in the case; the answers of provinces whose record is gone count no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from hub.case_form import FINAL, Answer

# Days a province has to answer, and days after that until a reminded case is taken up a level.
TERM: Final = timedelta(days=15)
PATIENCE: Final = timedelta(days=7)


class Outlook(StrEnum):
    """What the answers amount to; the words are what people see."""

    WAITING = "待各省答复"
    AT_SOURCE = "等待源头更新"
    DISPUTED = "各执一词，待裁定"
    NOBODY = "各省均不保留，待裁定"
    OTHERS = "各省答复非同一人"


@dataclass(frozen=True)
class Voice:
    """One province's part in a case. `told`: the round it was told of last; `standing`: its record is in study."""

    node: str
    standing: bool
    told: int
    answer: Answer | None = None

    @property
    def final(self) -> bool:
        return self.answer in FINAL


def outlook(voices: Iterable[Voice], keeper: str | None = None) -> Outlook:
    """What the answers of the provinces that still have a record amount to. `keeper`: whom a ruling named."""
    standing = [v for v in voices if v.standing]
    if not standing or not all(v.final for v in standing):
        return Outlook.WAITING
    keep = {v.node for v in standing if v.answer is Answer.KEEP}
    leave = {v.node for v in standing if v.answer is Answer.YIELD}
    if len(keep) == 1 and len(keep) + len(leave) == len({v.node for v in standing}):
        return Outlook.AT_SOURCE if keeper in (None, *keep) else Outlook.DISPUTED
    if not keep and leave:
        # Who is to keep has been ruled; the others give way, and what the keeper said is overtaken.
        return Outlook.NOBODY
    if not keep and not leave:
        return Outlook.OTHERS
    return Outlook.DISPUTED


def answered(voices: Iterable[Voice]) -> bool:
    """Every province that has a record has given its final answer."""
    standing = [v for v in voices if v.standing]
    return bool(standing) and all(v.final for v in standing)


def overdue(due: str | None, today: date) -> bool:
    """The day of answer has passed. `due`: YYYY-MM-DD."""
    return due is not None and date.fromisoformat(due) < today


def escalates(due: str | None, reminders: int, today: date) -> bool:
    """Reminded before, and late by more than a week: the next reminder goes up a level."""
    return due is not None and reminders > 0 and date.fromisoformat(due) + PATIENCE < today
