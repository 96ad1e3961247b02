"""Every planted case of the sample ends where its answer key says, on day 1 and, incrementally, on day 2."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from hub.catalog import load_catalog
from hub.settings import Node
from province_node.settle import Round
from tests.settling.province import golden, look, make_node, settle_day, sources

STUDENTS = 3000
CATALOG = load_catalog()


class Outcome:
    """Looks records up in the settling state by natural key."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    def golden(self, entity: str, key: dict[str, str]) -> list[dict[str, Any]]:
        where = " AND ".join(f"{k}::VARCHAR = ?" for k in key)
        found = self.con.execute(f"SELECT * FROM g_{entity} WHERE {where}", list(key.values()))
        names = [d[0] for d in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def issues(self, entity: str, key: dict[str, str]) -> list[tuple[str, str, str]]:
        """(rule, field, state) of the open reasons of a record."""
        joined = "|".join(str(key.get(k, "")) for k in CATALOG.entities[entity].key)
        return self.con.execute(
            "SELECT rule, field, state FROM known_issue WHERE entity = ? AND natural_key = ?", [entity, joined]
        ).fetchall()

    def noted(self, entity: str, key: dict[str, str]) -> set[str]:
        """Rules that a standing record breaks without being kept out."""
        joined = "|".join(str(key.get(k, "")) for k in CATALOG.entities[entity].key)
        found = self.con.execute(
            "SELECT rule FROM known_finding WHERE entity = ? AND natural_key = ?", [entity, joined]
        ).fetchall()
        return {r[0] for r in found}

    def conflicts(self, entity: str, key: dict[str, str]) -> list[tuple[str, str, str | None, str | None]]:
        """(field, state, value, winner value) of the open disagreements of a record."""
        joined = "|".join(str(key.get(k, "")) for k in CATALOG.entities[entity].key)
        return self.con.execute(
            "SELECT field, state, value, winner_value FROM known_disagreement WHERE entity = ? AND natural_key = ?",
            [entity, joined],
        ).fetchall()


def problems(case: dict[str, Any], look_up: Outcome) -> str:
    """What is wrong with a case's outcome, in words; empty when it is as expected."""
    entity, key, expected = case["entity"], case["key"], case["expected"]
    outcome = expected["outcome"]
    if outcome == "conflict":
        return _conflict(case, look_up)
    if outcome == "review":
        waiting = look_up.con.execute("SELECT count(*) FROM known_issue WHERE rule = '待复核'").fetchone()
        return "" if waiting and waiting[0] else "nothing waits for review"
    rows, issues = look_up.golden(entity, key), look_up.issues(entity, key)
    if outcome in ("golden", "duplicate"):
        if len(rows) != 1:
            return f"{len(rows)} golden rows, issues {issues}"
        if "golden_value" in expected and str(rows[0][expected["field"]]) != str(expected["golden_value"]):
            return f"golden {expected['field']} differs from the answer"
        if (
            outcome == "golden"
            and "golden_value" not in expected
            and "field" in expected
            and rows[0][expected["field"]]
        ):
            return f"golden {expected['field']} is not empty"
        if outcome == "golden" and expected.get("rule") and expected["rule"] not in look_up.noted(entity, key):
            return f"{expected['rule']} notes nothing of it"
        return ""
    if rows and outcome in ("cancelled", "rejected", "deleted"):
        return "is golden"
    if outcome in ("cancelled", "deleted"):
        return ""
    state = {"quarantine": "隔离", "held": "挂起", "rejected": "挂起"}[outcome]
    found = [(r, f) for r, f, s in issues if s == state or (expected.get("or") and s == "隔离")]
    if rows and expected.get("prior") != "stays":
        return f"is golden, issues {issues}"
    if not found:
        return f"no {state} reason, issues {issues}"
    if expected.get("rule") and expected["rule"] not in {r for r, _ in found}:
        return f"rule {expected['rule']} not among {found}"
    if outcome == "quarantine" and expected.get("field") and expected["field"] not in {f for _, f in found}:
        return f"field {expected['field']} not among {found}"
    if expected.get("conflict") and not look_up.conflicts(entity, key):
        return "no conflict names it"
    return ""


def _conflict(case: dict[str, Any], look_up: Outcome) -> str:
    expected, key = case["expected"], dict(case["key"])
    if case["kind"].startswith("crosswalk"):
        row = look_up.con.execute(
            "SELECT count(*) FROM known_disagreement WHERE entity = 'xx' AND field = 'JXXDM' AND value = ? "
            "AND state = '待处理'",
            [key["JXXDM"]],
        ).fetchone()
        return "" if row and row[0] else "no conflict over the unconfirmed code"
    found = [
        c for c in look_up.conflicts(case["entity"], key) if c[0] == expected["field"] and c[1] == expected["state"]
    ]
    if not found:
        return f"no conflict over {expected['field']}: {look_up.conflicts(case['entity'], key)}"
    if "losing_value" in expected and expected["losing_value"] not in {v for _, _, v, _ in found}:
        return "the losing value was not kept"
    if "golden_value" in expected:
        rows = look_up.golden(case["entity"], key)
        if len(rows) != 1 or str(rows[0][expected["field"]]) != str(expected["golden_value"]):
            return "the authority's value did not win"
    return ""


@pytest.fixture(scope="module")
def two_days(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Node, list[dict[str, Any]], list[Round], list[list[str]]]:
    """Day 1 settled, looked at; day 2 laid over the same files, settled incrementally, looked at."""
    folder = tmp_path_factory.mktemp("province")
    node = make_node(folder / "node", folder / "src")
    answers, rounds, wrong, noted = [], [], [], set[tuple[str, ...]]()
    for day in (1, 2):
        answers.append(sources(folder / "src", students=STUDENTS, day=day))
        rounds.append(settle_day(node, day))
        with look(node) as con:
            look_up = Outcome(con)
            if day == 1:
                noted |= set(con.execute("SELECT rule, entity, field, natural_key FROM known_finding").fetchall())
            wrong.append(
                [
                    f"{c['id']} {c['entity']}: {w}"
                    for c in answers[-1]["cases"]
                    if c["day"] == day and (w := problems(c, look_up))
                ]
            )
    answers[0]["found"] = noted
    return node, answers, rounds, wrong


def test_the_rules_that_do_not_block_find_exactly_what_the_answer_key_lists(two_days: Any) -> None:
    _, answers, _, _ = two_days
    listed = {
        (f["rule"], f["entity"], f["field"], "|".join(str(f["key"][k]) for k in CATALOG.entities[f["entity"]].key))
        for f in answers[0]["findings"]
    }
    assert {rule for rule, *_ in listed} >= {"WY04", "YX06", "YX19", "YZ04", "WZ09"}
    assert sorted(answers[0]["found"] - listed) == []
    assert sorted(listed - answers[0]["found"]) == []


def test_every_planted_case_of_the_first_day_ends_where_the_answer_key_says(two_days: Any) -> None:
    _, answers, _, wrong = two_days
    assert len(answers[0]["cases"]) > 500
    assert wrong[0] == []


def test_every_planted_case_of_the_second_day_ends_where_the_answer_key_says(two_days: Any) -> None:
    _, answers, _, wrong = two_days
    assert sum(c["day"] == 2 for c in answers[1]["cases"]) > 50
    assert wrong[1] == []


@pytest.mark.parametrize("day", [1, 2])
def test_golden_rows_are_as_many_as_the_generator_counted(two_days: Any, day: int) -> None:
    _, answers, rounds, _ = two_days
    stock: dict[str, int] = dict.fromkeys(CATALOG.entities, 0)
    for done in rounds[:day]:
        for name, balance in done.settled.balance.items():
            stock[name] += balance.inserted - balance.deleted
    assert stock == answers[day - 1]["totals"]["golden"][f"day{day}"]


def test_the_second_day_is_settled_incrementally_and_balances(two_days: Any) -> None:
    _, _, rounds, _ = two_days
    assert rounds[0].whole
    assert not rounds[1].whole
    assert all(b.holds() for r in rounds for b in r.settled.balance.values())
    assert rounds[1].settled.changes.counts.rows < rounds[0].settled.changes.counts.rows / 5


def test_the_incremental_day_equals_a_full_comparison_of_the_same_day(two_days: Any) -> None:
    node, _, _, _ = two_days
    before = golden(node)
    again = settle_day(node, 2, full=True)
    assert golden(node) == before
    assert again.settled.changes.counts.rows == 0
