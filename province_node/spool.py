"""The spool lets go: ciphertext of decided batches, thirty days after their result (protocol 5.6).

Decides by the outbox alone; the manifest's bytes stay in the outbox row for ever, and the change sets stay with the
node, so that only the ciphertext is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from hub.batch.layout import manifest_name
from hub.batch.outbox import BatchState
from hub.settings import Node
from hub.store import Store
from hub.store.ledger import OUTBOX
from hub.transport.durable import local_disk, sync_folder
from province_node.ledger import moment

KEPT: Final = timedelta(days=30)


def let_go(node: Node, store: Store, at: datetime) -> int:
    """Removes what is no longer needed; how many files."""
    c = OUTBOX.c
    final = [str(state) for state in BatchState if state.is_final]
    query = sa.select(c.batch_id).where(c.state.in_(final), c.decided_at < moment(at - KEPT))
    with store.reading() as reader:
        old = set(reader.connection.execute(query).scalars())
    if not old or not node.spool.is_dir():
        return 0
    gone = 0
    with local_disk("spool"):
        for path in sorted(node.spool.iterdir()):
            batch = path.name.partition(".")[0]
            if batch in old and (path.name == manifest_name(batch) or path.suffix == ".cms"):
                path.unlink()
                gone += 1
        if gone:
            sync_folder(node.spool)
    return gone
