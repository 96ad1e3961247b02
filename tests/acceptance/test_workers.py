"""Two receivers on one stream, and the core of the attacks over PostgreSQL (protocol 15 #1, #8, #43, #48, #49, #54)."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from hub.batch.manifest import RowCounts
from ministry_node import pickup, receipts
from ministry_node.release import release
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.publish import publish_pending
from tests.acceptance.test_content import TWO, assert_void
from tests.ministry.forge import Province, flip
from tests.round.labs import AT, audit_holds, new_lab, settle
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, shipped_template: Lab, postgres: PostgresServer
) -> Province:
    """The same province beside a ministry on PostgreSQL; one for all tests here, each takes it as it stands."""
    folder = tmp_path_factory.mktemp("ministry-pg") / "lab"
    lab = new_lab(folder, shipped_template.province.sources, ministry_db=postgres.create_database("ministry"))
    assert settle(lab) == 1
    publish_pending(lab.province, at=AT, rng=os.urandom)
    deliver(lab.province, at=AT)
    province = Province(lab)
    assert [(d.verdict, d.counts.ins) for d in province.intake().decisions] == [("APPLIED", 15307)]
    return province


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Province:
    found: Province = request.getfixturevalue("province" if request.param == "sqlite" else "on_postgresql")
    return found


@pytest.mark.row(48, "two receivers on one stream", "one applies, the other sees DUPLICATE")
def test_row_48_two_receivers_on_one_stream_apply_once_and_the_other_sees_a_duplicate(
    either: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 48: both hold copies and both judge the batch new before either has begun its transaction."""
    here = either.position()
    forged = either.batch([("xx", either.changes("xx", 3, ver=10))])
    either.upload(forged)
    together, gather = threading.Barrier(2, timeout=60), pickup.gather

    def meet(*arguments: Any) -> pickup.Gathered:
        found = gather(*arguments)
        together.wait()
        return found

    monkeypatch.setattr(pickup, "gather", meet)
    with ThreadPoolExecutor(2) as pool:
        results = [run.result() for run in [pool.submit(either.intake) for _ in range(2)]]
    verdicts = sorted((d.verdict, d.counts.upd) for result in results for d in result.decisions)
    assert verdicts == [("APPLIED", 3), ("DUPLICATE", 0)]
    assert [alarm for result in results for alarm in result.alarms] == []
    now = either.position()
    assert (now["last_seq"], now["last_digest"], now["hi"]) == (here["last_seq"] + 1, forged.digest, forged.hi)
    assert [r for r in either.receipts() if r[0] == now["last_seq"]] == [(now["last_seq"], 1, "APPLIED")]
    assert list(either.ready.iterdir()) == []
    assert either.plaintext_left() == []
    assert audit_holds(either.ministry)


@pytest.mark.row(1, "flip 1 bit in a payload file", "REFUSED E_FILE_DIGEST before decrypt; the original applies")
def test_row_1_over_postgresql_a_flipped_bit_is_refused_and_the_original_applies(on_postgresql: Province) -> None:
    """Row 1."""
    forged, before = on_postgresql.batch([("xx", on_postgresql.changes("xx", 1, ver=20))]), on_postgresql.state()
    (body,) = forged.parts.values()
    on_postgresql.upload(forged, part=flip(body))
    decision = on_postgresql.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_FILE_DIGEST")
    assert on_postgresql.state() == before
    on_postgresql.upload(forged)
    assert on_postgresql.decide().counts.upd == 1


@pytest.mark.row(8, "replay of an applied batch", "DUPLICATE, same receipt bytes, 0 rows")
def test_row_8_over_postgresql_a_replay_is_answered_with_the_same_bytes(on_postgresql: Province) -> None:
    """Row 8."""
    forged = on_postgresql.batch([("xx", on_postgresql.changes("xx", 1, ver=30))])
    on_postgresql.upload(forged)
    name = on_postgresql.decide().receipt_name
    assert name is not None
    before, outs = on_postgresql.state(), on_postgresql.out
    (on_postgresql.lab.exchange_root / "p13" / "out" / name).unlink()
    on_postgresql.upload(forged)
    assert on_postgresql.decide().verdict == "DUPLICATE"
    assert (on_postgresql.state(), on_postgresql.out) == (before, outs)


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_over_postgresql_a_wrong_count_takes_the_first_files_rows_back(on_postgresql: Province) -> None:
    """Row 49: the first file was merged already when the second one is counted."""
    made = [("xx", on_postgresql.changes("xx", 1, ver=40)), ("bj", on_postgresql.changes("bj", 2, ver=40))]
    forged = on_postgresql.batch(made)
    first, second = forged.manifest.files
    lie = replace(second, entity="bj", rows=RowCounts(0, 1, 1))
    signed = on_postgresql.sign(replace(forged.manifest, files=(replace(first, entity="xx"), lie)), forged.parts)
    assert_void(on_postgresql, signed, "E_COUNTS")


@pytest.mark.row(54, "delete 3 % of a province", "HELD, two persons, audited")
def test_row_54_over_postgresql_a_mass_delete_waits_for_two_persons(on_postgresql: Province) -> None:
    """Row 54."""
    before = on_postgresql.state()
    forged = on_postgresql.batch([("xs_jtcy", on_postgresql.changes("xs_jtcy", 459, "D"))])
    on_postgresql.upload(forged)
    assert on_postgresql.decide().verdict == "HELD"
    assert on_postgresql.state() == before
    done = release(on_postgresql.ministry, forged.manifest.batch_id, **TWO, at=AT)
    assert (done.verdict, done.counts.deleted) == ("APPLIED", 459)
    assert audit_holds(on_postgresql.ministry)


@pytest.mark.row(43, "receiver killed at its crash points", "exactly once, receipt byte-identical")
@pytest.mark.parametrize("point", ["issue", "publish"])
def test_row_43_over_postgresql_a_killed_receiver_has_done_all_or_nothing(
    on_postgresql: Province, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Row 43: before the commit nothing happened; after it the receipt that was signed comes out, byte for byte."""
    version = {"issue": 50, "publish": 60}[point]
    forged = on_postgresql.batch([("xx", on_postgresql.changes("xx", 1, ver=version))])
    before, outs = on_postgresql.state(), on_postgresql.out
    on_postgresql.upload(forged)
    with monkeypatch.context() as patch:
        patch.setattr(receipts, point, _killed)
        with pytest.raises(KeyboardInterrupt):
            on_postgresql.intake()
    assert on_postgresql.out == outs
    assert (on_postgresql.state() == before) is (point == "issue")
    decision = on_postgresql.decide()
    assert decision.verdict == {"issue": "APPLIED", "publish": "DUPLICATE"}[point]
    assert decision.receipt_name in on_postgresql.out
    assert on_postgresql.position()["last_digest"] == forged.digest
    assert [r for r in on_postgresql.receipts() if r[0] == forged.manifest.seq] == [(forged.manifest.seq, 1, "APPLIED")]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
