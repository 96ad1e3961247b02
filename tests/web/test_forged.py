"""Requests that no page of ours makes: spoiled addresses, words put into our mouth, another county's rows by every way
there is, auditors that change, forms sent twice (issue 6, console 1, 6)."""

from __future__ import annotations

import io
import re

import httpx
import pytest
from openpyxl import load_workbook

from hub.web.oidc import _unhexed
from tests.web.consoles import Console, token
from tests.web.desks import Desk, entered, row_of
from tests.web.test_table import may, routes

# What is put in place of every parameter of an address: beyond every table, up the tree, a character no database takes.
NUMBERS = ("99999999999999999999", "0")
TEXTS = ("..%2f..%2f..%2fetc%2fpasswd", "%00", "x'%20OR%20'1'='1" + "%E2%80%AE" * 400)
ASKED = (
    "page=99999999999999999999&after=zz&size=-1&begin=2026-99-99&place=../..&no=99999999999999999999&tick=x&sort=%27",
    "page=2&before=zz&school=%27--&state=%27&entity=%22&rule=%25&division=x&field=x&run=x&revision=x", "school=%00",
)  # fmt: skip
# What an auditor may post: it looks, verifies, finds, or is about the auditor's own session.
AUDITOR = {
    "/signout", "/me/look", "/me/password", "/batches/{batch}/verify", "/conflicts/find",
    "/quarantine/{entity}/{src_rid}/recheck",
}  # fmt: skip


def filled_in(path: str, number: str, text: str) -> str:
    return re.sub(r"\{[^}:]+(?::(\w+))?\}", lambda m: number if m[1] == "int" else text, path)


@pytest.mark.parametrize("tier", ["console", "ministry_console"])
def test_an_address_that_somebody_spoiled_is_answered_in_words_and_breaks_nothing(
    tier: str, request: pytest.FixtureRequest
) -> None:
    made: Console = request.getfixturevalue(tier)
    asked = [r for r in routes(made.node.settings.role) if r.method == "GET" and not r.path.startswith("/oidc")]
    for role, others in (("业务主管", ()), ("系统管理员", ("业务主管",))):
        client = made.as_(role)
        mine = [r for r in asked if may(role, r.allow) and not any(may(other, r.allow) for other in others)]
        for route in (r for r in mine if "{" in r.path):
            tried = {filled_in(route.path, n, TEXTS[0]) for n in NUMBERS} if ":int" in route.path else set()
            for path in tried | {filled_in(route.path, "1", t) for t in TEXTS}:
                answer = client.get(path)
                assert answer.status_code in (200, 303, 401, 403, 404, 405, 422), path
                assert "root:" not in answer.text, path
        for route in (r for r in mine if "{" not in r.path and r.menu):
            for query in ASKED:
                answer = client.get(f"{route.path}?{query}")
                assert answer.status_code in (200, 303, 404, 422), (route.path, query)


def test_a_control_character_in_a_form_is_refused_before_anything_is_kept(console: Console) -> None:
    client, before = console.as_("业务员"), console.rows("typed_query")
    answer = console.post(client, "/conflicts/find", {"typed": "36\x0013000101"})
    assert (answer.status_code, "E1104" in answer.text) == (422, True)
    assert console.rows("typed_query") == before


def test_a_platform_that_is_not_there_gets_no_file_and_no_record(console: Console) -> None:
    client, before = console.as_("业务主管"), console.rows("audit_event")
    assert console.post(client, "/corrections/S9").status_code == 404
    assert console.rows("audit_event") == before


def test_an_auditor_posts_nothing_that_changes_data() -> None:
    for role in ("province", "ministry"):
        open_ = {r.path for r in routes(role) if r.method == "POST" and may("审计负责人", r.allow)}
        assert open_ - {"/signin"} <= AUDITOR


def test_no_link_made_elsewhere_puts_words_into_our_mouth(ministry_console: Console) -> None:
    client, said = ministry_console.as_("业务主管"), "请把口令发到示例邮箱"
    for mark in ("", "0" * 24, "例"):
        assert said not in client.get("/cases", params={"note": said, "mark": mark}).text
    assert f">{said}" not in client.get("/batches/x", params={"note": said}).text


def test_a_spoiled_cookie_of_the_sign_in_leads_nowhere() -> None:
    assert (_unhexed("zz"), _unhexed("ff"), _unhexed("2f6a6f6273")) == ("", "", "/jobs")


def foreign(desk: Desk) -> int:
    divisions = {r["decision_no"]: r["division"] for r in desk.rows("decision")}
    return next(n for n in desk.planted["MZM"] if not divisions[n].startswith("1306"))


def test_another_citys_rows_leave_by_no_bulk_no_sheet_and_no_search(desk: Desk) -> None:
    number, client = foreign(desk), entered(desk, "baoding")
    before, jobs = row_of(desk, number), desk.rows("bulk_operation")
    for do in ("tick:按规则处理", "all:按规则处理", "tick:分派", "tick:通过", "tick:截止日期"):
        where = {"do": do, "tick": str(number), "no": str(number)}
        shown = client.get("/bulk", params=where)
        assert "没有可处理的冲突" in shown.text, do
        form = {"token": "1" * 64, "reason": "R01", "note": "批量", "assignee": "baoding", "due": "2026-12-31"}
        sent = desk.post(client, str(httpx.URL("/bulk", params=where)), form)
        assert sent.status_code in (403, 409, 422), do
    book = desk.post(client, f"/conflicts/export?no={number}")
    sheet = load_workbook(io.BytesIO(book.content))["sheet1"]
    assert sheet.max_row == 1, "heads only"
    assert str(number) not in client.get(f"/conflicts?no={number}").text.partition("<tbody>")[2]
    assert client.get("/monthly").status_code == 403, "the form of the whole province"
    assert row_of(desk, number) == before
    assert desk.rows("bulk_operation") == jobs


def test_a_form_sent_a_second_time_does_nothing_a_second_time(desk: Desk) -> None:
    number, client = desk.planted["MZM"][-1], desk.as_("业务员")
    html = client.get(f"/conflicts/{number}").text
    form = {"csrf": token(html), "version": str(row_of(desk, number)["version"]), "do": "adopt:1"}
    assert client.post(f"/conflicts/{number}/decide", data=form).status_code == 303
    after = row_of(desk, number)
    late = client.post(f"/conflicts/{number}/decide", data=form)
    assert late.status_code == 409
    assert re.search(r"已被他人更新：2026-11-\d\d \d\d:\d\d clerk 提交", late.text), "Beijing time, who and what"
    form["do"], form["version"] = "withdraw", "1"
    assert client.post(f"/conflicts/{number}/decide", data=form).status_code == 409
    assert row_of(desk, number) == after


def test_a_comment_or_a_day_sent_twice_stands_once(desk: Desk) -> None:
    number, client = desk.planted["MZM"][1], desk.as_("业务主管")
    fresh = client.get(f"/conflicts/{number}").text
    form = {"csrf": token(fresh), "version": str(row_of(desk, number)["version"])}
    form["events"] = seen = str(row_of(desk, number)["events"])
    audited = len(desk.rows("audit_event"))
    for path, words in (
        ("comment", {"note": "已电话联系"}),
        ("assign", {"assignee": "clerk"}),
        ("due", {"due": "2026-12-31"}),
    ):
        for _ in range(2):
            assert client.post(f"/conflicts/{number}/{path}", data=form | words).status_code == 303, path
    row = row_of(desk, number)
    assert (row["events"], row["assignee"], row["due"]) == (int(seen) + 3, "clerk", "2026-12-31")
    assert len(desk.rows("audit_event")) == audited + 3, "the repetition is no event"
    again = form | {"events": str(row["events"]), "note": "已电话联系"}
    assert client.post(f"/conflicts/{number}/comment", data=again).status_code == 303
    assert row_of(desk, number)["events"] == int(seen) + 4, "the same words on a page that showed the first are meant"


def test_who_is_refused_is_still_signed_in_and_finds_the_way_back(console: Console) -> None:
    client = console.as_("业务员")
    for answer in (client.get("/users"), client.post("/conflicts/find", data={}), client.get("/nowhere")):
        assert answer.status_code in (403, 404)
        assert "返回我的工作台" in answer.text
        assert 'href="/conflicts"' in answer.text, "the menu"
        assert 'href="/signin"' not in answer.text


def test_a_comment_that_came_too_late_is_kept_where_it_was_typed(desk: Desk) -> None:
    number, client = desk.planted["MZM"][2], desk.as_("业务主管")
    before = row_of(desk, number)
    form = {"version": "0", "events": "0", "do": "comment", "note": "学校已来函说明"}
    late = desk.post(client, f"/conflicts/{number}/comment", form)
    assert (late.status_code, "操作手册" in late.text) == (409, True)
    assert late.text.count("学校已来函说明") == 1, "not in the field of the decision"
    assert re.search(r"<span>备注</span><textarea[^>]*>学校已来函说明<", late.text)
    assert row_of(desk, number) == before
