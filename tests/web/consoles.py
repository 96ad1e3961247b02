"""A served console and the people of its tests: one account per role, each another person.

`Console` runs the application in a thread of this process over a node's folder; its clock can be moved. `as_` signs in
over HTTP; browsers sign in by `tests.web.browsing.sign_in`.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import sqlalchemy as sa
import uvicorn

from hub.catalog import Catalog, load_catalog
from hub.cli.web import sections
from hub.roles import Grant, Scope
from hub.roles_store import add_operator
from hub.settings import Node
from hub.store import Store, open_store
from hub.store.web_tables import WEB_ACCOUNT
from hub.web.app import console as application
from hub.web.dagster import mount
from hub.web.passwords import hashed
from hub.web.section import Section
from hub.web.site import Site

AT = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
# Account, person and role of the tests; `none` has no role, `private` sees plaintext as a clerk.
PEOPLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "系统管理员": ("admin", "p01", ("系统管理员",)),
    "业务员": ("clerk", "p02", ("业务员",)),
    "业务主管": ("chief", "p03", ("业务主管",)),
    "数据复核员": ("review", "p04", ("数据复核员",)),
    "学校管理者": ("school", "p05", ("学校管理者",)),
    "审计负责人": ("audit", "p06", ("审计负责人",)),
    "数据工程师": ("engineer", "p07", ("数据工程师",)),
    "隐私数据查看员": ("private", "p08", ("业务员", "隐私数据查看员")),
    "隐私数据管理员": ("keeper", "p09", ("业务员", "隐私数据管理员")),
    "无角色": ("nobody", "p10", ()),
}
ROLES = tuple(PEOPLE)
PASSWORD, DATA_PASSWORD = "Console-test-2026", "Data-test-2026"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]+)"')


@cache
def catalog() -> Catalog:
    return load_catalog()


@cache
def _hash(password: str) -> str:
    """One slow hash for all accounts of the tests."""
    return hashed(password, salt=b"0123456789abcdef")


def add_people(node: Node, *, at: datetime = AT, schools: Iterable[str] = ()) -> None:
    """An account per role; 学校管理者 sees the schools given (or no school of the province at all)."""
    store = open_store(node.database_url, catalog())
    own = Scope(schools=frozenset(schools) or frozenset({"3113000000"}))
    for role, (name, person, roles) in PEOPLE.items():
        grants = [Grant(r, own if role == "学校管理者" else Scope()) for r in roles]
        add_operator(store, node.party, name, person, grants, at=at, actor="test")
        give_password(store, name)
    store.close()


def give_password(store: Store, name: str) -> None:
    """Both passwords of the tests, without a slow hash for each account."""
    values = {"secret": _hash(PASSWORD), "data_secret": _hash(DATA_PASSWORD), "changed_at": "2026-11-01T00:00:00Z"}
    with store.begin() as tx:
        tx.connection.execute(sa.delete(WEB_ACCOUNT).where(WEB_ACCOUNT.c.name == name))
        tx.connection.execute(sa.insert(WEB_ACCOUNT), {"name": name, **values})


@dataclass
class Clock:
    """The server's clock, moved by hand."""

    at: datetime = AT

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Console:
    """A node's console, served on loopback. `address` has no slash at its end."""

    node: Node
    store: Store
    address: str
    clock: Clock
    site: Site
    _server: uvicorn.Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)
    _clients: list[httpx.Client] = field(default_factory=list, repr=False)
    _signed_in: dict[str, httpx.Client] = field(default_factory=dict, repr=False)

    def client(self) -> httpx.Client:
        """Nobody yet: its own cookies, no redirects followed."""
        made = httpx.Client(base_url=self.address, timeout=30, trust_env=False)
        self._clients.append(made)
        return made

    def as_(self, role: str) -> httpx.Client:
        """A client signed in as the account of that role; kept for the run, for an account has one session."""
        kept = self._signed_in.get(role)
        if kept is not None and kept.get("/static/console.css").is_success and kept.get("/").status_code != 303:
            return kept
        client = self._signed_in[role] = self.client()
        answer = self.enter(client, PEOPLE[role][0])
        assert answer.status_code == 303, answer.text
        return client

    def enter(self, client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
        """Fills in the sign-in form."""
        form = client.get("/signin")
        return client.post("/signin", data={"csrf": token(form.text), "name": name, "password": password})

    def post(self, client: httpx.Client, path: str, data: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """A form with the session's token, as a page of ours would send it."""
        given = {"csrf": token(client.get("/help").text), **(data or {})}
        return client.post(path, data=given, headers={"Sec-Fetch-Site": "same-origin"}, **more)

    def rows(self, table: str, order: str = "1") -> list[dict[str, Any]]:
        """All rows of one of the hub's tables."""
        with self.store.reading() as reader:
            found = reader.connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY {order}")).mappings()
            return [dict(row) for row in found]

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(10)
        self.store.close()


def token(html: str) -> str:
    """The form token of a page."""
    found = _TOKEN.search(html)
    assert found, html[:2000]
    return found[1]


def ended(client: httpx.Client, answer: httpx.Response) -> httpx.Response:
    """The page to which work leads once it has ended: its outcome, or the progress page with the refusal."""
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"]
    for _ in range(1200):
        seen = client.get(path)
        if seen.status_code == 303:
            return client.get(seen.headers["location"])
        if "notice bad" in seen.text:
            return seen
        time.sleep(0.05)
    raise AssertionError("the work did not end")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(node: Node, *, at: datetime = AT, more: Sequence[Section] = (), port: int = 0) -> Console:
    """Starts the console of a node; end it with `stop`."""
    store, clock, port = open_store(node.database_url, catalog()), Clock(at), port or free_port()
    address = f"http://127.0.0.1:{port}"
    site = Site(node, store, catalog(), clock, os.urandom, address, (*sections(), *more))
    app = application(site, mount(site))
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(2000):
        if server.started:
            break
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    return Console(node, store, address, clock, site, server, thread)
