"""What the ministry does with a case: issue, remind, rule, close (console 5, 跨省核查: 下发, 催办, 关闭).

Decides which cases an action may touch, who is told, and what a person must bring: a ruling and a closing over standing
registrations want two persons and a reason, a ruling the province that keeps the student. Case, history, audit and the
signed messages commit together; shipping follows and can be repeated. A case whose province cannot be told now is left
out and named. That a case ends by itself is `case_finding`'s; here only the provinces are told of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.case_form import CaseState, Kind, Message
from hub.catalog import load_catalog
from hub.errors import UsageError
from hub.keyring import open_keyring
from hub.roles import same_person
from hub.settings import Node
from hub.store import Transaction, open_store
from hub.store.case_tables import CASE_PARTY, CROSS_CASE
from hub.transport import open_server
from ministry_node.case_messages import message, reachable, seal_messages
from ministry_node.case_states import TERM, escalates, overdue
from ministry_node.case_store import Stored, change, load, lock_cases, tell
from ministry_node.desk import require_ministry
from ministry_node.down import Random, Sender, ship

OPEN: Final = (CaseState.ISSUED, CaseState.ANSWERED)
NOT_SAME: Final = "非同一人"
CAUSES: Final = (NOT_SAME, "误报", "其他")
_NOTE: Final = 500


@dataclass(frozen=True)
class Done:
    """What an action did: the cases, the sealed batches, and cases left out with the sentence why."""

    cases: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


@contextmanager
def case_desk(node: Node, *, at: datetime, rng: Random) -> Iterator[Sender]:
    """What the actions work with. Raises `UsageError` E1005 at a province and what keyring and store raise."""
    require_ministry(node)
    store = open_store(node.database_url, load_catalog())
    try:
        yield Sender(node, store, open_keyring(node, at=at), open_server(node.transport_url), at, rng)
    finally:
        store.close()


def issue(sender: Sender, numbers: Sequence[str] | None, *, by: str, due: str | None = None) -> Done:
    """下发: tells every province of the case, once per round; a province that joined later makes it be told again.

    `numbers`: None for all that wait; `due`: YYYY-MM-DD, 15 days from now by default. Raises `UsageError` E3811
    (unknown), E3812 (a named case that has nothing to issue), E3813 (day of answer in the past).
    """
    day = due or (today_of(sender.at) + TERM).isoformat()
    if _day(day) < today_of(sender.at):
        raise UsageError("E3813", "答复期限不能早于今天", where=day, step="改正 --due")
    with _telling(sender) as work:
        for case in work.chosen(numbers, _to_issue, "没有待下发的内容"):
            values: dict[str, Any] = {"due": day, "issued_at": wire.write_utc(sender.at)}
            told = {"told_round": case.round_no}
            work.act(case, Kind.OPEN, case.nodes(), "下发", Event.CASE_ISSUED, by, state=CaseState.ISSUED,
                     values=values, told=told, body={"due": day})  # fmt: skip
    return work.done


def remind(sender: Sender, numbers: Sequence[str] | None, *, by: str) -> Done:
    """催办: tells the provinces that have not answered; late ones that were reminded before are taken up a level.

    `numbers`: None for all that are overdue. Raises `UsageError` E3811, E3812.
    """
    today = today_of(sender.at)
    late = CROSS_CASE.c.due < today.isoformat()
    with _telling(sender) as work:
        for case in work.chosen(numbers, _unanswered, "各省均已答复或尚未下发", late):
            up = escalates(case.due, case.reminders, today)
            nodes = [v.node for v in case.voices if v.standing and not v.final]
            values = {"reminders": case.reminders + 1, "stage": 2 if up else max(case.stage, 1),
                      "reminded_at": wire.write_utc(sender.at)}  # fmt: skip
            kind, word = (Kind.ESCALATE, "升级催办") if up else (Kind.REMIND, "催办")
            work.act(case, kind, nodes, word, Event.CASE_REMINDED, by, values=values)
    return work.done


def rule(sender: Sender, number: str, *, keeper: str, by: str, second: str, reason: str) -> Done:
    """裁定: which province keeps the student; the others put their record right at its source.

    Two persons and a reason. Raises `UsageError` E3811, E3812, E3814 (persons or reason), E3815 (no such province).
    """
    _two(by, second, reason)
    with _telling(sender) as work:
        for case in work.chosen([number], lambda c: c.state in OPEN, "尚未下发或已经关闭，不能裁定"):
            if keeper not in case.nodes():
                named = "、".join(case.nodes())
                raise UsageError("E3815", "裁定保留的省须是在读登记所在的省", where=number, step=f"可选：{named}")
            values = {"keeper": keeper, "ruled_at": wire.write_utc(sender.at)}
            work.act(case, Kind.RULING, case.nodes(), "裁定", Event.CASE_RULED, by, second=second, note=reason,
                     values=values, body={"keeper": keeper}, node=keeper)  # fmt: skip
    return work.done


def close(sender: Sender, number: str, *, cause: str, by: str, second: str, reason: str) -> Done:
    """关闭 by hand, over registrations that stand: they count as settled until one of them leaves and returns.

    Two persons and a reason; `cause`: one of `CAUSES`. Raises `UsageError` E3811, E3812, E3814, E3816 (no such cause).
    """
    _two(by, second, reason)
    if cause not in CAUSES:
        raise UsageError("E3816", f"没有这个关闭原因：{cause[:20]}", where="--cause", step="可选：" + "、".join(CAUSES))
    with _telling(sender) as work:
        for case in work.chosen([number], lambda c: c.state is not CaseState.CLOSED, "已经关闭"):
            values = {"closed_at": wire.write_utc(sender.at), "closed_by": by, "evidence": None}
            work.act(case, None, (), "关闭", Event.CASE_CLOSED, by, second=second, note=reason,
                     state=CaseState.CLOSED, values=values, cause=cause)  # fmt: skip
            c = CASE_PARTY.c
            settled = sa.update(CASE_PARTY).where(c.case_no == number, c.standing == "1").values(settled="1")
            work.tx.connection.execute(settled)
    told = tell_closed(sender)
    return Done(work.done.cases, (*work.done.batches, *told), work.done.left)


def tell_closed(sender: Sender) -> tuple[str, ...]:
    """Tells the provinces of cases that ended since they were told of them; repeatable, run after every intake."""
    c = CASE_PARTY.c
    waits = sa.exists().where(c.case_no == CROSS_CASE.c.case_no, c.told_round > c.told_close)
    told: dict[str, list[Message]] = {}
    with sender.store.begin() as tx:
        lock_cases(tx.connection)
        ended = load(tx.connection, None, waits, CROSS_CASE.c.state.in_([CaseState.CLOSED, CaseState.TO_ISSUE]))
        for case in ended:
            for node in {r.node for r in case.records if r.told > r.told_close}:
                round_no = max(r.told for r in case.records if r.node == node)
                if (case.state is CaseState.TO_ISSUE and round_no == case.round_no) or not reachable(
                    tx.connection, sender, node
                ):
                    continue  # the round is open still: another province joined it
                more = {"round": round_no, "cause": case.cause, "evidence": case.evidence}
                said = message(case, case.version, Kind.CLOSE, node, **more)
                if said is not None:
                    told.setdefault(node, []).append(said)
                tell(tx.connection, case, [node], told_close=round_no)
        sealed = seal_messages(tx, sender, told)
    if sealed:
        ship(sender)
    return tuple(b.batch_id for b in sealed)


def today_of(at: datetime) -> date:
    """The day it is in China."""
    return at.astimezone(timezone(timedelta(hours=8))).date()


class _Work:
    """One action over several cases: what is told is collected, and sealed when the action is over."""

    def __init__(self, tx: Transaction, sender: Sender) -> None:
        self.tx, self.sender = tx, sender
        self.told: dict[str, list[Message]] = {}
        self.cases: list[str] = []
        self.left: list[tuple[str, str]] = []
        self.done = Done()

    def chosen(self, numbers: Sequence[str] | None, fits: Any, why: str, *conditions: Any) -> Iterator[Stored]:
        """The cases of an action: those named, each of which must fit, or all that do."""
        for case in load(self.tx.connection, numbers, *(conditions if numbers is None else ())):
            if fits(case):
                yield case
            elif numbers is not None:
                raise UsageError(
                    "E3812", f"核查{case.state}：{why}", where=case.case_no, step="用 hub case show 查看现状"
                )

    def act(
        self, case: Stored, kind: Kind | None, nodes: Sequence[str], word: str, event: Event, by: str, *,
        second: str = "", note: str = "", values: dict[str, Any], body: dict[str, Any] | None = None,
        told: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """Changes one case and collects its messages; leaves it out when one of the provinces cannot be told."""
        connection, sender = self.tx.connection, self.sender
        deaf = [n for n in nodes if not reachable(connection, sender, n)]
        if deaf:
            self.left.append((case.case_no, f"省 {'、'.join(deaf)} 的下行数据流未开通或已冻结"))
            return
        version = change(connection, sender, case, word, person=by, second=second, note=note[:_NOTE], **more, **values)
        for node in nodes:
            if kind is not None and (said := message(case, version, kind, node, **(body or {}))) is not None:
                self.told.setdefault(node, []).append(said)
        if told:
            tell(connection, case, nodes, **told)
        detail: dict[str, str | int] = {"version": version, "round": case.round_no}
        detail |= {"second": second} if second else {}
        append(connection, event, ts=sender.at, node=sender.node.party, actor=by, object=f"case {case.case_no}",
               detail=detail)  # fmt: skip
        self.cases.append(case.case_no)


@contextmanager
def _telling(sender: Sender) -> Iterator[_Work]:
    with sender.store.begin() as tx:
        lock_cases(tx.connection)
        work = _Work(tx, sender)
        yield work
        sealed = seal_messages(tx, sender, work.told)
    work.done = Done(tuple(work.cases), tuple(b.batch_id for b in sealed), tuple(work.left))
    if sealed:
        ship(sender)


def _to_issue(case: Stored) -> bool:
    """Waits for its first telling, or a province with a record was not told of this round yet."""
    if case.state is CaseState.CLOSED or len(case.nodes()) < 2:
        return False
    return any(v.standing and v.told < case.round_no for v in case.voices)


def _unanswered(case: Stored) -> bool:
    return case.state in OPEN and any(v.standing and not v.final and v.told == case.round_no for v in case.voices)


def _two(by: str, second: str, reason: str) -> None:
    if not by.strip() or not second.strip() or same_person(by, second) or not reason.strip():
        raise UsageError("E3814", "须由两人办理并写明理由", where="--second", step="写明经办人、另一名复核人与理由")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("E3813", "答复期限须为 YYYY-MM-DD", where="--due", step="改正后重试") from None


def is_overdue(case: Stored, at: datetime) -> bool:
    """A province that was told has not answered by the day."""
    return _unanswered(case) and overdue(case.due, today_of(at))
