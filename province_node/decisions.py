"""Decisions between store and settling: what people approved goes into the next round, what the round saw comes back.

Decides when: approved decisions enter the state before the sources are taken in; conflicts and corrections follow in
the transaction that publishes the round, so golden rows and the state of their conflicts never disagree. A row that
says it is in effect counts only with its approval in the history, by a second person: whoever writes it past the state
machine reaches no golden row, and the round says so.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import NotInitialisedError
from hub.settings import Node
from hub.store import Transaction, open_store
from hub.store.decision_tables import DECISION, DECISION_EVENT
from province_node.changeset import Settlement
from province_node.desk import Desk
from province_node.extract import Alarm
from province_node.ledger import lapsed_decisions
from quality.decisions import Action, State
from quality.decisions_effect import COLUMNS, take_decisions
from quality.decisions_follow import HUB, Followed, Pulled, follow_round
from quality.decisions_store import Acting

_BLOCK = 20_000
_NAMED = 20
UNAPPROVED = "E3338"
_E = DECISION_EVENT.c
_CLAIMED = sa.and_(DECISION.c.state == str(State.EFFECTIVE), DECISION.c.effect == "1")
_APPROVED = sa.and_(
    DECISION.c.kind.is_not(None),
    sa.exists().where(
        _E.decision_no == DECISION.c.decision_no, _E.round_no == DECISION.c.round_no,
        _E.action == str(Action.APPROVE), _E.person == DECISION.c.reviewer, _E.person != DECISION.c.proposer,
    ),
)  # fmt: skip
_EMPTY = pa.schema([(c, pa.int64() if c == "decision_no" else pa.string()) for c in COLUMNS])


def decisions_in_effect(node: Node, catalog: Catalog) -> Any:
    """Arrow table (`quality.decisions_effect.COLUMNS`) of the decided values that stand in golden rows from now on.

    A node whose database is not set up yet has no decisions.
    """
    store = open_store(node.database_url, catalog)
    query = (
        sa.select(*(DECISION.c[{"value": "chosen_value"}.get(c, c)] for c in COLUMNS))
        .where(_CLAIMED, _APPROVED)
        .order_by(DECISION.c.decision_no)
    )
    blocks = []
    try:
        with store.reading() as reader:
            found = reader.connection.execute(query.execution_options(yield_per=_BLOCK))
            for rows in found.partitions(_BLOCK):
                columns = list(zip(*rows, strict=True))
                blocks.append(
                    pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, _EMPTY, strict=True)], _EMPTY)
                )
    except NotInitialisedError:
        blocks = []
    finally:
        store.close()
    return pa.Table.from_batches(blocks, _EMPTY)


def unapproved(node: Node, catalog: Catalog) -> tuple[int, ...]:
    """Numbers of decisions that claim to be in effect and that nobody approved; the first ones, by number."""
    store = open_store(node.database_url, catalog)
    query = sa.select(DECISION.c.decision_no).where(_CLAIMED, sa.not_(_APPROVED)).order_by(DECISION.c.decision_no)
    try:
        with store.reading() as reader:
            return tuple(int(n) for n in reader.connection.execute(query.limit(_NAMED)).scalars())
    except NotInitialisedError:
        return ()
    finally:
        store.close()


def take_in_effect(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog) -> tuple[Alarm, ...]:
    """What people approved enters the settling state; what only claims to be approved is an alarm."""
    take_decisions(con, catalog, decisions_in_effect(node, catalog))
    forged = unapproved(node, catalog)
    if not forged:
        return ()
    named = "、".join(str(n) for n in forged)
    what = f"[{UNAPPROVED}] 冲突 {named} 标为已生效，但没有第二人复核通过的记录，未采用"
    step = "　下一步：核对数据库的改动来源，并用 hub audit verify 校验审计链"
    return (Alarm("decision", UNAPPROVED, what + step),)


def follow_settlement(desk: Desk, transaction: Transaction, settlement: Settlement, batch: str) -> Followed:
    """Conflicts and corrections after the round, in the publishing transaction; evidence: batch or change set."""
    number = settlement.changes.number
    pulled = Pulled(
        settlement.run,
        number,
        str(settlement.record["today"]),
        batch or f"变更集 {number}",
        lapsed_decisions(settlement),
    )
    acting = Acting(desk.node.party, HUB, desk.at, pulled.today)
    return follow_round(transaction, acting, pulled, desk.catalog)
