"""A site whose platform calls things otherwise edits the layout alone; what is wrong in it is named by place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from connectors.registry import open_source
from connectors.renamed import RenamedSource
from hub.catalog import SourceTable, load_catalog
from hub.catalog.sources import read_system
from hub.errors import InputError
from schemas import ROOT
from tests.connectors.conftest import sample_rows, write_sqlite
from tests.connectors.test_source_contract import rows_of

Layout = Callable[[str], SourceTable]
CALLED = {"GRBSM": "XJH", "GXSJ": "LAST_CHANGED", "XM": "STUDENT_NAME"}


@pytest.fixture
def renamed(layout: Layout) -> SourceTable:
    table = layout("S1.XS_JBXX")
    columns = tuple(replace(c, site=CALLED.get(c.name)) for c in table.columns)
    return replace(table, site="T_STUDENT", columns=columns)


def test_every_question_is_asked_by_the_sites_names_and_answered_by_ours(
    tmp_path: Path, layout: Layout, renamed: SourceTable
) -> None:
    rows = sample_rows(layout)["XS_JBXX"]
    native = [{CALLED.get(k, k): v for k, v in row.items()} for row in rows]
    write_sqlite(tmp_path / "s1.db", renamed.native, native)
    source = RenamedSource(open_source(f"sqlite:///{tmp_path / 's1.db'}"))
    assert source.probe(renamed).present
    assert not source.probe(renamed).missing_columns
    assert rows_of(source.read(renamed)) == rows_of([pa.RecordBatch.from_pylist(rows)])
    assert len(rows_of(source.read(renamed, since="2026-02-02 10:00:00"))) == 2
    keys = pa.Table.from_batches(list(source.read_keys(renamed)))
    assert keys.column_names == ["GRBSM"]
    assert rows_of(source.read_rows(renamed, keys.slice(0, 1)))[0]["XM"] is not None
    assert source.high_mark(renamed) == "2026-02-02 23:59:59"
    assert source.count(renamed) == 3
    assert source.probe(layout("S1.XS_JBXX")).present is False, "the platform's own name is not there"
    source.close()


def test_a_layout_without_other_names_is_asked_as_it_stands(layout: Layout) -> None:
    table = layout("S1.XS_JBXX")
    assert table.native is table


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t["columns"][0].update(name="XJH"), "没有数据项 XJH；列的实际名称写在 site 中"),
        (lambda t: t["columns"][0].update(form="date"), "form 不能是 date"),
        (lambda t: t["columns"][0].update(lenght="3"), "不认识 lenght"),
        (lambda t: t["columns"][0].update(length="long"), "应为整数"),
        (lambda t: t["columns"][0].pop("cn"), "缺少 cn"),
        (lambda t: t["columns"].append(dict(t["columns"][0])), "列重复：GRBSM"),
        (lambda t: t["columns"][1].update(site="grbsm"), "实际列名重复：grbsm"),
        (lambda t: t.update(updated="CHANGED"), "updated 所指的列 CHANGED 不在 columns 中"),
        (lambda t: t.update(key=["XJH"]), "主键列 XJH 不在 columns 中"),
        (lambda t: t.update(absence="keep"), "absence 只能是 delete"),
        (lambda t: t.update(entity="student"), "没有实体 student"),
        (lambda t: t.update(columns=[]), "不空的列表"),
    ],
)
def test_a_fault_in_a_layout_is_told_with_file_table_and_column(
    spoil: Callable[[dict[str, object]], None], told: str
) -> None:
    path = ROOT / "sources" / "s1.yaml"
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    entities = load_catalog().entities
    assert read_system(document, entities, path) == load_catalog().systems["S1"]
    spoil(document["tables"][0])
    with pytest.raises(InputError) as refused:
        read_system(document, entities, path)
    assert refused.value.code == "E1115"
    assert told in refused.value.what
    assert refused.value.where.startswith("schemas/sources/s1.yaml，表 XS_JBXX")


def test_a_layout_that_is_no_yaml_is_no_error_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.catalog import load

    mine = tmp_path / "schemas"
    shutil.copytree(ROOT, mine)
    (mine / "sources" / "s1.yaml").write_text("tables: [", encoding="utf-8")
    monkeypatch.setattr(load, "ROOT", mine)
    with pytest.raises(InputError, match="不是正确的 YAML 文件"):
        load.load_catalog.__wrapped__()
