"""Matching by command: everything compared anew, and the key of the blind index made or replaced (protocol 14.4).

Decides the order of a rotation: the new key is written beside the old one from one transaction on, all marks are made
with it province by province, then it is compared, and the old key and its marks are gone. A rotation that was cut off
is finished by running it again. Cases live through it: each takes the new mark of its own records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.audit import Event, append
from hub.roles import two_persons
from hub.settings import Node
from hub.store import Transaction
from hub.store.ledger import NODE_STATE
from ministry_node.case_finding import Found
from ministry_node.desk import Desk, Random
from ministry_node.intake import open_bench
from ministry_node.matching import match_province, rescan
from ministry_node.matching_keys import NAME, forget, keep, make_key

Progress = Callable[[str], None]


def _silent(_what: str) -> None:
    """Nobody is watching."""


def rescan_all(
    node: Node,
    *,
    at: datetime,
    rng: Random,
    parties: Collection[str] | None = None,
    progress: Progress = _silent,
) -> Found:
    """All provinces of the trust list, or those named, compared anew from their golden rows."""
    with open_bench(node, at=at, rng=rng, progress=lambda _a, _b: None, clock=time.monotonic) as bench:
        chosen = [p for p in bench.desk.parties if parties is None or p in parties]
        return rescan(bench.desk, chosen, progress=progress)


def rotate_key(node: Node, *, by: str, second: str, at: datetime, rng: Random, progress: Progress = _silent) -> int:
    """The next key in force, every mark made with it; its number. UsageError E1219 without two persons."""
    two_persons(by, second)
    with open_bench(node, at=at, rng=rng, progress=lambda _a, _b: None, clock=time.monotonic) as bench:
        desk = bench.desk
        current, coming = _announce(desk)
        for party in desk.parties:
            progress(f"省 {party}")
            with desk.store.begin() as tx:
                match_province(tx, desk, party, evidence="比对密钥更换")
        with desk.store.begin() as tx:
            old = _switch(tx, current, coming)
            append(tx.connection, Event.MATCHING_KEY, ts=at, node=node.party, actor=by,
                   object=f"bi-{coming:06d}", detail={"second": second})  # fmt: skip
        for number in old:
            forget(node, number)
    return coming


def _announce(desk: Desk) -> tuple[int, int]:
    """(the version compared, 0 for none; the version to come), both written from here on."""
    with desk.store.begin() as tx:
        state = _state(tx)
        checks = {int(n): str(c) for n, c in state.get("checks", {}).items()}
        current = int(state.get("current", 0))
        coming = max(checks, default=0) if max(checks, default=0) > current else current + 1
        checks[coming] = make_key(desk.node, coming, desk.rng)
        keep(tx.connection, current or coming, checks)
    return current, coming


def _switch(tx: Transaction, current: int, coming: int) -> list[int]:
    """The new version is compared from now on; cases take the new marks. The versions that are over."""
    checks = {int(n): str(c) for n, c in _state(tx)["checks"].items()}
    over = [n for n in checks if n != coming]
    keep(tx.connection, coming, {coming: checks[coming]})
    new = (
        "SELECT max(p.mark) FROM case_party x JOIN person_mark p ON p.node = x.node AND p.pk = x.pk "
        f"AND p.key_ver = {coming} JOIN person_mark o ON o.node = x.node AND o.pk = x.pk AND o.key_ver = {current} "
        "AND o.mark = cross_case.mark WHERE x.case_no = cross_case.case_no"
    )
    if current and current != coming:
        # A case none of whose records has that document any more keeps a mark nobody will ever have again.
        tx.connection.exec_driver_sql(f"UPDATE cross_case SET mark = coalesce(({new}), mark)")
    for table in ("person_mark", "enrolment_mark"):
        tx.connection.exec_driver_sql(f"DELETE FROM {table} WHERE key_ver <> {coming}")
    return over


def _state(tx: Transaction) -> dict[str, Any]:
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == NAME).with_for_update()
    found = tx.connection.execute(query).scalar_one_or_none()
    state: dict[str, Any] = json.loads(found) if found else {}
    return state
