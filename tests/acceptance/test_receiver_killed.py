"""The receiver killed at every step, on SQLite and PostgreSQL, and cut off from its database (protocol 6.4, 15 #43)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from ministry_node import position
from tests.acceptance.crashes import Point, killed_at, torn
from tests.acceptance.test_workers import either, on_postgresql
from tests.ministry.forge import Province
from tests.round.labs import AT, audit_holds, rows

__all__ = ["either", "on_postgresql"]

RECEIVER = (
    Point("intake", "ministry_node.pickup:take", after=True),
    Point("intake", "ministry_node.evidence:keep", after=True),
    Point("intake", "ministry_node.decode:decrypt_file", after=True),
    Point("intake", "hub.store.store:Transaction.apply", after=True),
    Point("intake", "ministry_node.receipts:issue", after=True),
    Point("intake", "ministry_node.position:move", after=True),
    Point("intake", "ministry_node.turn:conclude", after=True),
    Point("intake", "ministry_node.receipts:publish", after=True),
    Point("intake", "ministry_node.pickup:clear"),
    Point("intake", "ministry_node.pickup:clear", after=True),
)
LOST = ("deadlock, serialization failure, connection lost at COMMIT", "retried; unknown outcome by inbox row")


@pytest.mark.row(43, "receiver killed at its crash points", "exactly once, receipt byte-identical")
def test_row_43_a_receiver_killed_at_every_step_applies_once_and_says_the_same(either: Province) -> None:
    version = either.position()["last_seq"] + 100
    forged = either.batch([("xx", either.changes("xx", 2, ver=version))])
    before = either.state()
    either.upload(forged)
    said: set[bytes] = set()
    for point in RECEIVER:
        killed_at(either.lab.folder, point, AT)
        assert torn(either, before, forged.digest) == []
        said |= {r["body"] for r in rows(either.ministry, "receipt") if r["seq"] == forged.manifest.seq}
        if not list(either.ready.glob("*.manifest.dsse")):
            either.upload(forged)
    either.intake()
    assert either.plaintext_left() == []
    name = f"{forged.manifest.batch_id}.receipt1.dsse"
    assert said == {either.out[name]}
    assert either.position()["last_digest"] == forged.digest
    assert [r for r in either.receipts() if r[0] == forged.manifest.seq] == [(forged.manifest.seq, 1, "APPLIED")]
    (decided,) = (r for r in rows(either.ministry, "inbox") if r["seq"] == forged.manifest.seq)
    assert decided["rows_u"] == 2
    assert audit_holds(either.ministry)


@pytest.mark.row(45, *LOST)
def test_row_45_over_postgresql_a_connection_cut_at_the_commit_is_looked_up_and_tried_again(
    on_postgresql: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = on_postgresql.position()["last_seq"] + 200
    forged = on_postgresql.batch([("xx", on_postgresql.changes("xx", 1, ver=version))])
    on_postgresql.upload(forged)
    move, cuts = position.move, [0]

    def cut(connection: sa.Connection, *arguments: Any, **named: Any) -> None:
        move(connection, *arguments, **named)
        cuts[0] += 1
        if cuts[0] > 1:
            return
        pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        url = sa.make_url(on_postgresql.ministry.database_url).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))

    monkeypatch.setattr(position, "move", cut)
    decision = on_postgresql.decide()
    assert (decision.verdict, decision.counts.upd, cuts) == ("APPLIED", 1, [2])
    seq = forged.manifest.seq
    assert [r for r in on_postgresql.receipts() if r[0] == seq] == [(seq, 1, "APPLIED")]
    assert audit_holds(on_postgresql.ministry)
