"""Demo accounts of a laboratory: one per role at each node, passwords drawn anew and printed (demonstration only).

Decides names and persons; roles and passwords are written as `hub operator` writes them.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from hub.catalog import load_catalog
from hub.roles import Grant, Scope
from hub.roles_store import add_operator
from hub.settings import Node
from hub.store import Store, open_store
from hub.web.accounts import set_password

_SAID: Final = "accounts.txt"
_LETTERS: Final = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")
# Account, person, roles; one person each, so that four-eyes can be played.
PEOPLE: Final = (
    ("admin", "demo-01", ("系统管理员",)),
    ("clerk", "demo-02", ("业务员",)),
    ("chief", "demo-03", ("业务主管",)),
    ("review", "demo-04", ("数据复核员",)),
    ("school", "demo-05", ("学校管理者",)),
    ("viewer", "demo-06", ("业务员", "隐私数据查看员")),
    ("keeper", "demo-07", ("业务主管", "隐私数据管理员")),
    ("audit", "demo-08", ("审计负责人",)),
    ("engineer", "demo-09", ("数据工程师",)),
    ("nobody", "demo-10", ()),
)


@dataclass(frozen=True)
class Account:
    """What a visitor of the demonstration types. `data_password`: for those who may see plaintext, else empty."""

    name: str
    roles: tuple[str, ...]
    password: str
    data_password: str


def demo_accounts(node: Node, *, at: datetime, rng: Callable[[int], bytes]) -> tuple[Account, ...]:
    """The accounts of a node, made when they are missing; their passwords are kept beside the lab, for its owner only.

    `rng(n)`: n random bytes.
    """
    said = node.folder / _SAID
    if said.is_file():
        return tuple(_read(line) for line in said.read_text(encoding="utf-8").splitlines() if line)
    store = open_store(node.database_url, load_catalog())
    try:
        made = tuple(_make(store, node, entry, at, rng) for entry in PEOPLE)
    finally:
        store.close()
    said.touch(mode=0o600)
    said.write_text("".join(f"{_line(a)}\n" for a in made), encoding="utf-8")
    return made


def _make(
    store: Store, node: Node, entry: tuple[str, str, tuple[str, ...]], at: datetime, rng: Callable[[int], bytes]
) -> Account:
    name, person, roles = entry
    scope = _one_school(store) if "学校管理者" in roles else Scope()
    add_operator(store, node.party, name, person, [Grant(r, scope) for r in roles], at=at, actor="make serve")
    account = Account(name, roles, _word(rng), _word(rng) if any(r.startswith("隐私") for r in roles) else "")
    for data, given in ((False, account.password), (True, account.data_password)):
        if given:
            set_password(store, node.party, name, given, data=data, at=at, actor="make serve", rng=rng)
    return account


def _one_school(store: Store) -> Scope:
    """The school with the lowest number: a demo of one school's view."""
    with store.reading() as reader:
        table = reader.golden("xx")
        first = reader.connection.execute(table.select().order_by(table.c.xxdm).limit(1)).mappings().first()
    return Scope(schools=frozenset({str(first["xxdm"]) if first else "-"}))


def _word(rng: Callable[[int], bytes]) -> str:
    """Twelve characters that are not mistaken for one another, in two kinds."""
    return "Hub-" + "".join(_LETTERS[b % len(_LETTERS)] for b in rng(9))


def _line(account: Account) -> str:
    return "\t".join([account.name, "、".join(account.roles), account.password, account.data_password])


def _read(line: str) -> Account:
    name, roles, password, data_password = line.split("\t")
    return Account(name, tuple(r for r in roles.split("、") if r), password, data_password)


def told(folder: Path, accounts: tuple[Account, ...]) -> str:
    """A table for the terminal."""
    rows = [
        f"  {a.name:<10}{a.password:<16}{a.data_password:<16}{'、'.join(a.roles) or '（无角色）'}" for a in accounts
    ]
    return "\n".join([f"  {'账号':<8}{'口令':<14}{'数据密码':<12}角色", *rows, f"  （另存于 {folder / _SAID}）"])
