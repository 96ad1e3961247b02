"""Whom the SFTP client trusts and how it fails (protocol 2.2, 2.6; 15 #34, #41)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from hub.errors import HubError, KeyMaterialError, PeerUnreachableError, UsageError, VerificationError
from hub.transport import open_client
from hub.transport.sftp import SftpClient, SftpTimes
from tests.servers import free_port, start_sshd, write_key
from tests.transport.conftest import Place

NAME = "13-up-main-e0001-s0000000042.f01.cms"
SIZE = 5_000_003
SHORT = SftpTimes(connect=1, login=1, idle=5)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(os.urandom(SIZE))
    return path


def _client(
    place: Place, *, url: str | None = None, pins: list[str] | None = None, key: Path | None = None
) -> SftpClient:
    assert place.ssh is not None
    return SftpClient(
        url or place.url,
        place.party,
        key_file=key or place.ssh.client_key,
        host_keys=pins or [place.ssh.host_key_line],
        times=SHORT,
    )


def _logins(place: Place) -> int:
    assert place.ssh is not None
    return place.ssh.logins()


def test_a_server_with_another_host_key_gets_no_login_and_no_byte(
    ssh_place: Place, payload: Path, tmp_path: Path
) -> None:
    before = _logins(ssh_place)
    with (
        _client(ssh_place, pins=[write_key(tmp_path / "other"), write_key(tmp_path / "next")]) as client,
        pytest.raises(VerificationError) as refusal,
    ):
        client.put(NAME, payload)
    assert (refusal.value.code, refusal.value.retryable, refusal.value.exit_code) == ("E2402", False, 4)
    assert _logins(ssh_place) == before
    assert ssh_place.files() == {}


@pytest.mark.parametrize("order", [1, -1])
def test_the_current_and_the_next_host_key_are_both_accepted(
    ssh_place: Place, payload: Path, tmp_path: Path, order: int
) -> None:
    assert ssh_place.ssh is not None
    pins = [ssh_place.ssh.host_key_line + " comment", write_key(tmp_path / "other")][::order]
    with _client(ssh_place, pins=pins) as client:
        assert client.put(NAME, payload) == SIZE


def test_a_key_the_server_does_not_know_is_not_tried_again(ssh_place: Place, payload: Path, tmp_path: Path) -> None:
    write_key(tmp_path / "stranger")
    with (
        _client(ssh_place, key=tmp_path / "stranger") as client,
        pytest.raises(KeyMaterialError) as refusal,
    ):
        client.put(NAME, payload)
    assert (refusal.value.code, refusal.value.retryable) == ("E2403", False)
    assert ssh_place.files() == {}


def test_a_server_that_is_not_there_is_worth_another_try(ssh_place: Place, payload: Path) -> None:
    url = f"sftp://p13@127.0.0.1:{free_port()}"
    with _client(ssh_place, url=url) as client, pytest.raises(PeerUnreachableError) as failure:
        client.put(NAME, payload)
    assert failure.value.retryable
    assert "连不上" in failure.value.what


def test_a_server_that_accepts_and_says_nothing_does_not_hold_the_client(ssh_place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"sftp://p13@127.0.0.1:{silent.getsockname()[1]}"
        with _client(ssh_place, url=url) as client, pytest.raises(PeerUnreachableError):
            client.list_out()


@contextmanager
def _line_cut_after(port: int, limit: int) -> Iterator[int]:
    """A TCP proxy that breaks its first connection once `limit` bytes have gone up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def down(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return

    def serve() -> None:
        near, _ = listener.accept()
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            threading.Thread(target=down, args=(far, near), daemon=True).start()
            left = limit
            while left > 0 and (data := near.recv(65536)):
                far.sendall(data)
                left -= len(data)
            near.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    thread.join(10)
    listener.close()


def test_a_line_cut_at_40_percent_can_be_retried_and_only_the_rest_travels(ssh_place: Place, payload: Path) -> None:
    assert ssh_place.ssh is not None
    with _line_cut_after(ssh_place.ssh.port, SIZE * 4 // 10) as port:
        url = ssh_place.url.replace(f":{ssh_place.ssh.port}", f":{port}")
        with _client(ssh_place, url=url) as client, pytest.raises(PeerUnreachableError) as failure:
            client.put(NAME, payload)
    assert failure.value.retryable
    assert list(ssh_place.files()) == [f"in/part/{NAME}.part"]
    with _client(ssh_place) as client:
        assert 0 < client.put(NAME, payload) < SIZE
    assert ssh_place.files() == {f"in/ready/{NAME}": payload.read_bytes()}


def test_a_client_works_again_after_its_server_went_away_and_came_back(ssh_place: Place, payload: Path) -> None:
    with _client(ssh_place) as client:
        assert client.list_out() == []
        assert client._ssh is not None
        transport = client._ssh.get_transport()
        assert transport is not None
        transport.sock.close()
        with pytest.raises(PeerUnreachableError):
            client.put(NAME, payload)
        assert client.put(NAME, payload) == SIZE


@pytest.mark.parametrize("missing", [1, 40_000, SIZE - 100_000])
def test_a_disk_full_at_the_last_byte_is_seen_and_nothing_becomes_ready(
    tmp_path: Path, payload: Path, missing: int
) -> None:
    ssh = start_sshd(tmp_path, room=SIZE - missing)
    try:
        client = open_client(ssh.url("13"), "13", key_file=ssh.client_key, host_keys=[ssh.host_key_line])
        with client, pytest.raises(PeerUnreachableError) as failure:
            client.put(NAME, payload)
        assert (failure.value.code, failure.value.retryable) == ("E2412", True)
        assert list((ssh.root / "p13" / "in" / "ready").iterdir()) == []
    finally:
        ssh.stop()


def test_fsync_is_a_request_the_server_really_answers_before_the_rename(
    ssh_place: Place, payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, commit = SftpClient._fsync, SftpClient._commit

    def told_fsync(part: paramiko.SFTPFile) -> None:
        fsync(part)
        order.append("fsync")

    def told_commit(self: SftpClient, name: str) -> None:
        order.append("rename")
        commit(self, name)

    monkeypatch.setattr(SftpClient, "_fsync", staticmethod(told_fsync))
    monkeypatch.setattr(SftpClient, "_commit", told_commit)
    with _client(ssh_place) as client:
        client.put(NAME, payload)
        assert order == ["fsync", "rename"]
        with client._sftp().open(f"{client._address.base}/in/ready/{NAME}", "rb") as file:
            file.handle = b"nonsense"  # type: ignore[assignment]
            with pytest.raises(OSError):  # noqa: PT011 - each server has its own words
                fsync(file)


def test_the_account_can_neither_remove_nor_overwrite_nor_link(ssh_place: Place, payload: Path) -> None:
    with _client(ssh_place) as client:
        client.put(NAME, payload)
        sftp, ready = client._sftp(), f"{client._address.base}/in/ready"
        forbidden: tuple[Callable[[], object], ...] = (
            lambda: sftp.remove(f"{ready}/{NAME}"),
            lambda: sftp.posix_rename(f"{ready}/{NAME}", f"{ready}/x"),
            lambda: sftp.symlink("/etc/passwd", f"{ready}/x"),
            lambda: sftp.mkdir(f"{ready}/x"),
            lambda: sftp.chmod(f"{ready}/{NAME}", 0o777),
        )
        for act in forbidden:
            with pytest.raises(PermissionError):
                act()
    assert ssh_place.files() == {f"in/ready/{NAME}": payload.read_bytes()}


@pytest.mark.parametrize(
    "url",
    ["sftp://p13:secret@host", "sftp://", "sftp://p13@host:notaport", "sftp://p13@host/?x=1", "ftp://host", "folder:"],
)
def test_an_address_of_another_form_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    line = write_key(tmp_path / "key")
    with pytest.raises(UsageError) as refusal:
        open_client(url, "13", key_file=tmp_path / "key", host_keys=[line])
    assert refusal.value.code == "E2410"
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "pins", [[], [""], ["ssh-ed25519"], ["ssh-ed25519 AAAA"], ["ssh-ed25519 ###"], ["ssh-rsa AAAA"]]
)
def test_without_a_readable_pin_no_transport_exists(tmp_path: Path, pins: list[str]) -> None:
    write_key(tmp_path / "key")
    with pytest.raises(KeyMaterialError) as refusal:
        open_client("sftp://p13@127.0.0.1", "13", key_file=tmp_path / "key", host_keys=pins)
    assert refusal.value.code == "E2402"


@pytest.mark.parametrize("fault", ["readable by all", "absent", "no key", "no certificate"])
def test_a_login_key_that_is_not_fit_stops_before_the_line(tmp_path: Path, fault: str) -> None:
    key, certificate = tmp_path / "key", None
    line = write_key(key)
    if fault == "readable by all":
        key.chmod(0o644)
    elif fault == "absent":
        key.unlink()
    elif fault == "no key":
        key.write_text("not a key")
    else:
        certificate = tmp_path / "key-cert.pub"
    client = open_client(
        f"sftp://p13@127.0.0.1:{free_port()}", "13", key_file=key, host_keys=[line], certificate=certificate
    )
    with client, pytest.raises(HubError) as refusal:
        client.list_out()
    assert (refusal.value.code, refusal.value.exit_code) == ("E2403", 12)
    assert str(tmp_path) not in str(refusal.value)
