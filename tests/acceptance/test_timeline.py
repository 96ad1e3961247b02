"""What a record was before at the ministry, since when, and by which line of which file (house rule 8)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.cli import main
from tests.ministry.forge import Province
from tests.round.labs import rows


def told(province: Province, capsys: pytest.CaptureFixture[str], pk: str, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["--node", str(province.ministry.folder), "--json", "lineage", "show", "xx", pk, *more]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_every_version_of_a_record_is_told_with_batch_file_line_and_receipt(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    table = province.changes("xx", 2)
    pk = table.column("pk")[1].as_py()
    before = table.column("XXMC")[1].as_py()
    renamed = table.set_column(table.schema.get_field_index("XXMC"), "XXMC", [["甲校", "乙校"]])
    province.upload(province.batch([("xx", renamed)]))
    assert province.decide().verdict == "APPLIED"
    again, twice = province.changes("xx", 2, ver=3), province.changes("xx", 2, ver=3)
    province.upload(province.batch([("xx", again), ("xx", twice)]))
    assert province.decide().counts.noop_old_version == 2
    names = [f"13-up-main-e0001-s{n:010d}" for n in (1, 2, 3)]
    story = told(province, capsys, pk)
    seen = [(v["row_ver"], v["op"], v["counted"], v["batch"], v["line"], v["XXMC"]) for v in story["versions"]]
    first = seen.pop(0)
    assert (first[:4], first[5]) == ((1, "I", True, names[0]), before)
    assert seen == [
        (2, "U", True, names[1], 2, "乙校"),
        (3, "U", True, names[2], 2, before),
        (3, "U", False, names[2], 2, before),
    ]
    last = story["versions"][-2:]
    assert [v["file"] for v in last] == [f"{names[2]}.f01.cms", f"{names[2]}.f02.cms"]
    assert last[0]["receipt"] == f"{names[2]}.receipt1.dsse"
    assert last[0]["since"].startswith("2026-11-23T")
    files = [r["file_name"] for r in rows(province.ministry, "lineage", "cs_no, file_name")]
    assert files[-2:] == [f"{names[2]}.f01.cms", f"{names[2]}.f02.cms"]
    steps = told(province, capsys, pk, "--field", "XXMC")["timeline"]
    (line,) = {step["value"] for step in steps if step["row_ver"] == 2}
    assert line == "乙校"


def test_a_deleted_record_is_told_with_the_line_that_deleted_it(
    province: Province, capsys: pytest.CaptureFixture[str]
) -> None:
    table = province.changes("xx", 1, "D")
    pk = table.column("pk")[0].as_py()
    province.upload(province.batch([("xx", table)]))
    assert province.decide().counts.deleted == 1
    story = told(province, capsys, pk)
    assert story["deleted"]["row_ver"] == 2
    assert [(v["op"], v["row_ver"]) for v in story["versions"]] == [("I", 1), ("D", 2)]
    assert main(["--node", str(province.ministry.folder), "lineage", "show", "xx", pk]) == 0
    assert "receipt1.dsse" in capsys.readouterr().out
