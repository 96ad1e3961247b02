"""Sheets as streams, plaintext by two persons, samples by chance."""

from __future__ import annotations

import io
import json
import random
import zipfile
from dataclasses import replace
from datetime import timedelta

import openpyxl
import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import HubError, InputError, UsageError
from hub.store import Store
from hub.workbook import Sheet, stream_book, stream_books
from quality import decisions_sheet
from quality.decisions_query import Filter
from quality.decisions_sample import draw
from quality.decisions_sheet import HEADERS, begin_export, books, import_lines, refuse_name
from quality.decisions_store import DecisionRefusedError
from quality.plain_exports import ask, decide_request, take
from tests.decisions.people import AUDITOR, CLERK, CLERK_AS_REVIEWER, OTHER_CLERK, REVIEWER, SUPERVISOR, someone
from tests.decisions.rows import OWN, acting, decision, planted, proposed, table
from tests.store.oracle import skip_on_stand_in

HOLDER = someone("li", "p1", "业务员", "隐私数据查看员")
KEY = "G130102200701011231"


def test_every_cell_is_text_and_nothing_in_it_runs_or_spoils_the_file() -> None:
    rows = [("=1+1", "0012", None), ("<&>\x00", " 两 端 ", "\ud800")]
    stream = stream_book([Sheet("sheet1", ("甲", "乙", "丙"), rows, {"乙"}), Sheet("说明", ("a",), [])], author="li")
    book = openpyxl.load_workbook(io.BytesIO(b"".join(stream)))
    sheet = book["sheet1"]
    assert [[c.value for c in row] for row in sheet.iter_rows(min_row=2)] == [
        ["=1+1", "0012", None],
        ["<&>\ufffd", " 两 端 ", "\ufffd"],
    ]
    assert {c.data_type for row in sheet.iter_rows() for c in row if c.value} <= {"s", "inlineStr"}
    assert sheet["B1"].font.color.rgb == "FFC00000"
    assert (book.sheetnames, book.properties.creator) == (["sheet1", "说明"], "li")
    long = b"".join(stream_book([Sheet("sheet1", ("甲",), [("同样的文字",)] * 2000)]))
    assert len(long) < 40_000, "not compressed"
    wide = stream_book([Sheet("sheet1", [str(n) for n in range(60)], [[str(n) for n in range(60)]])])
    assert openpyxl.load_workbook(io.BytesIO(b"".join(wide)))["sheet1"]["BH2"].value == "59"


def test_a_long_export_is_several_workbooks_in_one_stream(
    store: Store, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions_sheet, "MAX_ROWS", 4)
    for number in range(1, 11):
        planted(store, number, natural_key=KEY)
    assert begin_export(store, acting(CLERK), Filter()) == 10
    assert table(store, "audit_event", "i")[-1]["action"] == "脱敏导出", "audited before the first row"
    zipped = stream_books(lambda at: f"冲突_{at}.xlsx", books(store, catalog, acting(CLERK), Filter()))
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped)))
    assert archive.namelist() == ["冲突_1.xlsx", "冲突_2.xlsx", "冲突_3.xlsx"]
    numbers: list[str] = []
    for name in archive.namelist():
        rows = list(openpyxl.load_workbook(io.BytesIO(archive.read(name)))["sheet1"].iter_rows(values_only=True))
        assert rows[0] == HEADERS
        numbers += [str(r[0]) for r in rows[1:]]
        assert KEY not in str(rows)
    assert numbers == [str(n) for n in range(1, 11)]
    with pytest.raises(DecisionRefusedError, match="不能导出"):
        begin_export(store, acting(AUDITOR), Filter())


def test_plaintext_leaves_by_two_persons_once_and_says_by_whom(store: Store, catalog: Catalog) -> None:
    planted(store, 1, natural_key=KEY)
    who = acting(HOLDER)
    with pytest.raises(DecisionRefusedError, match="隐私角色"):
        ask(store, acting(CLERK), Filter(), "发给源头平台核对")
    with pytest.raises(UsageError, match="E1059"):
        ask(store, who, Filter(), "查")
    number = ask(store, who, Filter(), "发给源头平台核对")
    assert ask(store, who, Filter(), "发给源头平台核对") == number, "a form sent twice"
    for by, why in ((CLERK_AS_REVIEWER, "本人"), (HOLDER, "本人"), (OTHER_CLERK, "不能批准")):
        with pytest.raises(DecisionRefusedError, match=why):
            decide_request(store, acting(by), number, release=True)
        assert table(store, "audit_event", "i")[-1]["result"] == "拒绝"
    with pytest.raises(UsageError, match="待批准"):
        take(store, who, number)
    decide_request(store, acting(REVIEWER), number, release=True)
    with pytest.raises(DecisionRefusedError, match="只有申请人"):
        take(store, acting(someone("w", "p9", "业务主管", "隐私数据查看员")), number)
    with pytest.raises(UsageError, match="超过 24 小时"):
        take(store, replace(who, at=who.at + timedelta(hours=25)), number)
    chosen, mark = take(store, who, number)
    last = table(store, "audit_event", "i")[-1]
    assert (last["action"], last["purpose"], last["actor"]) == ("明文导出", "发给源头平台核对", "li")
    (book,) = (b"".join(b) for b in books(store, catalog, who, chosen, mark=mark))
    read = openpyxl.load_workbook(io.BytesIO(book))
    assert KEY in str(list(read["sheet1"].iter_rows(values_only=True)))
    assert {"li", "sun", "发给源头平台核对"} <= {row[1] for row in read["导出说明"].iter_rows(values_only=True)}
    with pytest.raises(UsageError, match="已导出"):
        take(store, who, number)


@pytest.mark.parametrize("releaser", ["NULL", "'p1'"])
def test_the_database_itself_refuses_a_release_by_the_one_who_asked(store: Store, releaser: str) -> None:
    number = ask(store, acting(HOLDER), Filter(), "发给源头平台核对")
    with pytest.raises(HubError, match="E3108"), store.begin() as tx:
        tx.connection.execute(sa.text(f"UPDATE plain_export SET state = '已批准', decided_by = {releaser}"))
    assert table(store, "plain_export")[0]["state"] == "待批准"
    assert number == 1


def test_a_sample_holds_other_peoples_proposals_and_is_audited(store: Store) -> None:
    for number in range(1, 31):
        planted(store, number)
    for number in range(1, 21):
        proposed(store, number, OWN, CLERK)
    proposed(store, 30, OWN, someone("x", "p4", "业务员"))
    first = draw(store, acting(REVIEWER), Filter(), 5, random.Random(1))
    assert len(set(first)) == 5
    assert set(first) <= set(range(1, 21))
    told = json.loads(table(store, "audit_event", "i")[-1]["detail"])
    assert told == {"numbers": ",".join(map(str, first)), "rows": 5}
    assert draw(store, acting(REVIEWER), Filter(), 5, random.Random(2)) != first
    assert draw(store, acting(REVIEWER), Filter(), 100, random.Random(1)) == tuple(range(1, 21))
    with pytest.raises(DecisionRefusedError, match="不能抽查"):
        draw(store, acting(SUPERVISOR), Filter(), 5, random.Random(1))


def test_an_import_that_is_not_ours_proposes_nothing(store: Store, catalog: Catalog) -> None:
    skip_on_stand_in(store, "commits at a savepoint")
    planted(store, 1)
    header = [(at, "s", name) for at, name in enumerate(HEADERS, start=1)]
    with pytest.raises(InputError, match="只能上传xlsx文件，且最多5000行"):
        refuse_name("冲突.csv")
    with pytest.raises(InputError, match="表头缺少列：版本"):
        import_lines(store, catalog, acting(CLERK), [header[0], *header[2:]], [], name="a.xlsx")
    with pytest.raises(DecisionRefusedError, match="不能导入"):
        import_lines(store, catalog, acting(REVIEWER), header, [], name="a.xlsx")
    with pytest.raises(InputError, match="超过 5000 行"):
        import_lines(store, catalog, acting(CLERK), header, [(n, []) for n in range(2, 5003)], name="a.xlsx")
    filled = {"冲突编号": "1", "版本": "7", "处理意见": "退回源头平台", "原因代码": "R05"}
    wrong = [(HEADERS.index(name) + 1, "s", text) for name, text in filled.items()]
    done = import_lines(store, catalog, acting(CLERK), header, [(2, []), (9, wrong)], name="a.xlsx")
    assert (done.proposed, len(done.wrong)) == (0, 1)
    assert done.wrong[0][-2] == "9"
    assert "已被他人更新" in done.wrong[0][-1]
    assert (decision(store, 1)["state"], decision(store, 1)["version"]) == ("待处理", 1)
