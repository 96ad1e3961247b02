"""The queue in a browser and by forged requests: rows of the acceptance table of console 8, named by number."""

from __future__ import annotations

import io
import re
from pathlib import Path
from zipfile import ZipFile

import openpyxl
from playwright.sync_api import Browser, Page

from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import DATA_PASSWORD
from tests.web.desks import IDENTITY, Desk, decide, entered, row_of, total


def test_row_4_a_filter_is_in_the_address_survives_a_reload_and_its_facet_counts_the_rows(
    page: Page, desk: Desk
) -> None:
    seen = watch(page, desk)
    sign_in(page, desk, "业务主管", "/conflicts")
    page.wait_for_selector(".facets section")
    assert axe(page) == []
    page.click(".facets a:has-text('民族码')")
    page.wait_for_url("**/conflicts?field=MZM*")
    page.wait_for_selector(".facets section")
    page.reload()
    page.wait_for_selector(".facets section")
    facet = page.inner_text(".facets a[aria-current]:has-text('民族码') b")
    assert int(facet) == total(page.content()) == len(desk.planted["MZM"])
    assert page.locator(".chips a:has-text('民族码')").count() == 1
    acts = page.locator("tbody td.acts").first.bounding_box()
    assert acts is not None
    assert acts["x"] + acts["width"] <= WIDTH, "row 24: 操作 is in sight"
    screen(page, "conflicts", full=False)
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)


def test_row_5_a_detail_address_alone_is_a_full_page_whose_actions_work(page: Page, desk: Desk) -> None:
    seen, number = watch(page, desk), desk.planted["MZM"][0]
    sign_in(page, desk, "业务主管", f"/conflicts/{number}")
    assert axe(page) == []
    screen(page, "conflict")
    page.fill("form[action$='/comment'] textarea", "已电话联系学校")
    page.click("button:has-text('添加备注')")
    page.wait_for_selector("td:has-text('已电话联系学校')")
    page.fill("input[name=due]", "2026-12-31")
    page.click("button:has-text('设定')")
    page.wait_for_selector("text=2026-12-31")
    page.select_option("select[name=assignee]", "clerk")
    page.click("button:has-text('分派')")
    page.wait_for_selector("button:has-text('转办')")
    row = row_of(desk, number)
    assert (row["assignee"], row["due"], row["version"]) == ("clerk", "2026-12-31", 1)
    assert (seen.foreign(), seen.violations(), seen.errors) == ([], [], [])


def test_row_6_keys_alone_bring_a_conflict_under_review_and_open_the_next(page: Page, desk: Desk) -> None:
    seen = watch(page, desk)
    second, third = desk.planted["MZM"][1:3]
    sign_in(page, desk, "业务员", "/conflicts?field=MZM&state=待处理&size=50")
    page.wait_for_selector(".facets section")  # brought by htmx: it has begun, so that Enter opens below the list
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(f".detail h1:has-text('冲突 {second}')")
    assert axe(page) == []
    screen(page, "conflict-in-list", full=False)
    before, address = total(page.content()), page.url
    page.keyboard.press("1")
    page.wait_for_selector(f".detail h1:has-text('冲突 {third}')")
    assert (page.url, total(page.content())) == (address, before - 1), "the list stays, its counts follow"
    assert "待复核" in page.inner_text(f"#s{second}")
    assert page.locator("tr.at").get_attribute("id") == f"c{third}"
    assert page.locator(".facets section").count() > 0
    row = row_of(desk, second)
    assert (row["state"], row["chosen_source"], row["reason"], row["proposer"]) == ("待复核", "S1", "R03", "p02")
    page.keyboard.press("k")
    page.wait_for_selector(f".detail h1:has-text('冲突 {second}')")
    page.keyboard.press("Escape")
    assert page.locator(".detail").inner_text() == ""
    assert page.evaluate("document.activeElement.closest('tr').id") == f"c{second}", "focus is back where it was"
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)


def test_without_scripts_a_decision_is_a_form_and_the_next_conflict_a_page(browser: Browser, desk: Desk) -> None:
    number, after = desk.planted["MZM"][6:8]
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, desk, "业务员", "/conflicts?field=MZM&state=待处理&size=50")
    page.click(f"#c{number} a.open")
    page.click("button[data-key='1']")
    page.wait_for_url(f"**/conflicts/{after}?**done={number}")
    assert row_of(desk, number)["state"] == "待复核"
    page.click("a[data-key=Escape]")
    page.wait_for_url("**/conflicts?field=MZM**")
    context.close()


def test_row_7_a_clerk_sees_private_values_masked_on_pages_and_in_sheets(page: Page, desk: Desk) -> None:
    number = desk.planted["SFZJH"][0]
    sign_in(page, desk, "业务员", f"/conflicts/{number}")
    assert page.locator("td:has-text('***********')").count() > 0
    assert "两值不同（脱敏后相同）" in page.content()
    assert page.locator("a:has-text('查看明文')").count() == 0
    client = desk.as_("业务员")
    bodies = [page.content()]
    for path in (f"/conflicts/{number}", *(f"/{p}?field=SFZJH" for p in ("conflicts", "conflicts/facets", "bulk"))):
        answer = client.get(path)
        assert answer.status_code == 200, path
        bodies.append(answer.text)
    clash = next(r["decision_no"] for r in desk.rows("decision") if r["rule"] == "WY03")
    bodies.append(client.get(f"/conflicts/{clash}").text)
    assert "互相排斥" in bodies[-1]
    assert "<th>学号（校内）</th>" in bodies[-1], "what differs between the rows"
    twice = next(r["decision_no"] for r in desk.rows("decision") if (r["rule"], r["entity"]) == ("WY01", "xs"))
    bodies.append(client.get(f"/conflicts/{twice}").text)
    assert bodies[-1].count("<th>学籍系统</th>") == 2, "rows of one key stand side by side"
    sheet = desk.post(client, "/conflicts/export?field=SFZJH&field=MZM")
    assert sheet.headers["content-type"].startswith("application/vnd.openxml")
    archive = ZipFile(io.BytesIO(sheet.content))
    bodies += [archive.read(name).decode() for name in archive.namelist()]
    assert [found for body in bodies if (found := IDENTITY.search(body))] == []
    assert desk.rows("audit_event", "i")[-1]["action"] == "脱敏导出"
    sent = desk.post(client, "/conflicts/find", {"typed": row_of(desk, number)["natural_key"]})
    address = sent.headers["location"]
    assert IDENTITY.search(address) is None, "what was typed stands in no address"
    assert f"/conflicts/{number}?" in client.get(address).text
    assert desk.as_("业务主管").get(address).status_code == 404, "another's query number"


def test_row_8_plaintext_needs_the_second_password_is_audited_by_view_and_covers_itself(page: Page, desk: Desk) -> None:
    number = desk.planted["SFZJH"][1]
    plain = row_of(desk, number)["authority_value"]
    sign_in(page, desk, "隐私数据查看员", f"/conflicts/{number}")
    for password, status in (("wrong-password", 403), (DATA_PASSWORD, 200)):
        page.goto(f"{desk.address}/conflicts/{number}")
        assert plain not in page.content()
        page.click("a:has-text('查看明文')")
        page.fill("input[name=purpose]", "核对学校来函")
        page.fill("input[name=password]", password)
        with page.expect_response("**/plain") as answer:
            page.click("button:has-text('查看明文')")
        assert (answer.value.status == 403) == (status == 403)
    page.wait_for_url(f"**/conflicts/{number}")
    assert plain in page.content()
    views = [a for a in desk.rows("audit_event", "i") if a["action"] == "明文查看"]
    assert [(a["actor"], a["purpose"], a["object"]) for a in views] == [
        ("private", "核对学校来函", f"xs {row_of(desk, number)['pk']}")
    ]
    assert plain not in page.request.get(f"{desk.address}/conflicts?field=SFZJH").text(), "lists stay masked"
    desk.clock.forward(minutes=5, seconds=1)
    page.reload()
    assert plain not in page.content()
    assert len([a for a in desk.rows("audit_event", "i") if a["action"] == "明文查看"]) == 1


def test_rows_9_and_10_a_bulk_is_previewed_without_writing_submitted_and_undone_as_one(page: Page, desk: Desk) -> None:
    sign_in(page, desk, "业务主管", "/conflicts?field=MZM&state=待处理&state=待复核")
    before = {name: desk.rows(name) for name in ("decision", "decision_event", "bulk_operation", "audit_event")}
    page.click("button:has-text('全部')")
    page.wait_for_selector("text=命中")
    assert axe(page) == []
    screen(page, "bulk-preview")
    hits, able, skipped = (int(n) for n in page.locator(".cards b").all_inner_texts()[:3])
    assert hits == able + skipped
    assert skipped == sum(r["state"] == "待复核" and r["field"] == "MZM" for r in before["decision"])
    assert {name: desk.rows(name) for name in before} == before
    page.select_option("select[name=reason]", "R03")
    page.fill("textarea[name=note]", "按权威源统一处理")
    page.click("button:has-text('提交')")
    page.wait_for_selector("button:has-text('撤销本次批量处理')")
    assert axe(page) == []
    screen(page, "job")
    (operation,) = desk.rows("bulk_operation")
    mine = {r["decision_no"] for r in desk.rows("decision") if r["op_no"] == operation["op_no"]}
    assert (operation["done"], len(mine)) == (able, able)
    assert {r["state"] for r in desk.rows("decision") if r["decision_no"] in mine} == {"待复核"}
    detail = page.request.get(f"{desk.address}/jobs/{operation['op_no']}/rows")
    listed = list(openpyxl.load_workbook(io.BytesIO(detail.body()))["sheet1"].iter_rows(min_row=2, values_only=True))
    assert {int(str(r[0])) for r in listed} == mine
    assert {r[1:4] for r in listed} == {("学生基本信息", "MZM", "民族码")}
    assert all(re.fullmatch(r"2026-11-\d\d \d\d:\d\d", str(r[9])) for r in listed), "Beijing time"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('撤销本次批量处理')")
    page.wait_for_selector("text=已撤销：恢复")
    assert {r["state"] for r in desk.rows("decision") if r["decision_no"] in mine} == {"待处理"}
    assert desk.rows("bulk_operation")[0]["undone"] == able


def test_row_11_nobody_approves_his_own_proposal_whatever_the_account(page: Page, desk: Desk) -> None:
    number = desk.planted["MZM"][4]
    assert decide(desk, entered(desk, "both"), number, do="adopt:1").status_code == 303
    row = row_of(desk, number)
    assert (row["state"], row["proposer"]) == ("待复核", "p21")
    other = entered(desk, "both-review")
    form = {"version": str(row["version"]), "do": "approve"}
    refused = desk.post(other, f"/conflicts/{number}/review", form)
    assert refused.status_code == 403
    assert "不能复核本人提交的处理意见" in refused.text
    assert row_of(desk, number) == row
    assert desk.rows("audit_event", "i")[-1]["result"] == "拒绝"
    sign_in(page, desk, "数据复核员", "/review")
    assert axe(page) == []
    screen(page, "review")
    page.goto(f"{desk.address}/conflicts/{number}")
    page.keyboard.press("1")
    page.wait_for_url("**done=*")
    done = row_of(desk, number)
    assert (done["state"], done["reviewer"]) == ("退回源头平台" if row["chosen_source"] == "L" else "已生效", "p04")


def test_row_13_the_second_of_two_browsers_is_told_who_was_faster_and_keeps_his_words(page: Page, desk: Desk) -> None:
    number = desk.planted["MZM"][5]
    sign_in(page, desk, "业务员", f"/conflicts/{number}")
    assert decide(desk, desk.as_("业务主管"), number, do="return", reason="R05").status_code == 303
    before = row_of(desk, number)
    page.fill("textarea[form=decide]", "户口簿为据，详见来函")
    with page.expect_response("**/decide*") as answer:
        page.click("button[data-key='1']")
    assert answer.value.status == 409
    text = page.inner_text("[role=alert]")
    assert "已被他人更新" in text
    assert "chief 于 2026-11-23" in text
    assert "退回源头平台" in text
    assert row_of(desk, number) == before
    assert "户口簿为据，详见来函" in page.content()


def test_row_14_a_sheet_of_5000_rows_comes_back_with_its_wrong_ones(page: Page, desk: Desk, tmp_path: Path) -> None:
    sign_in(page, desk, "业务员", "/conflicts?field=MZM&state=待处理")
    with page.expect_download() as download:
        page.click("button:has-text('导出 xlsx')")
    sheet_file = tmp_path / "filled.xlsx"
    download.value.save_as(sheet_file)
    book = openpyxl.load_workbook(sheet_file)
    sheet = book["sheet1"]
    heads = {cell.value: at for at, cell in enumerate(sheet[1], start=1)}
    numbers = [int(str(sheet.cell(at, 1).value)) for at in range(2, 6)]
    for at in range(2, 6):
        sheet.cell(at, heads["处理意见"], "采用来源值")
        sheet.cell(at, heads["采用来源"], {3: "学籍系统", 4: "S9", 5: "S1 学籍系统"}.get(at, "S1"))
        sheet.cell(at, heads["原因代码"], "R03" if at != 3 else "R03 权威源数据正确")
    named = {head: str(sheet.cell(2, at).value) for head, at in heads.items()}
    assert (named["数据项代码"], named["数据项"], named["数据类别"]) == ("MZM", "民族码", "学生基本信息")
    assert re.search(r"S1 学籍系统：\d\d \w+族", named["各来源的值"]), named
    assert ("原因代码", "R03", "权威源数据正确（采用来源值）") in list(book["填写说明"].values)
    blank = [sheet.cell(6, at).value for at in range(1, 4)]  # nothing is filled in on these
    for _ in range(sheet.max_row, 5_000):
        sheet.append(blank)
    far = {"冲突编号": "x", "版本": "1", "处理意见": "采用来源值", "采用来源": "S1", "原因代码": "R03"}
    sheet.append([far.get(str(head)) for head in heads])
    book.save(sheet_file)
    page.click("a:has-text('导入')")
    assert axe(page) == []
    page.set_input_files("input[name=file]", sheet_file)
    page.click("button:has-text('上传并导入')")
    page.wait_for_selector("a:has-text('下载错误行')", timeout=60_000)
    done = page.url
    with page.expect_download() as wrong:
        page.click("a:has-text('下载错误行')")
    wrong.value.save_as(tmp_path / "wrong.xlsx")
    rows = list(openpyxl.load_workbook(tmp_path / "wrong.xlsx")["sheet1"].iter_rows(values_only=True))
    told = dict(zip(rows[0], rows[1], strict=True))
    assert (len(rows), told["原行号"], told["冲突编号"]) == (3, "4", str(numbers[2]))
    assert "没有这个采用来源" in str(told["错误原因"])
    last = dict(zip(rows[0], rows[2], strict=True))
    assert (last["原行号"], last["冲突编号"]) == ("5001", "x"), "the last of 5,000 rows"
    sheet.append(blank)
    book.save(sheet_file)
    page.goto(f"{desk.address}/conflicts/import")
    page.set_input_files("input[name=file]", sheet_file)
    page.click("button:has-text('上传并导入')")
    page.wait_for_selector("[role=alert]:has-text('5000')", timeout=60_000)
    page.goto(f"{done}/wrong/sheet")
    page.wait_for_selector("td:has-text('没有这个采用来源')")
    assert axe(page) == []
    assert page.locator("tbody tr").count() == 2
    states = [row_of(desk, n)["state"] for n in numbers]
    assert states == ["待复核", "待复核", "待处理", "待复核"]
    refused = desk.post(desk.as_("业务主管"), "/conflicts/import", files={"file": ("a.csv", b"1")})
    assert refused.status_code == 422
    assert "只能上传xlsx文件，且最多5000行" in refused.text


def test_row_16_another_citys_conflict_is_not_there(desk: Desk) -> None:
    divisions = {r["decision_no"]: r["division"] for r in desk.rows("decision")}
    number = next(n for n in desk.planted["MZM"] if not divisions[n].startswith("1306"))
    client, before = entered(desk, "baoding"), row_of(desk, number)
    assert client.get(f"/conflicts/{number}").status_code == 404
    for path, form in (
        ("decide", {"do": "adopt:1"}), ("review", {"do": "approve"}), ("assign", {"assignee": "clerk"}),
        ("due", {"due": "2026-12-31"}), ("comment", {"note": "x"}), ("reopen", {"reason": "R31"}),
    ):  # fmt: skip
        answer = desk.post(client, f"/conflicts/{number}/{path}", {"version": "1", **form})
        assert answer.status_code == 404, path
    listed = client.get("/bulk", params={"do": "tick:按规则处理", "tick": [number]})
    assert "没有可处理的冲突" in listed.text
    assert row_of(desk, number) == before


def test_row_18_an_empty_list_says_why_and_how_to_go_on(page: Page, desk: Desk) -> None:
    sign_in(page, desk, "业务员", "/conflicts?field=MZM&school=3113000000")
    assert page.inner_text(".empty").startswith("没有符合条件的冲突。")
    page.click(".empty a:has-text('清除全部条件')")
    page.wait_for_url("**/conflicts")
    assert total(page.content()) > 0


def test_row_26_a_conflict_resolved_reopened_and_resolved_is_counted_once(desk: Desk) -> None:
    number = desk.planted["MZM"][-1]
    chief, reviewer = desk.as_("业务主管"), desk.as_("数据复核员")
    everything = "&".join(f"state={s}" for s in ("待处理", "已提议", "待复核", "已生效", "退回源头平台", "暂缓"))
    before = total(chief.get(f"/conflicts?{everything}").text)
    for again in (False, True):
        if again:
            waiting = chief.get(f"/conflicts/{number}").text
            assert "待源头确认" in waiting
            assert "已等待 0 天" in waiting
            form = {"version": str(row_of(desk, number)["version"]), "reason": "R31", "note": "重新核实"}
            assert desk.post(chief, f"/conflicts/{number}/reopen", form).status_code == 303
        assert decide(desk, chief, number, do="adopt:2" if again else "adopt:1").status_code == 303
        form = {"version": str(row_of(desk, number)["version"]), "do": "approve"}
        assert desk.post(reviewer, f"/conflicts/{number}/review", form).status_code == 303
    row = row_of(desk, number)
    assert (row["state"], row["round_no"]) == ("已生效", 2)
    assert total(chief.get(f"/conflicts?{everything}").text) == before
    page = chief.get(f"/conflicts/{number}").text
    assert page.count('<td class="nowrap">通过</td>') == 2, "the history of both rounds"
