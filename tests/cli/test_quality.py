"""`hub quality` and `hub findings`: trying a rule, rates, pages and the list of every hit of a laboratory round."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TODAY, Lab
from tests.cli.test_commands import call, exported

Capsys = pytest.CaptureFixture[str]


def sql(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "hub.db") as con:
        return con.execute(query).fetchall()


def document(capsys: Capsys, *args: object) -> tuple[int, dict[str, Any]]:
    code, out, _ = call(capsys, "--json", *args)
    return code, json.loads(out) if out else {}


def digest(folder: Path) -> dict[str, str]:
    """Every file a command could have written, but the log of who looked."""
    files = [folder / "work" / "settling.duckdb", *sorted((folder / "changes").rglob("*")), folder / "hub.toml"]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def test_trying_a_rule_counts_its_hits_by_school_and_writes_nothing(lab: Lab, capsys: Capsys) -> None:
    before = digest(lab.province)
    code, found = document(capsys, "--node", lab.province, "quality", "try", "YX19", "--today", TODAY)
    assert code == 0
    assert found["hits"] == sum(g["hits"] for g in found["groups"]) > 0
    assert found["hits"] == sql(lab.province, "SELECT count(*) FROM finding WHERE rule = 'YX19'")[0][0]
    stored = {r[0] for r in sql(lab.province, "SELECT pk FROM finding WHERE rule = 'YX19'")}
    assert {r for g in found["groups"] for r in g["records"]} <= stored
    assert digest(lab.province) == before


def test_a_rule_is_tried_with_other_thresholds_than_the_node_has(lab: Lab, capsys: Capsys) -> None:
    args = ("--node", lab.province, "quality", "try", "YZ12", "--today", TODAY, "--by", "province")
    assert document(capsys, *args)[1]["hits"] == 0
    _, found = document(capsys, *args, "--set", "men=40", "--set", "women=40")
    assert found["thresholds"] == {"men": 40, "women": 40}
    assert found["hits"] > 0
    assert {g["place"] for g in found["groups"]} <= {"130000", "-"}


@pytest.mark.parametrize(
    ("rule", "basis"), [("YX02", "sources"), ("YX05", "sources"), ("WZ08", "gate"), ("JS06", "run")]
)
def test_a_blocking_rule_is_tried_over_source_rows_or_told_by_the_gate(
    lab: Lab, capsys: Capsys, rule: str, basis: str
) -> None:
    before = digest(lab.province)
    code, found = document(capsys, "--node", lab.province, "quality", "try", rule, "--today", TODAY)
    assert (code, found["basis"]) == (0, basis)
    assert (found["hits"] > 0) == (rule != "JS06")
    assert digest(lab.province) == before


def test_a_rule_of_rounds_is_tried_over_what_the_node_remembers(lab: Lab, capsys: Capsys) -> None:
    def asked(rule: str, *given: str) -> tuple[int, int]:
        _, found = document(capsys, "--node", lab.province, "quality", "try", rule, *given)
        return found["asked"], found["hits"]

    assert asked("JS01", "--today", TODAY) == (3, 0)
    assert asked("JS01", "--today", "2099-01-01") == (3, 3)
    assert asked("JS04") == (0, 0), "every batch has its verdict"
    assert asked("JS06", "--set", "least=0", "--set", "share=0", "--set", "busy_share=0")[0] == 1
    assert asked("JS05")[0] > 0


def test_a_rule_over_several_rows_is_tried_with_other_thresholds_by_settling_a_copy(lab: Lab, capsys: Capsys) -> None:
    before, args = digest(lab.province), ("--node", lab.province, "quality", "try", "YZ05", "--today", TODAY)
    _, as_it_is = document(capsys, *args)
    _, found = document(capsys, *args, "--set", "youngest=17")
    assert found["basis"] == "gate"
    assert found["hits"] > as_it_is["hits"] > 0
    assert digest(lab.province) == before


def test_a_rule_or_threshold_there_is_none_of_is_refused(lab: Lab, capsys: Capsys) -> None:
    assert document(capsys, "--node", lab.province, "quality", "try", "YZ99")[0] == 2
    assert document(capsys, "--node", lab.province, "quality", "try", "YZ12", "--set", "people=3")[0] == 2


def test_rates_of_schools_add_up_to_those_of_the_province(lab: Lab, capsys: Capsys) -> None:
    rows = {}
    for by in ("school", "county", "city", "province"):
        _, found = document(capsys, "--node", lab.province, "quality", "rates", "--by", by)
        rows[by] = found["rows"]
        for row in found["rows"]:
            assert all(0 <= r["rate"] <= 1 and r["good"] <= r["total"] for r in row["rates"].values())
    sums = [
        {d: sum(r["rates"][d]["total"] for r in some if d in r["rates"]) for d in ("完整性", "有效性", "及时性")}
        for some in rows.values()
    ]
    assert sums[0] == sums[1] == sums[2] == sums[3]
    assert {"130000"} == {r["place"] for r in rows["province"]} - {"-"}
    wrong = next(r for r in rows["province"] if r["place"] == "130000")["rates"]
    assert all(wrong[d]["rate"] < 1 for d in ("完整性", "有效性", "唯一性", "一致性", "关联性"))
    assert document(capsys, "--node", lab.province, "quality", "rates", "--run", "99")[0] == 2


def test_every_hit_is_exported_masked_and_plain_only_for_a_purpose(lab: Lab, capsys: Capsys, tmp_path: Path) -> None:
    out = tmp_path / "findings.csv"
    assert call(capsys, "--node", lab.province, "findings", "export", "--out", out)[0] == 0
    rows = exported(out)
    stored = sum(sql(lab.province, f"SELECT count(*) FROM {t}")[0][0] for t in ("quarantine", "finding"))
    assert len(rows) == stored
    assert {r["state"] for r in rows} == {"隔离", "挂起", "已入库"}
    assert {"错误", "警告", "提示"} <= {r["severity"] for r in rows}
    cards = {r[0] for r in sql(lab.province, "SELECT sfzjh FROM g_xs WHERE sfzjh IS NOT NULL")}
    text = out.read_text(encoding="utf-8")
    assert not [c for c in cards if c in text]
    plain = tmp_path / "plain.csv"
    assert call(capsys, "--node", lab.province, "findings", "export", "--out", plain, "--plain")[0] == 2
    assert not plain.exists()
    before = sql(lab.province, "SELECT count(*) FROM audit_event")[0][0]
    args = ("findings", "export", "--out", plain, "--plain", "--purpose", "核对", "--rule", "YX19")
    assert call(capsys, "--node", lab.province, *args)[0] == 0
    assert sql(lab.province, "SELECT count(*) FROM audit_event")[0][0] == before + 1
    assert {r["rule"] for r in exported(plain)} == {"YX19"}


def test_the_pages_of_a_run_hold_counts_and_record_numbers_and_no_personal_value(lab: Lab, capsys: Capsys) -> None:
    page = (lab.province / "quality" / "run-000001.html").read_text(encoding="utf-8")
    assert "YX19" in page
    assert sql(lab.province, "SELECT min(pk) FROM finding WHERE rule = 'YX19'")[0][0] in page
    private = sql(
        lab.province, "SELECT xm, sfzjh, grbsm, lxdh, xh FROM g_xs UNION SELECT xm, sfzjh, gh, jg, gh FROM g_jzg"
    )
    private += sql(lab.province, "SELECT natural_key, 0, 0, 0, 0 FROM quarantine WHERE entity LIKE 'xs%'")
    values = {str(v) for row in private for v in row if v and len(str(v)) > 1}
    assert not [v for v in values if v in page]
    (lab.province / "quality" / "run-000001.html").unlink()
    assert document(capsys, "--node", lab.province, "quality", "docs")[1]["made"] == 1
    assert (lab.province / "quality" / "run-000001.html").read_text(encoding="utf-8") == page
