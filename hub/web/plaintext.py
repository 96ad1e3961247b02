"""Step-up with the 数据密码 and the one gate to plaintext (console 1).

Decides when private values may be seen in the open: a 隐私 role, the second password within five minutes, a purpose, a
daily quota, and an audit row that was committed before. No audit row, no plaintext.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import sqlalchemy as sa
from starlette.responses import Response

from hub.audit import Event, append
from hub.errors import HubError, InputError, UsageError
from hub.store.web_tables import WEB_ACCOUNT, WEB_SESSION
from hub.web.accounts import stamp, try_password
from hub.web.ask import Ask
from hub.web.filters import moment, today
from hub.web.section import Section
from hub.web.signin import back_to

section: Final = Section("plaintext", "hub.web")
OPEN_FOR: Final = timedelta(minutes=5)
PURPOSE: Final = (4, 200)


class QuotaSpentError(HubError):
    """The day's plaintext views are used up; nothing was shown."""

    status = 403


def reveal(ask: Ask, entity: str, record: str, fields: Sequence[str]) -> bool:
    """Whether these private fields of one record may be shown in this answer; audited as one view, counted as one.

    `record`: the hub's own record number. False without role or open step-up. Raises `QuotaSpentError` E1088, and what
    the audit raises: then nothing is shown.
    """
    visitor = ask.visitor
    if not fields or visitor.plain_until is None or not visitor.may("plaintext"):
        return False
    c, day, quota = WEB_ACCOUNT.c, today(ask.at), ask.site.node.settings.web.plaintext_views
    with ask.site.store.begin() as tx:
        used = sa.case((c.views_day == day, sa.func.coalesce(c.views, 0)), else_=0)
        counted = tx.connection.execute(
            sa.update(WEB_ACCOUNT).where(c.name == visitor.name, used < quota).values(views=used + 1, views_day=day)
        )
        if counted.rowcount != 1:
            raise QuotaSpentError("E1088", f"今日明文查看已达限额（{quota} 次）", step="明日再试，或请核定限额")
        append(
            tx.connection, Event.PLAINTEXT_VIEWED, ts=ask.at, node=ask.site.party, actor=visitor.name,
            actor_role=ask.operator.role_for("plaintext"), object=f"{entity} {record}", purpose=visitor.plain_purpose,
            detail={"fields": "、".join(fields), "address": ask.source},
        )  # fmt: skip
    return True


@section.get("/plain", allow="plaintext")
def form(ask: Ask) -> Response:
    """The second password and the purpose."""
    return _form(ask, back_to(ask.query("next")))


@section.post("/plain", allow="plaintext")
def step_up(ask: Ask) -> Response:
    """Opens plaintext for five minutes of the server's clock."""
    back, purpose = back_to(ask.form.get("next", "")), ask.form.get("purpose", "").strip()
    if not PURPOSE[0] <= len(purpose) <= PURPOSE[1]:
        return _form(ask, back, note=f"请写明查看目的（{PURPOSE[0]} 至 {PURPOSE[1]} 字）", purpose=purpose, status=422)
    try:
        tried = try_password(
            ask.site.store, ask.site.party, ask.visitor.name, ask.form.get("password", ""),
            data=True, at=ask.at, source=ask.source, purpose=purpose,
        )  # fmt: skip
    except InputError:
        return _form(ask, back, note="查看目的中不得写入证件号、学籍号或手机号", status=422)
    if not tried.good:
        note = "数据密码不对"
        if tried.locked_until:
            note = f"连续输错次数过多，数据密码已锁定至 {moment(tried.locked_until)[-5:]}"
        return _form(ask, back, note=note, purpose=purpose, status=403)
    _open(ask, purpose)
    return ask.go(back)


@section.post("/plain/close", allow="plaintext")
def close(ask: Ask) -> Response:
    """Masks again before the time is over."""
    c = WEB_SESSION.c
    with ask.site.store.begin() as tx:
        tx.connection.execute(sa.update(WEB_SESSION).where(c.digest == ask.visitor.digest).values(plain_until=None))
    back = urlsplit(ask.request.headers.get("referer", "")).path
    return ask.go(back_to(back))


def _open(ask: Ask, purpose: str) -> None:
    until = stamp(ask.at + OPEN_FOR)
    with ask.site.store.begin() as tx:
        done = tx.connection.execute(
            sa.update(WEB_SESSION)
            .where(WEB_SESSION.c.digest == ask.visitor.digest)
            .values(plain_until=until, plain_purpose=purpose)
        )
        if done.rowcount != 1:
            raise UsageError("E1090", "登录已失效", step="重新登录")


def _form(ask: Ask, back: str, *, note: str = "", purpose: str = "", status: int = 200) -> Response:
    return ask.page("plain.html", status=status, next=back, note=note, purpose=purpose, minutes=5)
