"""Two provinces decided at once, in processes of their own, by a ministry on PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

from hub.store import open_store
from ministry_node.intake import run_intake
from tests.cases.network import CATALOG, HEBEI, JIANGSU, Two
from tests.ministry.forge import Province
from tests.round.labs import audit_holds, rows, store_of
from tests.servers import PostgresServer


def moved_to(postgres: PostgresServer, two: Two) -> None:
    """The ministry's database, row by row, on PostgreSQL."""
    url = postgres.create_database("two_provinces")
    here, there = store_of(two.ministry), open_store(url, CATALOG)
    there.upgrade()
    for party in (HEBEI, JIANGSU):
        there.make_parts(party)
    with here.reading() as old, there.begin() as new:
        for table in here.tables.metadata.sorted_tables:
            found = [dict(r) for r in old.connection.execute(sa.select(table)).mappings()]
            new.connection.execute(sa.delete(table))
            if found:
                new.connection.execute(sa.insert(table), found)
    for store in (here, there):
        store.close()
    file = two.ministry.folder / "hub.toml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("database")]
    file.write_text("\n".join([*kept, f'database = "{url}"']) + "\n", encoding="utf-8")


def test_two_provinces_are_decided_in_two_processes_and_the_chain_holds(two: Two, postgres: PostgresServer) -> None:
    moved_to(postgres, two)
    provinces = []
    for party in (HEBEI, JIANGSU):
        provinces.append(province := Province(two.lab(party)))
        province.upload(*province.window(2))
    before = len(rows(two.ministry, "audit_event"))
    done = run_intake(two.ministry, at=two.now, jobs=2)
    assert [a.sentence for a in done.alarms] == []
    decided = sorted((d.party, d.seq, d.verdict, d.counts.upd) for d in done.decisions)
    assert decided == [(p, seq, "APPLIED", 1) for p in (HEBEI, JIANGSU) for seq in (2, 3)]
    assert [list(p.ready.iterdir()) for p in provinces] == [[], []]
    assert len(rows(two.ministry, "audit_event")) >= before + 4
    assert audit_holds(two.ministry)
