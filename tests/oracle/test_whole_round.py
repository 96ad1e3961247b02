"""A province's whole life over the store of `ORACLE_URL`, beside the same life over SQLite.

What the two databases hold at the end is compared row by row, so that nothing is said here of Oracle that is not said
of the embedded default. The ministry stays on SQLite: its store is the same code.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from openpyxl import Workbook

from hub.archive import archive_versions
from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from ministry_node.intake import run_intake
from pipelines.lab.setup import Lab, init_lab
from province_node.deliver import deliver
from province_node.findings import on_day
from province_node.listen import listen
from province_node.publish import publish_pending
from province_node.settle import Options, run_round
from province_node.supplement_intake import import_file
from province_node.supplement_review import review
from quality.decisions import Action, Kind, Move, Proposal
from quality.decisions_apply import apply
from quality.decisions_bulk import Bulk, Order, preview
from quality.decisions_query import Filter
from quality.decisions_store import Acting, act
from tests.cli.test_commands import call
from tests.decisions.people import CLERK, REVIEWER, SUPERVISOR
from tests.round.labs import AT, audit_holds
from tests.settling.handmade.headers import STUDENT
from tests.settling.handmade.world import FIRST_DAY, SECOND_DAY, write
from tests.store.oracle import ABSENT, URL, oracle_schema
from tests.supplements.conftest import GAP, NO_CLASS, province
from tests.supplements.rounds import student_line

NODE = "41"
# What stands in the store of either database after the same life; numbers and times of day are the hub's own.
COMPARED = {
    "decision": "entity, field, school, state, cause, version, open_rows, waiting, chosen_value, effect",
    "decision_event": "decision_no, event_no, action, from_state, to_state, cause, person, chosen_value",
    "correction": "entity, field, system, old_value, wanted_value, state",
    "conflict": "entity, field, rule, state, source, value, winner_source, winner_value, run_no, closed_run",
    "finding": "entity, rule, field, severity, state, run_no, closed_run",
    "quarantine": "entity, rule, field, severity, state, run_no, closed_run",
    "supplement_row": "file_no, row_no, state",
    "outbox": "seq, state, rows_i, rows_u, rows_d",
    "run": "run_no, kind, today, state",
}


@dataclass
class Life:
    """A laboratory over one province store, its sources, and how to write a sheet."""

    lab: Lab
    sources: Path
    store: Store
    catalog: Catalog

    def round(self, today: str) -> list[str]:
        """Settle, publish, deliver, take in, hear; the verdicts that came."""
        at, node = AT + timedelta(days=int(today[-2:])), self.lab.province
        options = Options(today=today, judge=False, at=on_day(today, at))  # Great Expectations asks no database
        run_round(node, options, nonce=lambda: os.urandom(32).hex())
        publish_pending(node, at=at, rng=os.urandom)
        deliver(node, at=at)
        run_intake(self.lab.ministry, at=at)
        return [str(r.verdict) for r in listen(node, at=at).receipts]

    def acting(self, who: Any) -> Acting:
        return Acting(NODE, who, AT, FIRST_DAY)

    def decide(self, number: int, what: Move, who: Any) -> None:
        (row,) = [r for r in self.table("decision", "decision_no, version") if r[0] == number]
        act(self.store, self.acting(who), number, what, version=row[1])

    def table(self, name: str, columns: str) -> list[tuple[Any, ...]]:
        with self.store.reading() as reader:
            found = reader.connection.execute(sa.text(f"SELECT {columns} FROM {name}"))
            return sorted((tuple(r) for r in found), key=repr)


@pytest.fixture(params=["sqlite", "oracle"])
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Life]:
    if not URL:
        pytest.skip(ABSENT)
    sources, catalog = tmp_path / "src", load_catalog()
    write(province(), sources, dictionaries=True)
    with ExitStack() as stack:
        url = stack.enter_context(oracle_schema()) if request.param == "oracle" else None
        lab = init_lab(tmp_path / "lab", sources=sources, province=NODE, province_db=url, at=AT, rng=os.urandom)
        store = open_store(lab.province.database_url, catalog)
        stack.callback(store.close)
        yield Life(lab, sources, store, catalog)


_ends: dict[str, dict[str, list[tuple[Any, ...]]]] = {}


def test_a_provinces_life_is_the_same_whatever_its_database(
    life: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert life.round(FIRST_DAY) == ["APPLIED"]
    _supplement(life, tmp_path)
    assert life.round(FIRST_DAY) == ["APPLIED"]
    _decide(life)
    _correct_source(life)
    assert life.round(SECOND_DAY) == ["APPLIED"]
    assert life.round(SECOND_DAY) == [], "nothing changed, so nothing travels"
    assert audit_holds(life.lab.province)
    _tiers_hold_the_same(life)
    assert {r[4] for r in life.table("correction", COMPARED["correction"])} == {"02"}
    end = {n: life.table(n, c) for n, c in COMPARED.items()} | {"versions": _asked_of_the_past(life, capsys)}
    _ends[life.store.where.partition("：")[0]] = end
    for end in _ends.values():
        assert end == next(iter(_ends.values()))


def _supplement(life: Life, folder: Path) -> None:
    """A school fills two gaps and contradicts the platform once; a second person approves."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "sheet1"
    for row in (STUDENT, student_line(GAP, MZM="02"), student_line(NO_CLASS)):
        sheet.append(row)
    path = folder / f"学生_{GAP.xs['XXDM']}.xlsx"
    book.save(path)
    taken = import_file(life.store, life.catalog, path, node=NODE, operator="张三", at=AT, today=FIRST_DAY)
    assert (taken.waiting, taken.wrong) == (2, 0)
    approved = review(life.store, life.catalog, 1, approve=True, node=NODE, reviewer="李四", at=AT)
    assert approved.rows == 2


def _decide(life: Life) -> None:
    """Against the platform, by two people: asked of the platform. In bulk, what waits goes by the rule."""
    (number,) = [r[0] for r in life.table("decision", "decision_no, field") if r[1] == "MZM"]
    life.decide(number, Move(Action.REOPEN, "R31"), SUPERVISOR)
    life.decide(number, Move(Action.PROPOSE, "R01", "已核实", Proposal(Kind.ADOPT, "L", "02")), CLERK)
    life.decide(number, Move(Action.SUBMIT), CLERK)
    life.decide(number, Move(Action.APPROVE), REVIEWER)
    order = Order(Filter(state=("待处理",)), Bulk.BY_RULE, "R03", "按权威源统一处理")
    with life.store.reading() as reader:
        seen = preview(reader, life.acting(CLERK), order)
    apply(life.store, life.acting(CLERK), order, seen.token)


def _correct_source(life: Life) -> None:
    """The platform takes over what it was asked for."""
    with sqlite3.connect(life.sources / "s1.db") as con:
        done = con.execute(
            "UPDATE XS_JBXX SET MZM = '02', GXSJ = ? WHERE GRBSM = ?", [f"{SECOND_DAY} 08:00:00", GAP.xs["GRBSM"]]
        )
        assert done.rowcount == 1
    con.close()


def _asked_of_the_past(life: Life, capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    """The versions of the pupil who was put right; told alike as they lie, archived, and brought back."""
    (number,) = [r[0] for r in life.table("g_xs", "pk, grbsm") if r[1] == GAP.xs["GRBSM"]]
    node = life.lab.province

    def told(*how: str) -> list[dict[str, Any]]:
        code, out, err = call(capsys, "--node", node.folder, "--json", "records", "show", "xs", number, *how)
        assert code == 0, err
        rows: list[dict[str, Any]] = json.loads(out)["rows"]
        return rows

    def versions(*how: str) -> list[tuple[Any, ...]]:
        return [tuple(r[n] for n in ("row_ver", "MZM", "held_from", "held_to", "ended")) for r in told(*how)]

    days = [(AT + timedelta(days=int(d[-2:]))).date().isoformat() for d in (FIRST_DAY, SECOND_DAY)]
    questions: list[tuple[str, ...]] = [("--history",), *(("--as-of", d) for d in days), ("--as-of", "2020-01-01")]
    before = [versions(*q) for q in questions]
    history, first, second, never = before
    assert (len(history) > 1, len(first), len(second), never) == (True, 1, 1, [])
    assert (first[0] != second[0], {*first, *second} <= {*history}) == (True, True)
    later = AT + timedelta(days=40)
    moved = archive_versions(
        life.store, life.catalog, node.archive, before=later, at=later, party=NODE, actor="os:test"
    )
    assert moved.rows == sum(e.rows_kept for e in moved.entries) > 0
    assert {r["place"] for r in told("--history") if r["ended"]} == {"归档"}
    assert [versions(*q) for q in questions] == before
    (year,) = {e.held_year for e in moved.entries}
    code, _, err = call(capsys, "--node", node.folder, "--json", "archive", "restore", "--year", year)
    assert code == 0, err
    assert {r["place"] for r in told("--history") if r["ended"]} == {"历史表"}
    assert [versions(*q) for q in questions] == before
    assert audit_holds(node)
    return history


def _tiers_hold_the_same(life: Life) -> None:
    there = open_store(life.lab.ministry.database_url, life.catalog)
    try:
        for entity in life.catalog.entities.values():
            assert life.store.digest(entity, NODE) == there.digest(entity, NODE), entity.name
        assert sum(there.count(e, NODE) for e in life.catalog.entities.values()) > 20
    finally:
        there.close()
