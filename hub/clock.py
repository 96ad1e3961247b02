"""The highest time a node has seen, persisted (protocol 11.1).

Decides by what time expiry is judged: the clock's, or the highest time seen where the clock runs more than ten minutes
behind that, so that setting a clock back does not make old batches or an expired trust list young again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.batch import wire
from hub.errors import HubError
from hub.store import Store
from hub.store.ledger import NODE_STATE

TOLERANCE: Final = timedelta(minutes=10)
_NAME: Final = "clock.highest"


def observe(store: Store, at: datetime) -> datetime:
    """Notes the time; returns what expiry is judged by: `at`, or the highest time seen where `at` is behind it."""
    with store.reading() as reader:
        seen = reader.connection.execute(_stored()).scalar_one_or_none()
    highest = wire.read_utc(seen, where=_NAME) if seen else None
    if highest is not None and at <= highest:
        return highest if highest - at > TOLERANCE else at
    value = wire.write_utc(at)
    with store.begin() as tx:
        c = NODE_STATE.c
        newer = sa.update(NODE_STATE).where(c.name == _NAME).values(value=value)
        if tx.connection.execute(_stored().with_for_update()).first() is None:
            tx.connection.execute(sa.insert(NODE_STATE), {"name": _NAME, "value": value})
        else:
            tx.connection.execute(newer)
    return at


def set_back(at: datetime, judged_at: datetime) -> HubError | None:
    """The alarm of a clock that runs behind, None for one that does not."""
    if judged_at - at <= TOLERANCE:
        return None
    minutes = int((judged_at - at).total_seconds() // 60)
    return HubError(
        "E3204",
        f"本机时钟比曾经到过的时刻慢 {minutes} 分钟，有效期按该时刻判断",
        where="clock",
        step="核对本机与部级授时服务器的同步；时钟正确前不要更换密钥或信任清单",
    )


def _stored() -> sa.Select[tuple[str]]:
    return sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _NAME)
