"""Months of the monthly form: drafts, what was reported when and by whom, corrections as further revisions (console 5).

Decides when a month is due and overdue, that a reported revision never changes (a correction is the next one), and that
the second writer of a draft is told. 上报 is audited with the digest of what was reported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.errors import InputError
from hub.roles import Operator
from hub.store import Reader, Store, Transaction
from hub.store.page_tables import MONTHLY_REPORT
from province_node.ledger import moment
from province_node.monthly_form import checked, form

DRAFT: Final = "草稿"
SENT: Final = "已上报"
FIRST: Final = "2021-09"
_C: Final = MONTHLY_REPORT.c


class OvertakenError(InputError):
    """Another saved first."""

    status = 409


@dataclass(frozen=True)
class Report:
    """One revision of a month. `version` 0: not stored yet."""

    month: str
    revision: int = 1
    version: int = 0
    state: str = DRAFT
    answers: Mapping[str, str] | None = None
    edited_by: str = ""
    edited_at: str = ""
    submitted_by: str = ""
    submitted_at: str = ""


def due_on(month: str) -> str:
    """The day on which the form of a month is due."""
    return f"{month}-{form().due_day:02d}"


def overdue(month: str, today: str) -> bool:
    """Whether the day has passed."""
    return today > due_on(month)


def revisions(reader: Reader, month: str) -> tuple[Report, ...]:
    """Every revision of a month, newest first."""
    query = sa.select(MONTHLY_REPORT).where(_C.month == month).order_by(_C.revision.desc())
    return tuple(_report(r) for r in reader.connection.execute(query).mappings())


def newest(reader: Reader) -> dict[str, Report]:
    """The newest revision of every month that has one."""
    query = sa.select(MONTHLY_REPORT).order_by(_C.month, _C.revision)
    return {str(r["month"]): _report(r) for r in reader.connection.execute(query).mappings()}


def last_reported(reader: Reader, before: str) -> Report | None:
    """What was reported last for a month before this one."""
    query = (
        sa.select(MONTHLY_REPORT)
        .where(_C.month < before, _C.state == SENT)
        .order_by(_C.month.desc(), _C.revision.desc())
        .limit(1)
    )
    row = reader.connection.execute(query).mappings().first()
    return None if row is None else _report(row)


def wanted(reader: Reader, today: str) -> str | None:
    """The month whose form is to be reported now; None when it was, or when the first round is finished."""
    month = today[:7]
    if any(r.state == SENT for r in revisions(reader, month)):
        return None
    before = last_reported(reader, month)
    item, answer = form().finished
    return None if before is not None and (before.answers or {}).get(item) == answer else month


def months(reader: Reader, today: str, most: int = 12) -> tuple[Report, ...]:
    """The newest months, those without a form as empty drafts."""
    have = newest(reader)
    year, number = int(today[:4]), int(today[5:7])
    found = []
    for _ in range(most):
        month = f"{year:04d}-{number:02d}"
        if month < FIRST:
            break
        found.append(have.get(month, Report(month)))
        year, number = (year, number - 1) if number > 1 else (year - 1, 12)
    return tuple(found)


def _report(row: Any) -> Report:
    texts = {n: str(row[n] or "") for n in ("edited_by", "edited_at", "submitted_by", "submitted_at")}
    return Report(
        str(row["month"]), int(row["revision"]), int(row["version"]), str(row["state"]),
        json.loads(row["answers"] or "{}"), **texts,
    )  # fmt: skip


def save(store: Store, month: str, given: Mapping[str, str], *, version: int, by: Operator, at: datetime) -> Report:
    """Keeps a draft; `version` is the one the writer saw. Raises `InputError` E3740, E3741, `OvertakenError` E3742."""
    answers = checked(given)
    with store.begin() as tx:
        return _write(tx, month, answers, version, by, at)


def _write(tx: Transaction, month: str, answers: Mapping[str, str], version: int, by: Operator, at: datetime) -> Report:
    _sane(month, at)
    have = next(iter(revisions(tx, month)), None)
    if have is not None and have.state == SENT:
        raise InputError("E3741", f"{month} 的月报已上报，不能改动", where="进展月报", step="按「更正」另建一稿")
    text = json.dumps(answers, ensure_ascii=False, sort_keys=True)
    values = {"answers": text, "edited_by": by.name, "edited_at": moment(at), "version": version + 1}
    if have is None:
        if version:
            raise _late(month)
        tx.connection.execute(sa.insert(MONTHLY_REPORT), {"month": month, "revision": 1, "state": DRAFT, **values})
        return next(iter(revisions(tx, month)))
    done = tx.connection.execute(
        sa.update(MONTHLY_REPORT)
        .where(_C.month == month, _C.revision == have.revision, _C.version == version, _C.state == DRAFT)
        .values(**values)
    )
    if done.rowcount != 1:
        raise _late(month, have)
    return next(iter(revisions(tx, month)))


def _sane(month: str, at: datetime) -> None:
    if not FIRST <= month <= date(at.year + (at.month == 12), at.month % 12 + 1, 1).isoformat()[:7]:
        raise InputError("E3743", "没有这个月的月报", where=month, step=f"选择 {FIRST} 至下月之间的月份")


def _late(month: str, have: Report | None = None) -> OvertakenError:
    who = f"（{have.edited_by}）" if have is not None else ""
    return OvertakenError(
        "E3742", f"{month} 的月报刚被他人改动{who}", where="进展月报", step="核对后重新保存；您填写的内容还在页面上"
    )


def submit(
    store: Store, month: str, given: Mapping[str, str], *, version: int, node: str, by: Operator, at: datetime
) -> Report:
    """上报: keeps the answers and closes the revision, audited. Raises as `save`, and E3744 for an empty form."""
    answers = checked(given)
    if not answers:
        raise InputError("E3744", "月报还没有填写任何内容", where="进展月报", step="填写后再上报")
    with store.begin() as tx:
        kept = _write(tx, month, answers, version, by, at)
        tx.connection.execute(
            sa.update(MONTHLY_REPORT)
            .where(_C.month == month, _C.revision == kept.revision)
            .values(state=SENT, submitted_by=by.name, submitted_at=moment(at))
        )
        digest = hashlib.sha256(json.dumps(answers, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
        append(
            tx.connection, Event.MONTHLY_REPORTED, ts=at, node=node, actor=by.name, actor_role=by.role_for("propose"),
            object=f"monthly {month} revision {kept.revision}", detail={"answers": len(answers), "sha256": digest},
        )  # fmt: skip
        return next(iter(revisions(tx, month)))


def correct(store: Store, month: str, *, by: Operator, at: datetime) -> Report:
    """A further revision of a reported month, beginning with its answers; the draft that is open already, if one is."""
    with store.begin() as tx:
        have = next(iter(revisions(tx, month)), None)
        if have is None or have.state == DRAFT:
            return have or Report(month)
        values = {
            "month": month, "revision": have.revision + 1, "version": 1, "state": DRAFT,
            "answers": json.dumps(have.answers, ensure_ascii=False, sort_keys=True), "edited_by": by.name,
            "edited_at": moment(at),
        }  # fmt: skip
        tx.connection.execute(sa.insert(MONTHLY_REPORT), values)
        return next(iter(revisions(tx, month)))
