"""本人账号: own passwords, and what one may do (console 1).

Decides that a password is changed by who knows the old one, that the 数据密码 is set by its owner alone, never by an
administrator, and that light or dark is a matter of this browser.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hub.errors import UsageError
from hub.roles import rights, verbs
from hub.web.accounts import account, set_password, try_password
from hub.web.ask import Ask
from hub.web.refusals import PageRefusedError
from hub.web.scope_words import names_of
from hub.web.section import SIGNED_IN, Section
from hub.web.signin import back_to

section: Final = Section("me", "hub.web")
YEAR: Final = 365 * 24 * 3600


@section.get("/me", allow=SIGNED_IN, manual="me")
def mine(ask: Ask) -> Response:
    """Roles with their scopes and rights, and the forms for both passwords."""
    note = "您的口令由他人设置，请先修改后再使用。" if ask.visitor.must_change else ""
    return _show(ask, note=note, kind="warn")


@section.post("/me/password", allow=SIGNED_IN)
def password(ask: Ask) -> Response:
    """A new sign-in password; every session ends."""
    try:
        _check_old(ask, data=False)
        _check_twice(ask)
        _set(ask, data=False)
    except UsageError as error:
        return _show(ask, note=error.what + "。" + error.step, kind="bad", status=422)
    return ask.go("/signin", note="changed")


@section.post("/me/look", allow=SIGNED_IN)
def look(ask: Ask) -> Response:
    """外观: light, dark or as the system has it; kept by the browser, so that the first page already is."""
    site, theme = ask.site, ask.form.get("theme", "")
    answer = ask.go(back_to(ask.form.get("next", "")))
    if theme in ("light", "dark"):
        answer.set_cookie(
            site.theme_cookie, theme, max_age=YEAR, httponly=True, samesite="lax", secure=site.secure, path="/"
        )
    else:
        answer.delete_cookie(site.theme_cookie, path="/", httponly=True, samesite="lax", secure=site.secure)
    return answer


@section.post("/me/data", allow="plaintext")
def data(ask: Ask) -> Response:
    """The 数据密码: the first one under the sign-in password, later ones under the old."""
    with ask.site.store.reading() as reader:
        first = not (account(reader, ask.visitor.name) or {}).get("data_secret")
    try:
        _check_old(ask, data=not first)
        _check_twice(ask)
        _set(ask, data=True)
    except UsageError as error:
        return _show(ask, note=error.what + "。" + error.step, kind="bad", status=422)
    return ask.go("/me", note="data")


def _check_old(ask: Ask, *, data: bool) -> None:
    site = ask.site
    tried = try_password(
        site.store, site.party, ask.visitor.name, ask.form.get("old", ""), data=data, at=ask.at, source=ask.source
    )
    if tried.locked_until:
        raise PageRefusedError(403, "E1095", "连续输错次数过多，已锁定 15 分钟", step="稍后再试")
    if not tried.good:
        raise UsageError("E1096", "原口令不对", step="重新输入")


def _check_twice(ask: Ask) -> None:
    if ask.form.get("new", "") != ask.form.get("again", ""):
        raise UsageError("E1096", "两次输入的新口令不一致", step="重新输入")


def _set(ask: Ask, *, data: bool) -> None:
    site, name = ask.site, ask.visitor.name
    set_password(site.store, site.party, name, ask.form["new"], data=data, at=ask.at, actor=name, rng=site.rng)


def _show(ask: Ask, *, note: str = "", kind: str = "info", status: int = 200) -> Response:
    with ask.site.store.reading() as reader:
        row = account(reader, ask.visitor.name) or {}
        names = names_of(reader, ask.site.catalog, [g.scope.document() for g in ask.operator.grants])
    if ask.query("note") == "data":
        note, kind = "数据密码已设置。", "good"
    return ask.page(
        "me.html", status=status, note=note, kind=kind, has_data=bool(row.get("data_secret")), rights=rights(),
        verbs=verbs(), names=names, local=ask.visitor.via == "local",
    )  # fmt: skip
