"""The console under the version of registry and code tables its node holds.

Decides when the pages are built anew: as soon as the node holds another version than they were built with, whoever put
it in force, in whichever process. Builds nothing itself; where the database cannot be asked, the page itself says so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.errors import HubError

# What does not depend on any version, and must not wait for a database.
_APART: Final = ("/static/", "/healthz")


class Renewed:
    """An ASGI application that is another one after a change. `known`: what the node holds now; `build`: the pages."""

    def __init__(self, known: Callable[[], Hashable], build: Callable[[], ASGIApp]) -> None:
        self._known, self._build, self._one = known, build, Lock()
        self._under = known()
        self._app = build()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(_APART):
            await run_in_threadpool(self._renew)
        await self._app(scope, receive, send)

    def _renew(self) -> None:
        try:
            now = self._known()
        except HubError:
            return
        if now == self._under:
            return
        with self._one:
            if now != self._under:
                self._app, self._under = self._build(), now
