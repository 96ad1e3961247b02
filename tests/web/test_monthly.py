"""进展月报: prefilled where the hub knows, reported once, printed on one A4 page (console 5; 8, row 25)."""

from __future__ import annotations

import io
import re

import openpyxl
import pytest
from playwright.sync_api import Page

from province_node.monthly_form import checked, form
from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import Console

MONTH = "2026-11"


def states(console: Console) -> list[tuple[str, int, str]]:
    return [(r["month"], r["revision"], r["state"]) for r in console.rows("monthly_report", "month, revision")]


def test_the_form_has_every_box_of_the_official_one_and_each_only_once() -> None:
    made = form()
    assert [p.name for p in made.parts] == ["准备工作", "系统部署", "培训", "账号开设激活", "首轮数据填报"]
    names = [i.id for p in made.parts for g in p.groups for r in g.rows for i in r.items]
    assert len(names) == len(set(names)) == 31
    assert made.due_day == 5
    assert made.items()[made.finished[0]].options[0] == made.finished[1]


def test_what_the_hub_knows_stands_in_the_form_and_what_it_does_not_is_blank(console: Console) -> None:
    page = console.as_("业务主管").get(f"/monthly/{MONTH}").text
    assert "省内地市数：11" in page
    assert "☐已完成　☑未完成" in page  # a school's required form has no record
    assert "☐是　☐否" in page
    assert "尚未保存" in page
    assert "月报不随数据批次传送" in page, "the page says that reporting it here sends nothing"
    answer = console.as_("业务员").get(f"/monthly/{MONTH}/form.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content))["月报"]
    cells = [str(c.value) for row in sheet.iter_rows() for c in row if c.value]
    assert "省（区、市）：河北省" in cells
    assert any("省内地市数：11" in c for c in cells)
    assert sheet.page_setup.fitToHeight == 1


def test_a_report_is_closed_by_reporting_and_corrected_by_a_further_one_only(own_console: Console) -> None:
    console, chief = own_console, own_console.as_("业务主管")
    typed = {"version": "0", "cities": "11", "meeting": "是", "meeting_on": "2026-10-08", "progress": "设备已招标"}
    assert "已逾期" in chief.get("/").text
    assert console.post(chief, f"/monthly/{MONTH}", {**typed, "budget": "很多"}).status_code == 422
    assert states(console) == []
    assert console.post(chief, f"/monthly/{MONTH}", {**typed, "do": "save"}).status_code == 303
    late = console.post(console.as_("业务员"), f"/monthly/{MONTH}", {**typed, "progress": "另一个人写的"})
    assert late.status_code == 409
    assert "另一个人写的" in late.text
    assert console.post(chief, f"/monthly/{MONTH}", {**typed, "version": "1", "do": "submit"}).status_code == 303
    assert states(console) == [(MONTH, 1, "已上报")]
    assert "进展月报 2026-11" not in chief.get("/").text
    assert console.post(chief, f"/monthly/{MONTH}", {**typed, "version": "2", "do": "save"}).status_code == 422
    assert console.post(chief, f"/monthly/{MONTH}/correct").status_code == 303
    assert console.post(chief, f"/monthly/{MONTH}", {**typed, "version": "1", "cities": "12", "do": "submit"})
    assert states(console) == [(MONTH, 1, "已上报"), (MONTH, 2, "已上报")]
    first = chief.get(f"/monthly/{MONTH}?revision=1").text
    assert "省内地市数：11" in first
    events = [r for r in console.rows("audit_event", "i") if r["action"] == "月报上报"]
    assert [r["object"] for r in events] == [f"monthly {MONTH} revision 1", f"monthly {MONTH} revision 2"]
    console.clock.forward(days=12)  # the fifth of December comes
    chief = console.as_("业务主管")
    nxt = chief.get("/monthly/2026-12").text
    assert "☑是" in nxt
    assert "设备已招标" in nxt
    assert "5 日前" in chief.get("/").text


@pytest.mark.parametrize(
    "answer", [{"meeting": "也许"}, {"budget": "-1"}, {"meeting_on": "昨天"}, {"progress": "1" * 121}]
)
def test_an_answer_that_no_box_takes_is_named(answer: dict[str, str]) -> None:
    with pytest.raises(Exception, match=form().items()[next(iter(answer))].text):
        checked(answer)


def test_only_staff_of_the_whole_province_write_the_form(console: Console) -> None:
    for role in ("学校管理者", "审计负责人", "数据复核员"):
        reads = role != "学校管理者"
        shown = console.as_(role).get("/")
        assert ('href="/monthly"' in shown.text) is reads, role
        for path in ("/monthly", f"/monthly/{MONTH}", f"/monthly/{MONTH}/form.xlsx"):
            assert console.as_(role).get(path).status_code == (200 if reads else 403), (role, path)
        assert console.post(console.as_(role), f"/monthly/{MONTH}", {"do": "submit", "cities": "1"}).status_code == 403
    assert states(console) == []
    assert console.as_("业务主管").get("/monthly/2026-13").status_code == 404


def test_the_form_prints_on_one_page_of_a4(page: Page, console: Console) -> None:
    seen = watch(page, console)
    sign_in(page, console, "业务主管", f"/monthly/{MONTH}")
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert re.search(rb"/MediaBox\s*\[\s*0 0 59[45]\.?\d* 84[12]", pdf)
    for path, name in (("", "monthly"), ("/edit", "monthly-edit")):
        page.goto(f"{console.address}/monthly/{MONTH}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert axe(page) == [], (path, scheme)
        screen(page, name)
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)
