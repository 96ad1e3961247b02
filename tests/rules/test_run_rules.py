"""Rules of a round and its batches: JS01 late sources, JS04 late receipts, JS06 the number of students; thresholds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.catalog.tuning import tuned
from hub.errors import HubError, UsageError
from hub.settings import Node, open_node
from hub.store import open_store
from hub.store.finding_tables import FINDING
from hub.store.ledger import CHANGE_SET, OUTBOX, RUN
from province_node.findings import note_exchange, note_overdue_batches
from tests.rules.province import TODAY
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.fresh import new, restart
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import World

CATALOG = load_catalog()


def world(students: int) -> World:
    restart()
    made = base.clean()
    for _ in range(students - 60):
        made.student(f"s{made.count}", new())
    return made


def of_run(node: Settled) -> list[tuple[Any, ...]]:
    return node.ask("SELECT rule, source FROM known_finding WHERE entity = 'run' ORDER BY ALL")


def settings(node: Settled, text: str) -> None:
    """Adds the node's own rule settings to its hub.toml."""
    file = node.folder / "node" / "hub.toml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    node.node = open_node(node.folder / "node")


def state(node: Settled) -> list[tuple[Any, ...]]:
    return node.ask("SELECT (SELECT count(*) FROM g_xs), (SELECT max(value) FROM meta WHERE name = 'counter.run')")


@pytest.mark.long
def test_a_source_that_was_last_read_more_than_a_day_ago_is_listed_until_it_is_read_in_time(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(60))
    node.day("2026-03-10")
    node.day("2026-03-11")
    assert of_run(node) == []
    (node.folder / "src" / "s2.db").rename(node.folder / "away")
    node.day("2026-03-12")
    assert of_run(node) == []  # 24 hours since the last time
    node.day("2026-03-13")
    assert of_run(node) == [("JS01", "S2")]
    (node.folder / "away").rename(node.folder / "src" / "s2.db")
    node.day("2026-03-14")
    node.day("2026-03-15")
    assert of_run(node) == []


@pytest.mark.long
def test_a_round_that_moves_the_number_of_students_too_far_is_held_until_a_person_confirms(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(300))
    node.day("2026-05-10")
    node.day("2026-05-11", world(315))  # 5 %: as allowed
    before = state(node)
    with pytest.raises(HubError, match="E3204") as held:
        node.day("2026-05-12", world(400))
    assert "315" in held.value.what
    assert "allow-volume" in held.value.step
    assert state(node) == before
    done = node.day("2026-05-12", world(400), allow_volume=True)
    assert done.settled.balance["xs"].inserted == 85
    assert of_run(node) == [("JS06", "xs")]
    node.day("2026-05-13")
    assert of_run(node) == []


def test_in_the_months_of_entry_the_number_of_students_may_move_further(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(400))
    node.day("2026-08-31")
    assert node.day("2026-09-01", world(475)).settled.balance["xs"].inserted == 75  # 19 % in September
    with pytest.raises(HubError, match="E3204"):
        node.day("2026-09-02", world(600))


def test_a_round_that_the_volume_rule_held_is_in_the_list_of_findings_until_one_goes_through(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(60))
    settings(node, "\n[rules.JS06]\nleast = 5\n")
    store = open_store(node.node.database_url, CATALOG)
    store.upgrade()

    def listed() -> list[tuple[Any, ...]]:
        columns = (FINDING.c[n] for n in ("entity", "rule", "severity", "state", "source", "run_no", "closed_run"))
        with store.reading() as reader:
            return [tuple(r) for r in reader.connection.execute(sa.select(*columns))]

    node.day("2026-05-10")
    more = world(75)
    with pytest.raises(HubError, match="E3204"):
        node.day("2026-05-11", more, plan=True)
    assert listed() == [], "a plan leaves nothing"
    for _ in range(2):
        with pytest.raises(HubError, match="E3204"):
            node.day("2026-05-11", more)
    assert listed() == [("run", "JS06", "错误", "挂起", "xs", 2, None)]
    with store.begin() as tx:
        note_exchange(tx, CATALOG, 2, dt.datetime(2026, 5, 11, tzinfo=dt.UTC))
    assert listed() == [("run", "JS06", "错误", "挂起", "xs", 2, 2)]
    store.close()


@pytest.mark.long
def test_several_rounds_of_one_day_are_compared_with_the_day_before(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(1200))
    node.day("2026-05-10")
    node.day("2026-05-11", world(1255))
    with pytest.raises(HubError, match="E3204"):
        node.day("2026-05-11", world(1265))


def test_the_limits_of_the_volume_rule_are_settings_and_it_may_not_be_switched_off(tmp_path: Path) -> None:
    node = Settled(tmp_path, world(300))
    settings(node, "\n[rules.JS06]\nshare = 0.5\n")
    node.day("2026-05-10")
    assert node.day("2026-05-11", world(400)).settled.balance["xs"].inserted == 100
    with pytest.raises(UsageError, match="E1103"):
        tuned(CATALOG, {"JS06": {"enabled": False}})


def test_a_batch_without_a_receipt_is_listed_after_the_agreed_hours_and_closed_with_its_verdict(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}", CATALOG)
    store.upgrade()
    at = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)
    batches = (("late", "2026-05-09T11:59:00.000Z", None), ("early", "2026-05-09T12:01:00.000Z", None),
               ("done", "2026-05-01T00:00:00.000Z", "2026-05-01T01:00:00.000Z"))  # fmt: skip
    with store.begin() as tx:
        for seq, (name, sealed, decided) in enumerate(batches):
            row = {
                "stream": "main",
                "epoch": 1,
                "seq": seq,
                "batch_id": name,
                "sealed_at": sealed,
                "decided_at": decided,
            }
            tx.connection.execute(sa.insert(OUTBOX), row)
        assert note_overdue_batches(tx, CATALOG.rules["JS04"], 1, at) == 1
        assert note_overdue_batches(tx, CATALOG.rules["JS04"], 2, at) == 1
        tx.connection.execute(sa.update(OUTBOX).values(decided_at="2026-05-10T12:30:00.000Z"))
        note_overdue_batches(tx, CATALOG.rules["JS04"], 3, at)
    with store.reading() as reader:
        rows = reader.connection.execute(sa.select(FINDING)).mappings().all()
    assert [(r["rule"], r["src_rid"], r["run_no"], r["closed_run"]) for r in rows] == [("JS04", "late", 1, 3)]
    store.close()


def test_a_round_run_as_of_another_day_counts_the_hours_of_its_batches_as_of_that_day(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}", CATALOG)
    store.upgrade()
    now, late = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC), []
    batch = {
        "stream": "main",
        "epoch": 1,
        "seq": 1,
        "batch_id": "one",
        "cs_no": 1,
        "sealed_at": "2026-05-10T12:00:00.000Z",
    }
    with store.begin() as tx:
        tx.connection.execute(sa.insert(CHANGE_SET), {"node": "62", "cs_no": 1, "run_no": 1})
        tx.connection.execute(sa.insert(OUTBOX), batch)
        for run, day in ((1, "2026-12-01"), (2, "2026-12-01"), (3, "2026-12-02"), (4, "2026-12-03")):
            rounds = {"run_no": run, "started": f"{day}T11:59:00.000Z", "ended": "2026-05-10T12:00:00.000Z"}
            tx.connection.execute(sa.insert(RUN), rounds)
            note_exchange(tx, CATALOG, run, now)
            late.append(tx.connection.execute(sa.select(sa.func.count()).select_from(FINDING)).scalar_one())
    assert late == [0, 0, 0, 1], "24 hours are as agreed, 48 are late; the clock alone would never tell"
    store.close()


def noted(node: Settled, rule: str) -> int:
    return int(node.ask("SELECT count(*) FROM known_finding WHERE rule = ?", [rule])[0][0])


@pytest.mark.long
def test_thresholds_are_settings_and_take_effect_without_a_change_of_the_sources(tmp_path: Path) -> None:
    made = world(60)
    made.put("jzg", p.teacher(50, CSRQ="19650601", SFZJH=p.id_number(50, born="19650601"), CJGZNY="199007"))
    node = Settled(tmp_path, made)
    node.day(TODAY)
    assert noted(node, "YZ12") == 0  # 60 years old, not more
    settings(node, "\n[rules.YZ12]\nmen = 59\n")
    assert node.day(TODAY).settled.changes.counts.rows == 0
    assert noted(node, "YZ12") == 1
    settings(node, "enabled = false\n")
    node.day(TODAY)
    assert noted(node, "YZ12") == 0


def test_a_dated_rule_finds_what_the_new_day_brings_though_no_row_changed(tmp_path: Path) -> None:
    made = world(60)
    made.put("jzg", p.teacher(50, CSRQ="19650311", SFZJH=p.id_number(50, born="19650311"), CJGZNY="199007"))
    node = Settled(tmp_path, made)
    node.day("2026-03-10")
    assert noted(node, "YZ12") == 0
    assert not node.day("2026-03-11").whole
    assert noted(node, "YZ12") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"XX99": {}},
        {"YZ12": {"women_": 1}},
        {"YZ12": {"men": "60"}},
        {"YX17": {"years": []}},
        {"WZ01": {"enabled": False}},
        {"YZ12": {"enabled": 1}},
        {"YZ12": {"men": -1}},
    ],
)
def test_a_setting_that_no_rule_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="E1103"):
        tuned(CATALOG, wrong)


def test_the_node_reads_its_thresholds_from_its_settings(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text(
        'role = "province"\nparty = "13"\nname = "甲"\n[rules.YX17]\nyears = [3, 5]\n[rules.JS02]\nautumn = "12-01"\n',
        encoding="utf-8",
    )
    node: Node = open_node(tmp_path)
    rules = tuned(CATALOG, node.settings.rules).rules
    assert rules["YX17"].several("years") == (3, 5)
    assert rules["JS02"].thresholds == {"autumn": "12-01", "spring": "04-20"}
    assert CATALOG.rules["YX17"].several("years") != (3, 5)
