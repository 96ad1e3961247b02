"""The answer key: every kind is planted, listed, found in the sources, and its counts add up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import openpyxl
import pytest

from connectors.sample.plan import TINY_ROLES
from hub.catalog import load_catalog
from tests.sample.conftest import Make, Sources

ROW_RULES = """WZ01 WZ02 WZ03 WZ05 WZ06 WZ08 YX01 YX02 YX04 YX05 YX07 YX08 YX12 YX13 YX14 YX18 WY01 WY02 WY03 WY05 WY06
               WY08 WY09 YZ01 YZ02 YZ05 YZ10 GL04 GL06"""
OUTCOMES = {"golden", "quarantine", "held", "conflict", "cancelled", "duplicate", "review", "rejected", "deleted"}


def test_the_same_arguments_give_the_same_rows(first: Sources, make: Make) -> None:
    again = make()
    assert again.answers == first.answers
    for table in load_catalog().source_tables():
        assert again.rows(table.name) == first.rows(table.name)
    sheets = sorted(p.name for p in (first.folder / "templates").iterdir())
    assert sheets == sorted(p.name for p in (again.folder / "templates").iterdir())
    for name in sheets:
        assert _cells(first, name) == _cells(again, name)


def test_another_seed_gives_other_people(first: Sources, make: Make) -> None:
    other = make(seed=2)
    assert {r["GRBSM"] for r in other.rows("S1.XS_JBXX")} != {r["GRBSM"] for r in first.rows("S1.XS_JBXX")}


def _cells(sources: Sources, name: str) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(sources.folder / "templates" / name, read_only=True)
    assert book.sheetnames == ["sheet1"]
    return list(book["sheet1"].iter_rows(values_only=True))


def test_every_rule_that_quarantines_a_row_or_table_is_planted_three_times(first: Sources) -> None:
    quarantined = Counter(c["expected"].get("rule") for c in first.answers["cases"] if c["day"] == 1)
    assert {r: quarantined[r] for r in ROW_RULES.split() if quarantined[r] < 3} == {}
    assert min(first.answers["kinds"].values()) >= 3
    assert all(c["expected"]["outcome"] in OUTCOMES for c in first.answers["cases"])


def test_every_kind_of_day_two_is_planted_three_times(second: Sources) -> None:
    kinds = Counter(c["kind"] for c in second.answers["cases"] if c["day"] == 2)
    wanted = """new_person soft_removed hard_removed approved left_school l_to_g late_commit golden_spoilt
                golden_not_blanked newcomer_clash teacher_updated school_registered released_with_school
                day1_yx02_corrected day1_wz01_corrected day1_label_corrected released_dependent"""
    assert {k: kinds[k] for k in wanted.split() if kinds[k] < 3} == {}


def test_every_case_names_a_row_of_its_source(first: Sources) -> None:
    tables = {t.name: t for t in load_catalog().source_tables()}
    rows = {n: Counter(tuple(str(r[k]) for k in t.key) for r in first.rows(n)) for n, t in tables.items()}
    changed = {"old_school_code", "wide_student_number", "lower_x_student_number", "wide_staff_number"}
    for case in first.answers["cases"]:
        source = case["source"]
        if (
            source not in tables
            or case["kind"] in changed
            or (case["expected"]["outcome"] == "conflict" and "row_key" in case["expected"])
        ):
            continue
        key = tuple(str(case["key"][k]) for k in tables[source].key)
        assert rows[source][key] >= max(1, case["rows"]) or case["kind"].startswith(("wy08", "wy01_zy")), case["id"]


def test_nobody_carries_two_cases(first: Sources) -> None:
    own = [c for c in first.answers["cases"] if "because" not in c and c["entity"].startswith("xs")]
    per_student: dict[str, set[str]] = {}
    for case in own:
        if number := case["key"].get("GRBSM"):
            per_student.setdefault(number, set()).add(case["kind"])
    assert {n: k for n, k in per_student.items() if len(k) > 1} == {}


def test_day_one_rows_are_golden_or_a_case_and_nothing_else(first: Sources) -> None:
    golden, sources = first.answers["totals"]["golden"]["day1"], first.answers["totals"]["sources"]
    for table in load_catalog().source_tables():
        if table.entity is None:
            continue
        cases = [c for c in first.answers["cases"] if c["source"] == table.name and c["entity"] == table.entity]
        lost = sum(
            c["rows"] for c in cases if c["expected"]["outcome"] in ("quarantine", "held", "cancelled", "rejected")
        )
        lost += sum(c["rows"] - c["expected"]["golden_rows"] for c in cases if c["expected"]["outcome"] == "duplicate")
        local = len([c for c in first.cases("l_only_teacher") if c["entity"] == table.entity])
        assert golden[table.entity] == sources[table.name] - lost + local, table.name


def test_day_two_differs_from_day_one_by_its_cases(first: Sources, second: Sources) -> None:
    day1, day2 = (second.answers["totals"]["golden"][d] for d in ("day1", "day2"))
    assert day1 == first.answers["totals"]["golden"]["day1"]
    moves = {"insert": 1, "delete": -1}
    for entity in day1:
        cases = [c for c in second.answers["cases"] if c["day"] == 2 and c["entity"] == entity]
        assert day2[entity] - day1[entity] == sum(moves.get(c["expected"].get("change", ""), 0) for c in cases), entity


def test_day_two_changes_about_one_row_in_a_hundred_and_stamps_what_it_changes(first: Sources, second: Sources) -> None:
    late = {c["key"]["GRBSM"] for c in second.cases("late_commit")}
    rows, later = first.rows("S1.XS_JBXX"), second.rows("S1.XS_JBXX")
    single = {n for n, count in Counter(r["GRBSM"] for r in rows).items() if count == 1}
    before = {r["GRBSM"]: r for r in rows if r["GRBSM"] in single}
    changed = [r for r in later if before.get(r["GRBSM"]) not in (None, r)]
    assert 0.005 * len(before) < len(changed) < 0.03 * len(before)
    for row in changed:
        stamp = str(row["GXSJ"])
        assert stamp.startswith("2026-11-23 05:" if row["GRBSM"] in late else "2026-11-24")
    assert max(str(r["GXSJ"]) for r in first.rows("S1.XS_JBXX")) == "2026-11-23 06:00:00"


def test_planted_cells_are_what_the_answers_say(first: Sources) -> None:
    basics = {str(r["GRBSM"]): r for r in first.rows("S1.XS_JBXX")}
    for case in first.cases("lower_x_id_number"):
        assert str(basics[case["key"]["GRBSM"]]["SFZJH"]).endswith("x")
        assert case["expected"]["golden_value"].endswith("X")
    for case in first.cases("yx01_fifteen_digits"):
        assert len(str(basics[case["key"]["GRBSM"]]["SFZJH"])) == 15
    for case in first.cases("spaced_name"):
        assert basics[case["key"]["GRBSM"]]["XM"] != case["expected"]["golden_value"]
    codes = {r["XXDM"] for r in first.rows("S3.XX_JBXX")}
    old = {r["JXXDM"]: r for r in first.rows("S1.XX_DZ")}
    for case in first.cases("doubted_school_code"):
        used = basics[case["key"]["GRBSM"]]["XXDM"]
        assert used not in codes
        assert old[used]["QRZTM"] == "0"
    for case in first.cases("old_school_code"):
        assert case["expected"]["golden_value"] in codes
    assert {c["key"]["XXDM"] for c in first.cases("gl06_xx")} <= codes
    assert first.cases("held_school_unknown")
    assert not {c["key"].get("XXDM") for c in first.cases("held_school_unknown")} & codes


def test_supplements_are_named_after_their_school_and_found_by_header(first: Sources) -> None:
    catalog = load_catalog()
    headers = {"教职工补录": catalog.templates["teacher_zz"], "学生补录": catalog.templates["student_v2017"]}
    names = sorted(p.stem for p in (first.folder / "templates").iterdir())
    assert {n.split("_")[0] for n in names} == {*headers, "校内机构"}
    for name in names:
        kind, school = name.split("_")
        head, *rows = _cells(first, f"{name}.xlsx")
        assert len(school) == 10
        assert rows
        if kind in headers:
            assert list(head) == [c.header for c in headers[kind].columns]
            required = [i for i, c in enumerate(headers[kind].columns) if c.required == "M"]
            assert all(row[i] for row in rows for i in required)


@pytest.mark.parametrize("province", ["11", "46", "65"])
def test_other_provinces_have_schools_of_their_own_divisions(make: Make, province: str) -> None:
    sources = make(province=province, students=3000)
    current = load_catalog().codes.divisions_current
    rows = {c["key"]["XXDM"] for c in sources.cases("yx06_abolished_division")}
    for row in sources.rows("S3.XX_JBXX"):
        assert str(row["XZQHM"]).startswith(province)
        assert row["XZQHM"] in current or row["XXDM"] in rows
    assert min(sources.answers["kinds"].values()) >= 3


def test_five_thousand_students_come_with_every_kind_of_tiny_school(make: Make) -> None:
    sources = make(students=5000)
    assert sources.answers["totals"]["sources"]["S1.XS_JBXX"] in range(4900, 5100)
    assert {c["kind"] for c in sources.answers["cases"]} >= {f"held_school_{r}" for r in TINY_ROLES}
