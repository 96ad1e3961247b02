"""Conflicts exported in plain: asked for by one person with a purpose, released by a second one, taken once (protocol 14.3).

Decides who may ask (the right to export and a privacy role), who may release (a reviewer who is another person; the
database holds that too), how long a release stands, and that the audit record is committed before the first row is read.
The file names exporter, releaser and purpose (`quality.decisions_sheet.Mark`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append, next_number
from hub.audit.events import Result
from hub.errors import UsageError
from hub.roles import same_person
from hub.store import Reader, Store, Transaction
from hub.store.decision_tables import PLAIN_EXPORT
from quality.decisions import Refusal
from quality.decisions_query import Filter, count
from quality.decisions_sheet import Mark
from quality.decisions_store import Acting, DecisionRefusedError

ASKED, RELEASED, DENIED, TAKEN = "待批准", "已批准", "已驳回", "已导出"
STANDS: Final = timedelta(hours=24)
_PURPOSE: Final = range(4, 201)


def ask(store: Store, acting: Acting, chosen: Filter, purpose: str) -> int:
    """A request for what the filter finds now; its number. The same request again while it waits is the one that waits.

    Raises 403 without the right, `UsageError` E1059.
    """
    _may_take(acting)
    words = purpose.strip()
    if len(words) not in _PURPOSE:
        raise UsageError("E1059", f"用途须写明，{_PURPOSE[0]} 至 {_PURPOSE[-1]} 字", step="写明用途后重新申请")
    with store.begin() as tx:
        next_number(tx.connection)
        if (waits := _waiting(tx, acting, chosen.text(), words)) is not None:
            return waits
        last = tx.connection.execute(sa.select(sa.func.max(PLAIN_EXPORT.c.request_no))).scalar_one()
        number = int(last or 0) + 1
        rows = count(tx, acting.node, acting.by.scopes("xlsx"), chosen)
        tx.connection.execute(
            sa.insert(PLAIN_EXPORT),
            {
                "request_no": number, "filter": chosen.text(), "purpose": words, "state": ASKED, "rows_out": rows,
                "asked_by": acting.by.person, "asked_actor": acting.by.name, "asked_at": acting.ts,
            },
        )  # fmt: skip
        _audit(tx, acting, Event.PLAINTEXT_ASKED, number, words, rows)
    return number


def _waiting(reader: Reader, acting: Acting, chosen: str, words: str) -> int | None:
    c = PLAIN_EXPORT.c
    query = sa.select(c.request_no, c.filter).where(
        c.asked_by == acting.by.person, c.state == ASKED, c.purpose == words
    )
    return next((int(n) for n, text in reader.connection.execute(query) if text == chosen), None)


def decide_request(store: Store, acting: Acting, number: int, *, release: bool) -> None:
    """The second person's word. 403 for the one who asked and without the right to review; E1059 when none waits."""
    with store.begin() as tx:
        next_number(tx.connection)
        row = request_of(tx, number)
        refusal = _refusal(acting, row)
        if refusal is None:
            if row["state"] != ASKED:
                raise UsageError(
                    "E1059", f"该申请{row['state']}，不能再审批", where=f"申请 {number}", step="刷新后查看"
                )
            tx.connection.execute(
                sa.update(PLAIN_EXPORT)
                .where(PLAIN_EXPORT.c.request_no == number)
                .values(
                    state=RELEASED if release else DENIED, decided_by=acting.by.person, decided_actor=acting.by.name,
                    decided_at=acting.ts,
                )
            )  # fmt: skip
        result = Result.REFUSED if refusal or not release else Result.DONE
        _audit(tx, acting, Event.PLAINTEXT_DECIDED, number, row["purpose"], int(row["rows_out"]), result)
    if refusal is not None:
        raise DecisionRefusedError(refusal, 0)


def take(store: Store, acting: Acting, number: int) -> tuple[Filter, Mark]:
    """What to export and how to mark it, by the one who asked, once. The audit record stands when this returns."""
    _may_take(acting)
    with store.begin() as tx:
        next_number(tx.connection)
        row = request_of(tx, number)
        if not same_person(row["asked_by"], acting.by.person):
            raise DecisionRefusedError(Refusal("E3321", "只有申请人可以导出", 403), 0)
        since = datetime.fromisoformat(row["decided_at"]) if row["decided_at"] else None
        stands = row["state"] == RELEASED and since is not None and acting.at.astimezone(UTC) - since <= STANDS
        if not stands:
            late = "批准已超过 24 小时" if row["state"] == RELEASED else f"该申请{row['state']}"
            raise UsageError("E1059", f"{late}，不能导出", where=f"申请 {number}", step="重新申请，由另一人批准后导出")
        chosen = Filter.of(row["filter"])
        rows = count(tx, acting.node, acting.by.scopes("xlsx"), chosen)
        tx.connection.execute(
            sa.update(PLAIN_EXPORT)
            .where(PLAIN_EXPORT.c.request_no == number)
            .values(state=TAKEN, taken_at=acting.ts, rows_out=rows)
        )
        _audit(tx, acting, Event.PLAINTEXT_EXPORTED, number, row["purpose"], rows)
    return chosen, Mark(number, acting.by.name, row["decided_actor"], row["purpose"], acting.ts, rows)


def request_of(reader: Reader, number: int) -> dict[str, Any]:
    """One request's row. Raises E1059 for an unknown one."""
    found = reader.connection.execute(sa.select(PLAIN_EXPORT).where(PLAIN_EXPORT.c.request_no == number)).mappings()
    if (row := found.first()) is None:
        raise UsageError("E1059", "没有这个明文导出申请", where=f"申请 {number}", step="核对申请号")
    return dict(row)


def requests(reader: Reader, limit: int = 100) -> list[dict[str, Any]]:
    """The newest requests, without their filters, which may hold what somebody typed."""
    columns = [c for c in PLAIN_EXPORT.c if c.name != "filter"]
    query = sa.select(*columns).order_by(PLAIN_EXPORT.c.request_no.desc()).limit(limit)
    return [dict(r) for r in reader.connection.execute(query).mappings()]


def _may_take(acting: Acting) -> None:
    if not (acting.by.may("xlsx") and acting.by.may("plaintext")):
        raise DecisionRefusedError(Refusal("E3321", "明文导出须由有隐私角色的业务员或业务主管申请", 403), 0)


def _refusal(acting: Acting, row: dict[str, Any]) -> Refusal | None:
    if same_person(row["asked_by"], acting.by.person):
        return Refusal("E3329", "不能批准本人的明文导出申请", 403)
    return None if acting.by.may("review") else Refusal("E3321", "您的角色不能批准明文导出", 403)


def _audit(
    tx: Transaction, acting: Acting, event: Event, number: int, purpose: str, rows: int, result: Result = Result.DONE
) -> None:
    append(
        tx.connection, event, ts=acting.at, node=acting.node, actor=acting.by.name, purpose=purpose, result=result,
        actor_role=acting.by.role_for("review" if event is Event.PLAINTEXT_DECIDED else "plaintext"),
        object=f"plain export {number}", detail={"rows": rows},
    )  # fmt: skip
