"""Whole rounds of a laboratory, settle to receipt: both tiers hold the same, once, whatever is repeated or cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.batch.manifest import SchemaRef
from hub.catalog import Catalog
from hub.errors import HubError
from hub.registered import schema_ref
from hub.verdict import Verdict
from pipelines.lab.round import LabRound, run_lab, table_digests
from pipelines.lab.setup import Lab
from province_node import deliver as shipping
from province_node import desk
from province_node.deliver import deliver
from province_node.listen import listen
from province_node.publish import publish_pending
from tests.round.labs import (
    AT,
    TODAY,
    answer,
    audit_holds,
    change_setting,
    new_lab,
    point_at,
    receipt,
    rows,
    settle,
    snapshot,
)
from tests.servers import PostgresServer, SshServer, start_sshd


def run(lab: Lab, today: str = TODAY) -> LabRound:
    return run_lab(lab.folder, today=today, at=AT, rng=os.urandom)


def assert_equal_tiers(lab: Lab) -> int:
    """Same rows and digests for every entity at both tiers; returns all rows."""
    pairs = table_digests(lab)
    assert [pair.entity for pair in pairs if not pair.equal] == []
    assert audit_holds(lab.province)
    assert audit_holds(lab.ministry)
    return sum(pair.province.rows for pair in pairs)


def verdicts(done: LabRound) -> list[tuple[int, str]]:
    return [(r.seq, str(r.verdict)) for heard in done.listened for r in heard.receipts]


def test_after_a_round_both_tiers_hold_the_same_and_the_batch_is_applied(settled: Lab) -> None:
    done = run(settled)  # what the crash between state and store left, and a second round that changes nothing
    assert [p.number for p in done.published] == [1, 2]
    assert verdicts(done) == [(1, "APPLIED")]
    assert assert_equal_tiers(settled) == done.published[0].rows.rows > 10_000
    assert [row["state"] for row in rows(settled.province, "outbox")] == ["APPLIED"]
    assert not any(heard.ignored for heard in done.listened)
    assert not list((settled.exchange_root / "p13" / "in" / "ready").iterdir())


def test_the_second_day_travels_as_an_increment_and_a_third_round_ships_nothing(
    settled: Lab, sources_day2: Path
) -> None:
    first = run(settled)
    lab = point_at(settled, sources_day2)
    second = run(lab, "2026-11-24")
    assert verdicts(second) == [(2, "APPLIED")]
    sizes = [sum(b.bytes for p in done.published for b in p.batches) for done in (first, second)]
    assert sizes[1] < sizes[0]
    assert assert_equal_tiers(lab) > 10_000
    third = run(lab, "2026-11-24")
    assert (verdicts(third), [d.batches for d in third.delivered]) == ([], [()])
    assert [d.seq for intake in third.intakes for d in intake.decisions] == []
    assert [row["state"] for row in rows(lab.province, "outbox")] == ["APPLIED", "APPLIED"]


@pytest.mark.long
def test_a_province_killed_between_upload_and_its_note_sends_once(
    published: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shipping, "_note_sent", killed)
        with pytest.raises(KeyboardInterrupt):
            deliver(published.province, at=AT)
    assert [row["state"] for row in rows(published.province, "outbox")] == ["SEALED"]
    done = run(published)
    assert verdicts(done) == [(1, "APPLIED")]
    assert [b.sent for b in done.delivered[0].batches] == [0]
    assert_equal_tiers(published)


@pytest.mark.long
def test_a_part_spoiled_on_the_way_is_refused_and_the_next_round_sends_it_again_unchanged(published: Lab) -> None:
    deliver(published.province, at=AT)
    part = published.exchange_root / "p13" / "in" / "ready" / "13-up-main-e0001-s0000000001.f07.cms"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    before = snapshot(published.ministry)["golden"]
    first = run(published)
    assert verdicts(first) == [(1, "REFUSED")]
    assert first.listened[-1].receipts[-1].reasons[0][0] == "E_FILE_DIGEST"
    assert snapshot(published.ministry)["golden"] == before
    assert [row["state"] for row in rows(published.province, "outbox")] == ["SEALED"]
    assert verdicts(run(published)) == [(1, "APPLIED")]
    assert_equal_tiers(published)


def spoiled_schema(catalog: Catalog) -> SchemaRef:
    return replace(schema_ref(catalog), digest="sha256:" + "0" * 64)


@pytest.mark.long
def test_a_void_batch_and_what_went_with_it_are_sealed_anew_and_nothing_is_lost(
    settled: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = change_setting(settled, "max_batch_rows", "4000")
    with monkeypatch.context() as patch:
        patch.setattr(desk, "schema_ref", spoiled_schema)
        first = run(lab)
    sealed = len(first.published[0].batches)
    assert sealed > 2
    assert {verdict for _, verdict in verdicts(first)} == {"VOID"}
    assert snapshot(lab.ministry)["golden"]["xs"] == 0
    second = run(lab)
    outbox = rows(lab.province, "outbox", "seq")
    assert [row["state"] for row in outbox] == ["VOID"] * sealed + ["APPLIED"] * sealed
    assert [(r["lo"], r["hi"], r["cs_no"]) for r in outbox[:sealed]] == [
        (r["lo"], r["hi"], r["cs_no"]) for r in outbox[sealed:]
    ]
    assert {row["batch_id"] for row in rows(lab.province, "lineage")} <= {row["batch_id"] for row in outbox[sealed:]}
    assert [seq for seq, _ in verdicts(second)] == list(range(sealed + 1, 2 * sealed + 1))
    assert assert_equal_tiers(lab) > 10_000


def test_what_is_void_for_the_third_time_is_left_to_a_person(published: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tip = None
    for seq in (1, 2, 3):
        deliver(published.province, at=AT)
        tip = answer(published, receipt(published, seq, Verdict.VOID, prev_receipt=tip))
        listen(published.province, at=AT)
        if seq < 3:
            publish_pending(published.province, at=AT, rng=os.urandom)
    before = snapshot(published.province)
    with pytest.raises(HubError, match=r"E3409.*下一步"):
        publish_pending(published.province, at=AT, rng=os.urandom)
    assert snapshot(published.province) == before


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SshServer]:
    """A server of its own: other tests count what lies in the shared one."""
    server = start_sshd(tmp_path / "sftp")
    yield server
    server.stop()


def test_over_postgresql_and_sftp_the_round_is_the_same(
    tmp_path: Path, sources: Path, postgres: PostgresServer, sftp: SshServer
) -> None:
    lab = new_lab(
        tmp_path / "lab",
        sources,
        province_db=postgres.create_database("province"),
        ministry_db=postgres.create_database("ministry"),
        transport=sftp.url("13"),
        host_keys=[sftp.host_key_line],
        exchange_root=sftp.root,
        ssh_key=sftp.client_key,
    )
    assert lab.ssh_public is None
    done = run(lab)
    assert verdicts(done) == [(1, "APPLIED")]
    assert assert_equal_tiers(lab) > 10_000
    assert settle(lab) == 2
    again = run(lab)
    assert verdicts(again) == []
    assert [row["state"] for row in rows(lab.province, "outbox")] == ["APPLIED"]
