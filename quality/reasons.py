"""Reason codes of decisions: configurable data (`schemas/reasons.yaml`), never invented by a form.

Decides which codes fit which action and when a free text must stand beside (手工值, bulk, and codes that ask for it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from quality.decisions import Action, Kind, Move, Refusal


@dataclass(frozen=True)
class Reason:
    """A code with its Chinese words, what it may be given for, and whether it asks for a text."""

    code: str
    cn: str
    fits: frozenset[str]
    text: bool


@cache
def reasons() -> Mapping[str, Reason]:
    """Code → reason."""
    document = yaml.safe_load((files("schemas") / "reasons.yaml").read_text(encoding="utf-8"))
    known = {*(str(k) for k in Kind), *(str(a) for a in Action)}
    found = {
        code: Reason(code, item["cn"], frozenset(item["for"]), bool(item.get("text")))
        for code, item in document["reasons"].items()
    }
    strange = {w for r in found.values() for w in r.fits} - known
    if strange:
        raise RuntimeError(f"reasons.yaml names unknown actions {sorted(strange)}")
    return found


def reasons_for(word: str) -> list[Reason]:
    """The reasons that fit an action or a kind of proposal, in the file's order."""
    return [r for r in reasons().values() if word in r.fits]


def check_reason(move: Move, *, bulk: bool = False) -> Refusal | None:
    """Refuses an unknown or unfitting code, or a missing text; None when the move asks for no reason or gives a good one."""
    if move.proposal is not None:
        word = str(move.proposal.kind)
    elif move.action in (Action.REJECT, Action.POSTPONE, Action.REOPEN):
        word = str(move.action)
    else:
        return None
    fitting = [r.code for r in reasons_for(word)]
    if move.reason not in fitting:
        listed = "、".join(f"{c} {reasons()[c].cn}" for c in fitting)
        return Refusal("E3326", f"{word}须给出原因代码，可选：{listed}")
    if (bulk or reasons()[move.reason].text) and not move.note.strip():
        return Refusal("E3326", "批量处理须写明说明文字" if bulk else "选择“其他”时须写明说明文字")
    return None
