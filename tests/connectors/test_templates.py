"""Templates are derived from the catalogue and come back as what they were written as."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from connectors.templates import (
    PEOPLE_ENTITIES,
    SCHOOL_ENTITIES,
    derived_templates,
    header_key,
    recognise,
    write_template,
)
from connectors.xlsx import read_template
from hub.catalog import Catalog, Template


def all_templates(catalog: Catalog) -> list[Template]:
    return [*catalog.templates.values(), *derived_templates(catalog)]


def test_every_template_is_recognised_as_itself(catalog: Catalog) -> None:
    templates = all_templates(catalog)
    for template in templates:
        assert recognise("f.xlsx", 1, [c.header for c in template.columns], templates) is template


def test_no_template_has_two_headers_that_read_the_same(catalog: Catalog) -> None:
    for template in all_templates(catalog):
        keys = [header_key(c.header) for c in template.columns]
        assert len(set(keys)) == len(keys), template.name
        targets = [c.target for c in template.columns if c.target]
        assert len(set(targets)) == len(targets), template.name


def test_what_schools_supply_has_chinese_field_names_and_nothing_computed(catalog: Catalog) -> None:
    derived = {t.name: t for t in derived_templates(catalog)}
    assert tuple(derived) == (*SCHOOL_ENTITIES, *PEOPLE_ENTITIES)
    assert derived["jg"].match == ("机构号", "机构名称")
    assert [c.header for c in derived["jg"].columns] == [f.cn for f in catalog.entities["jg"].fields]
    assert "专业大类代码" not in {c.header for c in derived["zy"].columns}
    for template in derived.values():
        assert len(template.match) >= 2
        assert set(template.match) <= {c.header for c in template.columns}
        assert not {"学校标识码", "学校（机构）标识码"} & set(template.match)
        for column in template.columns:
            if column.parts is not None:
                assert column.parts[2] in catalog.entities[column.parts[0]].by_name
                assert column.parts[0] == template.name or column.parts[3] == "identity"


def test_a_written_template_is_empty_red_where_required_text_everywhere_and_reads_back(
    tmp_path: Path, catalog: Catalog
) -> None:
    for template in all_templates(catalog):
        path = tmp_path / f"{template.name}_3641000192.xlsx"
        write_template(template, path, catalog=catalog)
        got = read_template(path, catalog)
        assert (got.template, got.rows.num_rows, got.notes, got.rejects) == (template.name, 0, (), ())
        book = openpyxl.load_workbook(path)
        assert book.sheetnames[:2] == ["sheet1", "填写说明"]
        assert book.sheetnames[2:] in ([], ["代码表"])
        sheet = book["sheet1"]
        for cell, column in zip(sheet[1], template.columns, strict=True):
            assert cell.value == column.header
            assert (cell.font.color.rgb == "FFFF0000") == (column.required == "M")
            assert sheet.column_dimensions[cell.column_letter].number_format == "@"
        assert book["填写说明"].max_row == len(template.columns) + 1


def test_the_notes_sheet_says_what_a_column_takes(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "jg.xlsx"
    write_template(catalog.entities["jg"], path, catalog=catalog)
    rows = {r[0]: r for r in openpyxl.load_workbook(path)["填写说明"].iter_rows(values_only=True)}
    assert rows["机构号"][1:3] == ("必填", "文本，不超过 6 字")
    assert "是" in str(rows["是否实体"][3])
    assert rows["建立年月"][2] == "yyyyMM"


@pytest.mark.parametrize("typed", ["姓名", " 姓 名 ", "*姓名", "姓名*", "姓　名", "姓\n名"])
def test_blanks_and_stars_in_a_header_do_not_matter(typed: str) -> None:
    assert header_key(typed) == "姓名"
