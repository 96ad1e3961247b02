"""Versions that end: kept in `h_<entity>` by the transaction that ends them, so that nothing held is ever lost.

Decides the statements; when a version ends is decided by merge, snapshot and repair. A version is copied before its
golden row gives way, in the same transaction: it lies in exactly one of the two tables.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from hub.store.history_tables import DELETED, ENDED, HELD_TO, REPLACED, moment
from hub.store.stage import EFFECT


def close_effect(golden: sa.Table, history: sa.Table, node: str, at: datetime) -> str:
    """The stored rows that an apply's effect replaces or removes."""
    ended = f"CASE WHEN e.op = 'D' THEN '{DELETED}' ELSE '{REPLACED}' END"
    joined = f"{EFFECT} e JOIN {golden.name} r ON r.node = '{node}' AND r.pk = e.pk WHERE e.ver_row IS NOT NULL"
    return _closing(golden, history, joined, ended, at)


def close_where(golden: sa.Table, history: sa.Table, condition: str, ended: str, at: datetime) -> str:
    """The stored rows of a condition over `r`."""
    return _closing(golden, history, f"{golden.name} r WHERE {condition}", f"'{ended}'", at)


def _closing(golden: sa.Table, history: sa.Table, source: str, ended: str, at: datetime) -> str:
    names = [c.name for c in golden.columns]
    return (
        f"INSERT INTO {history.name} ({','.join(names)},{HELD_TO},{ENDED}) "
        f"SELECT {','.join(f'r.{n}' for n in names)},'{moment(at)}',{ended} FROM {source}"
    )
