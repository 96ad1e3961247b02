"""The weekly census as a step of its own: for the schedule and for `hub census run` (protocol 9.3)."""

from __future__ import annotations

from datetime import datetime

from hub.settings import Node
from province_node.census import seal_census
from province_node.desk import Progress, silent
from province_node.exclusive import exchange_step
from province_node.publish import up_to_date
from province_node.sealing import Random, SealedBatch
from province_node.stream import standing
from province_node.window import full, unsealed, window


def run_census(node: Node, *, at: datetime, rng: Random, progress: Progress = silent) -> SealedBatch:
    """Seals a census of what the store holds; `deliver` ships it. Arguments and errors as `publish_pending`.

    E3416 while rows of the store wait to be sealed, which the census would count and the ministry not have, and while
    the window is full.
    """
    with exchange_step(node), up_to_date(node, at, rng, progress) as desk:
        with desk.store.reading() as reader:
            here = standing(reader, node.party, desk.keyring)
            room = window(reader, here, desk.keyring.trust.limits.in_flight)
            if unsealed(reader, node.party, here.hi) or not room.admits(1):
                raise full(room, "普查")
        return seal_census(desk)
