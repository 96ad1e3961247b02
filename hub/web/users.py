"""用户与角色: accounts, roles over scopes, sign-in mapping (console 1, 5). For 系统管理员.

Decides what a form may ask for: nobody changes their own roles, whichever of their accounts they use; scopes name what
there is; passwords given out are temporary. What is stored and audited is `hub.roles_store`'s and `accounts`'.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.errors import UsageError
from hub.roles import Grant, Scope, rights, same_person
from hub.roles_store import ACTIVE, STOPPED, add_operator, operators, stop_operator
from hub.store import Reader
from hub.store.web_tables import WEB_SESSION
from hub.web.accounts import accounts, bind_subject, set_password, stamp, unlock
from hub.web.ask import Ask
from hub.web.listing import Condition, chips, paging, turned
from hub.web.refusals import forbidden, not_here
from hub.web.scope_words import names_of
from hub.web.section import Queue, Section

section: Final = Section("users", "hub.web")
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class User:
    """One account as the list shows it. `key`: what addresses carry instead of its name."""

    key: str
    name: str
    person: str
    state: str
    created: str
    grants: tuple[dict[str, Any], ...]
    account: dict[str, Any]
    seen: str | None

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(g["role"] for g in self.grants)

    @property
    def locked(self) -> str:
        return self.account.get("locked_until") or self.account.get("data_locked_until") or ""


def key_of(name: str) -> str:
    """An account's name in an address."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def users(reader: Reader) -> list[User]:
    """All accounts by name; a node has some hundreds."""
    known = accounts(reader)
    sessions = reader.connection.execute(sa.select(WEB_SESSION.c.name, WEB_SESSION.c.seen))
    seen: dict[str, str] = {row[0]: row[1] for row in sessions}
    return [
        User(
            key_of(o["name"]), o["name"], o["person"], o["state"], o["created"] or "", tuple(o["grants"]),
            known.get(o["name"], {}), seen.get(o["name"]),
        )
        for o in operators(reader)
    ]  # fmt: skip


@section.queue
def waiting(ask: Ask) -> list[Queue]:
    """Locked accounts, and accounts without a role."""
    if not ask.visitor.may("administer"):
        return []
    with ask.site.store.reading() as reader:
        found = [u for u in users(reader) if u.state == ACTIVE]
    now = stamp(ask.at)
    return [
        Queue("在用账号", len(found), f"/users?state={ACTIVE}"),
        Queue("未分配角色", sum(not u.roles for u in found), "/users?role=-", "warn"),
        Queue("已锁定", sum(u.locked > now for u in found), "/users?state=-", "bad"),
    ]


@section.get("/users", allow="administer", menu="用户与角色", manual="users")
def listing(ask: Ask) -> Response:
    """The list, by role and state; the name is looked for in a posted form, so that none stands in an address."""
    return _list(ask, "")


@section.post("/users", allow="administer")
def search(ask: Ask) -> Response:
    """Looks for an account or person."""
    return _list(ask, ask.form.get("text", "").strip())


def _list(ask: Ask, text: str) -> Response:
    conditions = (
        Condition("role", "角色", (*((r, r) for r in rights()), ("-", "未分配角色"))),
        Condition("state", "状态", ((ACTIVE, ACTIVE), (STOPPED, STOPPED), ("-", "已锁定"))),
    )
    with ask.site.store.reading() as reader:
        found = users(reader)
    role, state = ask.query("role"), ask.query("state")
    found = [
        u
        for u in found
        if (not role or role in u.roles or (role == "-" and not u.roles and u.state == ACTIVE))
        and (not state or u.state == state or (state == "-" and u.state == ACTIVE and u.locked > stamp(ask.at)))
        and (not text or text.casefold() in u.name.casefold() or text.casefold() in u.person)
    ]
    where = paging(ask, len(found))
    shown = found[where.offset : where.offset + where.size]
    with ask.site.store.reading() as reader:
        names = names_of(reader, ask.site.catalog, [grant for u in shown for grant in u.grants])
    return ask.page(
        "users/list.html", users=shown, paging=turned(ask, where, [u.name for u in shown]), conditions=conditions,
        chips=chips(ask, conditions), text=text, names=names,
    )  # fmt: skip


@section.get("/users/new", allow="administer", manual="users")
def new(ask: Ask) -> Response:
    """The form of a new account."""
    return _form(ask, None)


@section.post("/users/new", allow="administer")
def create(ask: Ask) -> Response:
    """A new account with its roles, and a temporary password that is shown once."""
    name, person = ask.form.get("name", "").strip(), ask.form.get("person", "").strip()
    try:
        with ask.site.store.reading() as reader:
            if any(o["name"] == name for o in operators(reader)):
                raise UsageError("E1097", "已有这个账号", step="换一个账号名，或修改原账号")
        _not_self(ask, person)
        _write(ask, name, person)
        password = _give(ask, name)
    except UsageError as error:
        return _form(ask, None, note=error.what + "。" + error.step, status=422)
    return _form(ask, _user(ask, key_of(name)), password=password)


@section.get("/users/{key}", allow="administer", manual="users")
def detail(ask: Ask) -> Response:
    """One account."""
    return _form(ask, _user(ask, ask.path["key"]))


@section.post("/users/{key}/roles", allow="administer")
def change_roles(ask: Ask) -> Response:
    """New roles and scopes in place of the old; a stopped account is in use again."""
    user = _other(ask)
    try:
        _write(ask, user.name, user.person)
    except UsageError as error:
        return _form(ask, user, note=error.what + "。" + error.step, status=422)
    return _form(ask, _user(ask, user.key), note="已保存；变更已记入审计日志。", kind="good")


@section.post("/users/{key}/password", allow="administer")
def new_password(ask: Ask) -> Response:
    """A temporary password, shown once; its owner changes it at the next sign-in."""
    user = _other(ask)
    return _form(ask, user, password=_give(ask, user.name))


@section.post("/users/{key}/unlock", allow="administer")
def lift(ask: Ask) -> Response:
    """Lifts locks; with `forget` the 数据密码 is gone as well."""
    user, forget = _other(ask), ask.form.get("forget") == "1"
    unlock(ask.site.store, ask.site.party, user.name, forget_data=forget, at=ask.at, actor=ask.visitor.name)
    note = "已清除数据密码，由本人重新设置。" if forget else "已解锁。"
    return _form(ask, _user(ask, user.key), note=note, kind="good")


@section.post("/users/{key}/subject", allow="administer")
def bind(ask: Ask) -> Response:
    """Ties the account to a person at the sign-in provider."""
    user, web = _other(ask), ask.site.node.settings.web
    given = ask.form.get("subject", "").strip()
    subject = f"{web.oidc_issuer} {given}" if given else ""
    try:
        bind_subject(ask.site.store, ask.site.party, user.name, subject, at=ask.at, actor=ask.visitor.name)
    except UsageError as error:
        return _form(ask, user, note=error.what + "。" + error.step, status=422)
    return _form(ask, _user(ask, user.key), note="已保存。", kind="good")


@section.post("/users/{key}/stop", allow="administer")
def stop(ask: Ask) -> Response:
    """The account can act no more; it is signed out at once, its history stays."""
    user = _other(ask)
    stop_operator(ask.site.store, ask.site.party, user.name, at=ask.at, actor=ask.visitor.name)
    return _form(ask, _user(ask, user.key), note="已停用；重新保存角色即恢复使用。", kind="good")


def _user(ask: Ask, key: str) -> User:
    with ask.site.store.reading() as reader:
        found = next((u for u in users(reader) if u.key == key), None)
    if found is None:
        raise not_here("没有这个账号")
    return found


def _other(ask: Ask) -> User:
    user = _user(ask, ask.path["key"])
    _not_self(ask, user.person)
    return user


def _not_self(ask: Ask, person: str) -> None:
    """Compared by person, as four-eyes is: a second account of one's own is oneself."""
    if same_person(person, ask.operator.person):
        raise forbidden("不能更改本人的账号与角色", "请另一位系统管理员办理")


def _give(ask: Ask, name: str) -> str:
    password = "-".join("".join(_LETTERS[b % len(_LETTERS)] for b in ask.site.rng(4)) for _ in range(4))
    set_password(
        ask.site.store, ask.site.party, name, password, temporary=True, at=ask.at, actor=ask.visitor.name,
        rng=ask.site.rng,
    )  # fmt: skip
    return password


def _write(ask: Ask, name: str, person: str) -> None:
    given = [Grant(role, _scope(ask, at)) for at, role in enumerate(rights()) if ask.form.get(f"role{at}") == "1"]
    add_operator(ask.site.store, ask.site.party, name, person, given, at=ask.at, actor=ask.visitor.name)


def _scope(ask: Ask, at: int) -> Scope:
    """The scope in the row of a role. Raises `UsageError` E1098 for what does not exist."""
    divisions, schools, categories = (_words(ask.form.get(f"{n}{at}", "")) for n in ("division", "school", "category"))
    names, entities = ask.site.catalog.codes.division_names, ask.site.catalog.entities
    wrong = [f"区划 {d}" for d in divisions if d not in names]
    wrong += [f"学校 {s}" for s in schools if not (s.isascii() and s.isdigit() and len(s) == 10)]
    wrong += [f"分项 {c}" for c in categories if c not in entities]
    if wrong:
        raise UsageError(
            "E1098", "数据范围有误：" + "、".join(wrong), step="区划用 6 位代码，学校用 10 位标识码，分项用实体名"
        )
    return Scope(divisions, schools, categories)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.replace("，", " ").replace("、", " ").replace(",", " ").split())


def _form(
    ask: Ask, user: User | None, *, note: str = "", kind: str = "bad", password: str = "", status: int = 200
) -> Response:
    asked = ask.form if status != 200 else {}
    rows = [_row(ask, at, role, user, asked) for at, role in enumerate(rights())]
    own = user is not None and same_person(user.person, ask.operator.person)
    return ask.page(
        "users/detail.html", status=status, user=user, rows=rows, note=note, kind=kind, password=password, own=own,
        entities=ask.site.catalog.entities, oidc=ask.site.node.settings.web.oidc_issuer, asked=asked,
    )  # fmt: skip


def _row(ask: Ask, at: int, role: str, user: User | None, asked: Any) -> dict[str, Any]:
    """One line of the table of roles: as stored, or as it was typed when something was wrong."""
    grant = next((g for g in user.grants if g["role"] == role), None) if user else None
    names = ask.site.catalog.codes.division_names
    stored = {n: " ".join((grant or {}).get(f"{m}", ())) for n, m in _PLURAL.items()}
    return {
        "at": at, "role": role, "on": asked.get(f"role{at}") == "1" if asked else grant is not None,
        **{n: asked.get(f"{n}{at}", "") if asked else stored[n] for n in _PLURAL},
        "named": "、".join(names.get(d, d) for d in (grant or {}).get("divisions", ())),
    }  # fmt: skip


_PLURAL: Final = {"division": "divisions", "school": "schools", "category": "categories"}
