"""The same results as the queue's, by bare SQL on the same tables in the same run: what the figures are set against.

No scope, no preview, no chunks, no audit record, no version asked: one statement each, as one would type it. What the
code of the product takes longer is the price of those.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.store import Store
from quality.decisions_query import FACETS
from tests.bench.place import timed

_SET = (
    "state = '待复核', cause = '来源不一致', kind = '采用来源值', chosen_source = suggest_source, "
    "chosen_value = suggest_value, proposer = 'p3', proposed_at = changed_at, reviewer = NULL, reason = 'R03', "
    "note = '按权威源统一处理', op_no = '20261123-99999', version = version + 1, events = events + 1, stamp = stamp + 1"
)
_EVENT = (
    "decision_no, event_no, round_no, version, action, from_state, to_state, cause, person, actor, role, kind, "
    "chosen_source, chosen_value, reason, note, op_no, ts"
)
_SAID = (
    "decision_no, events, round_no, version, '提议并提交', '待处理', state, cause, proposer, 'clerk', '业务员', kind, "
    "chosen_source, chosen_value, reason, note, op_no, changed_at"
)


def raw_reads(store: Store, conflicts: int) -> dict[str, float]:
    """Seconds of the first and the last page, the count, and one GROUP BY per facet."""
    rows = "SELECT * FROM decision WHERE state = '待处理' ORDER BY decision_no"
    statements = {
        "first page": [f"{rows} LIMIT 50"],
        "last page": [f"{rows} DESC LIMIT 50"],
        "count": ["SELECT count(*) FROM decision WHERE state = '待处理'"],
        "all facets": [f"SELECT {name}, count(*) FROM decision GROUP BY {name}" for name in FACETS],
    }
    with store.reading() as reader:
        assert reader.connection.execute(sa.text(statements["count"][0])).scalar_one() == conflicts

        def ask(name: str) -> None:
            for sql in statements[name]:
                reader.connection.execute(sa.text(sql)).all()

        return {name: round(timed(lambda name=name: ask(name)), 2) for name in statements}  # type: ignore[misc]


def raw_write(store: Store, conflicts: int) -> float:
    """Seconds in which every row takes a proposal and a row of history: one UPDATE, one INSERT … SELECT, one commit."""

    def write() -> None:
        with store.begin() as tx:
            assert tx.connection.execute(sa.text(f"UPDATE decision SET {_SET}")).rowcount == conflicts
            tx.connection.execute(sa.text(f"INSERT INTO decision_event ({_EVENT}) SELECT {_SAID} FROM decision"))

    return round(timed(write), 2)
