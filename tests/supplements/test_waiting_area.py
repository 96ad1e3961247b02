"""A supplement waits until a second person has looked; then it is a contribution like any other (ruling 9)."""

from __future__ import annotations

import random
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa

from connectors.templates import all_templates, write_template
from hub.audit import verify
from hub.catalog import Catalog
from hub.errors import HubError, InputError, UsageError
from hub.store import Store
from hub.store.supplement_tables import SUPPLEMENT_FILE, SUPPLEMENT_ROW
from pipelines.lab.setup import Lab
from province_node.supplement_export import export_wrong
from province_node.supplement_review import draw_sample, review, withdraw
from province_node.supplement_store import State, file_of, files, lines
from tests.round.labs import AT
from tests.settling.handmade import people as p
from tests.settling.handmade.headers import STUDENT
from tests.supplements.conftest import GAP, NEW, NO_CLASS, Sheet
from tests.supplements.rounds import approve, golden, publish, run, student_line, take

NAME = f"学生_{p.A}.xlsx"


def states(store: Store, number: int = 1) -> dict[int, str]:
    with store.reading() as reader:
        return {line.row: str(line.state) for line in lines(reader, number)}


def reasons(store: Store, number: int = 1) -> dict[int, set[str]]:
    with store.reading() as reader:
        return {line.row: {r.code for r in line.reasons} for line in lines(reader, number) if line.reasons}


def test_what_was_imported_takes_effect_only_after_a_second_person_approved_it(
    lab: Lab, store: Store, sheet: Sheet
) -> None:
    done = take(store, sheet(NAME, STUDENT, student_line(GAP), student_line(NO_CLASS)))
    assert (done.waiting, done.wrong) == (2, 0)
    run(lab)
    assert golden(lab.province, "xs", "JKZKM", f"GRBSM = '{GAP.xs['GRBSM']}'") == []
    assert approve(store, 1).rows == 2
    run(lab)
    assert golden(lab.province, "xs", "JKZKM", f"GRBSM = '{GAP.xs['GRBSM']}'") == [("1",)]
    # The class was named by words: the school's own number stands, with the letter of the school.
    assert golden(lab.province, "xs_xj", "BH", f"GRBSM = '{NO_CLASS.xs['GRBSM']}'") == [("2401",)]
    publish(lab)
    with store.reading() as reader:
        (file,) = files(reader)
    assert (file.run, file.states) == (3, {"已通过": 2})
    trace = golden(lab.province, "xs", "src_rid", f"GRBSM = '{GAP.xs['GRBSM']}'")[0][0]
    assert f"L{file.extract}:2" in trace
    before = run(lab)
    assert before.settled.changes.counts.rows == 0


def test_nobody_reviews_what_he_imported_by_call_or_by_sql(store: Store, sheet: Sheet) -> None:
    take(store, sheet(NAME, STUDENT, student_line(GAP)), operator="张 三")
    for name in ("张三", "张　三 ", "张 三"):
        with pytest.raises(UsageError, match="E3715"):
            approve(store, 1, reviewer=name)
        with pytest.raises(UsageError, match="E3715"):
            draw_sample(store, 1, 1, node="41", reviewer=name, at=AT, dice=random.Random(1))
    with pytest.raises(HubError, match="E3108"), store.begin() as tx:
        tx.connection.execute(sa.update(SUPPLEMENT_ROW).values(state=str(State.APPROVED), reviewer="张 三"))
    assert states(store) == {2: "待复核"}
    with store.reading() as reader:
        assert verify(reader.connection) is None


def test_blank_rows_do_not_shift_the_number_of_a_wrong_row(
    store: Store, sheet: Sheet, tmp_path: Path, catalog: Catalog
) -> None:
    path = sheet(
        NAME, STUDENT, student_line(GAP), [], [None] * 5, student_line(NO_CLASS, XBM="外星人"), [],
        student_line(NEW, SFZJH="411002200809010013", CSRQ="20080901"),
    )  # fmt: skip
    done = take(store, path)
    assert (done.waiting, done.wrong) == (1, 2)
    assert states(store) == {2: "待复核", 5: "错误行", 7: "错误行"}
    assert reasons(store)[5] == {"YX05"}
    assert {"YX02"} <= reasons(store)[7]
    out = tmp_path / "wrong.xlsx"
    assert export_wrong(store, catalog, 1, out, plain=False) == 2
    found = list(openpyxl.load_workbook(out)["sheet1"].values)
    assert found[0][: len(STUDENT)] == tuple(STUDENT)
    assert found[0][-2:] == ("原行号", "错误原因")
    assert [row[-2] for row in found[1:]] == ["5", "7"]
    assert "性别" in str(found[1][-1])
    assert NO_CLASS.xs["SFZJH"] not in str(found)
    red = [c.font.color.rgb for c in openpyxl.load_workbook(out)["sheet1"][1] if c.value == "姓名"]
    assert red == ["FFFF0000"]


def test_two_rows_of_one_person_that_differ_are_both_wrong_and_identical_copies_are_not(
    store: Store, sheet: Sheet
) -> None:
    twins = (student_line(GAP), student_line(GAP, SSPCS="另一派出所"))
    done = take(store, sheet(NAME, STUDENT, *twins, student_line(NO_CLASS), student_line(NO_CLASS)))
    assert (done.waiting, done.wrong) == (2, 2)
    assert reasons(store) == {2: {"WY01"}, 3: {"WY01"}}
    assert states(store)[4] == states(store)[5] == "待复核"
    assert any("第 2、3 行" in said for said in done.reasons)
    assert GAP.xs["SFZJH"] not in str(done.reasons)


def test_a_masked_cell_is_never_read_as_a_value(store: Store, sheet: Sheet) -> None:
    masked = student_line(GAP, SFZJH="411***********0013")
    done = take(store, sheet(NAME, STUDENT, masked))
    assert (done.waiting, done.wrong) == (0, 1)
    assert reasons(store) == {2: {"E2314"}}


def test_a_corrected_file_keeps_what_lies_under_untouched_masks(
    lab: Lab, store: Store, sheet: Sheet, tmp_path: Path, catalog: Catalog
) -> None:
    take(store, sheet(NAME, STUDENT, student_line(GAP, XBM="外星人")))
    out = tmp_path / f"改正_{p.A}.xlsx"
    export_wrong(store, catalog, 1, out, plain=False)
    book = openpyxl.load_workbook(out)
    page = book["sheet1"]
    page.cell(2, STUDENT.index("性别") + 1, "男")
    book.save(out)
    done = take(store, out, corrects=1)
    assert (done.waiting, done.wrong) == (1, 0)
    approve(store, 2)
    run(lab)
    assert golden(lab.province, "xs", "JKZKM, SFZJH", f"GRBSM = '{GAP.xs['GRBSM']}'") == [("1", GAP.xs["SFZJH"])]
    page.cell(2, STUDENT.index("身份证件号") + 1, "999***********0000")
    book.save(out)
    assert take(store, out, corrects=1).wrong == 1


def test_a_refusal_needs_a_reason_and_comes_back_to_the_school(
    lab: Lab, store: Store, sheet: Sheet, tmp_path: Path, catalog: Catalog
) -> None:
    take(store, sheet(NAME, STUDENT, student_line(GAP), student_line(NO_CLASS)))
    with pytest.raises(UsageError, match="E3716"):
        review(store, catalog, 1, approve=False, node="41", reviewer="李四", at=AT)
    assert (
        review(store, catalog, 1, approve=False, node="41", reviewer="李四", at=AT, rows=[3], reason="材料不全").left
        == 1
    )
    assert approve(store, 1).rows == 1
    assert states(store) == {2: "已通过", 3: "已驳回"}
    with pytest.raises(UsageError, match="E3717"):
        approve(store, 1, rows=[3])
    out = tmp_path / "back.xlsx"
    assert export_wrong(store, catalog, 1, out, plain=True) == 1
    assert "材料不全" in str(list(openpyxl.load_workbook(out)["sheet1"].values)[1][-1])
    run(lab)
    assert golden(lab.province, "xs_xj", "BH", f"GRBSM = '{NO_CLASS.xs['GRBSM']}'") == []


def test_a_sample_is_drawn_noted_and_named_as_the_basis(store: Store, sheet: Sheet) -> None:
    people = [p.student(n, p.A) for n in range(905, 935)]
    assert take(store, sheet(NAME, STUDENT, *(student_line(s) for s in people))).waiting == 30
    drawn = draw_sample(store, 1, 5, node="41", reviewer="李四", at=AT, dice=random.Random(7))
    assert len({line.row for line in drawn}) == 5
    assert approve(store, 1).basis == "抽查"
    with store.reading() as reader:
        assert file_of(reader, 1).sampled == (("李四", tuple(line.row for line in drawn)),)


def test_the_same_file_is_not_taken_twice_unless_it_was_withdrawn(store: Store, sheet: Sheet) -> None:
    path = sheet(NAME, STUDENT, student_line(GAP))
    take(store, path)
    with pytest.raises(InputError, match="E3711"):
        take(store, path)
    with pytest.raises(UsageError, match="E3724"):
        withdraw(store, 1, node="41", operator="李四", at=AT)
    assert withdraw(store, 1, node="41", operator="张三", at=AT) == 1
    assert take(store, path).file == 2
    with store.reading() as reader:
        assert reader.connection.execute(sa.select(sa.func.count()).select_from(SUPPLEMENT_FILE)).scalar_one() == 2


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_newest_word_of_a_school_stands_in_whatever_order_it_was_reviewed(
    lab: Lab, store: Store, sheet: Sheet, order: tuple[int, int]
) -> None:
    take(store, sheet(f"旧_{p.A}.xlsx", STUDENT, student_line(GAP, JKZKM="有慢性病")))
    take(store, sheet(f"新_{p.A}.xlsx", STUDENT, student_line(GAP, JKZKM="健康或良好")))
    for number in order:
        approve(store, number)
        run(lab)
    assert golden(lab.province, "xs", "JKZKM", f"GRBSM = '{GAP.xs['GRBSM']}'") == [("1",)]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"BH": "24级没有这个班"}, "E3701"),
        ({"ZYDM": "没有这个专业"}, "E3701"),
        ({"BH": "24级计算机1班", "ZYDM": "会计"}, None),
        ({"BH": "2402"}, None),
        ({"XM": None}, "E3703"),
        ({"SFZJH": None}, "E3703"),
        ({"MZM": "-"}, "E3703"),
        ({"RXNY": "2024年9月"}, "YX14"),
    ],
)
def test_a_word_that_names_nothing_or_an_empty_red_cell_makes_a_wrong_row(
    store: Store, sheet: Sheet, cells: dict[str, str | None], code: str | None
) -> None:
    done = take(store, sheet(NAME, STUDENT, student_line(GAP, **cells), student_line(NO_CLASS)))
    assert done.wrong == (1 if code else 0)
    assert reasons(store).get(2, set()) >= ({code} if code else set())
    assert code or not reasons(store)


def test_a_major_two_of_which_bear_the_name_is_chosen_by_the_class_or_asked_for(store: Store, sheet: Sheet) -> None:
    done = take(store, sheet(NAME, STUDENT, student_line(GAP, BH=None), student_line(NO_CLASS)))
    assert done.wrong == 1
    assert reasons(store) == {2: {"E3702"}}


def blank(tmp_path: Path, catalog: Catalog, name: str, file: str) -> tuple[Path, list[str]]:
    path = tmp_path / file
    write_template(all_templates(catalog)[name], path, catalog=catalog)
    return path, [c.header for c in all_templates(catalog)[name].columns]


def filled(path: Path, headers: list[str], row: dict[str, str]) -> Path:
    book = openpyxl.load_workbook(path)
    assert set(row) <= set(headers)
    for header, value in row.items():
        book["sheet1"].cell(2, headers.index(header) + 1, value)
    book.save(path)
    return path


IDENTITY = {"身份证件类型码": "居民身份证", "身份证件号": NEW.xs["SFZJH"]}
PART = {
    "xs": {n: v for n, v in NEW.xs.items() if n not in ("GRBSM", "XXDM") and v},
    "xs_sx": {n: v for n, v in (NEW.sx or {}).items() if n != "GRBSM" and v},
    "xs_xj": {n: v for n, v in (NEW.xj or {}).items() if v},
}


def part_of(tmp_path: Path, catalog: Catalog, name: str) -> Path:
    """The new student's sheet of one entity, out of its derived template."""
    path, headers = blank(tmp_path, catalog, name, f"{name}_{p.A}.xlsx")
    fields = catalog.entities[name].by_name
    row = {fields[n].cn: v for n, v in PART[name].items() if n in fields and fields[n].cn in headers}
    return filled(path, headers, row | IDENTITY)


def test_basic_data_then_attributes_then_enrolment_and_the_sentence_says_what_is_missing(
    lab: Lab, store: Store, tmp_path: Path, catalog: Catalog
) -> None:
    basic, more, enrolled = (part_of(tmp_path, catalog, n) for n in ("xs", "xs_sx", "xs_xj"))
    for path, said in ((more, "【学生基本信息】"), (enrolled, "【学生基本信息】、【学生基本属性】")):
        with pytest.raises(InputError, match=said) as refused:
            take(store, path)
        assert refused.value.code == "E3712"
    with store.reading() as reader:
        assert files(reader) == []
    assert take(store, basic).wrong == 0
    with pytest.raises(InputError, match="【学生基本属性】尚未导入"):
        take(store, enrolled)
    assert take(store, more).wrong == 0
    assert take(store, enrolled).wrong == 0
    with pytest.raises(InputError, match="【学生基本信息】尚未复核通过"):
        approve(store, 2)
    assert states(store, 2) == {2: "待复核"}
    for number in (1, 2, 3):
        assert approve(store, number).rows == 1
    run(lab)
    # No 学籍号 yet: it waits for the platform, and is never golden before (ruling 9).
    assert golden(lab.province, "xs", "XM", f"SFZJH = '{NEW.xs['SFZJH']}'") == []


def test_a_sheet_of_attributes_alone_fills_a_student_the_platform_knows(
    lab: Lab, store: Store, tmp_path: Path, catalog: Catalog
) -> None:
    known = p.student(5, p.A)
    path, headers = blank(tmp_path, catalog, "xs_sx", f"属性_{p.A}.xlsx")
    take(
        store,
        filled(
            path,
            headers,
            {"身份证件类型码": "居民身份证", "身份证件号": known.xs["SFZJH"], "毕业学校（初中）": "许昌市第九中学"},
        ),
    )
    approve(store, 1)
    before = golden(lab.province, "xs_sx", "BYXX", f"GRBSM = '{known.xs['GRBSM']}'")
    run(lab)
    assert before == golden(lab.province, "xs_sx", "BYXX", f"GRBSM = '{known.xs['GRBSM']}'") == [("许昌市第一中学",)]


def test_a_file_without_a_row_and_one_of_another_school_are_refused(store: Store, sheet: Sheet) -> None:
    with pytest.raises(InputError, match="E3713"):
        take(store, sheet(NAME, STUDENT))
    with pytest.raises(InputError, match="E2308"):
        take(store, sheet("没有学校.xlsx", STUDENT, student_line(GAP)))
    assert take(store, sheet("没有学校.xlsx", STUDENT, student_line(GAP)), school=p.A).waiting == 1
