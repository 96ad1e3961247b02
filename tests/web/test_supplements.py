"""补录与初始化 as people use it: import by one person, review by another, wrong rows back, gaps listed (console 3)."""

from __future__ import annotations

import io
from dataclasses import dataclass

import openpyxl
import pytest
from playwright.sync_api import Page

from hub.settings import open_node
from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import AT, Console
from tests.web.supplement_files import a_school, campuses, upload

PAGES = ("/supplements", "/supplements/1", "/supplements/new", "/supplements/missing", "/supplements/completeness")


@dataclass
class Imported:
    console: Console
    school: str

    def states(self, number: int = 1) -> list[str]:
        return [r["state"] for r in self.console.rows("supplement_row") if r["file_no"] == number]


@pytest.fixture
def imported(own_console: Console) -> Imported:
    """A province where a clerk imported three campuses, one of them wrong."""
    school, clerk = a_school(own_console), own_console.as_("业务员")
    content = campuses(clerk, ["91", "92", "93"], wrong=["93"])
    page = upload(own_console, clerk, f"校区_{school}.xlsx", content)
    assert page.status_code == 200
    assert "补录第 1 号" in page.text
    return Imported(own_console, school)


def test_what_a_clerk_imports_waits_for_a_second_person_and_the_wrong_row_comes_back_with_its_reason(
    imported: Imported,
) -> None:
    console = imported.console
    assert imported.states() == ["待复核", "待复核", "错误行"]
    answer = console.as_("业务员").get("/supplements/1/wrong.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content))["sheet1"]
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0][-2:] == ("原行号", "错误原因")
    assert (len(rows), rows[1][-2]) == (2, "4")
    assert "校区名称" in str(rows[1][-1])
    exported = [r for r in console.rows("audit_event", "i") if r["action"] == "脱敏导出"]
    assert [(r["actor"], r["object"]) for r in exported] == [("clerk", "supplement 1")]
    done = console.post(console.as_("数据复核员"), "/supplements/1/review", {"decision": "approve", "which": "all"})
    assert done.status_code == 303
    assert imported.states() == ["已通过", "已通过", "错误行"]


def test_a_stored_workbook_is_looked_at_without_a_download(imported: Imported, page: Page) -> None:
    console = imported.console
    sign_in(page, console, "审计负责人", "/supplements/1")
    page.click("a:has-text('在线预览文件')")
    assert page.locator("tbody tr").count() == 3
    assert axe(page) == []
    page.click("a:has-text('错误行文件')")
    page.wait_for_selector("td:has-text('必填项为空')")
    assert page.locator("a:has-text('下载 xlsx')").count() == 0, "an auditor looks and takes nothing along"
    assert page.locator("tbody tr").count() == 1
    screen(page, "supplement-sheet")
    assert console.as_("业务员").get("/supplements/1/sheet?sheet=1").text.count("/supplements/1/wrong.xlsx") == 1
    assert console.as_("学校管理者").get("/supplements/1/sheet").status_code == 404


def test_the_importer_cannot_review_his_own_file_under_any_role(imported: Imported) -> None:
    console = imported.console
    with console.store.begin() as tx:  # the clerk's person is given the chief's account
        tx.connection.exec_driver_sql("UPDATE operator SET person = 'p02' WHERE name = 'chief'")
    answer = console.post(console.as_("业务主管"), "/supplements/1/review", {"decision": "approve", "which": "all"})
    assert answer.status_code == 403
    assert "不能复核本人导入的补录" in answer.text
    assert imported.states() == ["待复核", "待复核", "错误行"]


def test_an_approved_row_is_taken_back_by_its_importer_with_a_reason_and_by_nobody_else(
    imported: Imported, page: Page
) -> None:
    console, clerk = imported.console, imported.console.as_("业务员")
    console.post(console.as_("数据复核员"), "/supplements/1/review", {"decision": "approve", "which": "all"})
    form = {"approved": "1", "which": "rows", "row": "3", "reason": "学校来电，校区已撤销"}
    assert console.post(console.as_("业务主管"), "/supplements/1/withdraw", form).status_code == 403
    refused = console.post(clerk, "/supplements/1/withdraw", {**form, "reason": ""})
    assert (refused.status_code, "撤回已通过的行须写明原因" in refused.text) == (422, True)
    assert console.post(clerk, "/supplements/1/withdraw", {**form, "row": ""}).status_code == 422
    assert imported.states() == ["已通过", "已通过", "错误行"]
    sign_in(page, console, "业务员", "/supplements/1")
    page.on("dialog", lambda dialog: dialog.accept())
    page.check("input[name=row][value='3']")
    page.check("input[name=which][value=rows]")
    page.fill("input[name=reason]", form["reason"])
    screen(page, "supplement-withdraw")
    page.click("button[value='1'][name=approved]")
    page.wait_for_selector("text=撤回完成：1 行")
    assert imported.states() == ["已通过", "已撤回", "错误行"]
    last = console.rows("audit_event", "i")[-1]
    assert (last["action"], last["actor"], last["purpose"]) == ("补录撤回", "p02", form["reason"])


def test_a_refusal_needs_a_reason_and_concerns_only_the_rows_ticked(imported: Imported) -> None:
    console, reviewer = imported.console, imported.console.as_("数据复核员")
    form = {"decision": "reject", "which": "rows", "row": "2"}
    assert console.post(reviewer, "/supplements/1/review", form).status_code == 422
    assert imported.states() == ["待复核", "待复核", "错误行"]
    assert console.post(reviewer, "/supplements/1/review", {**form, "reason": "与公章不符"}).status_code == 303
    assert imported.states() == ["已驳回", "待复核", "错误行"]
    sampled = console.post(reviewer, "/supplements/1/sample", {"size": "5"})
    assert "抽查的 1 行" in sampled.text


def test_a_school_outside_the_scope_takes_no_file_and_shows_none(imported: Imported) -> None:
    console, school = imported.console, imported.console.as_("学校管理者")
    assert school.get("/supplements/1").status_code == 404
    assert school.get(f"/supplements/missing/{imported.school}").status_code == 404
    assert "共 <b>0</b> 条" in school.get("/supplements").text or "还没有导入过" in school.get("/supplements").text
    assert console.post(school, "/supplements/1/withdraw").status_code == 403
    assert len(imported.states()) == 3


def test_a_file_with_private_fields_is_for_the_keeper_of_private_data(own_console: Console) -> None:
    school, clerk = a_school(own_console), own_console.as_("业务员")
    template = clerk.get("/supplements/templates/jzg.xlsx").content
    book = openpyxl.load_workbook(io.BytesIO(template))
    book["sheet1"].append(["9001"] * book["sheet1"].max_column)
    out = io.BytesIO()
    book.save(out)
    page = upload(own_console, clerk, f"教职工_{school}.xlsx", out.getvalue())
    assert "隐私数据管理员" in page.text
    assert own_console.rows("supplement_file") == []
    page = upload(own_console, own_console.as_("隐私数据管理员"), f"教职工_{school}.xlsx", out.getvalue())
    assert "补录第 1 号" in page.text


def test_what_is_no_workbook_of_ours_is_refused_in_words_and_nothing_is_kept(own_console: Console) -> None:
    clerk = own_console.as_("业务员")
    assert "只能上传xlsx文件，且最多5000行" in upload(own_console, clerk, "名单.xls", b"x").text
    page = upload(own_console, clerk, "名单.xlsx", b"not a zip", school="1313000001")
    assert "xlsx" in page.text
    assert "notice bad" in page.text
    assert own_console.rows("supplement_file") == []
    assert list((own_console.node.work / "uploads").iterdir()) == []
    assert open_node(own_console.node.folder).party == "13"


def test_work_of_another_account_is_not_there(own_console: Console) -> None:
    clerk = own_console.as_("业务员")
    school = a_school(own_console)
    answer = own_console.post(
        clerk, "/supplements/import", files={"file": (f"校区_{school}.xlsx", campuses(clerk, ["94"]))}
    )
    path = answer.headers["location"]
    assert own_console.as_("业务主管").get(path).status_code == 404


def test_who_brought_a_file_is_named_by_the_account_and_found_by_it(imported: Imported) -> None:
    chief = imported.console.as_("业务主管")
    for path in ("/supplements", "/supplements/1", "/supplements?operator=clerk", "/supplements?operator=p02"):
        text = chief.get(path).text.partition("<main")[2]
        assert ("clerk" in text, "<td>p02" in text, "：p02 " in text) == (True, False, False), path
    assert "<tr data-row" in chief.get("/supplements?operator=clerk").text
    assert "<tr data-row" not in chief.get("/supplements?operator=chief").text


def test_a_browser_that_watches_an_import_is_led_to_its_file(imported: Imported) -> None:
    clerk, watching = imported.console.as_("业务员"), {"HX-Request": "true"}
    tokens = [r["token"] for r in imported.console.rows("web_work") if r["href"]]
    assert tokens
    for token in tokens:
        answer = clerk.get(f"/work/{token}", headers=watching)
        assert answer.status_code == 200
        assert "导入完成" in clerk.get(answer.headers["HX-Redirect"]).text


def test_gaps_and_completeness_are_counted_per_school_and_open_as_lists(console: Console) -> None:
    chief = console.as_("业务主管")
    page = chief.get("/supplements/missing")
    assert "待补录" in page.text
    assert "合计" in page.text
    for row in page.text.split("<tr data-row>")[1:]:
        assert 'class="open" href="/' in row, "also what lies at a school that is not stored leads on"
    school = a_school(console)
    listed = chief.get(f"/supplements/missing/{school}")
    assert listed.status_code == 200
    assert "缺少的数据项" in listed.text or "未发现问题" in listed.text
    complete = chief.get(f"/supplements/completeness?school={school}").text
    assert school in complete
    assert "必填项完整率" in complete
    assert chief.get("/supplements/completeness?school=nobody").text.count("没有符合条件的学校") == 1
    assert AT


def test_the_supplement_pages_bar_nobody_and_fit_the_screen_by_day_and_by_night(page: Page, imported: Imported) -> None:
    seen = watch(page, imported.console)
    sign_in(page, imported.console, "数据复核员")
    for path in PAGES:
        answer = page.goto(imported.console.address + path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert axe(page) == [], (path, scheme)
        page.emulate_media(color_scheme="light")
        screen(page, path.strip("/").replace("/", "-"))
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)
    page.goto(imported.console.address + "/supplements/1")
    page.keyboard.press("1")
    page.wait_for_url("**/supplements/1?done=**")
    assert imported.states() == ["已通过", "已通过", "错误行"]
