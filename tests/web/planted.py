"""Conflicts over values of real students, planted beside those a round found: enough to filter, page and decide."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hub.store import Store
from hub.store.case_tables import CASE_NOTICE
from hub.store.decision_tables import DECISION
from hub.store.ledger import CONFLICT

MOMENT = "2026-11-23T06:00:00.000Z"


def plant(store: Store, *, nations: int = 24, identities: int = 3) -> dict[str, list[int]]:
    """Numbers of conflicts by field: 民族码 (platform against supplement), 身份证件号 (masked alike)."""
    found: dict[str, list[int]] = {"MZM": [], "SFZJH": []}
    with store.begin() as tx:
        xs, xx = tx.golden("xs"), tx.golden("xx")
        divisions = {
            str(code): str(place) for code, place in tx.connection.execute(sa.select(xx.c.xxdm, xx.c.xzqhm)).all()
        }
        rows = tx.connection.execute(_people(xs).limit(nations + identities)).mappings().all()
        number = int(tx.connection.execute(sa.select(sa.func.max(CONFLICT.c.conflict_no))).scalar_one())
        for at, row in enumerate(rows):
            number += 1
            field = "MZM" if at < nations else "SFZJH"
            own = str(row[field.lower()])
            other = ("02" if own != "02" else "03") if field == "MZM" else own[:8] + str(9 - int(own[8])) + own[9:]
            found[field].append(number)
            _insert(tx.connection, number, dict(row), field, own, other, divisions)
    return found


def _people(xs: sa.Table) -> sa.Select[Any]:
    """Students whose 学籍号 embeds their identity number, in an order that is the same for every run."""
    return sa.select(xs).where(xs.c.grbsm.like("G%"), sa.func.length(xs.c.sfzjh) == 18).order_by(xs.c.xh, xs.c.grbsm)


def plant_case(store: Store) -> int:
    """A case of the ministry as the stream `case` leaves it in the queue; its number."""
    number = 900_000_001
    with store.begin() as tx:
        xs = tx.golden("xs")
        row = tx.connection.execute(_people(xs).offset(100).limit(1)).mappings().one()
        tx.connection.execute(
            sa.insert(DECISION),
            {
                "decision_no": number, "subject": "case:C00000001", "entity": "xs", "pk": row["pk"], "field": "SFZJH",
                "natural_key": row["grbsm"], "rule": "WY03", "clash": "C00000001", "school": row["xxdm"],
                "state": "待处理", "cause": "部级核查", "version": 1, "stamp": 0, "events": 0, "round_no": 1,
                "open_rows": 1, "waiting": 1, "authority": "S1", "effect": "0", "due": "2026-12-10",
                "changed_at": MOMENT,
            },
        )  # fmt: skip
        tx.connection.execute(
            sa.insert(CASE_NOTICE),
            {
                "case_no": "C00000001", "decision_no": number, "round_no": 1, "last_no": 1, "reminders": 1, "stage": 1,
                "pk": row["pk"], "counterpart": "32", "schools": "3632000101", "state": "处理中", "due": "2026-12-10",
                "batch_id": "moe-down-case-e0001-s0000000001", "received_at": MOMENT,
            },
        )  # fmt: skip
    return number


def _insert(
    connection: Any, number: int, row: dict[str, Any], field: str, own: str, other: str, divisions: dict[str, str]
) -> None:
    same = {
        "decision_no": number, "subject": f"planted{number}", "entity": "xs", "pk": row["pk"], "field": field,
        "natural_key": row["grbsm"], "school": row["xxdm"], "division": divisions[row["xxdm"]],
    }  # fmt: skip
    connection.execute(
        sa.insert(DECISION),
        {
            **same, "state": "待处理", "cause": "来源不一致", "version": 1, "stamp": 0, "events": 0, "round_no": 1,
            "open_rows": 1, "waiting": 1, "authority": "S1", "authority_ok": "1", "authority_value": own,
            "suggest_source": "S1", "suggest_value": own, "effect": "0", "opened_run": 1, "changed_at": MOMENT,
            "due": ("2026-11-20", "2026-12-05", None)[number % 3],
        },
    )  # fmt: skip
    connection.execute(
        sa.insert(CONFLICT),
        {
            **same, "conflict_no": number, "state": "已由权威源定值", "source": "L", "value": other,
            "winner_source": "S1", "winner_value": own, "src_rid": f"1:{number}", "run_no": 1,
        },
    )  # fmt: skip
