"""The console's list of batches: what it shows of the same ledgers is the same on Oracle as on SQLite (console 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store import Reader, Store, open_store
from hub.store.ledger import INBOX, OUTBOX, RECEIPT
from hub.store.registry_tables import DOWN_BATCH
from hub.web.batch_list import Wanted, count, counts, find, lines, neighbours

_DAY, _NEXT = "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z"
_COUNTS = {"rows_i": 3, "rows_u": 2, "rows_d": 1}


def _batch(party: str, seq: int, way: str = "up-main") -> dict[str, Any]:
    number = f"{party}-{way}-e0001-s{seq:010d}"
    return {"stream": way.partition("-")[2], "epoch": 1, "seq": seq, "batch_id": number, "digest": f"sha256:{seq}"}


def _receipt(party: str, seq: int, number: int, type_: str) -> dict[str, Any]:
    batch = _batch(party, seq)
    name = f"{batch['batch_id']}.receipt{number}.dsse"
    key = {"party": party, "stream": "main", "epoch": 1, "seq": seq, "receipt_no": number}
    return {**key, "type": type_, "name": name, "created": f"2026-03-02T09:0{number}:00Z"}


ROWS: dict[sa.Table, list[dict[str, Any]]] = {
    OUTBOX: [
        {**_batch("13", 1), **_COUNTS, "state": "CLOSED", "bytes": 700, "sealed_at": _DAY, "decided_at": _NEXT},
        {**_batch("13", 2), **_COUNTS, "state": "SENT", "bytes": 800, "sealed_at": _NEXT, "decided_at": None},
    ],
    INBOX: [
        {**_batch("41", 1), **_COUNTS, "party": "41", "verdict": "APPLIED", "received_at": _DAY, "quarantined": 4},
        {**_batch("41", 2), **_COUNTS, "party": "41", "verdict": "PARTIAL", "received_at": _NEXT, "quarantined": None},
    ],
    DOWN_BATCH: [
        {**_batch("41", n, "dn-codes"), **_COUNTS, "party": "41", "sealed_at": _DAY, "bytes": 90,
         "shipped_at": _NEXT if n > 1 else None, "acked_at": _NEXT if n > 2 else None}
        for n in (1, 2, 3)
    ],
    RECEIPT: [
        _receipt("41", 1, 1, "APPLIED"), _receipt("41", 2, 1, "PARTIAL"),
        _receipt("41", 3, 1, "HELD"), _receipt("41", 3, 2, "REFUSED"),
    ],
}  # fmt: skip
STATES = {
    "13-up-main-e0001-s0000000001": "CLOSED", "13-up-main-e0001-s0000000002": "SENT",
    "41-up-main-e0001-s0000000001": "APPLIED", "41-up-main-e0001-s0000000002": "PARTIAL",
    "41-up-main-e0001-s0000000003": "REFUSED",
    "41-dn-codes-e0001-s0000000001": "SEALED", "41-dn-codes-e0001-s0000000002": "SHIPPED",
    "41-dn-codes-e0001-s0000000003": "ACKED",
}  # fmt: skip
WANTED = (
    Wanted(),
    Wanted(direction=("发出",)),
    Wanted(direction=("接收",), party=("41",), stream=("main",), state=("PARTIAL", "REFUSED")),
    Wanted(batch="s0000000003"),
    Wanted(batch="100%"),
    Wanted(begin="2026-03-02", end="2026-03-02"),
)


def _filled(store: Store) -> Store:
    with store.begin() as tx:
        for table, rows in ROWS.items():
            for row in rows:
                tx.connection.execute(sa.insert(table), row)
    return store


@pytest.fixture
def beside(store: Store, catalog: Catalog, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The same ledgers on Oracle and on SQLite."""
    plain = open_store(f"sqlite:///{tmp_path / 'node.db'}", catalog)
    plain.upgrade()
    yield _filled(store), _filled(plain)
    plain.close()


def _shown(reader: Reader, wanted: Wanted) -> list[Any]:
    """Everything a page of the list asks."""
    everything, found = lines(reader, wanted, size=100), counts(reader, wanted)
    assert count(reader, wanted) == found.total == len(everything)
    pages = [lines(reader, wanted, size=3, offset=3)]
    if everything:
        pages.append(lines(reader, wanted, size=3, after=everything[0].key))
    told = [(line, line.digest, neighbours(reader, line)) for line in everything]
    return [told, pages, [found.facet(n) for n in ("direction", "party", "stream", "state")]]


def test_the_list_of_batches_is_the_same_on_oracle(beside: tuple[Store, Store]) -> None:
    there, here = beside
    with there.reading() as on_oracle, here.reading() as on_sqlite:
        for wanted in WANTED:
            assert _shown(on_oracle, wanted) == _shown(on_sqlite, wanted), wanted
        found = {n: find(on_oracle, n) for n in STATES}
        assert {n: line and line.state for n, line in found.items()} == STATES
        assert count(on_oracle, WANTED[0]) == len(STATES)
        assert find(on_oracle, "13") is None
        (held,) = lines(on_oracle, replace(WANTED[0], state=("REFUSED",)), size=9)
        assert (held.size, held.ended, held.digest, held.rows) == (None, None, "", 0)
