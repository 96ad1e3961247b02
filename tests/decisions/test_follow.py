"""The set-based follow-up of a round says of every conflict what the values say."""

from __future__ import annotations

import itertools
from typing import Any

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store import Store
from hub.store.decision_tables import CORRECTION, DECISION
from hub.store.ledger import CONFLICT
from quality.decisions import State
from quality.decisions_follow import HUB, Pulled, follow_round
from quality.decisions_pull import Pull, follow
from quality.decisions_store import Acting, as_value
from tests.decisions.rows import AT, NODE, TODAY, marked, table

RUN = 5
SITUATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("waiting", {"state": "待处理", "cause": "来源不一致"}),
    ("proposed", {"state": "已提议", "cause": "来源不一致", "kind": "手工值", "chosen_value": "03", "proposer": "p1"}),
    ("in review", {"state": "待复核", "cause": "来源不一致", "kind": "手工值", "chosen_value": "03", "proposer": "p1"}),
    ("postponed", {"state": "暂缓", "cause": "来源不一致", "state_before": "待处理", "until": "2026-12-31"}),
    ("due again", {"state": "暂缓", "cause": "来源不一致", "state_before": "待复核", "until": TODAY, "kind": "手工值",
                   "chosen_value": "03", "proposer": "p1"}),
    ("in effect", {"state": "已生效", "cause": "复核通过", "kind": "采用来源值", "chosen_source": "S1",
                   "chosen_value": "01", "proposer": "p1", "reviewer": "p2", "effect": "1"}),
    ("by authority", {"state": "已生效", "cause": "已由权威源定值"}),
    ("agreed", {"state": "已生效", "cause": "各源已一致"}),
    ("returned", {"state": "退回源头平台", "cause": "等待源头更新", "kind": "手工值", "chosen_value": "02",
                  "proposer": "p1", "reviewer": "p2"}),
    ("sent back", {"state": "退回源头平台", "cause": "等待源头更新", "kind": "退回源头平台", "proposer": "p1",
                   "reviewer": "p2"}),
    ("confirmed", {"state": "已生效", "cause": "源头已更新", "kind": "手工值", "chosen_value": "02", "proposer": "p1",
                   "reviewer": "p2"}),
    ("put right", {"state": "已生效", "cause": "源头已更新", "kind": "退回源头平台", "proposer": "p1",
                   "reviewer": "p2"}),
)  # fmt: skip
# What stands after the round: no row, a recorded one, one that waits; and whether the round opened or closed any.
ROWS = ("none", "recorded", "waiting")
GOLDEN = (None, "S01", "S02", "S09", "P02")


def test_the_round_and_the_values_agree_on_every_situation(store: Store, catalog: Catalog) -> None:
    cases = [c for c in itertools.product(SITUATIONS, ROWS, (True, False), (0, 1), GOLDEN) if c[2] or c[1] != "none"]
    expected = {}
    with store.begin() as tx:
        tx._dialect.make_part(tx.connection, tx.golden("xs"), NODE)
        for number, ((_, held), rows, moved, waited, golden) in enumerate(cases, start=1):
            row = _plant(tx, number, held, rows, moved, waited, golden)
            pull = _pull(row, rows, moved, waited, golden)
            expected[number] = follow(as_value(row, []), pull, today=TODAY)
    acting = Acting(NODE, HUB, AT, TODAY)
    with store.begin() as tx:
        done = follow_round(tx, acting, Pulled(RUN, 9, TODAY, "变更集 9"), catalog)
    assert done.opened == 0
    assert sum(done.causes.values()) > 50
    names = {n: (c[0][0], *c[1:]) for n, c in enumerate(cases, start=1)}
    for row in table(store, "decision", "decision_no"):
        want = expected[row["decision_no"]]
        got = as_value(row, [])
        shown = names[row["decision_no"]]
        for name in (
            "state",
            "cause",
            "version",
            "effect",
            "proposer",
            "reviewer",
            "proposal",
            "state_before",
            "until",
        ):
            assert getattr(got, name) == getattr(want, name), (shown, name, got, want)
    for run in (RUN + 1, RUN + 2):
        before = table(store, "decision", "decision_no")
        with store.begin() as tx:
            assert follow_round(tx, acting, Pulled(run, run + 4, TODAY, f"变更集 {run + 4}"), catalog).moved == 0
    assert table(store, "decision", "decision_no") == before, "idle rounds went on moving conflicts"


def _plant(tx: Any, number: int, held: dict[str, Any], rows: str, moved: bool, waited: int, golden: str | None) -> Any:
    row = {
        "decision_no": number, "subject": f"s{number}", "entity": "xs", "pk": f"{number:020d}", "field": "MZM",
        "version": 4, "stamp": 1, "events": 3, "round_no": 1, "open_rows": 1, "waiting": waited, "authority": "S1",
        "effect": "0", "kind": None, "chosen_source": None, "chosen_value": None, "proposer": None, "reviewer": None,
        "state_before": None, "until": None, "clash": None, "assignee": None, "due": None, "changed_at": "",
        **held,
    }  # fmt: skip
    if not moved:
        row["waiting"] = 1 if rows == "waiting" else 0
    tx.connection.execute(sa.insert(DECISION), marked(row))
    if rows != "none":
        said = {
            "conflict_no": number * 2, "decision_no": number, "entity": "xs", "field": "MZM", "source": "L",
            "state": "待处理" if rows == "waiting" else "已由权威源定值", "value": "02", "winner_source": "S1",
            "winner_value": "01", "run_no": RUN if moved else 1,
        }  # fmt: skip
        tx.connection.execute(sa.insert(CONFLICT), said)
    elif moved:
        gone = {"conflict_no": number * 2, "decision_no": number, "run_no": 1, "closed_run": RUN, "source": "L"}
        tx.connection.execute(sa.insert(CONFLICT), gone)
    if golden:
        columns = tx.golden("xs").c
        prov = "".join(golden[0] if c.name == "mzm" else "S" for c in list(columns)[5:])
        tx.connection.execute(
            sa.insert(tx.golden("xs")),
            {"node": NODE, "pk": row["pk"], "row_ver": 1, "prov": prov, "mzm": golden[1:]},
        )
    if row["kind"] and row["state"] in ("退回源头平台", "已生效"):
        asked = {
            "correction_no": number, "decision_no": number, "round_no": 1, "system": "S1", "old_value": "01",
            "wanted_value": row["chosen_value"], "state": "已确认" if row["cause"] == "源头已更新" else "待源头确认",
        }  # fmt: skip
        tx.connection.execute(sa.insert(CORRECTION), asked)
    return row


def _pull(row: Any, rows: str, moved: bool, waited: int, golden: str | None) -> Pull:
    told = golden is not None and golden[0] == "S"
    asked = row["kind"] and (row["state"] == str(State.RETURNED) or row["cause"] == "源头已更新")
    value = golden[1:] if golden else None
    return Pull(
        moved=moved,
        open_rows=0 if rows == "none" else 1,
        waiting=1 if rows == "waiting" else 0,
        waited=row["waiting"] if moved else 0,
        confirmed=bool(asked and told and value == row["chosen_value"]),
        contradicted=bool(asked and told and row["chosen_value"] and value != row["chosen_value"]),
        old_value=bool(asked and ((moved and rows != "none") or (told and value == "01"))),
        gone=golden is None,
    )
