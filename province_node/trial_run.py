"""Trying a rule that speaks of rounds and batches (JS01, JS04, JS06) over what the node remembers of them.

Decides nothing of its own: the same comparisons as a round makes (`province_node.findings`), as of a moment given, over
when each platform was last read, the batches that wait for a verdict, and the last change of the number of students.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import duckdb

from hub.catalog import Catalog, Rule
from hub.errors import NotInitialisedError
from hub.settings import Node
from hub.store import open_store
from province_node.findings import hours_since_read, overdue_batches, swings, undecided_batches
from province_node.state import meta

# What was asked, and the subjects that break the rule: a platform, a batch, the students.
Found = tuple[int, tuple[str, ...]]


def run_hits(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, rule: Rule, at: dt.datetime) -> Found:
    """(how many platforms, batches or totals were asked, which of them break the rule as of `at`, aware)."""
    return _RULES[rule.id](con, node, catalog, rule, at)


def _late(con: duckdb.DuckDBPyConnection, _node: Node, catalog: Catalog, rule: Rule, at: dt.datetime) -> Found:
    hours = {s: hours_since_read(con, s, at) for s in catalog.systems}
    known = {s: h for s, h in hours.items() if h is not None}
    return len(known), tuple(s for s, h in known.items() if h > rule.number("hours"))


def _unanswered(_con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, rule: Rule, at: dt.datetime) -> Found:
    store = open_store(node.database_url, catalog)
    try:
        with store.reading() as reader:
            asked = undecided_batches(reader.connection)
            return asked, tuple(sorted(overdue_batches(reader.connection, rule, at)))
    except NotInitialisedError:
        return 0, ()
    finally:
        store.close()


def _volume(con: duckdb.DuckDBPyConnection, _node: Node, _catalog: Catalog, rule: Rule, at: dt.datetime) -> Found:
    base, last, day = (meta(con, f"volume.{n}") for n in ("base", "last", "day"))
    if base is None or last is None:
        return 0, ()
    month = int(day[5:7]) if day else at.month
    return 1, ("xs",) if swings(rule, int(base), int(last), month) else ()


_RULES: Mapping[str, Callable[[duckdb.DuckDBPyConnection, Node, Catalog, Rule, dt.datetime], Found]] = {
    "JS01": _late,
    "JS04": _unanswered,
    "JS06": _volume,
}
