"""From the settling state to the store and the outbox: once, whole, recoverable."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hub.batch.admission import open_manifest
from hub.batch.cipher import decrypt_file
from hub.batch.layout import manifest_name
from hub.catalog import load_catalog
from hub.changes import ChangeFile, Counts
from hub.errors import LockedError, VerificationError
from hub.registered import codeset_ref, schema_ref
from pipelines.lab.setup import Lab
from province_node import ledger
from province_node.changeset import open_settlement
from province_node.exclusive import exchange_step
from province_node.publish import Published, publish, publish_pending
from province_node.sealing import plan_batches
from province_node.stream import main_stream
from tests.round.labs import (
    AT,
    audit_holds,
    change_setting,
    events,
    keyring,
    point_at,
    position,
    rows,
    settle,
    snapshot,
    spool,
    store_of,
)

ID = "13-up-main-e0001-s0000000001"


def pending(lab: Lab) -> tuple[Published, ...]:
    return publish_pending(lab.province, at=AT, rng=os.urandom)


def test_a_change_set_becomes_golden_rows_and_one_signed_batch(settled: Lab) -> None:
    (done,) = pending(settled)
    changes = open_settlement(settled.province, 1).changes
    assert (done.number, done.rows, done.applied.inserted) == (1, changes.counts, changes.counts.inserted)
    store = store_of(settled.province)
    per_entity: dict[str, int] = {}
    for file in changes.files:
        per_entity[file.entity] = per_entity.get(file.entity, 0) + file.counts.rows
    assert {e.name: store.count(e, "13") for e in load_catalog().entities.values()} == {
        e: per_entity.get(e, 0) for e in load_catalog().entities
    }
    store.close()
    (batch,) = done.batches
    assert (batch.batch_id, batch.parts) == (ID, len(changes.files))
    (row,) = rows(settled.province, "outbox")
    assert (row["state"], row["lo"], row["hi"], row["cs_no"]) == ("SEALED", 1, changes.hi, 1)
    assert row["prev"] == keyring(settled.province).grants[main_stream("13")].digest
    assert audit_holds(settled.province)
    assert [event for event, _ in events(settled.province)] == [
        "冲突随源更新", "数据流开通", "变更集入库", "批次封装", "运行完成",
    ]  # fmt: skip


def test_the_ministry_can_open_what_was_sealed_and_finds_the_change_files(settled: Lab, tmp_path: Path) -> None:
    pending(settled)
    (row,) = rows(settled.province, "outbox")
    keys = keyring(settled.ministry)
    opened = open_manifest(row["manifest"], manifest_name(ID), uploader="13", trust=keys.trust, at=AT)
    assert (opened.manifest.schema, opened.manifest.codeset) == (
        schema_ref(load_catalog()),
        codeset_ref(load_catalog()),
    )
    changes = open_settlement(settled.province, 1).changes
    for entry, file in zip(opened.manifest.files, changes.files, strict=True):
        plain = tmp_path / entry.name
        decrypt_file(settled.province.spool / entry.name, plain, *keys.decryption, expect=entry.digest)
        assert plain.read_bytes() == file.path.read_bytes()
        assert (entry.entity, entry.rows.total) == (file.entity, file.counts.rows)


def test_issues_and_conflicts_of_the_round_stand_in_the_ledger(settled: Lab) -> None:
    (done,) = pending(settled)
    record = open_settlement(settled.province, 1)
    opened = f"'{record.folder}/_opened_issue.parquet'"
    states = dict(duckdb.execute(f"SELECT state, count(*) FROM {opened} GROUP BY state").fetchall())
    quarantine, findings = rows(settled.province, "quarantine"), rows(settled.province, "finding")
    assert len(quarantine) == done.quarantined.opened == states["隔离"] + states["挂起"] > 0
    standing = f"'{record.folder}/_opened_finding.parquet'"
    noted = duckdb.execute(f"SELECT count(*) FROM {standing}").fetchall()[0][0]
    assert noted > 0
    assert len(findings) == done.findings.opened == states["提示"] + noted > 0
    assert all(row["closed_run"] is None and row["run_no"] == 1 for row in quarantine + findings)
    conflicts = rows(settled.province, "conflict")
    assert [row["conflict_no"] for row in conflicts] == list(range(1, done.conflicts.opened + 1))
    lost = f"'{record.folder}/_opened_disagreement.parquet'"
    named = duckdb.execute(f"SELECT digest, clash FROM {lost}").fetchall()
    assert sorted(((row["digest"], row["clash"] or "") for row in conflicts), key=str) == sorted(named, key=str)


def test_what_the_second_day_settles_is_closed_in_the_ledger_and_sealed_as_an_increment(
    published: Lab, sources_day2: Path
) -> None:
    lab = point_at(published, sources_day2)
    assert settle(lab, "2026-11-24") == 2
    (done,) = pending(lab)
    assert done.applied.noop == 0
    assert (done.applied.inserted, done.applied.updated, done.applied.deleted) == (
        done.rows.inserted,
        done.rows.updated,
        done.rows.deleted,
    )
    assert 0 < done.rows.rows < open_settlement(lab.province, 1).changes.counts.rows / 4
    took = f"'{lab.province.changes}/00000002/_key_change.parquet'"
    renamed = duckdb.execute(f"SELECT entity, pk, old_key, new_key FROM {took} ORDER BY ALL").fetchall()
    kept = rows(lab.province, "key_change", "entity, pk")
    assert [(r["entity"], r["pk"], r["old_key"], r["new_key"]) for r in kept] == renamed != []
    assert {row["cs_no"] for row in kept} == {2}
    closed = [row for row in rows(lab.province, "quarantine") if row["closed_run"] is not None]
    assert len(closed) == done.quarantined.closed > 0
    assert {(row["run_no"], row["closed_run"]) for row in closed} == {(1, 2)}
    first, second = rows(lab.province, "outbox", "seq")
    assert (second["prev"], second["lo"]) == (first["digest"], first["hi"] + 1)


def test_publishing_twice_is_publishing_once(settled: Lab) -> None:
    publish(settled.province, 1, at=AT, rng=os.urandom)
    before, files = snapshot(settled.province), spool(settled.province)
    again = publish(settled.province, 1, at=AT, rng=os.urandom)
    assert again.already
    assert pending(settled) == ()
    assert (snapshot(settled.province), spool(settled.province)) == (before, files)


def test_a_publisher_killed_before_its_commit_leaves_orphans_that_the_next_one_sweeps(
    settled: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(settled.province)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write_outbox", killed)
        with pytest.raises(KeyboardInterrupt):
            pending(settled)
    orphans = spool(settled.province)
    assert orphans
    assert snapshot(settled.province) == before
    (done,) = pending(settled)
    assert done.orphans_swept == len(orphans)
    now = spool(settled.province)
    assert now.keys() == orphans.keys()
    assert all(now[name] != orphans[name] for name in now)  # encrypted anew: nobody has seen the orphans


def test_a_damaged_change_set_is_not_published(settled: Lab) -> None:
    before = snapshot(settled.province)
    path = next((settled.province.changes / "00000001").glob("xs-*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VerificationError, match="E3406"):
        pending(settled)
    assert snapshot(settled.province) == before
    assert spool(settled.province) == {}


def test_a_change_set_that_does_not_join_the_stream_is_not_published(settled: Lab) -> None:
    before = snapshot(settled.province)
    file = settled.province.changes / "00000001" / "round.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    for entry in record["files"]:
        entry["lo"], entry["hi"] = entry["lo"] + 1, entry["hi"] + 1
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(VerificationError, match="E3404"):
        pending(settled)
    assert snapshot(settled.province) == before


def test_change_sets_are_published_in_order(settled: Lab) -> None:
    before = snapshot(settled.province)
    with pytest.raises(VerificationError, match="E3403"):
        publish(settled.province, 2, at=AT, rng=os.urandom)
    assert snapshot(settled.province) == before


def test_a_lost_settling_state_is_noticed_before_anything_is_published(published: Lab) -> None:
    before = snapshot(published.province)
    published.province.state.unlink()
    with pytest.raises(VerificationError, match="E3404"):
        pending(published)
    assert snapshot(published.province) == before


def test_a_round_without_changes_is_recorded_and_seals_nothing(published: Lab) -> None:
    shutil.rmtree(published.province.spool)
    assert settle(published) == 2
    (done,) = pending(published)
    assert (done.batches, done.rows.rows) == ((), 0)
    assert [row["run_no"] for row in rows(published.province, "run")] == [1, 2]
    assert rows(published.province, "change_set")[1]["hi"] == rows(published.province, "outbox")[0]["hi"]
    assert position(published.province).last_seq == 1
    assert spool(published.province) == {}


def test_a_second_publisher_is_turned_away(settled: Lab) -> None:
    with exchange_step(settled.province), pytest.raises(LockedError, match="E3405"):
        pending(settled)
    assert len(pending(settled)) == 1


def test_a_large_change_set_is_cut_into_batches_that_chain(settled: Lab) -> None:
    lab = change_setting(settled, "max_batch_rows", "6000")
    (done,) = pending(lab)
    outbox = rows(lab.province, "outbox", "seq")
    assert len(outbox) == len(done.batches) > 1
    assert all(b.rows.rows <= 6000 for b in done.batches)
    assert [row["prev"] for row in outbox[1:]] == [row["digest"] for row in outbox[:-1]]
    assert [row["lo"] for row in outbox[1:]] == [row["hi"] + 1 for row in outbox[:-1]]
    assert position(lab.province).last_digest == outbox[-1]["digest"]


def test_a_batch_holds_no_more_files_and_rows_than_allowed(published: Lab) -> None:
    files = tuple(ChangeFile("xs", Path(f"{n}"), n, n, Counts(inserted=10)) for n in range(70))
    here = position(published.province)
    plans = plan_batches(here, files, max_rows=1000, max_files=64)
    assert [(p.seq, len(p.files)) for p in plans] == [(2, 64), (3, 6)]
    assert [len(p.files) for p in plan_batches(here, files, max_rows=95, max_files=64)] == [9] * 7 + [7]
    assert [len(p.files) for p in plan_batches(here, files[:2], max_rows=5, max_files=64)] == [1, 1]
    assert plan_batches(here, (), max_rows=5, max_files=64) == ()
