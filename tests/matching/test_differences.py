"""What a school supplied and the authority says otherwise is a list, and the field's history tells who spoke when."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hub.catalog import load_catalog
from hub.cli import main
from pipelines.lab.setup import Lab
from tests.down.rounds import lab_round
from tests.matching.labs import answer, edit, own_sources
from tests.registry.conftest import first_round
from tests.round.labs import copy_lab, rows

__all__ = ["first_round"]

THEIRS = "authority@example.org"


@pytest.fixture(scope="session")
def given_way(first_round: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, dict[str, Any]]:
    """A student whose e-mail address a school had supplied and S1 has delivered since, another one."""
    folder = tmp_path_factory.mktemp("given_way")
    here = own_sources(copy_lab(first_round, folder / "lab"), folder / "sources")
    at = load_catalog().entities["xs"].columns.index("DZXX")
    student = next(dict(r) for r in rows(here.province, "g_xs") if r["prov"][at] == "L")
    edit(
        folder / "sources",
        "UPDATE XS_JBXX SET DZXX = ?, GXSJ = '2026-11-23 02:00:00' WHERE GRBSM = ?",
        THEIRS,
        student["grbsm"],
    )
    lab_round(here)
    return here, student


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_value_that_gave_way_is_listed_masked_with_its_file_and_since_when(
    given_way: tuple[Lab, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, student = given_way
    out = tmp_path / "d.csv"
    told = answer(here, capsys, "records", "differences", "--entity", "xs", "--out", out)
    found = _read(out)
    assert told["total"] == len(found)
    (mine,) = [r for r in found if r["pk"] == student["pk"]]
    assert (mine["field"], mine["authority"], mine["standing"], mine["run_no"]) == ("DZXX", "S1", "已让位", "2")
    run = next(r for r in rows(here.province, "run") if r["run_no"] == 2)
    assert mine["since"] == run["ended"]
    assert f"L{mine['source_file']}:{mine['source_row']}" in student["src_rid"]
    text = out.read_text(encoding="utf-8")
    assert student["grbsm"] not in text
    assert THEIRS not in text
    assert student["dzxx"] not in text
    # Those of the first round are listed too; nothing but schools' values is.
    assert {r["standing"] for r in found} == {"已让位", "未入库"}
    assert answer(here, capsys, "records", "differences", ministry=True)["total"] == 0


def test_a_plain_list_needs_a_purpose_and_is_audited_and_json_says_the_same(
    given_way: tuple[Lab, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, student = given_way
    out = tmp_path / "d.json"
    command = ["--node", str(here.province.folder), "records", "differences", "--out", str(out), "--plain"]
    before = len(rows(here.province, "audit_event"))
    assert main(command) == 2
    assert not out.exists()
    assert len(rows(here.province, "audit_event")) == before
    told = answer(here, capsys, "records", "differences", "--out", out, "--plain", "--purpose", "核对补录")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert told["total"] == len(found)
    (mine,) = [r for r in found if r["pk"] == student["pk"]]
    assert (mine["natural_key"], mine["local_value"], mine["authority_value"]) == (
        student["grbsm"],
        student["dzxx"],
        THEIRS,
    )
    last = rows(here.province, "audit_event", "i")[-1]
    assert (last["action"], last["object"], last["purpose"]) == (
        "明文导出",
        "supplement differences",
        "核对补录",
    )


def test_a_difference_that_ended_is_shown_only_with_the_closed_ones(
    given_way: tuple[Lab, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = given_way[1]
    here = own_sources(copy_lab(given_way[0], tmp_path / "lab"), tmp_path / "sources")
    edit(
        tmp_path / "sources",
        "UPDATE XS_JBXX SET DZXX = ?, GXSJ = '2026-11-23 03:00:00' WHERE GRBSM = ?",
        student["dzxx"],
        student["grbsm"],
    )
    lab_round(here)
    for args, wanted in (((), []), (("--all",), ["3"])):
        out = tmp_path / "d.csv"
        answer(here, capsys, "records", "differences", "--out", out, *args)
        assert [r["closed_run"] for r in _read(out) if r["pk"] == student["pk"]] == wanted


def test_the_history_of_the_field_names_the_school_first_and_the_platform_since(
    given_way: tuple[Lab, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    here, student = given_way
    told = answer(here, capsys, "lineage", "show", "xs", student["pk"], "--field", "DZXX")
    steps = [(s["change_set"], s["letter"], s["source"]) for s in told["timeline"]]
    assert steps == [(1, "L", "学校补录（xlsx 模板）"), (2, "S", "全国中等职业学校学生管理信息系统")]
    assert told["now"]["letter"] == "S"
