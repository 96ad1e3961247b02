"""隔离数据 and 质量规则: filters and facets agree, masks hold, a rule changes by two persons only (console 2, 3, 5)."""

from __future__ import annotations

import io
import json
import re

import openpyxl
import pytest
import sqlalchemy as sa
from playwright.sync_api import Page

from hub.masking import ID_INSIDE
from hub.roles import Scope
from hub.settings import open_node
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import QUARANTINE
from quality.quarantine_list import Wanted, count, every, of_node, page
from quality.web.rule_words import THRESHOLDS, condition_words
from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import Console, ended


def total(html: str) -> int:
    found = re.search(r"共 <b>([\d,]+)</b> 条", html)
    assert found
    return int(found[1].replace(",", ""))


def test_a_facet_counts_what_its_filter_then_lists_and_pages_hold_every_row_once(console: Console) -> None:
    chief = console.as_("业务主管")
    html = chief.get("/quarantine").text
    with console.store.reading() as reader:
        rows = reader.connection.execute(
            sa.select(QUARANTINE.c.rule, sa.func.count()).where(QUARANTINE.c.closed_run.is_(None)).group_by("rule")
        ).all()
        held = of_node(reader, "13")
        whole = (Scope(),)
        assert total(html) == count(reader, held, whole, Wanted()) == sum(n for _, n in rows)
        keys = [r.key for r in every(reader, held, whole, Wanted(entity=("bj",)))]
        seen: list[str] = []
        while part := page(reader, held, whole, Wanted(entity=("bj",)), size=7, after=seen[-1] if seen else ""):
            seen += [r.key for r in part]
        assert seen == keys
        assert len(set(keys)) == len(keys) > 20
    for rule, n in rows[:3]:
        assert total(chief.get("/quarantine", params={"rule": rule}).text) == n
    empty = chief.get("/quarantine?rule=YX01&entity=bj").text
    assert "没有符合条件的隔离数据" in empty
    assert "清除全部条件" in empty


def test_no_identity_number_stands_in_a_list_a_detail_or_the_error_file(console: Console) -> None:
    clerk = console.as_("业务员")
    listed = clerk.get("/quarantine?entity=xs&size=100").text
    link = re.search(r'class="open" href="(/quarantine/xs/[^"]+)"', listed)
    assert link
    detail = clerk.get(link[1]).text
    assert "来源行的值（已脱敏）" in detail
    assert re.search(r"<th>性别码</th><td>[12] [男女]性", detail), "codes with what they stand for"
    assert "怎样重新检查" in detail
    answer = clerk.get("/quarantine/export.xlsx?entity=xs")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)["sheet1"]
    rows = list(sheet.iter_rows(values_only=True))
    assert len(rows) == total(listed) + 1
    told = [dict(zip(rows[0], r, strict=True)) for r in rows[1:]]
    assert all(t["数据类别"] == "学生基本信息" and t["数据项"] and t["原因"] for t in told), told
    for text in (listed, detail, str(rows)):
        assert re.search(ID_INSIDE, text) is None
    last = console.rows("audit_event", "i")[-1]
    assert (last["action"], last["actor"], last["object"]) == ("脱敏导出", "clerk", "quarantine")


def test_rows_outside_the_scope_are_neither_listed_nor_counted_nor_opened(console: Console) -> None:
    link = re.search(r'class="open" href="(/quarantine/[^"]+)"', console.as_("业务主管").get("/quarantine").text)
    assert link
    school = console.as_("学校管理者")
    assert "没有被隔离的行" in school.get("/quarantine").text
    assert school.get(link[1]).status_code == 404
    with console.store.reading() as reader:
        some = reader.connection.execute(
            sa.select(QUARANTINE.c.school).where(QUARANTINE.c.school.like("36%")).limit(1)
        ).scalar_one()
        one = (Scope(schools=frozenset({some})),)
        held = of_node(reader, "13")
        assert {r.school for r in every(reader, held, one, Wanted())} == {some}


def test_the_ministry_lists_what_it_sent_back_by_province(ministry_console: Console) -> None:
    row = {
        "node": "13", "entity": "xs", "pk": "A" * 20, "row_ver": 2, "rule": "YX04", "field": "SFZJH", "src_rid": "1:2",
        "batch_id": "13-up-main-e1-000001", "file_no": 1, "row_no": 2, "returned_at": "2026-11-23T06:00:00.000Z",
    }  # fmt: skip
    with ministry_console.store.begin() as tx:
        tx.connection.execute(sa.insert(RETURNED_ROW), row)
    try:
        chief = ministry_console.as_("业务主管")
        html = chief.get("/quarantine?source=13").text
        assert "A" * 20 in html
        assert total(html) == 1
        assert "没有符合条件" in chief.get("/quarantine?source=41").text
        assert "部级不保存退回行的值" in chief.get("/quarantine/xs/1:2").text
        with ministry_console.store.reading() as reader:
            held = of_node(reader, "moe")
            assert count(reader, held, (Scope(divisions=frozenset({"130000"})),), Wanted()) == 1
            assert count(reader, held, (Scope(divisions=frozenset({"410000"})),), Wanted()) == 0
    finally:
        with ministry_console.store.begin() as tx:
            tx.connection.execute(sa.delete(RETURNED_ROW).where(RETURNED_ROW.c.pk == "A" * 20))


def test_a_trial_and_a_second_look_run_beside_the_pages_and_write_nothing(console: Console) -> None:
    chief = console.as_("业务主管")
    before = console.rows("audit_event", "i")
    page = ended(chief, console.post(chief, "/rules/YZ12/try", {"t_men": "1", "t_women": "1"}))
    assert "试运行 YZ12" in page.text
    assert "未写入任何数据" in page.text
    assert "命中（您的数据范围内）" in page.text
    assert re.search(r"<td>[一-鿿][^<]*<br><small>[A-Z]+</small></td>", page.text), "fields have names"
    by_city = chief.get(str(page.url).rpartition("?")[0] or str(page.url), params={"by": "city"})
    assert by_city.status_code == 200
    assert console.post(chief, "/rules/YZ12/try", {"t_men": "many"}).status_code == 422
    link = re.search(r'class="open" href="(/quarantine/xs/[^"]+)"', chief.get("/quarantine?rule=YX02").text)
    assert link
    assert "仍命中" in ended(chief, console.post(chief, link[1] + "/recheck")).text
    assert console.rows("audit_event", "i") == before


def test_a_rule_changes_only_when_another_person_confirms_it(own_console: Console) -> None:
    console, folder = own_console, own_console.node.folder
    chief, reviewer = console.as_("业务主管"), console.as_("数据复核员")
    asked = {"t_men": "63", "t_women": "55", "enabled": "on", "reason": "延迟退休政策"}
    assert console.post(chief, "/rules/YZ12/draft", {**asked, "reason": ""}).status_code == 422
    assert console.rows("rule_change") == []
    assert console.post(chief, "/rules/YZ12/draft", asked).status_code == 303
    assert open_node(folder).settings.rules == {}
    assert console.post(chief, "/rules/YZ12/changes/1", {"do": "confirm"}).status_code == 403
    with console.store.begin() as tx:  # the reviewer's account belongs to the chief
        tx.connection.exec_driver_sql("UPDATE operator SET person = 'p03' WHERE name = 'review'")
    own = console.post(reviewer, "/rules/YZ12/changes/1", {"do": "confirm"})
    assert own.status_code == 403
    assert "不能确认本人提出的规则变更" in own.text
    assert open_node(folder).settings.rules == {}
    with console.store.begin() as tx:
        tx.connection.exec_driver_sql("UPDATE operator SET person = 'p04' WHERE name = 'review'")
    assert console.post(reviewer, "/rules/YZ12/changes/1", {"do": "confirm"}).status_code == 303
    assert open_node(folder).settings.rules == {"YZ12": {"men": 63}}
    assert console.post(reviewer, "/rules/YZ12/changes/1", {"do": "refuse", "note": "改变主意"}).status_code == 409
    events = [r for r in console.rows("audit_event", "i") if r["object"].startswith("rule YZ12")]
    assert [(e["action"], e["actor"]) for e in events] == [("规则变更提出", "chief"), ("规则变更确认", "review")]
    assert "63" in chief.get("/rules?text=YZ12").text
    (folder / "rules.json").write_text(json.dumps({"YZ12": {"men": 99}}))
    assert "不一致" in chief.get("/rules/YZ12").text


def test_a_rule_that_blocks_is_switched_off_by_nobody(own_console: Console) -> None:
    answer = own_console.post(
        own_console.as_("业务主管"), "/rules/YX02/draft", {"enabled": "off", "reason": "太严格了"}
    )
    assert answer.status_code == 422
    assert "不能停用" in answer.text
    assert own_console.rows("rule_change") == []


def test_the_pages_of_rules_and_quarantine_bar_nobody(page: Page, console: Console) -> None:
    seen = watch(page, console)
    sign_in(page, console, "业务主管")
    row = re.search(
        r'class="open" href="(/quarantine/xs/[^"]+)"', console.as_("业务员").get("/quarantine?entity=xs").text
    )
    assert row
    for path, name in (
        ("/quarantine", "quarantine"),
        (row[1], "quarantine-row"),
        ("/rules", "rules"),
        ("/rules/YZ12", "rule"),
    ):
        page.goto(console.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert axe(page) == [], (path, scheme)
        screen(page, name)
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)


@pytest.mark.parametrize("path", ["/quarantine/xs/0:0", "/rules/XX99", "/quarantine/nothing/1:1"])
def test_what_is_not_there_answers_404(console: Console, path: str) -> None:
    assert console.as_("业务主管").get(path).status_code == 404


def test_rules_are_told_in_words_with_their_edition(console: Console) -> None:
    client, rules = console.as_("业务主管"), console.site.catalog.rules
    assert {name for rule in rules.values() for name in rule.thresholds} <= set(THRESHOLDS)
    listed = client.get("/rules").text
    assert f"规则集第 {console.site.catalog.rules_version} 版，共 {len(rules)} 条" in listed
    assert console.site.catalog.rules_version > 0
    page = client.get("/rules/YX17").text
    assert "学制取值（年）" in page
    assert "学制∉{1,1.5," in page
    assert condition_words(console.site.catalog, rules["GL03"]) == "所在班号 不在本校 【班级】"


def test_who_only_looks_finds_the_open_work_of_the_own_scope_on_the_workbench(console: Console) -> None:
    """A school's clerk mends at the source: an empty first page would not tell what."""
    for role in ("学校管理者", "审计负责人"):
        page = console.as_(role).get("/").text
        assert "未结冲突" in page
        assert "隔离数据</span>" in page
    with console.store.reading() as reader:
        held = count(reader, of_node(reader, "13"), (Scope(),), Wanted())
    assert f"<span>隔离数据</span><b>{held:,}</b>" in page
