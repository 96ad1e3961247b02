"""School supplements: what is read, which rows and which files are refused, and that a hostile file hurts nobody."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from connectors import xlsx
from connectors.xlsx import TemplateRead, read_template
from hub.catalog import Catalog
from hub.errors import InputError
from tests.connectors.conftest import ID_NUMBER

SCHOOL = "3641000192"
TEACHER = ["姓名", "教职工号", "身份证件类型", "身份证件号", "教职工来源", "出生日期", "参加工作年月", "备注"]
DAY = dt.datetime(2008, 9, 1)


def teacher(name: str = "张三", number: object = ID_NUMBER, born: object = "20080901") -> list[object]:
    return [name, "T01", "居民身份证", number, "应届毕业生", born, "202009", None]


def write(path: Path, rows: Sequence[Sequence[object]], *, sheet: str = "sheet1") -> Path:
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    page.title = sheet
    for row in rows:
        page.append(list(row))
    book.save(path)
    return path


def read(tmp_path: Path, catalog: Catalog, rows: Sequence[Sequence[object]]) -> TemplateRead:
    return read_template(write(tmp_path / f"教师_{SCHOOL}.xlsx", rows), catalog)


def refused(path: Path, catalog: Catalog, *, school: str | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_template(path, catalog, school=school)
    error = caught.value
    assert path.name in error.where or "***" in error.where
    assert error.step
    assert ID_NUMBER not in str(error)
    assert "张三" not in str(error)
    return error


def test_columns_are_found_by_header_text_wherever_they_stand(tmp_path: Path, catalog: Catalog) -> None:
    header = [
        " *身份证件 号",
        "教职工来源*",
        "姓　名",
        "教职工号",
        "身份证件类型",
        '是否"双师型"教师',
        "企业工作（实践）时长",
    ]
    got = read(tmp_path, catalog, [header, [ID_NUMBER, "应届毕业生", "张三", "T01", "居民身份证", "是", "半年"]])
    assert (got.template, got.school) == ("teacher_zz", SCHOOL)
    (row,) = got.rows.to_pylist()
    assert (row["jzg.SFZJH"], row["jzg.XM"], row["jzg.GH"], row["_row"]) == (ID_NUMBER, "张三", "T01", 2)
    assert (row["jzg.SFSSXJS"], row["jzg.QYGZSC"], row["jzg.MZM"]) == ("是", "半年", None)
    assert any("民族" in note for note in got.notes)


def test_blank_rows_are_skipped_and_sheet_rows_keep_their_numbers(tmp_path: Path, catalog: Catalog) -> None:
    rows: list[list[object]] = [[], [*TEACHER], [], teacher(), [" ", "　"], teacher("李四"), ["  "], [None], ["　"]]
    got = read(tmp_path, catalog, rows)
    assert got.rows["_row"].to_pylist() == [4, 6]
    assert got.trailing_blank == 3


def test_formulas_dates_numbers_and_serials_become_text(tmp_path: Path, catalog: Catalog) -> None:
    rows: list[list[object]] = [
        [*TEACHER],
        ["=1+1", 7.0, "居民身份证", ID_NUMBER, "应届毕业生", DAY, DAY, None],
        ["李四", 7.5, "居民身份证", "X1", "应届毕业生", 39692, 39692, None],
        ["王五", 12, "居民身份证", "X2", "应届毕业生", 20080901, 200809, None],
    ]
    got = read(tmp_path, catalog, rows)
    first, second, third = got.rows.to_pylist()
    assert (first["jzg.XM"], first["jzg.GH"]) == ("=1+1", "7")
    assert (first["jzg.CSRQ"], first["jzg.CJGZNY"]) == ("20080901", "200809")
    assert (second["jzg.GH"], second["jzg.CSRQ"], second["jzg.CJGZNY"]) == ("7.5", "20080901", "200809")
    assert (third["jzg.GH"], third["jzg.CSRQ"], third["jzg.CJGZNY"]) == ("12", "20080901", "200809")
    assert got.counts == {"formula": 1, "date_cell": 2, "excel_serial": 2, "number": 7}


def test_a_number_that_has_lost_digits_refuses_its_row_and_no_other(tmp_path: Path, catalog: Catalog) -> None:
    rows: list[list[object]] = [
        [*TEACHER],
        teacher(number=int(ID_NUMBER)),
        teacher("李四", "X1"),
        ["王五", 10**16, "护照", "E1", "其他"],
    ]
    got = read(tmp_path, catalog, rows)
    assert got.rows["_row"].to_pylist() == [3]
    assert [(r.row, r.column, r.code) for r in got.rejects] == [(2, "身份证件号", "E2311"), (4, "教职工号", "E2312")]
    assert all(r.reason and ID_NUMBER[:10] not in r.reason for r in got.rejects)


def test_the_layout_that_knows_most_headers_wins(tmp_path: Path, catalog: Catalog) -> None:
    for name, template in catalog.templates.items():
        header = [c.header for c in template.columns]
        path = write(tmp_path / f"{name}_{SCHOOL}.xlsx", [header, ["值"] * len(header)])
        got = read_template(path, catalog)
        assert got.template == name
        assert [n for n in got.rows.column_names if n != "_row"] == [c.target for c in template.columns if c.target]
        assert got.rows.num_rows == 1


def test_unknown_headers_are_noted_and_their_cells_left(tmp_path: Path, catalog: Catalog) -> None:
    got = read(tmp_path, catalog, [[*TEACHER, "家庭宠物"], [*teacher(), "猫"], [*[None] * 8, "狗"]])
    assert any("家庭宠物" in note for note in got.notes)
    assert "猫" not in str(got.rows)
    assert got.rows.num_rows == 1
    assert got.counts["nothing_taken"] == 1


def test_an_unknown_layout_is_refused_with_the_nearest_one_and_what_it_lacks(tmp_path: Path, catalog: Catalog) -> None:
    header = [h for h in TEACHER if h not in ("教职工来源", "姓名")]
    error = refused(write(tmp_path / f"a_{SCHOOL}.xlsx", [header, teacher()]), catalog)
    assert error.code == "E2306"
    assert "教职工基本信息模板" in error.what
    assert "姓名、教职工来源" in error.what
    assert "第 1 行" in error.where


def test_a_sheet_without_a_header_never_shows_its_first_person(tmp_path: Path, catalog: Catalog) -> None:
    error = refused(write(tmp_path / f"a_{SCHOOL}.xlsx", [teacher(), teacher()]), catalog)
    assert error.code == "E2306"
    assert refused(write(tmp_path / f"b_{SCHOOL}.xlsx", [[]]), catalog).code == "E2304"


def test_a_header_twice_that_no_template_has_is_noted_once(tmp_path: Path, catalog: Catalog) -> None:
    got = read(tmp_path, catalog, [[*TEACHER, "家庭宠物", "家庭宠物"], [*teacher(), "猫", "狗"]])
    assert "".join(got.notes).count("家庭宠物") == 1
    assert got.rows.num_rows == 1


def test_a_header_twice_is_refused_with_its_name(tmp_path: Path, catalog: Catalog) -> None:
    error = refused(write(tmp_path / f"a_{SCHOOL}.xlsx", [[*TEACHER, " 姓 名*"], teacher()]), catalog)
    assert error.code == "E2305"
    assert "列" in error.where
    assert "第 1 行" in error.where
    assert "姓名" in error.where.replace(" ", "")


def test_the_first_sheet_must_be_sheet1_and_the_sheets_found_are_named(tmp_path: Path, catalog: Catalog) -> None:
    assert read_template(write(tmp_path / f"a_{SCHOOL}.xlsx", [TEACHER, teacher()], sheet="Sheet1"), catalog)
    path = write(tmp_path / f"b_{SCHOOL}.xlsx", [TEACHER, teacher()], sheet="填写说明")
    book = openpyxl.load_workbook(path)
    book.create_sheet("sheet1").append(TEACHER)
    book.save(path)
    error = refused(path, catalog)
    assert error.code == "E2303"
    assert "填写说明、sheet1" in error.what


def test_the_5001st_row_is_refused_with_its_number_and_5000_are_taken(tmp_path: Path, catalog: Catalog) -> None:
    rows: list[list[object]] = [["姓名", "教职工号", "身份证件类型", "身份证件号", "教职工来源"], []]
    rows += [["张三", "T", "护照", "E1", "其他"] for _ in range(5000)]
    assert read(tmp_path, catalog, rows).rows.num_rows == 5000
    error = refused(write(tmp_path / f"b_{SCHOOL}.xlsx", [*rows, rows[-1]]), catalog)
    assert error.code == "E2307"
    assert "第 5001 条数据在表内第 5003 行" in error.what
    assert "第 5003 行" in error.where


def test_a_file_must_say_which_school_it_belongs_to(tmp_path: Path, catalog: Catalog) -> None:
    good = write(tmp_path / f"教师_{SCHOOL}.xlsx", [TEACHER, teacher()])
    plain = write(tmp_path / "教师.xlsx", [TEACHER, teacher()])
    longer = write(tmp_path / f"1{SCHOOL}.xlsx", [TEACHER, teacher()])
    assert read_template(plain, catalog, school=SCHOOL).school == SCHOOL
    for path, school in ((plain, None), (longer, None), (good, "3641000193"), (plain, "36")):
        assert refused(path, catalog, school=school).code == "E2308"


def test_an_id_number_in_a_file_name_is_not_repeated(tmp_path: Path, catalog: Catalog) -> None:
    error = refused(write(tmp_path / f"{ID_NUMBER}.xlsx", [TEACHER]), catalog)
    assert error.code == "E2308"


def test_a_row_of_another_school_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    header = ["学校标识码", "机构号", "机构名称"]
    got = read(
        tmp_path, catalog, [header, [SCHOOL, "01", "教务处"], ["3641000193", "02", "学生处"], [None, "03", "总务处"]]
    )
    assert got.template == "jg"
    assert got.rows["jg.JGH"].to_pylist() == ["01", "03"]
    assert [(r.row, r.column, r.code) for r in got.rejects] == [(3, "学校标识码", "E2313")]


# --- hostile files: each is refused in seconds, in a process of its own ---------------------------------------------

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def handmade(path: Path, sheet: str, *, before: str = "") -> Path:
    """An xlsx of the smallest form around raw sheet XML."""
    relations = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    target = "worksheets/sheet1.xml"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f"<Relationships {relations}>"
            f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook {MAIN} xmlns:r="{office}"><sheets>'
            '<sheet name="sheet1" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f"<Relationships {relations}>"
            f'<Relationship Id="r1" Type="{office}/worksheet" Target="{target}"/></Relationships>',
        )
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            part.write(f"{before}<worksheet {MAIN}><sheetData>{sheet}</sheetData></worksheet>".encode())
    return path


def cells(row: int, values: Sequence[str]) -> str:
    return f'<row r="{row}">' + "".join(f'<c t="inlineStr"><is><t>{v}</t></is></c>' for v in values) + "</row>"


def test_a_cell_in_the_last_corner_of_the_sheet_survives(tmp_path: Path, catalog: Catalog) -> None:
    corner = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    path = handmade(
        tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + cells(2, ["甲", "T", "护照", "E", "其他"]) + corner
    )
    got = read_template(path, catalog)
    assert got.rows["_row"].to_pylist() == [2]


def test_a_row_beyond_every_sheet_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + cells(2_000_000_000, ["张三"]))
    assert refused(path, catalog).code == "E2301"


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path, catalog: Catalog) -> None:
    path = write(tmp_path / f"a_{SCHOOL}.xlsx", [TEACHER, teacher()])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/x.bin", "w") as part:
        for _ in range(160):
            part.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert refused(path, catalog).code == "E2302"


def test_a_part_that_lies_about_its_size_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + cells(2, ["x" * 1000] * 1000))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (2000).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert refused(path, catalog).code == "E2301"


def test_an_entity_bomb_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, ["&e9;"]), before=bomb)
    assert refused(path, catalog).code == "E2301"


def test_an_enormous_cell_is_refused_with_its_place(tmp_path: Path, catalog: Catalog) -> None:
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + cells(2, ["甲", "x" * 40_000]))
    error = refused(path, catalog)
    assert error.code == "E2309"
    assert "第 2 列" in error.what
    assert "第 2 行" in error.where


def test_a_small_file_that_prints_a_great_deal_is_refused(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(xlsx.LIMITS, "output", 1 << 20)
    body = "".join(cells(r, ["x" * 30_000] * 20) for r in range(2, 8))
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + body)
    assert path.stat().st_size < 1 << 20
    assert refused(path, catalog).code == "E2302"


def test_a_file_that_needs_too_much_memory_or_time_is_given_up(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + cells(2, ["x" * 60_000_000]))
    monkeypatch.setitem(xlsx.LIMITS, "memory", 160 << 20)
    assert refused(path, catalog).code == "E2310"
    monkeypatch.setitem(xlsx.LIMITS, "memory", 1 << 30)
    monkeypatch.setitem(xlsx.LIMITS, "seconds", 1)
    rows = "".join(cells(r, ["x"] * 300) for r in range(2, 4000))
    slow = handmade(tmp_path / f"b_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + rows)
    assert refused(slow, catalog).code == "E2310"


def test_what_is_no_workbook_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    for name, content in (("html", b"<html><table></table></html>"), ("xls", b"\xd0\xcf\x11\xe0"), ("empty", b"")):
        path = tmp_path / f"{name}_{SCHOOL}.xlsx"
        path.write_bytes(content)
        assert refused(path, catalog).code == "E2301"
    assert refused(tmp_path / f"gone_{SCHOOL}.xlsx", catalog).code == "E2301"
