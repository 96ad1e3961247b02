"""The second judge: finds each kind of bad row that a change set could carry, and never says more than it may."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hub.changes import change_schema
from hub.errors import HubError, InputError
from quality import judge as judge_module
from quality.judge import judge, start_judge
from quality.judgement import Judgement
from tests.quality_suites.conftest import TODAY, Settled

Change = dict[str, Any]
SECRET = re.compile(r"\d{15,}|[GJL]\d{6,}")


def test_what_the_gate_let_pass_holds_by_the_suites_too(settled: Settled) -> None:
    judgement = judge(settled.files, settled.catalog, rows=0, today=TODAY)
    judgement.require_clean()
    counts = {f.entity: f.counts.inserted for f in settled.round.settled.changes.files}
    assert judgement.rows == counts
    assert all(o.checked == counts[o.entity] for o in judgement.opinions)


def _spoiled(settled: Settled, tmp_path: Path, name: str, change: Change) -> tuple[dict[str, list[Path]], str]:
    """A copy of an entity's change file with one row changed; returns files and the record number of that row."""
    table = pq.read_table(settled.files[name][0]).cast(change_schema(settled.catalog.entities[name]))
    at = table.num_rows // 2
    row = table.slice(at, 1).to_pylist()[0]
    bad = pa.Table.from_pylist([row | change], schema=table.schema)
    spoiled = pa.concat_tables([table.slice(0, at), bad, table.slice(at + 1)])
    path = tmp_path / f"{name}-001.parquet"
    pq.write_table(spoiled, path)
    return {name: [path]}, str(row["pk"])


BROKEN: list[tuple[str, str, str, Change]] = [
    ("xs", "YX02", "SFZJH", {"SFZJLXM": "1", "SFZJH": "110105194912310021", "CSRQ": "19491231", "XBM": "2"}),
    ("xs", "YX01", "SFZJH", {"SFZJLXM": "1", "SFZJH": "110105491231002"}),
    ("xs", "YZ01", "CSRQ", {"SFZJLXM": "1", "SFZJH": "11010519491231002X", "CSRQ": "19491230", "XBM": "2"}),
    ("xs", "YZ02", "XBM", {"SFZJLXM": "1", "SFZJH": "11010519491231002X", "CSRQ": "19491231", "XBM": "1"}),
    ("xs", "WZ05", "SFZJH", {"SFZJLXM": "1", "SFZJH": None}),
    ("xs", "WZ01", "XM", {"XM": None}),
    ("xs", "YX12", "GRBSM", {"GRBSM": "K130102200901010013"}),
    ("xs", "YX13", "GRBSM", {"GRBSM": "G110105194912310021"}),
    ("xs", "YX05", "MZM", {"MZM": "99"}),
    ("xs", "YX05", "CSDM", {"CSDM": "990101"}),
    ("xs", "YX14", "CSRQ", {"SFZJLXM": "Z", "CSRQ": "20230229"}),
    ("xs", "YX18", "XH", {"XH": "1" * 21}),
    ("xs_sx", "WZ02", "KSH", {"ZSFSM": "1", "KSH": None, "ZKZH": "1", "KSZF": 1}),
    ("xs_sx", "WZ03", "LZHZXXDM", {"LZHZLXM": "2", "LZHZXXDM": None, "LZHZBXXSM": "1"}),
    ("xs_xj", "WZ06", "BH", {"XSDQZTM": "01", "BH": None}),
    ("xx", "YX07", "XXDM", {"XXDM": "3699000001"}),
    ("xx", "YX08", "XXDM", {"XXDM": "4113000001", "XXBXLXM": "361"}),
    ("bj", "YX14", "JBNY", {"JBNY": "202413"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "field", "change"), BROKEN, ids=[f"{b[0]}-{b[1]}-{b[2]}" for b in BROKEN])
def test_a_bad_row_in_a_change_set_is_named_and_stops_the_round(
    settled: Settled,
    tmp_path: Path,
    name: str,
    rule: str,
    field: str,
    change: Change,
) -> None:
    files, record = _spoiled(settled, tmp_path, name, change)
    judgement = judge(files, settled.catalog, rows=0, today=TODAY)
    found = {(o.rule, o.field): o for o in judgement.disagreements}
    assert found[rule, field].records == (record,)
    with pytest.raises(HubError) as stopped:
        judgement.require_clean()
    assert stopped.value.code == "E3301"
    assert rule in str(stopped.value)
    assert not stopped.value.retryable
    assert not SECRET.search(str(stopped.value)), "an error names record numbers, never values"
    assert not SECRET.search(json.dumps(judgement.to_json()))


def test_two_rows_of_one_key_are_both_named(settled: Settled, tmp_path: Path) -> None:
    table = pq.read_table(settled.files["bj"][0])
    twin = table.slice(0, 1).set_column(1, table.schema.field(1), pa.array(["f" * 20]))
    path = tmp_path / "bj-001.parquet"
    pq.write_table(pa.concat_tables([table, twin]), path)
    judgement = judge({"bj": [path]}, settled.catalog, rows=0, today=TODAY)
    (found,) = judgement.disagreements
    assert (found.rule, found.failed) == ("WY01", 2)
    assert set(found.records) == {"f" * 20, table["pk"][0].as_py()}


def test_an_empty_field_does_not_stop_a_teacher_a_school_added(settled: Settled, tmp_path: Path) -> None:
    files, _ = _spoiled(settled, tmp_path, "jzg", {"src_rid": "L9:1", "ZZMMM": None})
    judge(files, settled.catalog, rows=0, today=TODAY).require_clean()
    files, record = _spoiled(settled, tmp_path, "jzg", {"src_rid": "9:1", "ZZMMM": None})
    (found,) = judge(files, settled.catalog, rows=0, today=TODAY).disagreements
    assert (found.rule, found.records) == ("WZ01", (record,))


def test_rows_that_are_deleted_are_not_judged(settled: Settled, tmp_path: Path) -> None:
    table = pq.read_table(settled.files["xs"][0])
    gone = pc.if_else(pc.equal(table["pk"], table["pk"][3]), "D", "I")
    table = table.set_column(0, "op", gone).set_column(
        table.schema.get_field_index("XBM"), "XBM", pc.if_else(pc.equal(gone, "D"), "7", table["XBM"])
    )
    path = tmp_path / "xs-001.parquet"
    pq.write_table(table, path)
    judgement = judge({"xs": [path]}, settled.catalog, rows=0, today=TODAY)
    judgement.require_clean()
    assert judgement.rows == {"xs": table.num_rows - 1}


def test_a_bounded_judgement_looks_into_every_part_of_the_entity(settled: Settled, tmp_path: Path) -> None:
    table = pq.read_table(settled.files["xs_jtcy"][0])
    half = table.num_rows // 2
    paths = [tmp_path / "xs_jtcy-001.parquet", tmp_path / "xs_jtcy-002.parquet"]
    for path, part in zip(paths, (table.slice(0, half), table.slice(half)), strict=True):
        pq.write_table(part, path, row_group_size=500)
    judgement = judge({"xs_jtcy": paths}, settled.catalog, rows=600, today=TODAY)
    groups = sum(pq.ParquetFile(p).metadata.num_row_groups for p in paths)
    assert 600 <= judgement.rows["xs_jtcy"] <= 600 + groups


def test_blocks_of_a_large_entity_add_up(settled: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(settled.files, settled.catalog, rows=0, today=TODAY)
    monkeypatch.setattr(judge_module, "BLOCK_ROWS", 700)
    parts = judge(settled.files, settled.catalog, rows=0, today=TODAY)
    assert parts.rows == whole.rows
    assert {o.rule: o.failed for o in parts.opinions} == {o.rule: o.failed for o in whole.opinions}


def test_a_rule_that_cannot_run_is_an_error_and_not_bad_data(settled: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    from quality import suites_predicates

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("11010519491231002X")

    monkeypatch.setattr(suites_predicates, "check_digit", broken)
    with pytest.raises(HubError) as stopped:
        judge({"xs": settled.files["xs"]}, settled.catalog, rows=0, today=TODAY)
    assert stopped.value.code == "E3302"
    assert not SECRET.search(str(stopped.value)), "the engine's message quotes a value"


def test_a_file_of_another_layout_is_refused_before_anything_is_judged(settled: Settled, tmp_path: Path) -> None:
    path = tmp_path / "xs-001.parquet"
    pq.write_table(pq.read_table(settled.files["xs"][0]).drop_columns(["XM"]), path)
    for files in ({"xs": [path]}, {"xs": [tmp_path / "missing.parquet"]}):
        with pytest.raises(InputError, match="E3303"):
            judge(files, settled.catalog, rows=0, today=TODAY)


def test_the_child_judges_as_the_parent_would(settled: Settled) -> None:
    with start_judge(settled.site) as running:
        running.submit(settled.files, rows=500, today=TODAY)
        judgement = running.finish()
    assert judgement == judge(settled.files, settled.catalog, rows=500, today=TODAY)
    assert Judgement.from_json(json.loads(json.dumps(judgement.to_json()))) == judgement


def test_what_the_child_refuses_reaches_the_caller_as_the_same_error(settled: Settled, tmp_path: Path) -> None:
    with start_judge(settled.site) as running:
        running.submit({"xs": [tmp_path / "missing.parquet"]}, rows=0, today=TODAY)
        with pytest.raises(InputError, match="E3303"):
            running.finish()


def test_a_child_that_dies_stops_the_round(settled: Settled) -> None:
    running = start_judge(settled.site)
    running.submit(settled.files, rows=0, today=TODAY)
    running._process.kill()
    with pytest.raises(HubError) as stopped:
        running.finish()
    assert stopped.value.code == "E3304"


def test_a_round_that_ends_early_takes_its_child_along(settled: Settled) -> None:
    with pytest.raises(KeyError), start_judge(settled.site) as running:
        raise KeyError("the extract failed")
    assert running._process.poll() is not None


def test_importing_the_judge_does_not_import_the_library() -> None:
    code = (
        "import sys, quality.judge, quality.suites; sys.exit(bool({'great_expectations', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
