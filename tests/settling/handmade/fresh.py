"""Numbers of planted students, and short words for where a record must end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.settling.handmade import people as p
from tests.settling.handmade.world import quarantined

Q = quarantined
_numbers: Iterator[int] = iter(range(100, 10_000))


def restart() -> None:
    """Worlds built twice in one process are the same world."""
    global _numbers
    _numbers = iter(range(100, 10_000))


def serial() -> int:
    return next(_numbers)


def new(school: str = p.A, **kw: Any) -> p.Student:
    return p.student(serial(), school, **kw)
