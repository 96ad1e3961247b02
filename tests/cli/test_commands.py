"""The commands as a person and a program call them: exit codes, documents, exports, refusals."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hub.catalog import load_catalog
from hub.cli import main
from hub.recordnumber import record_number
from hub.settings import open_node
from quality.expressions import record_number as record_number_sql
from tests.cli.conftest import TODAY, Lab

ID_NUMBER = re.compile(r"[1-9]\d{16}[\dXx]")
STUDENT_NUMBER = re.compile(r"[GLJ][1-9]\d{16}[\dXx]")
BATCH = "13-up-main-e0001-s0000000001"


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of one command."""
    capsys.readouterr()
    code = main([str(a) for a in args])
    out, err = capsys.readouterr()
    return code, out, err


def exported(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def count(node: Path, query: str) -> int:
    with sqlite3.connect(node / "hub.db") as connection:
        return int(connection.execute(query).fetchone()[0])


def audited(node: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(node / "hub.db") as connection:
        return connection.execute("SELECT action, purpose FROM audit_event ORDER BY i").fetchall()


def test_a_first_round_with_rejects_exits_3_and_leaves_both_tiers_alike(lab: Lab) -> None:
    assert lab.init[0] == 0
    code, document = lab.first
    assert code == 3
    assert document["digests"]
    assert all(d["equal"] for d in document["digests"])
    assert document["round"]["balance"]
    assert all(b["holds"] for b in document["round"]["balance"].values())
    assert [r["verdict"] for r in document["receipts"]] == ["APPLIED"]


@pytest.mark.parametrize(
    "command",
    [
        "sync status", "sync plan", "batch ls", f"batch show {BATCH}", f"batch verify {BATCH}", "records ls",
        "records digest", "quarantine ls", "conflict ls", "audit ls", "audit verify", "schema show", "schema show xs",
        "doctor",
    ],
)  # fmt: skip
def test_every_reading_command_answers_one_versioned_document(
    lab: Lab, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = call(capsys, "--node", lab.province, *command.split(), "--json")
    assert code == 0
    assert json.loads(out)["schema_version"] == 1


@pytest.mark.parametrize(
    "command", ["intake status", "intake run", "batch ls", f"batch verify {BATCH}", "audit verify"]
)
def test_the_ministry_answers_too(lab: Lab, capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = call(capsys, "--node", lab.ministry, *command.split(), "--json")
    assert code == 0
    assert json.loads(out)["schema_version"] == 1


def test_the_ministry_s_status_counts_the_rows_it_holds(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "--node", lab.ministry, "intake", "status", "--json")
    (stream,) = json.loads(out)["streams"]
    _, listed, _ = call(capsys, "--node", lab.ministry, "records", "ls", "--json")
    assert stream["rows"] == json.loads(listed)["total"] > 0
    assert (stream["last_seq"], stream["frozen"], stream["decided"]) == (1, None, {"APPLIED": 1})


@pytest.mark.parametrize("entity", ["xx", "jzg", "xs", "xs_jtcy", "xs_jz"])
def test_a_masked_export_is_complete_and_names_no_person_s_number(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path, entity: str
) -> None:
    out = tmp_path / "out.csv"
    assert call(capsys, "--node", lab.province, "records", "export", entity, "--out", out)[0] == 0
    assert len(exported(out)) == count(lab.province, f"SELECT count(*) FROM g_{entity}")
    chosen, text = load_catalog().entities[entity], out.read_text(encoding="utf-8")
    assert list(exported(out)[0]) == list(chosen.columns)
    assert not STUDENT_NUMBER.search(text)
    public = {f.name for f in chosen.fields if f.kind == "uscc"}
    shown = "\n".join(v for row in exported(out) for name, v in row.items() if name not in public)
    assert not ID_NUMBER.search(shown)


def test_a_plain_export_is_sorted_by_natural_key_and_the_same_at_both_tiers(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = []
    for node in (lab.province, lab.ministry):
        out = tmp_path / f"{node.name}.csv"
        given = ("--plain", "--purpose", "核对两级内容")
        assert call(capsys, "--node", node, "records", "export", "xs_jtcy", "--out", out, *given)[0] == 0
        assert audited(node)[-1][1] == "核对两级内容"
        assert out.stat().st_mode & 0o077 == 0
        files.append(out)
    assert files[0].read_bytes() == files[1].read_bytes()
    keys = [tuple(row[k] for k in load_catalog().entities["xs_jtcy"].key) for row in exported(files[0])]
    assert keys == sorted(keys)


@pytest.mark.parametrize("what", [["records", "export", "xs"], ["quarantine", "export"], ["conflict", "export"]])
def test_plaintext_without_a_purpose_is_refused_and_nothing_is_written(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path, what: list[str]
) -> None:
    before = audited(lab.province)
    code, _, err = call(capsys, "--node", lab.province, *what, "--out", tmp_path / "x.csv", "--plain")
    assert code == 2
    assert "[E1026]" in err
    assert "下一步" in err
    assert list(tmp_path.iterdir()) == []
    assert audited(lab.province) == before


def test_plaintext_is_audited_before_the_first_row_is_written(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nowhere = tmp_path / "missing" / "x.csv"
    given = ("--plain", "--purpose", "目录不存在")
    code, _, err = call(capsys, "--node", lab.province, "records", "export", "xs", "--out", nowhere, *given)
    assert code == 2
    assert "[E1022]" in err
    assert audited(lab.province)[-1][1] == "目录不存在"


def test_quarantine_holds_refused_and_held_rows_with_joined_keys(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "q.csv"
    assert call(capsys, "--node", lab.province, "quarantine", "export", "--out", out)[0] == 0
    rows = exported(out)
    assert len(rows) == count(lab.province, "SELECT count(*) FROM quarantine WHERE closed_run IS NULL")
    assert {r["state"] for r in rows} == {"隔离", "挂起"}
    assert all(r["rule"] and r["severity"] and r["source"] for r in rows)
    assert any("|" in r["natural_key"] for r in rows if r["entity"] == "bj")
    assert not STUDENT_NUMBER.search(out.read_text(encoding="utf-8"))
    assert not ID_NUMBER.search("\n".join(r["natural_key"] + r["reason"] for r in rows))


def test_conflicts_are_exported_masked_and_complete(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "c.csv"
    assert call(capsys, "--node", lab.province, "conflict", "export", "--out", out)[0] == 0
    assert len(exported(out)) == count(lab.province, "SELECT count(*) FROM conflict WHERE closed_run IS NULL") > 0
    assert not ID_NUMBER.search(out.read_text(encoding="utf-8"))


def test_a_value_is_traced_at_both_tiers_by_record_number_and_by_key(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(lab.province / "hub.db") as connection:
        pk, key = connection.execute("SELECT pk, grbsm FROM g_xs ORDER BY pk LIMIT 1").fetchone()
    for node in (lab.province, lab.ministry):
        code, out, _ = call(capsys, "--node", node, "lineage", "show", "xs", pk, "--json")
        story = json.loads(out)
        assert code == 0
        assert story["record"] == pk
        assert [b["batch_id"] for b in story["batches"]] == [BATCH]
        assert {b["signature"] for b in story["batches"]} == {"有效"}
        assert key not in out
        assert call(capsys, "--node", node, "lineage", "show", "xs", pk, "--field", "XM")[0] == 0
        monkeypatch.setattr("sys.stdin", io.StringIO(key + "\n"))
        code, out, _ = call(capsys, "--node", node, "lineage", "show", "xs", "--key", "--json")
        assert code == 0
        assert json.loads(out)["record"] == pk


@pytest.mark.parametrize(
    ("args", "expected", "code"),
    [
        (["records", "ls"], 2, "E1021"),
        (["--node", "{lab}", "sync", "run"], 10, "E1002"),
        (["--node", "{lab}/ministry", "sync", "run"], 2, "E1004"),
        (["--node", "{lab}/province", "intake", "run"], 2, "E1005"),
        (["--node", "{lab}/province", "sync", "plan", "--today", "tomorrow"], 2, "E1034"),
        (["--node", "{lab}/province", "sync", "rebuild"], 2, "E3511"),
        (["--node", "{lab}/province", "records", "export", "nobody", "--out", "x.csv"], 2, "E1023"),
        (["lab", "init", "{lab}", "--sources", "{lab}"], 2, "E1042"),
        (["nonsense"], 2, "E1016"),
    ],
)
def test_a_refusal_has_code_next_step_and_a_document(
    lab: Lab, capsys: pytest.CaptureFixture[str], args: list[str], expected: int, code: str
) -> None:
    given = [a.format(lab=lab.folder) for a in args]
    got, out, err = call(capsys, "--json", *given)
    document: dict[str, Any] = json.loads(out)
    assert got == expected
    assert f"[{code}]" in err
    assert "下一步" in err
    assert document["schema_version"] == 1
    assert document["error"]["code"] == code
    assert str(lab.folder) not in out


def test_a_broken_audit_chain_exits_4(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(lab.ministry / "hub.db") as connection:
        i, before = connection.execute("SELECT i, actor FROM audit_event ORDER BY i LIMIT 1").fetchone()
        connection.execute("UPDATE audit_event SET actor = 'someone else' WHERE i = ?", (i,))
    try:
        code, _, err = call(capsys, "--node", lab.ministry, "audit", "verify")
    finally:
        with sqlite3.connect(lab.ministry / "hub.db") as connection:
            connection.execute("UPDATE audit_event SET actor = ? WHERE i = ?", (before, i))
    assert code == 4
    assert "[E3203]" in err


def test_a_plan_leaves_nothing_behind(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    runs, sets = count(lab.province, "SELECT count(*) FROM run"), sorted((lab.province / "changes").iterdir())
    code, out, _ = call(capsys, "--node", lab.province, "sync", "plan", "--today", TODAY, "--full")
    assert code == 0
    assert "未写入任何数据" in out
    assert count(lab.province, "SELECT count(*) FROM run") == runs
    assert sorted((lab.province / "changes").iterdir()) == sets


def test_the_record_number_of_a_person_is_that_of_the_tables(lab: Lab) -> None:
    catalog, secret = load_catalog(), open_node(lab.province).secret()
    entity = catalog.entities["bj"]
    names = ", ".join(["pk", *(k.lower() for k in entity.key)])
    with sqlite3.connect(lab.province / "hub.db") as connection:
        stored = connection.execute(f"SELECT {names} FROM g_bj").fetchall()
    assert stored
    assert all(record_number(secret, "bj", parts) == pk for pk, *parts in stored)


def test_both_record_number_functions_agree_on_any_text() -> None:
    secret = b"k" * 32
    with duckdb.connect() as con:
        for key in ("", "G130102200806059647", "班级，1", "a|b", "it's"):
            literal = "'" + key.replace("'", "''") + "'"
            found = con.execute(f"SELECT {record_number_sql(secret, 'xs', literal)}").fetchone()
            assert found == (record_number(secret, "xs", [key]),)
