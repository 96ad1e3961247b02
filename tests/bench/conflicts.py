"""`python -m tests.bench.conflicts`: a million open conflicts listed and decided in bulk, on SQLite and PostgreSQL.

python -m tests.bench.conflicts [--conflicts 100000 1000000] [--only sqlite|postgresql]

Figures in seconds: founding (the round that opens them all), a quiet round after it, first and last page, a jump,
orders, facets, the console's pages, preview, bulk apply, approve and undo. Each figure is the code that console and
command line call; nothing is prepared for it. `raw` are bare statements of the same result in the same run, and
`ratios` what the product takes beside them (`tests.bench.conflict_raw`).

A million, on two quiet processors (a bare UPDATE and INSERT of the same rows took 4 s on SQLite, 10 s on PostgreSQL):
propose 5 and 13 s, undo 5 and 14 s, approve with a million corrections 11 and 19 s, list page 0.5 and 0.4 s, all facets
2.3 s on both (bare: 1.8 and 1.3). Hence the page carries a bulk out beside itself and shows its progress.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.roles import Grant, Operator, Scope
from hub.store import Store, open_store
from quality.decisions_apply import apply, undo
from quality.decisions_bulk import Bulk, Order, preview
from quality.decisions_follow import HUB, Pulled, follow_round
from quality.decisions_list import Seek, Sort, listing
from quality.decisions_query import Filter, count, facets
from quality.decisions_store import Acting
from tests.bench.conflict_pages import page_seconds
from tests.bench.conflict_raw import raw_reads, raw_write
from tests.servers import start_postgres

TODAY, NODE = "2026-11-23", "13"
AT = datetime(2026, 11, 23, tzinfo=UTC)
CLERK = Operator("clerk", "p1", (Grant("业务员", Scope(frozenset({"130000"}))),))
REVIEWER = Operator("reviewer", "p2", (Grant("数据复核员"),))
BLOCK = 100_000
FIELDS = ("MZM", "ZZMMM", "HYZKM", "CSDM")


def main() -> None:
    """Runs both databases and prints one JSON line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.conflicts")
    parser.add_argument("--conflicts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    for conflicts in options.conflicts:
        if options.only != "postgresql":
            with TemporaryDirectory() as folder:
                _tell("sqlite", measure(f"sqlite:///{Path(folder) / 'node.db'}", conflicts))
        if options.only != "sqlite":
            server = start_postgres()
            try:
                _tell("postgresql", measure(server.create_database("bench_conflicts"), conflicts))
            finally:
                server.stop()


def _tell(name: str, figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"store": name, **figures}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def measure(url: str, conflicts: int) -> dict[str, Any]:
    """Seconds per step."""
    catalog = load_catalog()
    store = open_store(url, catalog)
    store.upgrade()
    figures: dict[str, Any] = {"conflicts": conflicts}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        figures[name] = round(time.perf_counter() - start, 2)
        return result

    def by(who: Operator) -> Acting:
        return Acting(NODE, who, AT, TODAY)

    def follow(run: int) -> Any:
        with store.begin() as tx:
            return follow_round(tx, by(HUB), Pulled(run, run, TODAY, f"变更集 {run}"), catalog)

    timed("write losing values", lambda: _write(store, conflicts))
    assert timed("found all", lambda: follow(1)).opened == conflicts
    timed("quiet round", lambda: follow(2))
    _list(store, timed, conflicts)
    raw = raw_reads(store, conflicts)
    figures |= page_seconds(url, conflicts)
    order = Order(Filter(entity=("xs",)), Bulk.BY_RULE, "R03", "按权威源统一处理")
    seen = timed("preview", lambda: _preview(store, by(CLERK), order))
    assert seen.able == conflicts
    done = timed("bulk propose", lambda: apply(store, by(CLERK), order, seen.token))
    assert (done.done, done.missed) == (conflicts, 0)
    assert timed("undo", lambda: undo(store, by(CLERK), done.op_no)).done == conflicts
    again = apply(store, by(CLERK), order, _preview(store, by(CLERK), order).token)
    review = Order(Filter(op_no=(again.op_no,)), Bulk.APPROVE, "", "批量复核")
    seen = timed("preview review", lambda: _preview(store, by(REVIEWER), review))
    assert timed("bulk approve", lambda: apply(store, by(REVIEWER), review, seen.token)).done == conflicts
    raw["bulk"] = raw_write(store, conflicts)
    store.close()
    return {**figures, "raw": raw, "ratios": ratios(figures, raw)}


def ratios(figures: dict[str, Any], raw: dict[str, float]) -> dict[str, float]:
    """Each figure over its bare statement. A page is set against its rows and the count of the list."""
    beside = {
        **{name: raw[name] for name in ("first page", "last page", "count", "all facets")},
        **dict.fromkeys(("bulk propose", "undo", "bulk approve"), raw["bulk"]),
        "page: list": raw["count"] + raw["first page"],
        "page: last page": raw["count"] + raw["last page"],
        "page: facets": raw["all facets"],
        "preview": raw["count"],
    }
    return {name: round(figures[name] / max(bare, 0.01), 2) for name, bare in beside.items()}


def _preview(store: Store, acting: Acting, order: Order) -> Any:
    with store.reading() as reader:
        return preview(reader, acting, order)


def _list(store: Store, timed: Callable[[str, Callable[[], Any]], Any], conflicts: int) -> None:
    """Console 8, row 15: list, last page, facets; and the orders and jumps a clerk asks for."""
    scopes, chosen, catalog = CLERK.scopes("query"), Filter(state=("待处理",)), load_catalog()

    def seek(sort: Sort, where: Seek) -> int:
        with store.reading() as reader:
            found = listing(reader, catalog, NODE, scopes, chosen, sort=sort, seek=where, size=50, total=conflicts)
        return len(found.rows)

    assert timed("first page", lambda: seek(Sort.OLDEST, Seek())) == 50
    assert timed("last page", lambda: seek(Sort.OLDEST, Seek(last=True))) > 0
    assert timed("jump to the middle", lambda: seek(Sort.OLDEST, Seek(number=conflicts // 100))) == 50
    assert timed("by due date", lambda: seek(Sort.DUE, Seek())) == 50
    assert timed("by severity", lambda: seek(Sort.GRAVE, Seek())) == 50
    with store.reading() as reader:
        assert timed("count", lambda: count(reader, NODE, scopes, chosen)) == conflicts
        timed("all facets", lambda: facets(reader, NODE, scopes, chosen))


def _write(store: Store, conflicts: int) -> None:
    schools = [f"36130{i:05d}" for i in range(600)]
    with store.begin() as tx:
        tx._dialect.make_part(tx.connection, tx.golden("xx"), NODE)
        rows = [
            {"node": NODE, "pk": f"{i:020d}", "row_ver": 1, "xxdm": s, "xzqhm": "130602"} for i, s in enumerate(schools)
        ]
        tx.connection.execute(sa.insert(tx.golden("xx")), rows)
        tx.ingest("conflict", _blocks(conflicts, schools))


def _blocks(conflicts: int, schools: list[str]) -> Iterator[Any]:
    for start in range(1, conflicts + 1, BLOCK):
        numbers = range(start, min(start + BLOCK, conflicts + 1))
        rows = len(numbers)
        same = {
            "entity": "xs", "state": "待处理", "source": "L", "value": "02", "winner_source": "S1",
            "division": "130602",
        }  # fmt: skip
        yield pa.record_batch(
            {
                "conflict_no": pa.array(numbers, pa.int64()),
                **{k: pa.array([v] * rows) for k, v in same.items()},
                "winner_value": pa.array(["01"] * rows),
                "pk": pa.array([f"{n:020d}" for n in numbers]),
                "natural_key": pa.array([f"key{n}" for n in numbers]),
                "field": pa.array([FIELDS[n % len(FIELDS)] for n in numbers]),
                "digest": pa.array([f"d{n}" for n in numbers]),
                "subject": pa.array([f"s{n}" for n in numbers]),
                "school": pa.array([schools[n % len(schools)] for n in numbers]),
                "run_no": pa.array([1] * rows, pa.int64()),
            }
        )


if __name__ == "__main__":
    main()
