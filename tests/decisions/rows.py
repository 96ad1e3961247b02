"""Conflicts as a round leaves them in the store, and a person at work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hub.roles import Operator
from hub.store import Store
from hub.store.decision_tables import DECISION
from hub.store.ledger import CONFLICT
from quality.decisions import Action, Kind, Move, Proposal, State, Step
from quality.decisions_query import marker
from quality.decisions_store import Acting, act

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TODAY = "2026-11-23"
NODE = "13"
OWN = Proposal(Kind.ADOPT, "S1", "01")
LOCAL = Proposal(Kind.ADOPT, "L", "02")


def acting(by: Operator, today: str = TODAY) -> Acting:
    return Acting(NODE, by, AT, today)


def planted(store: Store, number: int, **changes: Any) -> int:
    """A conflict over a nationality: the platform says 01, the school's supplement 02."""
    decision = {
        "decision_no": number, "subject": f"subject{number}", "entity": "xs", "pk": f"{number:020d}",
        "natural_key": f"key{number}", "field": "MZM", "school": "3613000001", "division": "130602", "state": "待处理",
        "cause": "来源不一致", "version": 1, "stamp": 0, "events": 0, "round_no": 1, "open_rows": 1, "waiting": 1,
        "authority": "S1", "authority_ok": "1", "authority_value": "01", "suggest_source": "S1", "suggest_value": "01",
        "effect": "0",
    }  # fmt: skip
    row = {
        "conflict_no": number, "decision_no": number, "entity": "xs", "field": "MZM", "state": "已由权威源定值",
        "source": "L", "value": "02", "winner_source": "S1", "winner_value": "01", "run_no": 1,
    }  # fmt: skip
    with store.begin() as tx:
        tx.connection.execute(sa.insert(DECISION), marked(decision | changes))
        tx.connection.execute(sa.insert(CONFLICT), row)
    return number


def marked(row: dict[str, Any]) -> dict[str, Any]:
    """With the marker that stands beside its state."""
    return row | {"closed": marker(State(row["state"]))}


def wrongly_marked(store: Store) -> list[int]:
    """Conflicts whose marker is not that of their state: a list of open ones would hide or show them."""
    return [r["decision_no"] for r in table(store, "decision") if r["closed"] != marker(State(r["state"]))]


def table(store: Store, name: str, order: str = "1") -> list[dict[str, Any]]:
    with store.reading() as reader:
        return [
            dict(r) for r in reader.connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY {order}")).mappings()
        ]


def decision(store: Store, number: int) -> Mapping[str, Any]:
    return next(r for r in table(store, "decision") if r["decision_no"] == number)


def move(store: Store, number: int, what: Move, by: Operator, *, version: int | None = None) -> Step:
    seen = int(decision(store, number)["version"]) if version is None else version
    return act(store, acting(by), number, what, version=seen)


def proposed(store: Store, number: int, proposal: Proposal, by: Operator) -> None:
    """Proposed and submitted: 待复核."""
    move(store, number, Move(Action.PROPOSE, "R01", "已核实", proposal), by)
    move(store, number, Move(Action.SUBMIT), by)
