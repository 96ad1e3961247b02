"""Facet counts of one filter in one scope, remembered for 30 seconds (console 6).

Decides how long a count may be old, and that what this console itself decides is seen at once in a list of a size that
can be counted again at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from hub.roles import Scope
from hub.store import Reader, Store
from quality.decisions_query import Filter, facets

STANDS: Final = timedelta(seconds=30)
SMALL: Final = 100_000
_MOST: Final = 256
SHOWN: Final = ("state", "entity", "field", "rule", "school", "assignee", "authority")
Counts = Mapping[str, Mapping[str, int]]


@dataclass
class _Kept:
    lock: Lock = field(default_factory=Lock)
    counts: dict[tuple[Sequence[Scope], str], tuple[datetime, Counts]] = field(default_factory=dict)


_KEPT: Final[WeakKeyDictionary[Store, _Kept]] = WeakKeyDictionary()
_MAKING: Final = Lock()


def counted(
    store: Store, reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter, *, at: datetime
) -> Counts:
    """Counts per facet and value; each facet ignores its own filter."""
    kept, key = _kept(store), (tuple(scopes), chosen.text())
    with kept.lock:
        found = kept.counts.get(key)
    if found is not None and timedelta() <= at - found[0] < STANDS:
        return found[1]
    counts = facets(reader, node, scopes, chosen, SHOWN)
    with kept.lock:
        if len(kept.counts) >= _MOST:
            kept.counts.pop(next(iter(kept.counts)))
        kept.counts[key] = (at, counts)
    return counts


def forget(store: Store) -> None:
    """After a decision: lists that are quickly counted are counted anew."""
    kept = _kept(store)
    with kept.lock:
        large = {k: v for k, v in kept.counts.items() if any(sum(c.values()) > SMALL for c in v[1].values())}
        kept.counts.clear()
        kept.counts.update(large)


def _kept(store: Store) -> _Kept:
    with _MAKING:
        return _KEPT.setdefault(store, _Kept())
