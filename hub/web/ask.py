"""One request as a page sees it, and the ways to answer. Pages are plain functions from `Ask` to a response.

Decides how a page is rendered for a browser and for htmx, and that a redirect works for both. Pages run in a thread,
so they may read the database.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hub.roles import Operator, Scope
from hub.web.refusals import forbidden

if TYPE_CHECKING:
    import jinja2

    from hub.web.section import Route
    from hub.web.sessions import Visitor
    from hub.web.site import Site

# What stands in an address as it is; all else is encoded, for a header holds no Chinese.
_IN_ADDRESS: Final = ":/%#?=@[]!$&'()*+,;"


@dataclass(frozen=True)
class Ask:
    """A request that passed the guard. `form`: posted texts (first of each name); `files`: uploads; `at`: now."""

    site: Site
    request: Request
    route: Route
    at: datetime
    templates: jinja2.Environment = field(repr=False)
    signed_in: Visitor | None = None
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    files: Mapping[str, UploadFile] = field(default_factory=dict, repr=False)

    @property
    def visitor(self) -> Visitor:
        """Who asks. Only on pages that need a sign-in, which is all but a few."""
        if self.signed_in is None:
            raise RuntimeError("this page is open to everyone")
        return self.signed_in

    @property
    def operator(self) -> Operator:
        """Name, person and grants, as `quality` and `hub.roles` take them."""
        return self.visitor.operator

    def scopes(self, verb: str) -> tuple[Scope, ...]:
        """The data scopes under which the visitor may do this; goes into the query, never into the template."""
        return self.operator.scopes(verb)

    def require(self, *verbs: str) -> None:
        """403 unless one of the visitor's roles carries one of the verbs; for what a single button needs."""
        if not self.visitor.may(*verbs):
            raise forbidden("您的角色不能进行这一操作", "换由有权处理的人办理")

    @property
    def source(self) -> str:
        """The address the request came from, for the audit log."""
        return self.request.client.host if self.request.client else ""

    @property
    def htmx(self) -> bool:
        """True when htmx swaps the answer into a part of the page."""
        headers = self.request.headers
        return headers.get("hx-request") == "true" and headers.get("hx-request-type", "partial") == "partial"

    @property
    def plain_seconds(self) -> int:
        """How long plaintext stays open, by the server's clock."""
        until = self.signed_in.plain_until if self.signed_in else None
        return max(0, int((datetime.fromisoformat(until) - self.at).total_seconds())) if until else 0

    @property
    def theme(self) -> str:
        """`light` or `dark` as this browser was told, empty where it follows the system."""
        given = self.request.cookies.get(self.site.theme_cookie, "")
        return given if given in ("light", "dark") else ""

    @property
    def again(self) -> str:
        """The address of this page; the workbench where it is the answer to a form, which no link leads to."""
        url = self.request.url
        return url.path + (f"?{url.query}" if url.query else "") if self.route.method == "GET" else "/"

    def here(self, route: Route) -> bool:
        """Whether the menu's entry leads to this page or the one above it."""
        path = self.request.url.path
        return path == route.path or (route.path != "/" and path.startswith(route.path + "/"))

    @property
    def path(self) -> Mapping[str, Any]:
        """Parameters of the path."""
        return self.request.path_params

    def query(self, name: str, default: str = "") -> str:
        """One text of the address."""
        return self.request.query_params.get(name, default).strip()

    def queries(self, name: str) -> tuple[str, ...]:
        """All texts of that name in the address."""
        return tuple(v for v in self.request.query_params.getlist(name) if v)

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**62) -> int:
        """A whole number of the address; what is none, or out of bounds, is the default."""
        text = self.request.query_params.get(name, "")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default
        return value if least <= value <= most else default

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The template with `ask`, `site`, `visitor` and the values. htmx gets the block `main` of it alone."""
        made = self.templates.get_template(template)
        given = {"ask": self, "site": self.site, "visitor": self.signed_in, "at": self.at, **values}
        if self.htmx and "main" in made.blocks:
            context = made.new_context(given)
            next(made.root_render_func(context), "")  # what stands before the first output: imports and macros
            body = "".join(made.blocks["main"](context))
            return HTMLResponse(body, status)
        return HTMLResponse(made.render(given), status)

    def fragment(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The whole template, meant to be swapped into a page (out-of-band parts included)."""
        given = {"ask": self, "site": self.site, "visitor": self.signed_in, "at": self.at, **values}
        return HTMLResponse(self.templates.get_template(template).render(given), status)

    def go(self, path: str, **query: str) -> Response:
        """To another page after an action: 303 for a browser, `HX-Redirect` for htmx. No typed value in `query`."""
        target = f"{path}?{urlencode(query)}" if query else path
        if self.request.headers.get("hx-request") == "true":
            return Response(status_code=200, headers={"HX-Redirect": quote(target, safe=_IN_ADDRESS)})
        return RedirectResponse(target, 303)

    def go_saying(self, path: str, sentence: str) -> Response:
        """The same with a sentence of ours for the next page (`said`), marked so that no link made elsewhere can put
        words into our mouth."""
        kept = "&".join(p for p in urlsplit(path).query.split("&") if p and not p.startswith(("note=", "mark=")))
        told = urlencode({"note": sentence, "mark": self._mark(sentence)})
        return self.go(urlsplit(path).path + "?" + (f"{kept}&{told}" if kept else told))

    @property
    def said(self) -> str:
        """The sentence that `go_saying` gave this session to read; empty for any other."""
        note = self.query("note")
        return note if note and hmac.compare_digest(self._mark(note).encode(), self.query("mark").encode()) else ""

    def _mark(self, sentence: str) -> str:
        key = self.visitor.csrf.encode()
        return hmac.new(key, b"note:" + sentence.encode(), "sha256").hexdigest()[:24]

    def with_query(self, **changes: str | int | tuple[str, ...] | None) -> str:
        """This page's address with these parameters replaced; None or empty removes one. Paging starts anew."""
        gone = {*changes, "page", "after", "note", "mark"}
        pairs = [(k, v) for k, v in self.request.query_params.multi_items() if k not in gone]
        for name, value in changes.items():
            given = value if isinstance(value, tuple) else (value,)
            pairs += [(name, str(v)) for v in given if v not in (None, "")]
        return self.request.url.path + ("?" + urlencode(pairs) if pairs else "")
