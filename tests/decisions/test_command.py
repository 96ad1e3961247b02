"""The commands as operators call them: four-eyes, versions, xlsx out and in, bulk and undo, corrections."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from hub.catalog import load_catalog
from hub.cli import main
from quality.decisions_store import load
from quality.web.dossier import dossier
from tests.decisions.labs import Province
from tests.decisions.rows import decision, table

Call = Callable[..., tuple[int, dict[str, Any]]]
ID_NUMBER = re.compile(r"[1-9]\d{16}[\dXx]")


@pytest.fixture
def call(province: Province, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def run(*args: object, typed: str = "") -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        code = main(["--json", "--node", str(province.node.folder), *(str(a) for a in args)])
        out = capsys.readouterr().out
        assert not ID_NUMBER.search(out), "an identity number on standard output"
        return code, json.loads(out)

    for name, person, role in (
        ("li", "1001", "业务员"), ("li2", "１００１", "数据复核员"), ("sun", "1002", "数据复核员"),
        ("zhao", "1003", "业务主管"),
    ):  # fmt: skip
        assert run("operator", "add", name, "--person", person, "--role", role)[0] == 0
    return run


def test_a_conflict_goes_from_proposal_to_request_by_two_people(province: Province, call: Call, tmp_path: Path) -> None:
    number = int(province.conflicts("xs", "JKZKM")[0]["decision_no"])
    code, told = call("conflict", "show", number, "--operator", "li")
    assert (code, told["conflict"]["状态"], told["conflict"]["版本"]) == (0, "待处理", 1)
    assert all(s["值"].startswith("***") for s in told["sources"]), "a health condition is private"
    assert (
        call("conflict", "propose", number, "--operator", "li", "--version", 1, "--reason", "R01", "--adopt", "S1")[0]
        == 3
    )
    code, done = call(
        "conflict", "propose", number, "--operator", "li", "--version", 1, "--reason", "R01", "--adopt", "L"
    )
    assert (code, done["state"]) == (0, "待复核")
    before = decision(province.store, number)
    code, refused = call("conflict", "approve", number, "--operator", "li2", "--version", done["version"])
    assert (code, refused["error"]["code"]) == (3, "E3329")
    code, refused = call("conflict", "approve", number, "--operator", "sun", "--version", 1)
    assert (code, refused["error"]["code"]) == (3, "E3322")
    assert " li 提交" in refused["error"]["what"], "who changed what and when (console 3)"
    assert decision(province.store, number) == before
    code, done = call("conflict", "approve", number, "--operator", "sun", "--version", done["version"])
    assert (code, done["state"]) == (0, "退回源头平台")
    code, found = call("correction", "ls")
    assert [(c["system"], c["requests"]) for c in found["corrections"]] == [("S1", 1)]
    out = tmp_path / "s1.json"
    assert call("correction", "export", "--operator", "li", "--system", "S1", "--out", out)[0] == 0
    (asked,) = json.loads(out.read_text(encoding="utf-8"))["corrections"]
    assert (asked["字段"], asked["应为"], asked["源表"]) == ("JKZKM", "***", "XS_JBXX")
    assert asked["原因"] == "R01 已与学校核实"
    assert call("correction", "export", "--operator", "li", "--plain", "--purpose", "发源头", "--out", out)[0] == 2
    assert call("correction", "export", "--operator", "li", "--out", tmp_path / "s1.xlsx")[0] == 0


def test_a_value_that_failed_the_check_says_where_it_lies_and_what_stands_beside_it(province: Province) -> None:
    number = int(province.conflicts("xs", "JKZKM")[0]["decision_no"])
    with province.store.reading() as reader:
        row, _ = load(reader, number)
        found = dossier(reader, load_catalog(), province.node, row)
    school, platform = found.said
    assert (school.source, platform.source, found.published) == ("L", "S1", False)
    assert (platform.adoptable, platform.level) == (False, "第 1 权威源（值未通过校验）")
    assert re.fullmatch(r"抽取 \d+（XS_JBXX）第 \d+ 行", platform.place)
    assert "抽取文件摘要 sha256:" in platform.vouched
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d", platform.read_at)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d", school.read_at)
    beside = {n.field: n.value for n in found.neighbours}
    assert beside["XXDM"] == row["school"], "a record that is kept out has neighbours too"
    assert "*" in beside["SFZJH"]
    assert beside["JKZKM"] == "***"


def test_wrong_roles_persons_and_arguments_are_refused(province: Province, call: Call) -> None:
    number = int(province.conflicts("xs", "JKZKM")[0]["decision_no"])
    before = decision(province.store, number)
    for words in (
        ("operator", "add", "x", "--person", "110101199003077758", "--role", "业务员"),
        ("operator", "add", "x", "--person", "1009", "--role", "国王"),
        ("operator", "add", "li", "--person", "1009", "--role", "业务员"),
        ("operator", "add", "li3", "--person", "1001", "--role", "审计负责人"),
        ("conflict", "show", number, "--operator", "nobody"),
        ("conflict", "ls", "--where", "颜色=红"),
    ):
        assert call(*words)[0] == 2, words
    propose = ("conflict", "propose", number, "--version", 1, "--reason", "R01")
    assert call(*propose, "--operator", "sun", "--adopt", "L")[1]["error"]["code"] == "E3321"
    wrong = call(*propose, "--operator", "li", "--manual", "--note", "核实", typed="Q9\n")
    assert wrong[1]["error"]["code"] == "E3334"
    assert "Q9" not in json.dumps(wrong[1], ensure_ascii=False)
    assert decision(province.store, number) == before


def test_a_sheet_goes_out_and_comes_back_with_one_wrong_row(province: Province, call: Call, tmp_path: Path) -> None:
    out = tmp_path / "冲突.xlsx"
    code, done = call("conflict", "export", "--operator", "li", "--out", out, "--where", "字段=JKZKM,ZZMMM")
    assert (code, done["rows"]) == (0, 6)
    book = openpyxl.load_workbook(out)
    sheet = book["sheet1"]
    heads = {cell.value: at for at, cell in enumerate(sheet[1], start=1)}
    assert all(cell.data_type == "s" for row in sheet.iter_rows(min_row=2) for cell in row if cell.value is not None)
    sheet.insert_rows(3)  # a blank row shifts no number
    filled = [r for r in range(2, sheet.max_row + 1) if sheet.cell(r, heads["冲突编号"]).value]
    for at in filled[:3]:
        sheet.cell(at, heads["处理意见"], "采用来源值")
        sheet.cell(at, heads["采用来源"], "L")
        sheet.cell(at, heads["原因代码"], "R01")
    wrong = filled[3]
    sheet.cell(wrong, heads["处理意见"], "手工值")
    sheet.cell(wrong, heads["手工值"], "***")
    sheet.cell(wrong, heads["原因代码"], "R01")
    sheet.cell(wrong, heads["说明"], "按显示填写")
    book.save(out)
    bad = tmp_path / "wrong.xlsx"
    code, done = call("conflict", "import", out, "--operator", "li", "--wrong", bad)
    assert (code, done["proposed"], done["wrong"]) == (3, 3, 1)
    assert sum(d["state"] == "待复核" for d in table(province.store, "decision")) == 3
    assert not [d for d in table(province.store, "decision") if d["effect"] == "1"], "an import took effect by itself"
    rows = list(openpyxl.load_workbook(bad)["sheet1"].iter_rows(values_only=True))
    told = dict(zip(rows[0], rows[1], strict=True))
    assert (told["原行号"], told["错误原因"]) == (str(wrong), "脱敏显示的内容不能作为手工值")
    code, done = call("conflict", "import", out, "--operator", "li", "--wrong", bad)
    assert (done["proposed"], done["wrong"]) == (0, 4), "the same sheet twice: the versions have moved on"


def test_bulk_is_previewed_applied_and_undone_as_one(province: Province, call: Call) -> None:
    code, refused = call("conflict", "bulk", "preview", "--operator", "li", "--where", "实体=学员")
    assert (code, refused["error"]["code"]) == (2, "E1058"), "a word nobody knows is no empty list"
    bulk = ("--operator", "li", "--where", "实体=xs,教职工基本信息", "--reason", "R01", "--note", "统一处理")
    code, seen = call("conflict", "bulk", "preview", *bulk)
    assert code == 0
    assert seen["hits"] == seen["able"] + sum(seen["skipped"].values())
    assert seen["able"] == 6
    code, done = call("conflict", "bulk", "apply", *bulk, "--preview", seen["token"])
    assert (code, done["done"], done["missed"]) == (0, 6, 0)
    code, listed = call("conflict", "ls", "--list", "--where", f"操作号={done['op_no']}")
    assert len(listed["conflicts"]) == 6
    code, back = call("conflict", "undo", done["op_no"], "--operator", "li")
    assert (code, back["done"], back["kept"]) == (0, 6, 0)
    assert not [d for d in table(province.store, "decision") if d["state"] == "待复核"]
