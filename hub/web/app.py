"""The console as an ASGI application, and the guard before every page (console 1, 6).

Decides, in this order: is this host ours; is a writing request from our own page (Sec-Fetch-Site, Origin) and its form
token right; who is signed in; may this role use this route. Only then the page runs, in a thread. Every answer leaves
with the strict content policy. Refusals are pages for people; inside htmx they are parts of one.
"""

from __future__ import annotations

import hmac
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as Endpoint
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.errors import HubError
from hub.web.ask import Ask
from hub.web.filters import environment
from hub.web.refusals import PageRefusedError, forbidden, no_role, no_token, not_here, status_of
from hub.web.section import EVERYONE, Allowed, Route
from hub.web.sessions import Visitor, visitor_of
from hub.web.site import Site

log = logging.getLogger("hub.web")
TOKEN: Final = "csrf"  # noqa: S105 - a field's name
# What is open before a password that somebody else gave out is changed.
BEFORE_ALL: Final = ("/me", "/me/password", "/signout")
MAX_BODY: Final = 40 << 20
# No table counts so far, and databases hold no whole number beyond it.
MAX_NUMBER: Final = 2**62


def console(site: Site, *mounts: BaseRoute) -> Starlette:
    """The application of one node. `mounts`: what stands beside the pages (a proxy)."""
    templates = environment(site)
    shell = _Shell(site, templates)
    routes: list[BaseRoute] = [
        Endpoint(r.path, shell.endpoint(r), methods=[r.method], name=f"{r.method} {r.path}") for r in site.routes()
    ]
    packages: list[str | tuple[str, str]] = list(
        dict.fromkeys((s.package, "static") for s in site.sections if (files(s.package) / "static").is_dir())
    )
    routes.append(Mount("/static", StaticFiles(packages=packages)))
    app = Starlette(routes=[*routes, *mounts], exception_handlers={404: shell.missing, 405: shell.missing})
    app.state.site = site
    app.add_middleware(_Headers, site=site)
    return app


class _Shell:
    """Builds the endpoint of a route: guard, page, refusal."""

    def __init__(self, site: Site, templates: jinja2.Environment) -> None:
        self.site = site
        self.templates = templates

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            ask = Ask(self.site, request, route, self.site.now(), self.templates)
            try:
                ask = replace(ask, signed_in=await run_in_threadpool(self._visitor, request, ask))
                ask = await self._admitted(ask)
                return await run_in_threadpool(route.page, ask)
            except _SignInFirst:
                return self._to_sign_in(ask)
            except _ChangeFirst:
                return ask.go("/me", note="change")
            except HubError as error:
                return await run_in_threadpool(self.refused, ask, error)
            except Exception as error:  # noqa: BLE001 - the one place where every failure of a page ends
                log.error("page %s %s failed: %s", route.method, route.path, _where(error))
                broken = HubError(
                    "E1089", "系统内部错误，本次操作未完成", step="稍后重试；仍不行请把时间告诉系统管理员"
                )
                return await run_in_threadpool(self.refused, ask, broken)

        return answer

    async def missing(self, request: Request, _error: Exception) -> Response:
        """404 for an address that no route knows."""
        ask = Ask(
            self.site, request, Route(request.url.path, "GET", EVERYONE, _nothing), self.site.now(), self.templates
        )
        visitor = await run_in_threadpool(self._visitor, request, ask)
        return self.refused(replace(ask, signed_in=visitor), not_here("没有这一页"))

    async def _admitted(self, ask: Ask) -> Ask:
        _readable(ask.request)
        visitor, allow = ask.signed_in, ask.route.allow
        if ask.route.method == "POST":
            _same_origin(ask.request, self.site)
        if allow.signed_in and visitor is None:
            raise _SignInFirst
        if visitor is not None and not visitor.may_use(allow):
            raise _not_yours(self.site, visitor, allow)
        if visitor is not None and visitor.must_change and allow.signed_in and ask.route.path not in BEFORE_ALL:
            raise _ChangeFirst
        return await self._with_form(ask) if ask.route.method == "POST" else ask

    async def _with_form(self, ask: Ask) -> Ask:
        size = ask.request.headers.get("content-length", "")  # browsers always say it; without, there is no bound
        if not size.isdigit() or int(size) > MAX_BODY:
            raise PageRefusedError(422, "E1087", "上传的内容过大", step=f"每次不超过 {MAX_BODY >> 20} MB")
        form = await ask.request.form(max_files=5, max_fields=20_000)
        texts: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                if "\x00" in value:
                    raise PageRefusedError(422, "E1104", "内容中有不能保存的控制字符", step="删去后重新提交")
                texts.setdefault(name, []).append(value)
        wanted = ask.signed_in.csrf if ask.signed_in else ask.request.cookies.get(self.site.form_cookie, "")
        given = texts.pop(TOKEN, [""])[0] or ask.request.headers.get("x-csrf-token", "")
        if not wanted or not hmac.compare_digest(wanted.encode(), given.encode()):
            raise no_token()
        files = {n: v for n, v in form.multi_items() if isinstance(v, UploadFile) and v.filename}
        return replace(
            ask, form={n: v[0] for n, v in texts.items()}, lists={n: tuple(v) for n, v in texts.items()}, files=files
        )

    def _visitor(self, request: Request, ask: Ask) -> Visitor | None:
        session_id = request.cookies.get(self.site.cookie, "")
        return visitor_of(self.site.store, session_id, at=ask.at, idle=self.site.idle) if session_id else None

    def _to_sign_in(self, ask: Ask) -> Response:
        """The sign-in page; afterwards back to what was asked for. An htmx call leaves its page."""
        url = ask.request.url
        back = url.path + (f"?{url.query}" if url.query else "") if ask.route.method == "GET" else ""
        if ask.request.headers.get("hx-request") == "true":
            seen = urlsplit(ask.request.headers.get("hx-current-url", ""))
            back = seen.path + (f"?{seen.query}" if seen.query else "")
            return Response(status_code=401, headers={"HX-Redirect": _sign_in(back)})
        return RedirectResponse(_sign_in(back), 303)

    def refused(self, ask: Ask, error: HubError) -> Response:
        """An error as a page, or as a part of one inside htmx."""
        status = status_of(error)
        if status >= 500:
            log.warning("page %s %s: %s", ask.route.method, ask.route.path, error.code)
        template = "refused_part.html" if ask.htmx else "refused.html"
        return ask.fragment(template, status=status, error=error, status_code=status)


class _SignInFirst(Exception):  # noqa: N818 - a turn in the road, no error
    """Nobody is signed in."""


class _ChangeFirst(Exception):  # noqa: N818 - a turn in the road, no error
    """The password was given out by somebody else."""


def _where(error: Exception) -> str:
    """Kind and place of a failure; never its message, which may hold what a person typed."""
    frames = [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} at {' < '.join(reversed(frames[-6:]))}"


def _nothing(_ask: Ask) -> Response:
    raise RuntimeError("not a page")


def _sign_in(back: str) -> str:
    return "/signin?" + urlencode({"next": back}) if back not in ("", "/") else "/signin"


def _not_yours(site: Site, visitor: Visitor, allow: Allowed) -> HubError:
    if not visitor.roles:
        return no_role(site.node.settings.web.contact)
    if visitor.may(*allow.verbs):
        return forbidden("这一页涉及整个节点，您的数据范围只是其中一部分", "由数据范围为整个节点的人员办理")
    needed = f"需要的角色：{'、'.join(allow.roles())}"
    return forbidden(f"您的角色（{'、'.join(visitor.roles)}）不能使用这一功能", needed)


def _readable(request: Request) -> None:
    """404 for what no address of ours holds: numbers beyond every table, characters that no database takes."""
    texts = [*request.path_params.values(), *(v for _, v in request.query_params.multi_items())]
    if any((isinstance(t, int) and t > MAX_NUMBER) or (isinstance(t, str) and "\x00" in t) for t in texts):
        raise not_here()


def _same_origin(request: Request, site: Site) -> None:
    """Browsers say where a request comes from; one that does not say must at least carry our Origin or none."""
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = fetch_site not in (None, "same-origin")
    if foreign or (origin is not None and urlsplit(origin).netloc not in (site.host, request.headers.get("host", ""))):
        raise no_token()


class _Headers:
    """Host check, content policy and the other headers on every answer of the console itself."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self.app = app
        self.hosts = {site.host, urlsplit(site.node.settings.web.url).netloc} - {""}
        self.fixed = _fixed_headers(site)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if host not in self.hosts:
            await Response("未知的主机名", 421, media_type="text/plain; charset=utf-8")(scope, receive, send)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message["headers"]}
                if b"x-own-headers" in have:  # Dagster's pages have a policy of their own
                    message["headers"] = [h for h in message["headers"] if h[0].lower() != b"x-own-headers"]
                else:
                    message["headers"] += [(n, v) for n, v in self.fixed if n not in have]
                    if scope["path"].startswith("/static/"):  # kept, and asked for again by its ETag
                        message["headers"].remove((b"cache-control", b"no-store"))
                        message["headers"].append((b"cache-control", b"no-cache"))
            await send(message)

        await self.app(scope, receive, sent)


def policy(site: Site) -> str:
    """The content policy of console 6."""
    issuer = urlsplit(site.node.settings.web.oidc_issuer)
    forms = f"'self' {issuer.scheme}://{issuer.netloc}" if issuer.netloc else "'self'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"form-action {forms}; frame-ancestors 'none'; base-uri 'none'"
    )


def _fixed_headers(site: Site) -> list[tuple[bytes, bytes]]:
    headers = {
        "content-security-policy": policy(site),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
        **({"strict-transport-security": "max-age=31536000"} if site.secure else {}),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]
