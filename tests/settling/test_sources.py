"""What a broken, empty, shrinking or unreviewed source may do to a province: nothing."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hub.errors import HubError
from hub.settings import Node
from tests.settling.province import golden, look, make_node, settle_day, sources

STUDENTS = 3000


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A province after its first day; tests work on copies."""
    folder = tmp_path_factory.mktemp("settled")
    sources(folder / "src", students=STUDENTS)
    settle_day(make_node(folder / "node", folder / "src"))
    return folder


@pytest.fixture
def place(settled: Path, tmp_path: Path) -> tuple[Node, Path]:
    """A copy of the settled province and of its sources."""
    shutil.copytree(settled, tmp_path / "copy")
    from hub.settings import open_node

    node = open_node(tmp_path / "copy" / "node", sources=str(tmp_path / "copy" / "src"))
    return node, tmp_path / "copy" / "src"


def change(database: Path, sql: str) -> int:
    with sqlite3.connect(database) as con:
        return con.execute(sql).rowcount


def changes(node: Node, **options: Any) -> int:
    return settle_day(node, 2, **options).settled.changes.counts.rows


def test_an_emptied_source_table_deletes_nothing_and_raises_an_alarm(place: tuple[Node, Path]) -> None:
    node, src = place
    before = golden(node)
    change(src / "s1.db", "DELETE FROM XS_JBXX")
    change(src / "s3.db", "DELETE FROM XX_JBXX")
    done = settle_day(node, 2)
    assert {a.source for a in done.alarms} == {"S1.XS_JBXX", "S3.XX_JBXX"}
    assert all("E2003" in a.sentence and "下一步" in a.sentence for a in done.alarms)
    assert done.settled.changes.counts.rows == 0
    assert golden(node) == before


def test_a_missing_source_database_changes_nothing_while_the_others_go_on(place: tuple[Node, Path]) -> None:
    node, src = place
    before = golden(node)
    (src / "s2.db").unlink()
    change(src / "s1.db", "UPDATE BJ_XX SET BJMC = BJMC || '新', GXSJ = '2026-11-24 01:00:00' WHERE rowid = 40")
    done = settle_day(node, 2)
    assert {a.source for a in done.alarms} == {"S2.JZG_JBXX", "S2.JZG_GZXX"}
    assert not (src / "s2.db").exists()
    after = golden(node)
    assert after["g_jzg"] == before["g_jzg"]
    assert after["g_bj"] != before["g_bj"]


def test_a_run_that_would_delete_too_much_is_held_whole_until_a_person_allows_it(place: tuple[Node, Path]) -> None:
    node, src = place
    before = golden(node)
    gone = change(src / "s1.db", "DELETE FROM XS_JTCY WHERE rowid % 4 = 0")
    with pytest.raises(HubError, match="E3201") as held:
        settle_day(node, 2)
    assert "--allow-deletes" in held.value.step
    assert golden(node) == before
    done = settle_day(node, 2, allow_deletes=True)
    assert 0 < done.settled.balance["xs_jtcy"].deleted <= gone


def test_a_plan_leaves_the_state_and_the_change_sets_as_they_were(place: tuple[Node, Path]) -> None:
    node, src = place
    before, folders = golden(node), sorted(node.changes.iterdir())
    change(src / "s1.db", "UPDATE XS_JBXX SET LXDH = '13812345678', GXSJ = '2026-11-24 01:00:00' WHERE rowid = 7")
    plan = settle_day(node, 2, plan=True)
    assert plan.settled.changes.counts.updated == 1
    assert golden(node) == before
    assert sorted(node.changes.iterdir()) == folders
    assert changes(node) == 1


def test_a_round_over_unchanged_sources_changes_opens_and_closes_nothing(place: tuple[Node, Path]) -> None:
    node, _ = place
    done = settle_day(node, 2)
    assert done.settled.changes.counts.rows == 0
    for name in ("opened_issue", "closed_issue", "opened_disagreement", "closed_disagreement"):
        assert pq.read_metadata(done.folder / f"_{name}.parquet").num_rows == 0, name


def test_a_row_that_was_only_touched_changes_nothing(place: tuple[Node, Path]) -> None:
    node, src = place
    change(src / "s1.db", "UPDATE XS_JBXX SET GXSJ = '2026-11-24 01:00:00'")
    assert changes(node) == 0


def test_an_update_behind_the_watermark_is_found_by_the_full_comparison(place: tuple[Node, Path]) -> None:
    node, src = place
    change(
        src / "s1.db",
        "UPDATE XS_JBXX SET LXDH = '13812345678', GXSJ = '2020-01-01 00:00:00' WHERE rowid = "
        "(SELECT rowid FROM XS_JBXX WHERE SFZJLXM = '1' AND SJZT = '1' LIMIT 1 OFFSET 900)",
    )
    assert changes(node) == 0
    assert changes(node, full=True) == 1


def test_a_temporary_number_that_became_formal_keeps_its_record_number(tmp_path: Path) -> None:
    sources(tmp_path / "src", students=STUDENTS)
    node = make_node(tmp_path / "node", tmp_path / "src")
    settle_day(node)
    with look(node) as con:
        before = dict(con.execute("SELECT GRBSM, pk FROM g_xs WHERE GRBSM LIKE 'L%'").fetchall())
        parts = dict(con.execute("SELECT GRBSM, pk FROM g_xs_xj WHERE GRBSM LIKE 'L%'").fetchall())
    answers = sources(tmp_path / "src", students=STUDENTS, day=2)
    settle_day(node, 2)
    joined = [c for c in answers["cases"] if c["kind"] == "l_to_g" and c["entity"] == "xs"]
    assert joined
    with look(node) as con:
        for case in joined:
            old, new = case["expected"]["old_key"]["GRBSM"], case["key"]["GRBSM"]
            for entity, known in (("xs", before), ("xs_xj", parts)):
                rows = con.execute(f"SELECT pk, row_ver FROM g_{entity} WHERE GRBSM = ?", [new]).fetchall()
                assert rows == [(known[old], 2)]
                assert con.execute(f"SELECT count(*) FROM g_{entity} WHERE GRBSM = ?", [old]).fetchone() == (0,)


def test_supplements_take_effect_only_after_review(tmp_path: Path) -> None:
    sources(tmp_path / "src", students=STUDENTS)
    node = make_node(tmp_path / "node", tmp_path / "src")
    settle_day(node, review=False)
    with look(node) as con:
        assert con.execute("SELECT count(*) FROM g_jg").fetchone() == (0,)
        assert con.execute("SELECT count(*) FROM g_xs WHERE contains(prov, 'L')").fetchone() == (0,)
        waiting = con.execute("SELECT count(*) FROM known_issue WHERE rule = '待复核'").fetchone()
    assert waiting is not None
    assert waiting[0] > 0
    settle_day(node)
    with look(node) as con:
        units = con.execute("SELECT count(*) FROM g_jg").fetchone()
        filled = con.execute("SELECT count(*) FROM g_xs WHERE contains(prov, 'L')").fetchone()
    assert units is not None
    assert filled is not None
    assert units[0] > 0
    assert filled[0] > 0
