"""Back-pressure at sealing: at most `in_flight` batches without a result (protocol 6.1, 11.2).

Decides when sealing waits, never change capture: a change set whose turn has not come is stored with its rows, ledger
and lineage all the same, and sealed in its order as soon as receipts make room. What is sealed is sealed whole: a
change set of more batches than the window holds waits until nothing is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from hub.batch.outbox import BatchState
from hub.errors import HubError
from hub.store import Reader
from hub.store.ledger import CHANGE_SET, OUTBOX
from province_node.stream import STREAM, Standing


@dataclass(frozen=True)
class Window:
    """`undecided`: batches of the epoch without a result; `limit`: how many there may be."""

    undecided: int
    limit: int

    def admits(self, batches: int) -> bool:
        """So many more may be sealed now."""
        return self.undecided == 0 or self.undecided + batches <= self.limit

    def taken(self, batches: int) -> Window:
        """The window after sealing so many."""
        return Window(self.undecided + batches, self.limit)


def window(reader: Reader, here: Standing, limit: int) -> Window:
    """How full the window is now."""
    c = OUTBOX.c
    final = [str(state) for state in BatchState if state.is_final]
    query = (
        sa.select(sa.func.count())
        .select_from(OUTBOX)
        .where(c.stream == STREAM, c.epoch == here.position.stream_id.epoch, c.state.not_in(final))
    )
    return Window(int(reader.connection.execute(query).scalar_one()), limit)


def unsealed(reader: Reader, party: str, hi: int) -> list[int]:
    """Change sets of the ledger with rows that the stream does not cover yet (`hi`: its last change-log id)."""
    c = CHANGE_SET.c
    query = sa.select(c.cs_no).where(c.node == party, c.hi > hi).order_by(c.cs_no)
    return [int(number) for number in reader.connection.execute(query).scalars()]


def last_stored(reader: Reader, party: str) -> int:
    """The newest change-log id of the ledger, sealed or not; 0 before the first."""
    query = sa.select(sa.func.max(CHANGE_SET.c.hi)).where(CHANGE_SET.c.node == party)
    return int(reader.connection.execute(query).scalar_one() or 0)


def full(now: Window, what: str) -> HubError:
    """E3416: why something is not sealed now, in words."""
    return HubError(
        "E3416",
        f"已有 {now.undecided} 个批次等待部级结论（窗口 {now.limit} 个），{what}暂缓封装，数据已入库，没有丢失",
        where="outbox",
        step="不必处置：收到回执后下一次运行自动依次封装；长时间没有回执时与部级联系",
    )
