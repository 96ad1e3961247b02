"""Dagster's pages behind the console's login (console 6): Dagster has no users, so this proxy is its only door.

Decides on every request, WebSocket upgrades included: who is signed in, which of the two instances their role
reaches (数据工程师 the full one, 审计负责人 the read-only one), and that what writes comes from our own origin. Dagster
keeps its own headers; our cookie does not reach it, its cookies do not reach the browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import httpx
import websockets
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.errors import HubError
from hub.web.ask import Ask
from hub.web.figures import last_runs
from hub.web.filters import environment
from hub.web.refusals import PageRefusedError, forbidden, no_token, status_of
from hub.web.section import EVERYONE, Route, Section
from hub.web.sessions import Visitor, visitor_of
from hub.web.site import Site

section: Final = Section("dagster", "hub.web")
PREFIX: Final = "/dagster"
# The mark by which the console's headers leave an answer alone; it does not reach the browser.
OWN_HEADERS: Final = "x-own-headers"
# How often an open WebSocket is asked again whether its session still stands, in seconds.
ASK_AGAIN: Final = 20.0
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
# Headers of one leg only, and what must not pass: cookies and credentials.
_HOP: Final = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "host", "cookie", "set-cookie", "content-length", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-proto", "authorization",
    )
)  # fmt: skip
_PROTOCOLS: Final = ("graphql-ws", "graphql-transport-ws")


@section.get("/runs", allow=("engineer", "audit"), menu="调度", manual="runs")
def runs(ask: Ask) -> Response:
    """The door to Dagster, and the node's last rounds as its own tables know them."""
    with ask.site.store.reading() as reader:
        rows = last_runs(reader)
    return ask.page("runs.html", runs=rows, target=_target(ask.site, ask.visitor))


def mount(site: Site) -> Mount:
    """`/dagster/…`, configured or not."""
    return Mount(PREFIX, _Proxy(site))


def _target(site: Site, visitor: Visitor) -> str:
    """The instance this visitor reaches, empty when none is configured. 403 for other roles."""
    web = site.node.settings.web
    if visitor.may("engineer"):
        return web.dagster
    if visitor.may("audit"):
        return web.dagster_readonly
    raise forbidden(
        f"您的角色（{'、'.join(visitor.roles) or '无'}）不能进入调度界面", "需要的角色：数据工程师、审计负责人"
    )


class _Proxy:
    """One client for all requests, opened with the first."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.templates = environment(site)
        self.client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(WebSocket(scope, receive, send))
        elif scope["type"] == "http":
            request = Request(scope, receive, send)
            await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        visitor = await run_in_threadpool(self._visitor, request)
        if visitor is None or visitor.must_change:
            return self._sign_in(request)
        try:
            target = _target(self.site, visitor)
            if request.method not in _SAFE:
                self._same_origin(request)
            if not target:
                raise PageRefusedError(
                    503, "E1092", "本节点没有配置调度界面", step="在 hub.toml 的 [web] 中写明 dagster"
                )
            return await self._passed(request, target)
        except HubError as error:
            route = Route(PREFIX, "GET", EVERYONE, runs)
            ask = Ask(self.site, request, route, self.site.now(), self.templates, visitor)
            return ask.fragment("refused.html", status=status_of(error), error=error, status_code=status_of(error))

    def _visitor(self, request: HTTPConnection) -> Visitor | None:
        """Dagster's pages ask for news by themselves every few seconds; only going to a page counts as being there."""
        session_id = request.cookies.get(self.site.cookie, "")
        going = request.headers.get("sec-fetch-mode") == "navigate"
        store, idle = self.site.store, self.site.idle
        return visitor_of(store, session_id, at=self.site.now(), idle=idle, note=going) if session_id else None

    def _sign_in(self, request: Request) -> Response:
        if request.method in _SAFE and request.headers.get("sec-fetch-dest", "document") == "document":
            return RedirectResponse("/signin?next=/runs", 303)
        return Response("请重新登录", 401, media_type="text/plain; charset=utf-8")

    def _same_origin(self, request: HTTPConnection) -> None:
        """What writes has to say that it is ours: Dagster's own pages carry no form token."""
        origin, fetch_site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        ours = origin is not None and urlsplit(origin).netloc == self.site.host
        if not ours or fetch_site not in (None, "same-origin"):
            raise no_token()

    async def _passed(self, request: Request, target: str) -> Response:
        if self.client is None:
            # Connections rest for less time than the webserver keeps them, so that none is taken up as it closes.
            limits = httpx.Limits(max_connections=50, keepalive_expiry=2)
            self.client = httpx.AsyncClient(timeout=httpx.Timeout(120, connect=5), limits=limits, trust_env=False)
        url = target.rstrip("/") + _raw_path(request)
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP]
        asked = self.client.build_request(request.method, url, headers=headers, content=request.stream())
        try:
            answer = await self.client.send(asked, stream=True)
        except httpx.HTTPError as error:
            raise PageRefusedError(503, "E1093", "调度界面没有应答", step="请数据工程师查看 Dagster 进程") from error
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        kept[OWN_HEADERS] = "1"
        return StreamingResponse(_body(answer), answer.status_code, kept)

    async def _socket(self, socket: WebSocket) -> None:
        try:
            visitor = await run_in_threadpool(self._visitor, socket)
            self._same_origin(socket)
            target = _target(self.site, visitor) if visitor and not visitor.must_change else ""
        except HubError:
            target = ""
        if not target:
            await socket.close(4403)
            return
        url = "ws" + target.rstrip("/").removeprefix("http") + _raw_path(socket)
        wanted = [websockets.Subprotocol(p) for p in socket.scope.get("subprotocols", ()) if p in _PROTOCOLS]
        try:
            async with websockets.connect(url, subprotocols=wanted or None, max_size=None, proxy=None) as upstream:
                await socket.accept(upstream.subprotocol)
                await self._both_ways(socket, upstream)
        except (OSError, websockets.WebSocketException):
            with suppress(RuntimeError):
                await socket.close(1011)

    async def _both_ways(self, socket: WebSocket, upstream: websockets.ClientConnection) -> None:
        """Until one side ends, or the session does."""
        tasks = [
            asyncio.create_task(t) for t in (_up(socket, upstream), _down(socket, upstream), self._while_in(socket))
        ]
        _done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(RuntimeError):
            await socket.close()

    async def _while_in(self, socket: WebSocket) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN)
            visitor = await run_in_threadpool(self._visitor, socket)
            if visitor is None or not visitor.may("engineer", "audit"):
                return


async def _up(socket: WebSocket, upstream: websockets.ClientConnection) -> None:
    while (message := await socket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        await upstream.send(text if text is not None else message["bytes"])


async def _down(socket: WebSocket, upstream: websockets.ClientConnection) -> None:
    async for message in upstream:
        await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it came, still compressed."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _raw_path(connection: HTTPConnection) -> str:
    """Path and query as the browser sent them, prefix included; Dagster runs under the same prefix."""
    path: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")
