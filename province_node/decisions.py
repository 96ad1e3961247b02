"""Decisions between store and settling: what people approved goes into the next round, what the round saw comes back.

Decides when: approved decisions enter the state before the sources are taken in; conflicts and corrections follow in
the transaction that publishes the round, so golden rows and the state of their conflicts never disagree.
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
from hub.store.decision_tables import DECISION
from province_node.changeset import Settlement
from province_node.desk import Desk
from province_node.ledger import lapsed_decisions
from quality.decisions import State
from quality.decisions_effect import COLUMNS, take_decisions
from quality.decisions_follow import HUB, Followed, Pulled, follow_round
from quality.decisions_store import Acting

_BLOCK = 20_000
_EMPTY = pa.schema([(c, pa.int64() if c == "decision_no" else pa.string()) for c in COLUMNS])


def decisions_in_effect(node: Node, catalog: Catalog) -> Any:
    """Arrow table (`quality.decisions_effect.COLUMNS`) of the decided values that stand in golden rows from now on.

    A node whose database is not set up yet has no decisions.
    """
    store = open_store(node.database_url, catalog)
    query = (
        sa.select(*(DECISION.c[{"value": "chosen_value"}.get(c, c)] for c in COLUMNS))
        .where(DECISION.c.state == str(State.EFFECTIVE), DECISION.c.effect == "1")
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


def take_in_effect(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog) -> int:
    """What people approved enters the settling state; returns how many decisions came, went or changed."""
    return take_decisions(con, catalog, decisions_in_effect(node, catalog))


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
