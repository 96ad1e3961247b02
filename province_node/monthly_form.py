"""The monthly form (进展月报, 附件4) as data: its boxes, what may stand in them, how a line of it reads.

Decides what an answer must look like. Which answers there are is decided by people, and by `monthly_known` where the
hub knows; the form itself is `schemas/forms/monthly.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final

import yaml

from hub.errors import InputError
from hub.masking import swept
from schemas import ROOT

_MONTH: Final = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,2})?")
TICKED: Final = "☑"
OPEN: Final = "☐"


@dataclass(frozen=True)
class Item:
    """One box. `kind`: choice, date, number, text; `joined`: on the line of the item before."""

    id: str
    text: str
    kind: str
    options: tuple[str, ...] = ()
    unit: str = ""
    most: int = 0
    joined: bool = False

    def line(self, answer: str) -> str:
        """As it stands on paper: 是否已上报　☑是　☐否."""
        if self.kind == "choice":
            ticks = "　".join(f"{TICKED if o == answer else OPEN}{o}" for o in self.options)
            return f"{self.text}：{ticks}"
        return f"{self.text}：{answer or '　　　　'}{self.unit}"


@dataclass(frozen=True)
class Row:
    """A labelled row of a group."""

    label: str
    items: tuple[Item, ...]

    def lines(self, answers: Mapping[str, str]) -> tuple[str, ...]:
        """The lines of the row, joined items on one."""
        found: list[str] = []
        for item in self.items:
            said = item.line(answers.get(item.id, ""))
            if item.joined and found:
                found[-1] += f"　　{said}"
            else:
                found.append(said)
        return tuple(found)


@dataclass(frozen=True)
class Group:
    """A box of the second column."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Part:
    """A box of the first column."""

    name: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Form:
    """The whole form. `finished`: the answer after which no further month is due."""

    title: tuple[str, ...]
    source: str
    due_day: int
    finished: tuple[str, str]
    parts: tuple[Part, ...]
    signatures: tuple[str, ...]
    seal: str
    notes: tuple[str, ...]

    def items(self) -> dict[str, Item]:
        """Every box by its id, in order."""
        return {i.id: i for p in self.parts for g in p.groups for r in g.rows for i in r.items}


@lru_cache(maxsize=1)
def form() -> Form:
    """The form as the official text has it."""
    text = (ROOT / "forms" / "monthly.yaml").read_text(encoding="utf-8")
    doc: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - text only, no objects
    parts = tuple(
        Part(p["name"], tuple(Group(g["name"], tuple(_row(r) for r in g["rows"])) for g in p["groups"]))
        for p in doc["sections"]
    )
    return Form(
        tuple(doc["title"]), doc["source"], int(doc["due_day"]), (doc["finished"]["item"], doc["finished"]["answer"]),
        parts, tuple(doc["signatures"]), doc["seal"], tuple(doc["notes"]),
    )  # fmt: skip


def _row(doc: Any) -> Row:
    items = (
        Item(
            i["id"], i["text"], i["kind"], tuple(i.get("options", ())), i.get("unit", ""), int(i.get("most", 0)),
            "joined" in i,
        )
        for i in doc["items"]
    )  # fmt: skip
    return Row(doc["label"], tuple(items))


def month_of(text: str) -> str | None:
    """`2026-11`, None for anything else."""
    return text if _MONTH.fullmatch(text) else None


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """Answers as they may be kept, empty ones left out. Raises `InputError` E3740 that names the box."""
    found: dict[str, str] = {}
    for item in form().items().values():
        answer = given.get(item.id, "").strip()
        if not answer:
            continue
        why = _fault(item, answer)
        if why:
            raise InputError("E3740", f"「{item.text}」{why}", where="进展月报", step="改正后再保存；填写的内容还在")
        found[item.id] = answer
    return found


def _fault(item: Item, answer: str) -> str:
    if item.kind == "choice" and answer not in item.options:
        return f"须从中选一个：{'、'.join(item.options)}"
    if item.kind == "number" and not _NUMBER.fullmatch(answer):
        return "须为数字，至多两位小数"
    if item.kind == "text" and (len(answer) > item.most or swept(answer) != answer):
        return f"不超过 {item.most} 字，且不得写入证件号"
    if item.kind == "date":
        try:
            date.fromisoformat(answer)
        except ValueError:
            return "须为日期，例如 2026-11-05"
    return ""
