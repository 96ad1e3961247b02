"""A record and a school at a date, and the archive, as a person and a program call them."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.catalog import load_catalog
from hub.store import open_store
from tests.cli.conftest import Lab
from tests.cli.test_commands import ID_NUMBER, STUDENT_NUMBER, audited, call
from tests.servers import PostgresServer
from tests.store.rows import batch, change, pk


@pytest.fixture
def ministry(lab: Lab, tmp_path: Path) -> Path:
    """The ministry three years later: some of its students had another school in 2023."""
    folder = Path(shutil.copytree(lab.ministry, tmp_path / "ministry"))
    with sqlite3.connect(folder / "hub.db") as con:
        names = [row[1] for row in con.execute("PRAGMA table_info(h_xs)") if row[1] not in ("held_to", "ended")]
        told = ",".join("'2023-02-01T00:00:00.000Z'" if n == "held_from" else n for n in names)
        con.execute(
            f"INSERT INTO h_xs ({','.join(names)},held_to,ended) SELECT {told},'2023-08-01T00:00:00.000Z','U' "
            "FROM g_xs ORDER BY pk LIMIT 40"
        )
        con.execute("UPDATE h_xs SET xxdm = '1300000000'")
    return folder


def one(ministry: Path, column: str) -> str:
    with sqlite3.connect(ministry / "hub.db") as con:
        return str(con.execute(f"SELECT {column} FROM g_xs ORDER BY pk LIMIT 1").fetchone()[0])


def test_a_student_is_shown_as_of_a_date_by_number_and_by_key_alike_and_masked(
    ministry: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pk = one(ministry, "pk")
    code, out, _ = call(capsys, "--node", ministry, "--json", "records", "show", "xs", pk, "--as-of", "2023-05-01")
    found = json.loads(out)["rows"]
    assert (code, len(found), found[0]["XXDM"], found[0]["place"]) == (0, 1, "1300000000", "历史表")
    assert not ID_NUMBER.search(out)
    assert not STUDENT_NUMBER.search(out)
    monkeypatch.setattr("sys.stdin", io.StringIO(one(ministry, "grbsm") + "\n"))
    code, out, _ = call(capsys, "--node", ministry, "--json", "records", "show", "xs", "--key", "--as-of", "2023-05-01")
    assert (code, json.loads(out)["rows"]) == (0, found)
    assert call(capsys, "--node", ministry, "records", "show", "xs", pk, "--as-of", "2020-01-01")[1].startswith(
        "2020-01-01"
    )
    code, out, _ = call(capsys, "--node", ministry, "--json", "records", "show", "xs", pk, "--history")
    assert [r["held_to"] for r in json.loads(out)["rows"]] == [None, "2023-08-01T00:00:00.000Z"]


def test_a_school_as_of_a_date_is_the_same_before_and_after_archiving(
    ministry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--node", ministry, "--json", "records", "show", "xs", "--school", "1300000000", "--as-of", "2023-05-01")
    before = json.loads(call(capsys, *asked)[1])
    code, out, _ = call(capsys, "--node", ministry, "--json", "archive", "run")
    assert (code, json.loads(out)["rows"]) == (0, 40)
    after = json.loads(call(capsys, *asked)[1])
    assert (before["total"], after["archive_files"]) == (40, 1)
    assert [{**r, "place": ""} for r in after["rows"]] == [{**r, "place": ""} for r in before["rows"]]
    code, out, _ = call(capsys, "--node", ministry, "archive", "verify")
    assert (code, "未发现问题" in out) == (0, True)
    file = next((ministry / "archive").glob("2023/*.parquet"))
    file.unlink()
    code, _, err = call(capsys, *asked)
    assert (code, "E3541" in err, f"2023/{file.name}" in err) == (4, True, True)
    assert call(capsys, "--node", ministry, "archive", "verify")[0] == 4


def test_plain_history_is_in_the_audit_log_before_it_is_shown(
    ministry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pk = one(ministry, "pk")
    assert call(capsys, "--node", ministry, "records", "show", "xs", pk, "--plain")[0] == 2
    code, out, _ = call(capsys, "--node", ministry, "records", "show", "xs", pk, "--plain", "--purpose", "信访核实")
    assert (code, one(ministry, "grbsm") in out) == (0, True)
    assert audited(ministry)[-1] == ("明文查看", "信访核实")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["records", "show", "xs", "0" * 20], "E1027"),
        (["records", "show", "xs"], "E1030"),
        (["records", "show", "xs", "0" * 20, "--history", "--as-of", "2020-01-01"], "E1046"),
        (["records", "show", "xs_yd", "--school", "1300000000"], "E3548"),
        (["records", "show", "xs", "--school", "1300000000' OR 1=1"], "E3548"),
        (["records", "show", "xs", "0" * 20, "--as-of", "next week"], "E3547"),
        (["archive", "run", "--before", "2999-01-01"], "E1048"),
        (["archive", "restore"], "E1047"),
        (["archive", "restore", "--year", "1999"], "E3545"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_code(
    ministry: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: str
) -> None:
    status, out, err = call(capsys, "--node", ministry, *args)
    assert (status, out, code in err) == (2, "", True)
    assert not (ministry / "archive").exists()


def test_on_postgresql_a_record_of_any_date_is_the_same_before_and_after_archive_and_restore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres: PostgresServer
) -> None:
    folder, url, catalog = tmp_path / "moe", postgres.create_database("history"), load_catalog()
    assert call(capsys, "init", folder, "--ministry", "--database", url)[0] == 0
    assert call(capsys, "--node", folder, "db", "upgrade")[0] == 0
    bj, store = catalog.entities["bj"], open_store(url, catalog)
    for version, (op, year, name) in enumerate([("I", 2021, "甲班"), ("U", 2022, "乙班"), ("D", 2023, "乙班")], 1):
        rows = batch(bj, [change(bj, op, n, version, XXDM="1313000001", BH=f"0{n}", BJMC=name) for n in (1, 2)])
        with store.begin() as tx:
            tx.apply(bj, "13", [rows], batch="b", at=datetime(year, 9, 1, tzinfo=UTC))
    store.close()

    def asked(*words: str) -> list[tuple[int, str, str]]:
        code, out, _ = call(capsys, "--node", folder, "--json", "records", "show", "bj", *words)
        assert code == 0
        return [(r["row_ver"], r["BJMC"], r["place"]) for r in json.loads(out)["rows"]]

    for place, command in (("历史表", ("ls",)), ("归档", ("run",)), ("历史表", ("restore", "--year", "2023"))):
        assert call(capsys, "--node", folder, "archive", *command)[0] == 0
        assert asked(pk(1), "--as-of", "2023-01-01") == [(2, "乙班", place)]
        assert asked("--school", "1313000001", "--as-of", "2022-12-31") == [(2, "乙班", place)] * 2
        assert asked(pk(1), "--as-of", "2024-01-01") == []
        first = "归档" if command[0] == "restore" else place
        assert asked(pk(1), "--history") == [(2, "乙班", place), (1, "甲班", first)]
    listed = call(capsys, "--node", folder, "archive", "ls")[1]
    assert ("另有 1 个文件" in listed, " KB" in listed, "0.0 MB" in listed) == (True, True, False)
