"""抽查: proposals drawn by chance for a reviewer to look at before deciding on the rest (console 3, 5).

Decides that a sample holds proposals of other people only, that chance comes from the caller, and that drawing is
audited with the numbers drawn. One scan, whatever waits.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.errors import UsageError
from hub.store import Store
from hub.store.decision_tables import DECISION
from quality.decisions import Refusal
from quality.decisions_query import Filter, conditions, within
from quality.decisions_store import Acting, DecisionRefusedError

MOST: Final = 100
_PRIME: Final = 2_147_483_647


def draw(store: Store, acting: Acting, chosen: Filter, size: int, dice: random.Random) -> tuple[int, ...]:
    """Numbers of at most `size` (1 to 100) conflicts in 待复核 that somebody else proposed, in order of number."""
    if not acting.by.may("sample"):
        raise DecisionRefusedError(Refusal("E3321", "您的角色不能抽查", 403), 0)
    if not 1 <= size <= MOST:
        raise UsageError("E1060", f"抽查条数须在 1 与 {MOST} 之间", step="改正抽查条数")
    waiting = replace(chosen, state=("待复核",))
    factor = dice.randrange(1, _PRIME)
    shuffled = (DECISION.c.decision_no * factor) % _PRIME
    with store.begin() as tx:
        query = (
            sa.select(DECISION.c.decision_no)
            .where(
                *conditions(waiting),
                within(tx, acting.node, acting.by.scopes("sample")),
                DECISION.c.proposer != acting.by.person,
            )
            .order_by(shuffled, DECISION.c.decision_no)
            .limit(size)
        )
        numbers = sorted(int(n) for n in tx.connection.execute(query).scalars())
        append(
            tx.connection, Event.CONFLICT_SAMPLED, ts=acting.at, node=acting.node, actor=acting.by.name,
            actor_role=acting.by.role_for("sample"), object="、".join(chosen.op_no) or "conflict",
            detail={"rows": len(numbers), "numbers": ",".join(map(str, numbers))},
        )  # fmt: skip
    return tuple(numbers)
