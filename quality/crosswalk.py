"""Old and new school codes: what kind of change each row of the crosswalk is, and what does not hold (新旧标识码核对).

Decides, from the rows and the schools in the store: 更名换码 (one to one), 合并 (several old codes to one), 拆分 (one old
code to several: cannot be applied by itself), 撤销 (the new school is closed), and the faults: unconfirmed, the new code
not in the store, the old code still in the store, a code that is both old and new (a chain). Ruling 18: only confirmed
rows are applied; nothing is changed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLOSED = "4"


@dataclass(frozen=True)
class Row:
    """A row of the crosswalk, and since when it holds (the source's time of change), '' where unknown."""

    old: str
    new: str
    confirmed: bool
    since: str


@dataclass(frozen=True)
class Checked:
    """A row with its kind and what is wrong with it; `until`: when another row took its old code over, or ''."""

    row: Row
    kind: str
    until: str
    faults: tuple[str, ...]


def check(rows: Sequence[Row], schools: Mapping[str, str]) -> tuple[Checked, ...]:
    """Every row judged, by old code and time. `schools`: code to 办学状态 of the schools in the store."""
    into = Counter(r.new for r in rows if r.confirmed)
    out: dict[str, set[str]] = {}
    for row in rows:
        if row.confirmed:
            out.setdefault(row.old, set()).add(row.new)
    olds = {r.old for r in rows if r.confirmed}
    result = []
    for row in sorted(rows, key=lambda r: (r.old, r.since, r.new)):
        later = sorted(r.since for r in rows if r.old == row.old and r.new != row.new and r.since > row.since)
        split, merged = len(out.get(row.old, ())) > 1, into[row.new] > 1
        kind = "拆分" if split else "合并" if merged else "撤销" if schools.get(row.new) == CLOSED else "更名换码"
        faults = [
            word
            for word, holds in (
                ("未确认，未采用", not row.confirmed),
                ("新码学校不在正式库", row.new not in schools),
                ("旧码学校仍在正式库", row.old in schools),
                ("新码又是另一行的旧码", row.new in olds),
                ("一个旧码对应多个新码，须人工指定", split),
            )
            if holds
        ]
        result.append(Checked(row, kind, later[0] if later else "", tuple(faults)))
    return tuple(result)
