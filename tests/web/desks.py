"""A console of one's own with planted conflicts, and what tests ask of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from hub.roles import Grant, Scope
from hub.roles_store import add_operator
from hub.settings import Node, open_node
from tests.web.consoles import AT, Console, give_password, serve
from tests.web.planted import plant

# An identity number, alone or inside a 学籍号.
IDENTITY = re.compile(r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]")
COUNTED = re.compile(r"共\s*(?:<b>)?([\d,]+)")


class Desk(Console):
    """A console of one's own with planted conflicts."""

    planted: dict[str, list[int]]


def opened(province: Node, folder: Path) -> Iterator[Desk]:
    """Served over a copy of the province in `folder`, with three more people; ends when the generator is left."""
    shutil.copytree(province.folder, folder)
    made = serve(open_node(folder), at=AT)
    made.__class__ = Desk
    assert isinstance(made, Desk)
    made.planted = plant(made.store)
    for name, person, role, scope in (
        ("baoding", "p20", "业务主管", Scope(divisions=frozenset({"130600"}))),
        ("both", "p21", "业务员", Scope()),
        ("both-review", "P21", "数据复核员", Scope()),
    ):
        add_operator(made.store, made.node.party, name, person, [Grant(role, scope)], at=AT, actor="test")
        give_password(made.store, name)
    yield made
    made.stop()


def row_of(desk: Desk, number: int) -> dict[str, Any]:
    return next(r for r in desk.rows("decision") if r["decision_no"] == number)


def entered(desk: Desk, name: str) -> httpx.Client:
    client = desk.client()
    assert desk.enter(client, name).status_code == 303
    return client


def total(html: str) -> int:
    found = COUNTED.search(html)
    assert found, html[:500]
    return int(found[1].replace(",", ""))


def decide(desk: Desk, client: httpx.Client, number: int, **form: str) -> httpx.Response:
    given = {"version": str(row_of(desk, number)["version"]), **form}
    return desk.post(client, f"/conflicts/{number}/decide", given)
