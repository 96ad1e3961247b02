"""Work in every queue of a demo province: what a week of its clerks would have left (`make serve`).

Decides which waiting conflicts get which treatment, by their number; every move goes through the workflow itself, so
nothing stands here that a person could not have done. Does nothing where somebody has worked already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.errors import HubError
from hub.roles_store import operator_named
from hub.settings import Node
from hub.store import Store, open_store
from hub.store.decision_tables import DECISION, DECISION_EVENT
from province_node.supplement_intake import import_file
from quality.decisions import Action, Conflict, Kind, Move, Proposal, State
from quality.decisions_apply import apply
from quality.decisions_bulk import Bulk, Order, preview
from quality.decisions_query import Filter
from quality.decisions_store import Acting, DecisionRefusedError, act, load

# How many conflicts each treatment takes, in order of their numbers.
TREATMENTS: Final = (
    ("submit", 16), ("propose", 6), ("approve", 12), ("return", 6), ("postpone", 4), ("reject", 4), ("assign", 12),
    ("overdue", 9),
)  # fmt: skip
BULK_FIELDS: Final = 1
DAYS_LATE: Final = 3
SUPPLEMENTS: Final = 3


def play_work(node: Node, *, at: datetime, say: Callable[[str], None]) -> None:
    """Plays the week once. `at`: aware, now; the operators are those of `pipelines.lab.accounts`."""
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            begun = reader.connection.execute(
                sa.select(sa.func.count()).select_from(DECISION_EVENT).where(DECISION_EVENT.c.person.like("demo-%"))
            ).scalar_one()
        if begun:
            return
        say("安排演示工作：提议、复核、退回、暂缓、分派、逾期、批量、补录 …")
        _Week(store, node, at).play()
    finally:
        store.close()


class _Week:
    """The people, and the conflicts that wait."""

    def __init__(self, store: Store, node: Node, at: datetime) -> None:
        self.store, self.node, self.at = store, node, at
        with store.reading() as reader:
            people = (operator_named(reader, n) for n in ("clerk", "chief", "review", "keeper"))
            self.clerk, self.chief, self.review, self.keeper = people

    def play(self) -> None:
        self._bulk()
        rest = iter(self._waiting())
        for what, count in TREATMENTS:
            done = 0
            while done < count and (number := next(rest, None)) is not None:
                with suppress(DecisionRefusedError):
                    getattr(self, f"_{what}")(number)
                    done += 1
        self._supplements()

    def _waiting(self) -> Iterator[int]:
        """Waiting conflicts with a suggestion, spread over fields so that the lists show more than one kind."""
        rank = sa.func.row_number().over(partition_by=DECISION.c.field, order_by=DECISION.c.decision_no).label("rank")
        query = (
            sa.select(DECISION.c.decision_no, rank)
            .where(DECISION.c.state == State.WAITING.value)
            .order_by(sa.text("rank"), DECISION.c.decision_no)
        )
        with self.store.reading() as reader:
            return iter([row[0] for row in reader.connection.execute(query)])

    def _acting(self, who: str) -> Acting:
        return Acting(self.node.party, getattr(self, who), self.at, self.at.date().isoformat())

    def _move(self, who: str, number: int, move: Move, *, today: str = "") -> None:
        acting = self._acting(who)
        with self.store.reading() as reader:
            version = load(reader, number)[1].version
        act(self.store, replace(acting, today=today) if today else acting, number, move, version=version)

    def _proposal(self, number: int) -> Move:
        with self.store.reading() as reader:
            found = load(reader, number)[1]
        source = _best(found)
        if source is None:
            return Move(Action.PROPOSE, "R05", "请源头平台核实", Proposal(Kind.RETURN))
        return Move(Action.PROPOSE, "R01", "已电话核实", Proposal(Kind.ADOPT, *source))

    def _propose(self, number: int) -> None:
        self._move("clerk", number, self._proposal(number))

    def _submit(self, number: int) -> None:
        self._propose(number)
        self._move("clerk", number, Move(Action.SUBMIT))

    def _approve(self, number: int) -> None:
        self._submit(number)
        self._move("review", number, Move(Action.APPROVE))

    def _return(self, number: int) -> None:
        self._move("clerk", number, Move(Action.PROPOSE, "R05", "", Proposal(Kind.RETURN)))
        self._move("clerk", number, Move(Action.SUBMIT))
        self._move("review", number, Move(Action.APPROVE))

    def _postpone(self, number: int) -> None:
        until = (self.at + timedelta(days=14)).date().isoformat()
        self._move("clerk", number, Move(Action.POSTPONE, "R21", "学校正在查档案", until=until))

    def _reject(self, number: int) -> None:
        self._submit(number)
        self._move("review", number, Move(Action.REJECT, "R11", "请附学校证明"))

    def _assign(self, number: int) -> None:
        self._move("chief", number, Move(Action.ASSIGN, assignee=self.clerk.name))
        self._move("clerk", number, Move(Action.COMMENT, note="已联系学校，等回复"))

    def _overdue(self, number: int) -> None:
        """A day that was set last week, and has passed."""
        due = (self.at - timedelta(days=DAYS_LATE)).date().isoformat()
        before = (self.at - timedelta(days=10)).date().isoformat()
        self._move("chief", number, Move(Action.DUE, due=due), today=before)

    def _bulk(self) -> None:
        """One bulk operation over what waits on the field with most conflicts, left in 待复核."""
        c = DECISION.c
        query = (
            sa.select(c.entity, c.field)
            .where(c.state == State.WAITING.value, c.clash.is_(None), c.suggest_source.is_not(None))
            .group_by(c.entity, c.field)
            .order_by(sa.func.count().desc(), c.field)
            .limit(BULK_FIELDS)
        )
        with self.store.reading() as reader:
            chosen = reader.connection.execute(query).all()
            orders = []
            for entity, field in chosen:
                waiting = Filter(entity=(entity,), field=(field,), state=(State.WAITING.value,))
                order = Order(waiting, Bulk.BY_RULE, "R01", "学校补录已核实，按规则批量处理")
                found = preview(reader, self._acting("clerk"), order)
                orders += [(order, found.token)] if found.able else []
        for order, token in orders:
            acting = replace(self._acting("clerk"), op_no=f"B{self.at:%Y%m%d}-demo")
            apply(self.store, acting, order, token)

    def _supplements(self) -> None:
        """School files that wait for review; one that cannot be taken is left out."""
        folder = self.node.sources.parent if self.node.sources.suffix else self.node.sources
        taken = 0
        for path in sorted(folder.rglob("*.xlsx")):
            if taken >= SUPPLEMENTS:
                return
            with suppress(HubError):
                import_file(
                    self.store, load_catalog(), path, node=self.node.party, operator=self.keeper.person, at=self.at,
                    today=self.at.date().isoformat(),
                )  # fmt: skip
                taken += 1


def _best(conflict: Conflict) -> tuple[str, str | None] | None:
    """The authority's value if it is good, else the first good one."""
    if conflict.clash:
        return None
    good = [s for s in conflict.sources if s.valid and s.value is not None]
    own = [s for s in good if s.source == conflict.authority]
    return next(((s.source, s.value) for s in [*own, *good]), None)
