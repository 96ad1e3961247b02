"""Signing in, sessions, forged forms, people without a role (console 1, 6, 8 rows 12, 17, 23)."""

from __future__ import annotations

import pytest

from hub.web.accounts import ATTEMPTS
from hub.web.signin import back_to
from tests.web.consoles import DATA_PASSWORD, PASSWORD, PEOPLE, Console, token

SAME = {"Sec-Fetch-Site": "same-origin"}


def actions(console: Console) -> list[str]:
    return [row["action"] for row in console.rows("audit_event", "i")]


def test_a_right_password_opens_a_session_whose_cookie_is_only_an_id(own_console: Console) -> None:
    answer = own_console.enter(own_console.client(), "clerk")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("hub_13="))
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    value = cookie.partition("=")[2].partition(";")[0]
    stored = own_console.rows("web_session")
    assert len(stored) == 1
    assert value not in str(stored), "a copied database must not open a session"
    assert actions(own_console)[-1] == "登录"


@pytest.mark.parametrize(
    ("name", "password"), [("clerk", "wrong"), ("clerk", DATA_PASSWORD), ("nobody-here", PASSWORD)]
)
def test_a_wrong_password_and_an_unknown_account_read_the_same(own_console: Console, name: str, password: str) -> None:
    answer = own_console.enter(own_console.client(), name, password)
    assert answer.status_code == 403
    assert "账号或口令不对" in answer.text
    assert own_console.rows("web_session") == []
    assert actions(own_console)[-1] == "登录失败"
    assert "nobody-here" not in str(own_console.rows("audit_event"))


def test_the_fifth_failure_locks_the_account_even_for_the_right_password(own_console: Console) -> None:
    client = own_console.client()
    for _ in range(ATTEMPTS - 1):
        assert "锁定至" not in own_console.enter(client, "clerk", "wrong").text
    assert "锁定至" in own_console.enter(client, "clerk", "wrong").text
    assert own_console.enter(client, "clerk").status_code == 403
    assert own_console.rows("web_session") == []
    own_console.clock.forward(minutes=16)
    assert own_console.enter(client, "clerk").status_code == 303


def test_a_second_sign_in_ends_the_first_session(own_console: Console) -> None:
    first, second = own_console.client(), own_console.client()
    own_console.enter(first, "clerk")
    assert first.get("/").status_code == 200
    own_console.enter(second, "clerk")
    assert second.get("/").status_code == 200
    assert first.get("/").status_code == 303


def test_half_an_hour_of_silence_ends_a_session_and_htmx_leaves_its_page(own_console: Console) -> None:
    client = own_console.client()
    own_console.enter(client, "clerk")
    for _ in range(3):
        own_console.clock.forward(minutes=20)
        assert client.get("/").status_code == 200, "a session in use goes on"
    own_console.clock.forward(minutes=31)
    asked = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": f"{own_console.address}/help?a=1"}
    answer = client.get("/help", headers=asked)
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["hx-redirect"] == "/signin?next=%2Fhelp%3Fa%3D1"
    assert client.get("/help").headers["location"] == "/signin?next=%2Fhelp"


def test_twelve_hours_end_a_session_that_never_rested(own_console: Console) -> None:
    client = own_console.client()
    own_console.enter(client, "clerk")
    for _ in range(30):
        own_console.clock.forward(minutes=25)
        last = client.get("/").status_code
    assert last == 303


def test_a_stopped_operator_is_out_at_once(own_console: Console) -> None:
    from hub.roles_store import stop_operator

    client = own_console.client()
    own_console.enter(client, "clerk")
    stop_operator(own_console.store, "13", "clerk", at=own_console.clock(), actor="test")
    assert client.get("/").status_code == 303
    assert own_console.enter(client, "clerk").status_code == 422


def test_signing_out_ends_the_session_on_the_server(own_console: Console) -> None:
    client = own_console.client()
    own_console.enter(client, "clerk")
    thief = own_console.client()
    thief.cookies.update(client.cookies)
    assert thief.get("/").status_code == 200
    assert own_console.post(client, "/signout").status_code == 303
    assert own_console.rows("web_session") == []
    assert thief.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_from_another_site_is_refused_though_its_token_is_valid(
    own_console: Console, headers: dict[str, str]
) -> None:
    client = own_console.client()
    own_console.enter(client, "clerk")
    valid = token(client.get("/").text)
    before = own_console.rows("web_session")
    answer = client.post("/signout", data={"csrf": valid}, headers=headers)
    assert answer.status_code == 403
    assert "不是从本系统的页面发出的" in answer.text
    assert own_console.rows("web_session") == before
    assert client.post("/signout", data={"csrf": valid}, headers=SAME).status_code == 303


@pytest.mark.parametrize("given", ["", "0" * 64, "é"])
def test_a_form_without_its_token_is_refused(own_console: Console, given: str) -> None:
    client = own_console.client()
    own_console.enter(client, "clerk")
    assert client.post("/signout", data={"csrf": given} if given else {}, headers=SAME).status_code == 403
    assert client.get("/").status_code == 200


def test_a_token_of_another_session_is_refused(own_console: Console) -> None:
    clerk, chief = own_console.client(), own_console.client()
    own_console.enter(clerk, "clerk")
    own_console.enter(chief, "chief")
    stolen = token(chief.get("/").text)
    assert clerk.post("/signout", data={"csrf": stolen}, headers=SAME).status_code == 403


def test_signing_in_needs_the_form_of_this_browser(own_console: Console) -> None:
    other = token(own_console.client().get("/signin").text)
    client = own_console.client()
    client.get("/signin")
    given = {"csrf": other, "name": "clerk", "password": PASSWORD}
    assert client.post("/signin", data=given).status_code == 403
    assert own_console.rows("web_session") == []


def test_a_user_without_a_role_reads_whom_to_ask(console: Console) -> None:
    client = console.as_("无角色")
    answer = client.get("/")
    assert answer.status_code == 403
    assert "您尚未分配功能角色，请联系系统管理员" in answer.text
    assert "退出" in answer.text


def test_a_foreign_host_name_is_not_answered(console: Console) -> None:
    assert console.client().get("/signin", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("/conflicts?state=1", "/conflicts?state=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/signin?next=/", "/"),
        ("/a\r\nb", "/"),
        ("/..//evil.example", "/"),
        ("/./\\evil.example", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_a_browser_stays_on_this_site(given: str, wanted: str) -> None:
    assert back_to(given) == wanted


def test_every_answer_forbids_what_the_policy_forbids(console: Console) -> None:
    client = console.as_("业务员")
    for path in ("/", "/signin", "/no-such-page", "/static/console.css", "/healthz", "/users"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'"), path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert PEOPLE


def test_a_form_of_unknown_length_is_not_read(console: Console) -> None:
    client = console.as_("业务员")
    before = console.rows("web_session")
    body = (b"csrf=x&" for _ in range(3))
    given = {"Content-Type": "application/x-www-form-urlencoded", **SAME}
    assert client.post("/signout", content=body, headers=given).status_code == 422
    assert console.rows("web_session") == before


def test_a_scope_below_the_node_sees_its_own_queues_and_no_totals_of_the_node(console: Console) -> None:
    assert "最近批次" in console.as_("业务主管").get("/").text
    school = console.as_("学校管理者").get("/").text
    assert "我的工作台" in school
    assert "最近批次" not in school
    assert "最近各轮" not in school
