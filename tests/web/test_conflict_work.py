"""Private values, plaintext exports, the ministry's cases and interrupted bulks, as people meet them in the console."""

from __future__ import annotations

import io
import time

import openpyxl
import pytest
from playwright.sync_api import Page

from hub.roles_store import operator_named
from quality import decisions_apply
from quality.decisions_bulk import Bulk, Order, open_operation, preview
from quality.decisions_query import Filter
from quality.web.query import OPEN
from tests.decisions.rows import acting
from tests.web.browsing import axe, screen, sign_in
from tests.web.desks import IDENTITY, Desk, decide, row_of, total
from tests.web.planted import plant_case


def test_a_private_value_is_typed_by_those_only_who_may_and_never_in_its_mask(desk: Desk) -> None:
    number = desk.planted["SFZJH"][2]
    own, before = str(row_of(desk, number)["authority_value"]), row_of(desk, number)
    form = {"do": "manual", "reason": "R02", "note": "户口簿", "value": own}
    assert decide(desk, desk.as_("业务员"), number, **form).status_code == 403
    keeper = desk.as_("隐私数据管理员")
    masked = decide(desk, keeper, number, **{**form, "value": f"{own[:3]}***********{own[-4:]}"})
    assert (masked.status_code, "脱敏显示的内容不能作为手工值" in masked.text) == (422, True)
    assert row_of(desk, number) == before
    assert decide(desk, keeper, number, **form).status_code == 303
    assert row_of(desk, number)["chosen_value"] == own


def test_what_a_platform_is_asked_to_correct_is_previewed_masked_and_counts_as_sent_when_it_is_taken(
    page: Page, desk: Desk
) -> None:
    number, clerk = desk.planted["SFZJH"][0], desk.as_("业务员")
    wanted, before = str(row_of(desk, number)["authority_value"]), len(desk.rows("correction"))
    assert decide(desk, clerk, number, do="return").status_code == 303
    form = {"version": str(row_of(desk, number)["version"]), "do": "approve"}
    assert desk.post(desk.as_("数据复核员"), f"/conflicts/{number}/review", form).status_code == 303
    sign_in(page, desk, "业务主管", "/conflicts")
    page.click("a:has-text('更正请求')")
    page.wait_for_selector("h1:has-text('更正请求')")
    assert page.locator("tbody tr").count() == before + 1
    assert f"{wanted[:3]}***********{wanted[-4:]}" in page.content()
    assert not IDENTITY.search(page.content())
    assert axe(page) == []
    screen(page, "corrections")
    assert {r["sent_at"] for r in desk.rows("correction")} == {None}, "looking sends nothing"
    with page.expect_download() as download:
        page.click("button:has-text('下载 xlsx')")
    book = openpyxl.load_workbook(io.BytesIO(download.value.path().read_bytes()))
    rows = list(book["sheet1"].iter_rows(values_only=True))
    assert (len(rows), IDENTITY.search(str(rows))) == (before + 2, None)
    assert None not in {r["sent_at"] for r in desk.rows("correction")}
    assert desk.rows("audit_event", "i")[-1]["object"] == "correction"


def test_an_export_is_looked_at_first_as_the_workbook_it_will_be(desk: Desk) -> None:
    client, audits = desk.as_("业务员"), len(desk.rows("audit_event"))
    shown = client.get("/conflicts/export/sheet?field=SFZJH&state=待处理&size=10")
    listed = client.get("/conflicts?field=SFZJH&state=待处理").text
    assert (shown.status_code, total(shown.text), "采用来源" in shown.text) == (200, total(listed), True)
    assert not IDENTITY.search(shown.text)
    assert len(desk.rows("audit_event")) == audits, "nothing left"


def test_plaintext_leaves_the_console_by_two_persons_only(desk: Desk) -> None:
    keeper, reviewer = desk.as_("隐私数据管理员"), desk.as_("数据复核员")
    asked = desk.post(keeper, "/exports?field=SFZJH", {"purpose": "发学籍平台核对更正"})
    assert asked.status_code == 303
    number = desk.rows("plain_export")[-1]["request_no"]
    assert desk.post(keeper, f"/exports/{number}/decide", {"do": "release"}).status_code == 403
    assert desk.post(keeper, f"/exports/{number}/take").status_code == 422
    assert desk.post(reviewer, f"/exports/{number}/decide", {"do": "release"}).status_code == 303
    assert desk.post(desk.as_("业务员"), f"/exports/{number}/take").status_code == 403
    taken = desk.post(keeper, f"/exports/{number}/take")
    book = openpyxl.load_workbook(io.BytesIO(taken.content))
    assert book.sheetnames == ["sheet1", "填写说明", "导出说明"]
    assert IDENTITY.search(str(list(book["sheet1"].iter_rows(values_only=True))))
    last = desk.rows("audit_event", "i")[-1]
    assert (last["action"], last["actor"], last["purpose"]) == ("明文导出", "keeper", "发学籍平台核对更正")
    assert desk.post(keeper, f"/exports/{number}/take").status_code == 422, "once"


def test_the_ministrys_case_is_answered_in_the_same_queue(page: Page, desk: Desk) -> None:
    number = plant_case(desk.store)
    sign_in(page, desk, "业务员", "/conflicts?origin=case")
    assert total(page.content()) == 1
    assert "江苏省" in page.inner_text("tbody")
    page.wait_for_selector(".facets section")  # htmx has begun
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('部级核查 C00000001')")
    assert axe(page) == []
    screen(page, "case")
    keeper, before = desk.as_("隐私数据管理员"), row_of(desk, number)
    refused = decide(desk, keeper, number, do="manual", reason="R01", note="x", value="130102200701011231")
    assert (refused.status_code, "只能这样答复" in refused.text) == (422, True)
    assert row_of(desk, number) == before
    page.keyboard.press("1")
    page.wait_for_selector(".detail h1:has-text('待复核')")
    assert "本列表已办到最后一条" in page.inner_text(".detail")
    row = row_of(desk, number)
    assert (row["state"], row["kind"], row["reason"]) == ("待复核", "保留本省学籍", "R41")


def test_an_interrupted_bulk_says_so_and_is_taken_up_by_its_person(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 2)
    with desk.store.reading() as reader:
        clerk = acting(operator_named(reader, "clerk"))
        order = Order(Filter(field=("MZM",), state=OPEN), Bulk.BY_RULE, "R03", "说明")
        seen = preview(reader, clerk, order)
    op_no = open_operation(desk.store, clerk, order, seen.token)
    client = desk.as_("业务员")
    assert "该任务已中断" in client.get(f"/jobs/{op_no}").text
    assert desk.post(desk.as_("业务主管"), f"/jobs/{op_no}/stop").status_code == 403, "another's operation"
    assert desk.post(client, f"/jobs/{op_no}/go-on").status_code == 303
    for _ in range(1200):  # a minute is the end of patience, not a measure
        if "hx-get" not in client.get(f"/jobs/{op_no}").text:
            break
        time.sleep(0.05)
    row = next(r for r in desk.rows("bulk_operation") if r["op_no"] == op_no)
    assert (row["state"], row["done"]) == ("已完成", seen.able)
