"""Signing in and out with local accounts (console 1, 6).

Decides what a person reads when it fails, and where they go afterwards: only to a page of this site. Passwords are
judged by `accounts`, sessions kept by `sessions`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from hub.roles_store import operator_named
from hub.web.accounts import Attempt, try_password
from hub.web.ask import Ask
from hub.web.filters import moment
from hub.web.section import EVERYONE, SIGNED_IN, Section
from hub.web.sessions import end, start

section: Final = Section("signin", "hub.web")
WRONG: Final = "账号或口令不对"


def back_to(text: str) -> str:
    """Where to go after signing in: a path of this site, else the workbench."""
    parts = urlsplit(text)
    own = text.startswith("/") and "//" not in parts.path and "\\" not in text and not parts.scheme and not parts.netloc
    return text if own and text.isprintable() and not parts.path.startswith(("/signin", "/signout")) else "/"


def show(ask: Ask, *, note: str = "", kind: str = "bad", status: int = 200, name: str = "", back: str = "") -> Response:
    """The sign-in page with its own form token, held by a cookie until there is a session."""
    site = ask.site
    token = ask.request.cookies.get(site.form_cookie) or site.rng(32).hex()
    web = site.node.settings.web
    answer = ask.fragment(
        "signin.html", status=status, note=note, kind=kind, name=name, next=back, form_token=token,
        oidc=web.oidc_label if web.oidc_issuer else "", contact=web.contact,
    )  # fmt: skip
    answer.set_cookie(site.form_cookie, token, httponly=True, samesite="lax", secure=site.secure, path="/")
    return answer


@section.get("/signin", allow=EVERYONE)
def page(ask: Ask) -> Response:
    """The form; who is signed in already goes on."""
    back = back_to(ask.query("next"))
    if ask.signed_in is not None:
        return ask.go(back)
    note = {"out": "您已退出。", "changed": "口令已修改，请用新口令登录。"}.get(
        ask.query("note"), "" if back == "/" else "请先登录；登录后回到刚才的页面。"
    )
    return show(ask, note=note, kind="info", back=back)


@section.post("/signin", allow=EVERYONE)
def sign_in(ask: Ask) -> Response:
    """Checks the password and begins the session."""
    name, back = ask.form.get("name", "").strip(), back_to(ask.form.get("next", ""))
    tried = try_password(
        ask.site.store, ask.site.party, name, ask.form.get("password", ""), at=ask.at, source=ask.source
    )
    if not tried.good:
        return show(ask, note=_why(tried), status=403, name=name, back=back)
    return begin(ask, name, back)


def begin(ask: Ask, name: str, back: str, *, via: str = "local") -> Response:
    """Starts the session and sends the browser on. Raises `UsageError` E1056 for a stopped operator."""
    site = ask.site
    with site.store.reading() as reader:
        operator_named(reader, name)
    made = start(site.store, site.party, name, at=ask.at, rng=site.rng, source=ask.source, via=via)
    answer = ask.go(back)
    answer.set_cookie(site.cookie, made, httponly=True, samesite="lax", secure=site.secure, path="/")
    answer.delete_cookie(site.form_cookie, path="/", httponly=True, samesite="lax", secure=site.secure)
    return answer


@section.post("/signout", allow=SIGNED_IN)
def sign_out(ask: Ask) -> Response:
    """Ends the session here; a session that began at the sign-in provider is ended there as well."""
    end(ask.site.store, ask.site.party, ask.visitor, at=ask.at)
    answer = ask.go("/oidc/end" if ask.visitor.via == "oidc" else "/signin", note="out")
    answer.delete_cookie(ask.site.cookie, path="/", httponly=True, samesite="lax", secure=ask.site.secure)
    return answer


def _why(tried: Attempt) -> str:
    if tried.locked_until is None:
        return WRONG
    return f"连续输错次数过多，账号已锁定至 {moment(tried.locked_until)[-5:]}。需要提前解锁请联系系统管理员。"
