"""The site of one node: everything a page may know that is not in the request. Values only; nothing is opened here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hub.catalog import Catalog
from hub.settings import Node
from hub.store import Store
from hub.web.section import MENU, Route, Section, Step

if TYPE_CHECKING:
    from hub.web.ask import Ask

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Site:
    """`now`: the clock, aware UTC; `rng(n)`: n random bytes; `address`: where browsers reach it, `http://127.0.0.1:8013`.

    Pages read `site.node`, `site.store`, `site.catalog`; the moment of a request is `ask.at`, read once.
    """

    node: Node
    store: Store
    catalog: Catalog
    now: Callable[[], datetime]
    rng: Callable[[int], bytes]
    address: str
    sections: tuple[Section, ...] = field(default=())

    @property
    def party(self) -> str:
        return self.node.party

    @property
    def name(self) -> str:
        """河北省节点"""
        name = self.node.settings.name
        return name if name.endswith("节点") else f"{name}节点"

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def secure(self) -> bool:
        """Cookies carry `Secure` unless this is plain http on loopback."""
        parts = urlsplit(self.address)
        return not (parts.scheme == "http" and _loopback(parts.hostname or ""))

    @property
    def cookie(self) -> str:
        """Its name carries the node, because cookies of one machine are shared between ports."""
        return f"hub_{self.party}"

    @property
    def form_cookie(self) -> str:
        """Holds the token of the sign-in form, before there is a session."""
        return f"{self.cookie}_form"

    @property
    def theme_cookie(self) -> str:
        """Holds light or dark, which the server writes into the page, so that none flashes up in the other."""
        return f"{self.cookie}_theme"

    @property
    def idle(self) -> timedelta:
        return timedelta(minutes=self.node.settings.web.idle_minutes)

    def brought(self) -> tuple[Section, ...]:
        """The sections that a node of this role has."""
        return tuple(s for s in self.sections if self.node.settings.role in s.nodes)

    def routes(self) -> tuple[Route, ...]:
        """All pages of this node."""
        return tuple(r for s in self.brought() for r in s.routes)

    def steps(self, ask: Ask, thing: str, value: object) -> tuple[Step, ...]:
        """What the sections of this node offer to do with the thing on a page."""
        return tuple(step for s in self.brought() for found in s.steps.get(thing, ()) for step in found(ask, value))

    def menu(self) -> tuple[tuple[str, tuple[Route, ...]], ...]:
        """Groups and their pages, in the order of console 5."""
        entries = {r.menu: r for r in self.routes() if r.menu}
        known = {label for labels in MENU.values() for label in labels}
        groups = {group: [entries[label] for label in labels if label in entries] for group, labels in MENU.items()}
        groups["其他"] = [r for label, r in entries.items() if label not in known]
        return tuple((group, tuple(found)) for group, found in groups.items() if found)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
