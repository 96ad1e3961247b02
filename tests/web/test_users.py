"""Accounts and roles by the 系统管理员: never one's own, never two that stand apart, always audited (console 1)."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from hub.roles import Grant, rights
from hub.roles_store import add_operator, operator_named
from hub.web.scope_words import names_of
from hub.web.users import key_of
from tests.web.consoles import DATA_PASSWORD, PASSWORD, PEOPLE, Console, give_password

AT = {role: number for number, role in enumerate(rights())}


def roles_of(console: Console, name: str) -> dict[str, dict[str, list[str]]]:
    with console.store.reading() as reader:
        return {g.role: g.scope.document() for g in operator_named(reader, name).grants}


def audited(console: Console) -> list[tuple[str, str, str]]:
    return [(r["action"], r["actor"], r["object"]) for r in console.rows("audit_event", "i")]


def test_roles_and_scopes_are_given_and_audited(own_console: Console) -> None:
    admin = own_console.as_("系统管理员")
    at = AT["业务员"]
    form = {f"role{at}": "1", f"division{at}": "130600 130682", f"school{at}": "", f"category{at}": "xs"}
    answer = own_console.post(admin, f"/users/{key_of('clerk')}/roles", form)
    assert answer.status_code == 200
    assert "已保存" in answer.text
    wanted = {"divisions": ["130600", "130682"], "schools": [], "categories": ["xs"]}
    assert roles_of(own_console, "clerk") == {"业务员": wanted}
    assert audited(own_console)[-1] == ("人员与角色变更", "admin", "operator clerk")


@pytest.mark.parametrize("action", ["roles", "password", "unlock", "stop"])
def test_an_administrator_cannot_touch_an_own_account_though_it_has_another_name(
    own_console: Console, action: str
) -> None:
    add_operator(own_console.store, "13", "admin-too", "P01 ", [Grant("系统管理员")], at=own_console.clock(), actor="t")
    give_password(own_console.store, "admin-too")
    client = own_console.client()
    own_console.enter(client, "admin-too")
    before = own_console.rows("operator_role"), own_console.rows("web_account")
    for name in ("admin", "admin-too"):
        answer = own_console.post(client, f"/users/{key_of(name)}/{action}", {f"role{AT['数据工程师']}": "1"})
        assert answer.status_code == 403, (name, action)
        assert "不能更改本人" in answer.text
    assert (own_console.rows("operator_role"), own_console.rows("web_account")) == before


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        (("系统管理员", "业务员"), "不能由同一人兼任"),
        (("审计负责人", "数据复核员"), "不能由同一人兼任"),
        (("隐私数据查看员",), "须叠加在业务角色之上"),
    ],
)
def test_roles_that_stand_apart_are_refused_and_what_was_typed_is_kept(
    own_console: Console, roles: tuple[str, ...], why: str
) -> None:
    before = roles_of(own_console, "clerk")
    form = {f"role{AT[r]}": "1" for r in roles} | {f"division{AT[roles[0]]}": "130600"}
    answer = own_console.post(own_console.as_("系统管理员"), f"/users/{key_of('clerk')}/roles", form)
    assert answer.status_code == 422
    assert why in answer.text
    assert 'value="130600"' in answer.text
    assert roles_of(own_console, "clerk") == before


@pytest.mark.parametrize("scope", ["999999", "保定"])
def test_a_scope_that_does_not_exist_is_refused(own_console: Console, scope: str) -> None:
    before = roles_of(own_console, "clerk")
    form = {f"role{AT['业务员']}": "1", f"division{AT['业务员']}": scope}
    answer = own_console.post(own_console.as_("系统管理员"), f"/users/{key_of('clerk')}/roles", form)
    assert answer.status_code == 422
    assert "数据范围有误" in answer.text
    assert roles_of(own_console, "clerk") == before


def test_a_new_account_signs_in_with_its_temporary_password_and_must_change_it(own_console: Console) -> None:
    form = {"name": "new-clerk", "person": "p77", f"role{AT['业务员']}": "1"}
    answer = own_console.post(own_console.as_("系统管理员"), "/users/new", form)
    given = re.search(r'<b class="secret">([^<]+)</b>', answer.text)
    assert given, answer.text
    client = own_console.client()
    assert own_console.enter(client, "new-clerk", given[1]).status_code == 303
    assert client.get("/").headers["location"] == "/me?note=change"
    assert client.get("/help").status_code == 303
    page = client.get("/me").text
    token = re.search(r'name="csrf" value="(\w+)"', page)
    assert token
    change = {"csrf": token[1], "old": given[1], "new": "Own-choice-2026", "again": "Own-choice-2026"}
    assert client.post("/me/password", data=change).status_code == 303
    assert own_console.enter(client, "new-clerk", given[1]).status_code == 403
    assert own_console.enter(client, "new-clerk", "Own-choice-2026").status_code == 303
    assert client.get("/").status_code == 200
    assert given[1] not in str(own_console.rows("audit_event"))


def test_a_data_password_is_set_by_its_owner_and_differs_from_the_sign_in(own_console: Console) -> None:
    admin, client = own_console.as_("系统管理员"), own_console.client()
    own_console.post(admin, f"/users/{key_of('private')}/unlock", {"forget": "1"})
    own_console.enter(client, "private")
    same = {"old": PASSWORD, "new": PASSWORD, "again": PASSWORD}
    assert own_console.post(client, "/me/data", same).status_code == 422
    right = {"old": PASSWORD, "new": DATA_PASSWORD, "again": DATA_PASSWORD}
    assert own_console.post(client, "/me/data", right).status_code == 303
    wrong = {"old": PASSWORD, "new": "Another-data-1", "again": "Another-data-1"}
    assert own_console.post(client, "/me/data", wrong).status_code == 422, "the second one needs the first"


def test_a_stopped_account_is_out_and_comes_back_with_its_roles_saved(own_console: Console) -> None:
    admin, client = own_console.as_("系统管理员"), own_console.client()
    own_console.enter(client, "clerk")
    own_console.post(admin, f"/users/{key_of('clerk')}/stop")
    assert client.get("/").status_code == 303
    own_console.post(admin, f"/users/{key_of('clerk')}/roles", {f"role{AT['业务员']}": "1"})
    assert client.get("/").status_code == 200


def test_no_address_of_these_pages_holds_a_name(console: Console) -> None:
    page = console.as_("系统管理员").get("/users").text
    addresses = re.findall(r'(?:href|action)="([^"]+)"', page)
    assert len(addresses) > len(PEOPLE)
    assert not [a for a in addresses if any(name in a for name, _person, _roles in PEOPLE.values() if name != "audit")]


def test_a_search_for_a_person_is_posted_and_finds_them(console: Console) -> None:
    page = console.post(console.as_("系统管理员"), "/users", {"text": "P04"}).text
    assert "review" in page
    assert "clerk" not in page


def test_a_scope_is_told_by_the_names_of_its_places(console: Console) -> None:
    with console.store.reading() as reader:
        xx = reader.golden("xx")
        code, name = reader.connection.execute(sa.select(xx.c.xxdm, xx.c.xxmc).limit(1)).one()
        scope = {"divisions": ["130600"], "schools": [code, "3113999999"], "categories": ["bj"]}
        names = names_of(reader, console.site.catalog, [scope])
    both = sorted((("3113999999", "学校（3113999999）"), (code, f"{name}（{code}）")))
    assert names.one(scope) == f"保定市（130600）、{both[0][1]}、{both[1][1]}；分项：班级"
    assert names.together([{}, {}, scope]).startswith("全部　保定市")
    assert names.together([]) == ""
