"""Things in the folders that are no batch, and batches of closed epochs (protocol 15 #14, #27, #36, #38; 5.6)."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.batch.grant import EpochGrant, Position, build_grant
from hub.batch.layout import grant_name, manifest_name, part_name
from hub.trust.keys import DevelopmentFileSigner
from pipelines.lab.credentials import ROOTS
from tests.ministry.forge import STREAM, Province
from tests.round.labs import AT, events

NEXT = manifest_name("13-up-main-e0001-s0000000002")


def symlink(place: Path, secret: Path) -> None:
    place.symlink_to(secret)


def hardlink(place: Path, secret: Path) -> None:
    os.link(secret, place)


def fifo(place: Path, _secret: Path) -> None:
    os.mkfifo(place)


def folder(place: Path, _secret: Path) -> None:
    place.mkdir()


@pytest.mark.row(36, "links planted in ready", "never read")
@pytest.mark.row(38, "FIFO, folder named like a manifest", "ignored, alarm, no hang")
@pytest.mark.parametrize("plant", [symlink, hardlink, fifo, folder])
def test_row_36_and_38_what_is_no_file_under_a_manifests_name_is_never_read_and_stops_nobody(
    province: Province, tmp_path: Path, plant: object
) -> None:
    """Rows 36 and 38: no hang, nothing of the file behind the link leaves its place."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0")
    before = province.state()
    assert callable(plant)
    plant(province.ready / NEXT, secret)
    first, second = province.intake(), province.intake()
    for result in (first, second):
        assert (result.decisions, [alarm.code for alarm in result.alarms]) == ((), ["E2407"])
    assert province.state() == before
    assert all(b"root:x" not in body for body in province.evidence().values())
    assert events(province.ministry).count(("异常文件留存", NEXT)) == 1  # noted once, told every time
    assert secret.read_bytes() == b"root:x:0:0"


@pytest.mark.row(36, "links planted in ready", "never read")
def test_row_36_a_hard_link_in_place_of_a_part_is_not_taken_for_the_part(province: Province, tmp_path: Path) -> None:
    """Row 36: even with the right bytes behind it."""
    forged, before = province.batch(), province.state()
    (part,) = forged.parts
    province.upload(forged, leave_out=[part])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(forged.parts[part])
    os.link(elsewhere, province.ready / part)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_FILE_MISSING")
    assert province.state() == before
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(27, "ciphertext that opens to other plaintext", "E_PLAIN_DIGEST")
def test_row_27_ciphertext_that_opens_to_another_plaintext_is_refused_then_void(
    province: Province,
) -> None:
    """Row 27: the ministry's ciphertext is intact, and is not what the manifest says it holds."""
    batch, before = "13-up-main-e0001-s0000000002", province.state()
    told, _ = province.part(batch, 1, province.changes("xx", 1, ver=2))
    sealed, body = province.part(batch, 1, province.changes("xx", 1, ver=3))
    plain = province.batch()
    lie = replace(sealed, digest=replace(sealed.digest, plain_sha256=told.digest.plain_sha256))
    forged = province.sign(replace(plain.manifest, files=(lie,)), {lie.name: body})
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_PLAIN_DIGEST")
    assert (province.state(), province.plaintext_left()) == (before, [])
    province.upload(forged)
    again = province.decide()
    assert (again.verdict, again.code) == ("VOID", "E_PLAIN_DIGEST")
    assert province.golden() == before["golden"]


@pytest.mark.row(14, "batch of a closed or unknown epoch", "E_EPOCH")
def test_row_14_a_batch_of_a_closed_epoch_is_refused_and_the_granted_one_begins_at_one(province: Province) -> None:
    """Row 14, first half: the old epoch is closed for ever, even for the batch that would have been next."""
    late, here = province.batch(), province.position()
    stream_id = replace(STREAM, epoch=2)
    grant = EpochGrant(stream_id, "恢复备份", "continue", Position(here["last_seq"], here["last_digest"]), AT)
    envelope, opened = build_grant(grant, [_root(province, name) for name in ROOTS[:2]])
    (province.ministry.trust / grant_name(stream_id)).write_bytes(envelope)
    assert province.intake().decisions == ()
    now = province.position()
    assert (now["epoch"], now["last_seq"], now["last_digest"], now["hi"]) == (2, 0, opened.digest, here["hi"])

    before = province.state()
    province.upload(late)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_EPOCH")
    assert province.state() == before
    province.upload(province.batch(stream_id=stream_id))
    done = province.decide()
    assert (done.seq, done.verdict, done.counts.upd) == (1, "APPLIED", 1)


def test_an_upload_under_way_is_left_alone(province: Province) -> None:
    """Protocol 2.3: parts come first; without their manifest they are nobody's and no stray."""
    forged = province.batch()
    province.upload(forged, leave_out=[forged.name])
    result = province.intake()
    assert (result.decisions, result.alarms) == ((), ())
    assert [path.name for path in province.ready.iterdir()] == [part_name(forged.manifest.batch_id, 1)]
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"


def test_a_part_whose_manifest_does_not_come_for_a_day_makes_room_for_the_whole_one(province: Province) -> None:
    """Protocol 2.5: cut off on the server's disk it would stand in the way of every upload of its batch (6.1)."""
    forged, before = province.batch(), province.state()
    (part,) = forged.parts
    (province.ready / part).write_bytes(forged.parts[part][:100])
    for hours, left in ((0, [part]), (23, [part]), (25, [])):
        result = province.intake(AT + timedelta(hours=hours))
        assert (result.decisions, [path.name for path in province.ready.iterdir()]) == ((), left)
    assert "E3415" in [alarm.code for alarm in result.alarms]
    assert forged.parts[part][:100] in province.evidence().values()
    assert province.state() == before
    province.upload(forged)
    assert province.decide(AT + timedelta(hours=26)).verdict == "APPLIED"
    assert list((province.ministry.work / "intake" / "waiting").iterdir()) == []


def test_plaintext_of_a_killed_run_is_swept_and_that_of_a_living_one_is_not(province: Province) -> None:
    """Protocol 5.6."""
    work = province.ministry.work
    dead, alive = work / "plain" / "run-dead", work / "plain" / "run-alive"
    for left in (dead, alive):
        left.mkdir(parents=True)
        (left / "part.parquet").write_bytes(b"plain")
    runs = work / "intake" / "runs"
    (runs / "dead").write_bytes(b"")
    handle = os.open(runs / "alive", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    province.intake()
    assert (dead.exists(), alive.exists()) == (False, True)
    os.close(handle)
    province.intake()
    assert not alive.exists()
    assert os.stat(work / "plain").st_mode & 0o777 == 0o700


def _root(province: Province, name: str) -> DevelopmentFileSigner:
    offline = next(province.lab.folder.rglob(f"{name}*.key.pem"))
    cert = offline.with_name(offline.name.replace(".key.pem", ".cert.pem"))
    return DevelopmentFileSigner.load(offline.read_bytes(), cert.read_text(), where=name)
