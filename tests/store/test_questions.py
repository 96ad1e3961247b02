"""Tables that only grow are asked by index for a page, a batch, a row, and for what is open (issue 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from hub.audit import Event
from hub.catalog import Catalog
from hub.evidence.kept import kept_batch
from hub.roles import Scope
from hub.settings import Node, NodeSettings
from hub.store import Reader, Store, open_store
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.finding_tables import FINDING
from hub.store.ledger import AUDIT_EVENT, INBOX, LINEAGE, OUTBOX, QUARANTINE, RECEIPT
from hub.store.registry_tables import DOWN_BATCH
from hub.store.supplement_tables import SUPPLEMENT_FILE, SUPPLEMENT_ROW
from hub.web.batch_list import SENT, Wanted, count, find, lines, neighbours
from hub.web.figures import alarms, figures, last_batches
from province_node.supplement_store import file_of
from quality.quarantine_list import Wanted as Kept
from quality.quarantine_list import count as count_kept
from quality.quarantine_list import of_node, of_row
from quality.rule_hits import hits
from tests.store.conftest import new_url

ROWS = 3_000
WHOLE = (Scope(),)
GROWING = (OUTBOX, INBOX, DOWN_BATCH, RECEIPT, LINEAGE, QUARANTINE, FINDING, RETURNED_ROW, AUDIT_EVENT, SUPPLEMENT_ROW)


def name(way: str, seq: int) -> str:
    return f"13-{way}-e0001-s{seq:010d}"


def moment(seq: int) -> str:
    return f"2026-{1 + seq // 800:02d}-{1 + seq // 27 % 28:02d}T{seq % 24:02d}:00:00Z"


def rows(seq: int) -> dict[sa.Table, dict[str, Any]]:
    """What one more day adds: all but every hundredth of it is over and done."""
    done, at = seq % 100 != 0, moment(seq)
    place = {"epoch": 1, "seq": seq}
    return {
        OUTBOX: {**place, "stream": "main", "batch_id": name("up-main", seq), "sealed_at": at, "decided_at": at,
                 "state": "CLOSED" if done else "SENT", "manifest": b"m" * 400},
        INBOX: {**place, "party": "13", "stream": "case", "batch_id": name("dn-case", seq), "verdict": "APPLIED",
                "received_at": at, "decided_at": at, "envelope": b"e" * 400},
        DOWN_BATCH: {**place, "party": "13", "stream": "codes", "batch_id": name("dn-codes", seq), "sealed_at": at,
                     "shipped_at": at if done else None, "acked_at": at if done else None, "envelope": b"e" * 400},
        RECEIPT: {**place, "party": "13", "stream": "main", "receipt_no": 1, "type": "APPLIED", "created": at,
                  "name": f"{name('up-main', seq)}.receipt1.dsse", "published_at": at, "body": b"b" * 400},
        LINEAGE: {"node": "13", "cs_no": seq, "entity": "xs", "file_name": f"{seq}", "lo": seq, "hi": seq,
                  "sha256": f"{seq:064d}", "batch_id": name("up-main", seq)},
        QUARANTINE: {"entity": "xs", "src_rid": f"S1:{seq}", "rule": "YZ06", "field": "XM", "school": "3613000001",
                     "state": "隔离", "run_no": seq, "closed_run": seq if done else None},
        FINDING: {"entity": "xs", "src_rid": f"S1:{seq}", "rule": "YZ06", "field": "XM", "pk": f"{seq:020d}",
                  "run_no": seq, "closed_run": seq if done else None},
        RETURNED_ROW: {"node": "13", "entity": "xs", "pk": f"{seq:020d}", "row_ver": 1, "rule": "YX02", "field": "XM",
                       "src_rid": f"S1:{seq}", "cleared_by": "b" if done else None},
        AUDIT_EVENT: {"i": seq, "ts": at, "action": (Event.BATCH_APPLIED if done else Event.BATCH_REFUSED).value},
        SUPPLEMENT_FILE: {"file_no": seq, "school": "3613000001", "template": "xq", "operator": "p1",
                          "imported_at": at, "rows_total": 1, "rows_wrong": 0, "version": 1},
        SUPPLEMENT_ROW: {"file_no": seq, "row_no": 1, "state": "已通过", "cells": "{}", "reasons": "[]"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def years(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    store = open_store(new_url("postgresql", tmp_path_factory.mktemp("years"), request), catalog)
    store.upgrade()
    made = [rows(seq) for seq in range(1, ROWS + 1)]
    with store.begin() as tx:
        for table in made[0]:
            tx.connection.execute(sa.insert(table), [one[table] for one in made])
        for table in made[0]:
            tx.analyse(table.name)
    yield store
    store.close()


def scanned(store: Store, work: Callable[[Reader], object]) -> set[str]:
    """Which of the growing tables PostgreSQL reads from end to end for a piece of work."""
    plans: list[str] = []

    def hear(connection: sa.Connection, _c: object, said: str, given: Any, _x: object, many: bool) -> None:
        if said.startswith("SELECT") and not many:
            plans.extend(connection.exec_driver_sql(f"EXPLAIN {said}", given).scalars())

    with store.reading() as reader:
        event.listen(reader.connection, "after_cursor_execute", hear)
        work(reader)
    assert plans
    return {t.name for t in GROWING if any(f"Seq Scan on {t.name}" in line for line in plans)}


def test_a_page_of_batches_and_one_batch_are_found_by_index(years: Store, tmp_path: Path) -> None:
    node = Node(tmp_path, NodeSettings(role="province", party="13", name="河北省"))

    def listed(reader: Reader) -> None:
        first = lines(reader, Wanted(), size=20)
        assert [line.at for line in first] == sorted((line.at for line in first), reverse=True)
        assert len(lines(reader, Wanted(), size=20, after=first[-1].key)) == 20
        for batch in (name("up-main", 77), name("dn-case", 77), name("dn-codes", 77)):
            line = find(reader, batch)
            assert line is not None
            assert (line.batch_id, neighbours(reader, line)[0]) == (batch, batch[:-1] + "6")
            assert kept_batch(reader, node, batch).batch_id == batch
        assert count(reader, Wanted(direction=(SENT,), state=("SEALED", "SENT"))) == 2 * ROWS // 100
        assert count(reader, Wanted(state=("HELD",))) == 0

    assert scanned(years, listed) == set()


def test_what_is_open_and_one_row_kept_out_are_found_by_index(years: Store, catalog: Catalog) -> None:
    def asked(reader: Reader) -> None:
        for party in ("13", "moe"):
            held = of_node(reader, party)
            assert count_kept(reader, held, WHOLE, Kept()) == ROWS // 100
            assert len(of_row(reader, held, WHOLE, "xs", "S1:77")) == 1
        assert hits(reader, "13", WHOLE)["YZ06"].standing == ROWS // 100
        assert file_of(reader, 77).states == {"已通过": 1}

    assert scanned(years, asked) == set()


def test_the_workbench_and_the_metrics_read_no_ledger_from_end_to_end(years: Store) -> None:
    def asked(reader: Reader) -> None:
        found = figures(reader)
        assert (found.verify_failures, found.quarantined) == (ROWS // 100, ROWS // 100)
        assert found.outbox == {"CLOSED": ROWS - ROWS // 100, "SENT": ROWS // 100}
        assert len(last_batches(reader)) == 8
        alarms(reader, datetime(2026, 1, 1, tzinfo=UTC).isoformat())

    assert scanned(years, asked) <= {"inbox", "outbox"}
