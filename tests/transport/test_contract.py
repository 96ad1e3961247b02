"""What every transport must do (protocol 2.1–2.7, 6.4): the same suite over a folder, asyncssh and OpenSSH."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.transport import NotThereError
from tests.transport.conftest import Place

BATCH = "13-up-main-e0001-s0000000042"
PAYLOAD = f"{BATCH}.f01.cms"
MANIFEST = f"{BATCH}.manifest.dsse"
RECEIPT = f"{BATCH}.receipt1.dsse"
SIZE = 5_000_003

KILLED_AT_40_PERCENT = """
import os, signal, sys
from pathlib import Path
from hub.transport import open_client
url, party, key, pin, path = sys.argv[1:]
def die(done, total):
    if done * 10 >= total * 4:
        os.kill(os.getpid(), signal.SIGKILL)
client = open_client(url, party, key_file=Path(key) if key else None, host_keys=[pin])
client.put(Path(path).name, Path(path), progress=die)
"""


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / PAYLOAD
    path.write_bytes(os.urandom(SIZE))
    return path


def test_an_uploaded_file_arrives_whole_and_only_under_its_final_name(place: Place, payload: Path) -> None:
    with place.client() as client:
        assert client.put(PAYLOAD, payload) == SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


def test_an_empty_file_arrives(place: Place, tmp_path: Path) -> None:
    (tmp_path / PAYLOAD).touch()
    with place.client() as client:
        assert client.put(PAYLOAD, tmp_path / PAYLOAD) == 0
    assert place.files() == {f"in/ready/{PAYLOAD}": b""}


def test_the_manifest_becomes_visible_after_every_payload_file(place: Place, tmp_path: Path) -> None:
    second = PAYLOAD.replace("f01", "f02")
    files = [tmp_path / name for name in (MANIFEST, PAYLOAD, second)]
    for path in files:
        path.write_bytes(path.name.encode() * 50)
    seen: dict[str, list[str]] = {}

    def look(name: str, done: int, total: int) -> None:
        seen[name] = [entry.name for entry in place.server.list_ready(place.party)]

    with place.client() as client:
        sent = client.put_batch(files, progress=look)
    assert sent == sum(path.stat().st_size for path in files)
    assert seen[MANIFEST] == [PAYLOAD, second]
    assert [entry.name for entry in place.server.list_ready(place.party)] == [PAYLOAD, second, MANIFEST]


def test_the_same_file_again_is_done_already_and_nothing_is_written(place: Place, payload: Path) -> None:
    with place.client() as client:
        client.put(PAYLOAD, payload)
        before = (place.ready / PAYLOAD).stat()
        assert client.put(PAYLOAD, payload) == 0
    after = (place.ready / PAYLOAD).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_name_taken_by_a_file_of_another_size_is_an_alarm_and_not_overwritten(place: Place, payload: Path) -> None:
    (place.ready / PAYLOAD).write_bytes(b"first")
    with place.client() as client, pytest.raises(HubError) as refusal:
        client.put(PAYLOAD, payload)
    assert (refusal.value.code, refusal.value.retryable) == ("E2405", False)
    assert place.files() == {f"in/ready/{PAYLOAD}": b"first"}


def test_the_rename_itself_never_overwrites(place: Place, payload: Path) -> None:
    (place.ready / PAYLOAD).write_bytes(b"first")
    (place.part / f"{PAYLOAD}.part").write_bytes(b"second")
    before = place.files()
    with place.client() as client, pytest.raises(client.failures):
        client._commit(PAYLOAD)
    assert place.files() == before


def test_a_rename_whose_answer_was_lost_counts_as_done(place: Place, payload: Path, tmp_path: Path) -> None:
    with place.client() as client:
        commit = client._commit

        def answered_twice(name: str) -> None:
            commit(name)
            commit(name)

        client._commit = answered_twice  # type: ignore[method-assign]
        assert client.put(PAYLOAD, payload) == SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


def test_an_uploader_killed_at_40_percent_resumes_to_identical_bytes(place: Place, payload: Path) -> None:
    key, pin = (str(place.ssh.client_key), place.ssh.host_key_line) if place.ssh else ("", "")
    script = [sys.executable, "-c", KILLED_AT_40_PERCENT, place.url, place.party, key, pin, str(payload)]
    killed = subprocess.run(script, cwd=Path(__file__).parents[2], capture_output=True, check=False, timeout=60)
    assert killed.returncode == -9, killed.stderr.decode()
    assert list(place.files()) == [f"in/part/{PAYLOAD}.part"]
    with place.client() as client:
        assert 0 < client.put(PAYLOAD, payload) < SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


def test_an_upload_that_stops_in_mid_write_leaves_no_ready_file(place: Place, payload: Path) -> None:
    class CableOutError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done * 2 > total:
            raise CableOutError

    with place.client() as client:
        with pytest.raises(CableOutError):
            client.put(PAYLOAD, payload, progress=stop)
        assert place.server.list_ready(place.party) == []
        assert client.put(PAYLOAD, payload) < SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


def test_a_spoiled_part_is_resumed_for_the_digest_to_refuse_and_a_restart_heals_it(place: Place, payload: Path) -> None:
    part = place.part / f"{PAYLOAD}.part"
    part.write_bytes(b"x" * 1000)
    with place.client() as client:
        assert client.put(PAYLOAD, payload) == SIZE - 1000
        assert (place.ready / PAYLOAD).read_bytes() == b"x" * 1000 + payload.read_bytes()[1000:]
        place.server.remove_ready(place.party, PAYLOAD)
        part.write_bytes(b"x" * 1000)
        assert client.put(PAYLOAD, payload, restart=True) == SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


def test_a_part_longer_than_the_file_is_begun_anew(place: Place, payload: Path) -> None:
    (place.part / f"{PAYLOAD}.part").write_bytes(b"x" * (SIZE + 1))
    with place.client() as client:
        assert client.put(PAYLOAD, payload) == SIZE
    assert place.files() == {f"in/ready/{PAYLOAD}": payload.read_bytes()}


@pytest.mark.parametrize("name", ["", "../x", "a/b.cms", ".hidden", "x" * 65, "省.cms", "a.cms\n", "a b", "a\0b"])
def test_an_illegal_name_is_refused_and_not_repeated(place: Place, payload: Path, tmp_path: Path, name: str) -> None:
    for act in (
        lambda: place.client().put(name, payload),
        lambda: place.client().get(name, tmp_path / "got", 100),
        lambda: place.server.take(place.party, name, tmp_path / "got", 100),
        lambda: place.server.remove_ready(place.party, name),
        lambda: place.server.publish(place.party, name, b"x"),
    ):
        with pytest.raises(HubError) as refusal:
            act()
        assert refusal.value.code == "E2404"
        assert len(name) < 2 or name not in str(refusal.value)
    assert place.files() == {}
    assert not (tmp_path / "got").exists()


def test_a_file_above_the_limit_is_not_sent(place: Place, payload: Path) -> None:
    with place.client() as client, pytest.raises(HubError) as refusal:
        client.put(PAYLOAD, payload, max_bytes=SIZE - 1)
    assert refusal.value.code == "E2406"
    assert place.files() == {}


def test_a_file_missing_at_home_is_not_blamed_on_the_server(place: Place, tmp_path: Path) -> None:
    with place.client() as client, pytest.raises(HubError) as refusal:
        client.put(PAYLOAD, tmp_path / "lost")
    assert (refusal.value.code, refusal.value.retryable) == ("E2411", False)


def test_what_the_ministry_publishes_the_province_lists_and_fetches(
    place: Place, payload: Path, tmp_path: Path
) -> None:
    assert place.server.publish(place.party, RECEIPT, b"signed")
    assert place.server.publish(place.party, PAYLOAD, payload)
    place.server.publish_pub("trust-list-000001.dsse", b"list", [place.party])
    with place.client() as client:
        assert [(entry.name, entry.size) for entry in client.list_out()] == [(PAYLOAD, SIZE), (RECEIPT, 6)]
        assert [(entry.name, entry.size) for entry in client.list_pub()] == [("trust-list-000001.dsse", 4)]
        copied = client.get(PAYLOAD, tmp_path / "got", SIZE)
        assert client.get_pub("trust-list-000001.dsse", tmp_path / "list", 100).size == 4
    assert (copied.size, copied.sha256) == (SIZE, hashlib.sha256(payload.read_bytes()).hexdigest())
    assert (tmp_path / "got").read_bytes() == payload.read_bytes()
    assert (tmp_path / "list").read_bytes() == b"list"


def test_a_listing_shows_neither_links_nor_names_no_protocol_knows(place: Place) -> None:
    out = place.home / "out"
    (out / ".13-up.tmp").write_bytes(b"x")
    (out / "回执.dsse").write_bytes(b"x")
    (out / "folder").mkdir()
    (out / "link.dsse").symlink_to("/etc/hostname")
    (out / RECEIPT).write_bytes(b"signed")
    with place.client() as client:
        assert [entry.name for entry in client.list_out()] == [RECEIPT]


def test_a_download_above_the_limit_leaves_no_file(place: Place, payload: Path, tmp_path: Path) -> None:
    place.server.publish(place.party, PAYLOAD, payload)
    target = tmp_path / "into" / "got"
    target.parent.mkdir()
    with place.client() as client, pytest.raises(HubError) as refusal:
        client.get(PAYLOAD, target, SIZE - 1)
    assert (refusal.value.code, refusal.value.retryable) == ("E2406", False)
    assert list(target.parent.iterdir()) == []


def test_a_receipt_not_yet_there_is_worth_another_try(place: Place, tmp_path: Path) -> None:
    with place.client() as client, pytest.raises(NotThereError) as absent:
        client.get(RECEIPT, tmp_path / "got", 100)
    assert absent.value.retryable
    assert not (tmp_path / "got").exists()


def test_a_place_without_folders_is_named_as_such(place: Place, payload: Path) -> None:
    place.part.rmdir()
    with place.client() as client, pytest.raises(HubError) as refusal:
        client.put(PAYLOAD, payload)
    assert (refusal.value.code, refusal.value.retryable) == ("E2409", False)
