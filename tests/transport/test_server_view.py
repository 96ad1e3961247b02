"""What the ministry picks up and publishes on its own disk (protocol 2.5, 6.3; 15 #36–38)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.errors import HubError, RefusedError
from hub.transport import NotThereError, ServerTransport, open_server
from hub.transport.durable import write_durably

NAME = "13-up-main-e0001-s0000000042.manifest.dsse"
PARTY = "13"


@pytest.fixture
def server(tmp_path: Path) -> ServerTransport:
    found = open_server(f"folder:{tmp_path / 'exch'}")
    found.prepare(PARTY)
    return found


@pytest.fixture
def ready(server: ServerTransport) -> Path:
    return server.root / "p13" / "in" / "ready"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "intake").mkdir()
    return tmp_path / "intake" / NAME


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _hardlink(path: Path) -> None:
    (path.parents[3] / "elsewhere").write_bytes(b"x")
    os.link(path.parents[3] / "elsewhere", path)


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        # The full path may be too long for a socket's address.
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


@pytest.mark.parametrize("plant", [_symlink, _hardlink, os.mkfifo, Path.mkdir, _socket])
def test_a_planted_object_is_refused_without_hanging_and_nothing_is_copied(
    server: ServerTransport, ready: Path, own: Path, plant: Callable[[Path], None]
) -> None:
    plant(ready / NAME)
    with pytest.raises(RefusedError) as refusal:
        server.take(PARTY, NAME, own, 1000)
    assert (refusal.value.code, refusal.value.retryable) == ("E2407", False)
    assert list(own.parent.iterdir()) == []
    assert os.path.lexists(ready / NAME)


def test_a_listing_tells_planted_objects_apart_and_counts_unknown_names(server: ServerTransport, ready: Path) -> None:
    (ready / "good.cms").write_bytes(b"12345")
    os.mkfifo(ready / "fifo.cms")
    _symlink(ready / "link.cms")
    (ready / "张三.cms").write_bytes(b"x")
    (ready / ".part").write_bytes(b"x")
    found = server.list_ready(PARTY)
    assert [(entry.name, entry.regular) for entry in found] == [
        ("fifo.cms", False),
        ("good.cms", True),
        ("link.cms", False),
    ]
    assert found[1].size == 5
    assert server.count_illegal(PARTY) == 2


def test_a_file_of_another_owner_is_refused(server: ServerTransport, ready: Path, own: Path) -> None:
    (ready / NAME).write_bytes(b"manifest")
    with pytest.raises(RefusedError):
        server.take(PARTY, NAME, own, 1000, owner=os.getuid() + 1)
    assert not own.exists()
    assert server.take(PARTY, NAME, own, 1000, owner=os.getuid()).size == 8


def test_a_file_above_the_limit_is_not_copied(server: ServerTransport, ready: Path, own: Path) -> None:
    (ready / NAME).write_bytes(b"x" * 1001)
    with pytest.raises(HubError) as refusal:
        server.take(PARTY, NAME, own, 1000)
    assert refusal.value.code == "E2406"
    assert list(own.parent.iterdir()) == []
    assert (ready / NAME).exists()


def test_an_absent_file_is_worth_another_try(server: ServerTransport, own: Path) -> None:
    with pytest.raises(NotThereError) as absent:
        server.take(PARTY, NAME, own, 1000)
    assert absent.value.retryable


def test_a_file_rewritten_through_an_open_handle_leaves_the_copy_as_it_was(
    server: ServerTransport, ready: Path, own: Path
) -> None:
    (ready / NAME).write_bytes(b"as sealed")
    with (ready / NAME).open("r+b") as handle:
        copied = server.take(PARTY, NAME, own, 1000)
        handle.write(b"rewritten")
        handle.flush()
        server.remove_ready(PARTY, NAME)
        handle.write(b"again")
    assert own.read_bytes() == b"as sealed"
    assert copied.size == 9
    assert server.list_ready(PARTY) == []


def test_taking_again_after_a_crash_replaces_the_hubs_own_copy(server: ServerTransport, ready: Path, own: Path) -> None:
    own.write_bytes(b"half a co")
    (ready / NAME).write_bytes(b"whole copy")
    server.take(PARTY, NAME, own, 1000)
    assert own.read_bytes() == b"whole copy"
    server.remove_ready(PARTY, NAME)
    server.remove_ready(PARTY, NAME)
    assert server.list_ready(PARTY) == []


def test_a_rename_under_way_is_given_time_instead_of_an_alarm(ready: Path, own: Path, server: ServerTransport) -> None:
    part = ready.parent / "part" / f"{NAME}.part"
    part.write_bytes(b"manifest")
    os.link(part, ready / NAME)
    waiting = ServerTransport(server.root, rest=lambda _: part.unlink())
    assert waiting.take(PARTY, NAME, own, 1000).size == 8


def test_a_rename_whose_process_died_between_link_and_unlink_is_finished(
    ready: Path, own: Path, server: ServerTransport
) -> None:
    part = ready.parent / "part" / f"{NAME}.part"
    part.write_bytes(b"manifest")
    os.link(part, ready / NAME)
    rests: list[float] = []
    assert ServerTransport(server.root, rest=rests.append).take(PARTY, NAME, own, 1000).size == 8
    assert sum(rests) == pytest.approx(1.0)
    assert not part.exists()
    assert (ready / NAME).read_bytes() == b"manifest"


def test_a_third_name_behind_a_dead_rename_is_still_refused(ready: Path, own: Path, server: ServerTransport) -> None:
    part = ready.parent / "part" / f"{NAME}.part"
    part.write_bytes(b"manifest")
    os.link(part, ready / NAME)
    os.link(part, server.root / "third")
    with pytest.raises(RefusedError):
        ServerTransport(server.root, rest=lambda _: None).take(PARTY, NAME, own, 1000)
    assert not own.exists()


def test_publishing_twice_writes_once_and_other_bytes_are_an_error(server: ServerTransport, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"receipt")
    out = server.root / "p13" / "out"
    assert server.publish(PARTY, NAME, b"receipt") is True
    before = (out / NAME).stat()
    assert server.publish(PARTY, NAME, b"receipt") is False
    assert server.publish(PARTY, NAME, tmp_path / "same") is False
    for other in (b"forged!", b"longer receipt"):
        with pytest.raises(HubError) as refusal:
            server.publish(PARTY, NAME, other)
        assert refusal.value.code == "E2405"
    after = (out / NAME).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode & 0o777) == (before.st_ino, before.st_mtime_ns, 0o640)
    assert [path.name for path in out.iterdir()] == [NAME]


def test_a_publisher_that_loses_the_race_accepts_equal_bytes_only(
    server: ServerTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = server.root / "p13" / "out"
    link = os.link

    def beaten(source: Path, target: Path) -> None:
        target.write_bytes(b"receipt")
        link(source, target)

    monkeypatch.setattr(os, "link", beaten)
    assert server.publish(PARTY, NAME, b"receipt") is False
    (out / NAME).unlink()
    with pytest.raises(HubError):
        server.publish(PARTY, NAME, b"other")
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [(NAME, b"receipt")]


def test_the_head_may_be_replaced_as_a_whole(server: ServerTransport) -> None:
    assert server.publish(PARTY, "head.dsse", b"old", replace=True)
    assert server.publish(PARTY, "head.dsse", b"new", replace=True)
    assert not server.publish(PARTY, "head.dsse", b"new", replace=True)
    assert (server.root / "p13" / "out" / "head.dsse").read_bytes() == b"new"


def test_public_files_reach_every_province(server: ServerTransport) -> None:
    server.prepare("11")
    assert server.publish_pub("trust-list-000002.dsse", b"list", ["11"]) == 1
    assert server.publish_pub("trust-list-000002.dsse", b"list", ["11", "13"]) == 1
    assert server.publish_pub("trust-list-000002.dsse", b"list", ["11", "13"]) == 0
    for party in ("p11", "p13"):
        assert (server.root / party / "pub" / "trust-list-000002.dsse").read_bytes() == b"list"


def test_bytes_that_stop_coming_leave_the_older_file_and_no_rest(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionError

    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(ConnectionError):
        write_durably(broken(), target, 100)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]
