"""Rows 7 and 34-41 against the transfer server as `hub transfer` builds it: chroots, accounts, certificates.

A province seals with its own software and uploads over SFTP into its chroot; the ministry's intake reads the same disk.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from connectors.sample.run import generate
from hub.catalog import load_catalog
from hub.errors import HubError, VerificationError
from hub.transport import ServerTransport
from ministry_node.intake import run_intake
from pipelines.lab.setup import Lab, open_lab
from province_node.deliver import deliver
from province_node.listen import listen
from province_node.publish import publish_pending
from tests.round.labs import AT, copy_lab, new_lab, rows, settle, store_of
from tests.servers import write_key
from tests.transfer_server import ROOT, Login, TransferServer

BATCH = "13-up-main-e0001-s0000000001"
MANIFEST = f"{BATCH}.manifest.dsse"

KILLED = """
import os, signal, sys
from pathlib import Path
from hub.settings import open_node
from province_node.deliver import deliver
from tests.round.labs import AT
def die(name, done, total):
    if name.endswith(".cms") and total > 100_000 and done * 10 >= total * 4:
        os.kill(os.getpid(), signal.SIGKILL)
deliver(open_node(Path(sys.argv[1])), at=AT, progress=die)
"""


@dataclass
class Exchange:
    """A lab whose province uploads to the real server, and whose ministry picks up from it."""

    lab: Lab
    server: TransferServer
    login: Login

    @property
    def ready(self) -> Path:
        return self.server.home("13") / "in" / "ready"

    def deliver(self, *, again: bool = False) -> int:
        return deliver(self.lab.province, at=AT, again=again).sent

    def intake(self) -> list[tuple[str, str | None]]:
        return [(d.verdict, d.code) for d in run_intake(self.lab.ministry, at=AT).decisions]

    def alarms(self) -> list[str]:
        return [alarm.code for alarm in run_intake(self.lab.ministry, at=AT).alarms]

    def state(self) -> dict[str, Any]:
        """What no attack may move at the ministry."""
        store = store_of(self.lab.ministry)
        try:
            golden = {e.name: store.digest(e, "13") for e in load_catalog().entities.values()}
        finally:
            store.close()
        tables = ("peer_stream", "inbox", "receipt", "lineage")
        return {"golden": golden, **{name: rows(self.lab.ministry, name) for name in tables}}

    def raw(self) -> paramiko.SFTPClient:
        """A raw SFTP client with the province's own login."""
        return self.server.client(self.login)._sftp()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Province 13 with its first batch sealed and not yet sent."""
    folder = tmp_path_factory.mktemp("sealed")
    generate(folder / "day1", province="13", students=3000, seed=1)
    lab = new_lab(folder / "lab", folder / "day1")
    settle(lab)
    publish_pending(lab.province, at=AT, rng=os.urandom)
    return lab


@pytest.fixture(scope="module")
def login(transfer_server: TransferServer) -> Login:
    return transfer_server.login("13")


@pytest.fixture
def exchange(sealed: Lab, transfer_server: TransferServer, login: Login, tmp_path: Path) -> Iterator[Exchange]:
    lab = copy_lab(sealed, tmp_path / "lab")
    _set(lab.province.folder, transport=f"sftp://p13@127.0.0.1:{transfer_server.port}", sftp_key=str(login.key))
    _set(lab.province.folder, sftp_host_keys=[transfer_server.host_key_line])
    _set(lab.ministry.folder, transport=f"folder:{transfer_server.exchange}")
    yield Exchange(open_lab(lab.folder), transfer_server, login)
    for place in ("in/part", "in/ready", "out", "pub"):
        transfer_server.run("sh", "-c", f"rm -rf /srv/exch/p13/{place}/* /srv/exch/p11/{place}/*")


@pytest.fixture
def syslog(transfer_server: TransferServer) -> Iterator[Callable[[], str]]:
    """What sftp in the chroot of province 13 tells the socket that rsyslog would listen to; read as it comes."""
    place, lines = transfer_server.home("13") / "dev" / "log", list[str]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place))
        place.chmod(0o666)

        def read() -> None:
            while (line := listener.recv(8192)) != b"end":
                lines.append(line.decode(errors="replace"))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()

        def end() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.sendto(b"end", str(place))
            reader.join(10)

        def heard() -> str:
            end()
            return "\n".join(lines)

        yield heard
    place.unlink()


def _set(folder: Path, **values: Any) -> None:
    file = folder / "hub.toml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if line.split(" ")[0] not in values]
    added = [f"{name} = {value!r}".replace("'", '"') for name, value in values.items()]
    file.write_text("\n".join([*kept, *added]) + "\n", encoding="utf-8")


@pytest.mark.row(34, "wrong SSH host key, unknown host", "refused by the client, no byte sent")
def test_row_34_a_server_with_another_host_key_gets_no_login_and_no_byte(exchange: Exchange, tmp_path: Path) -> None:
    _set(exchange.lab.province.folder, sftp_host_keys=[write_key(tmp_path / "other"), write_key(tmp_path / "next")])
    exchange.lab = open_lab(exchange.lab.folder)
    log, outbox = exchange.server.log.read_text(), rows(exchange.lab.province, "outbox")
    with pytest.raises(VerificationError) as refusal:
        exchange.deliver()
    assert (refusal.value.code, refusal.value.retryable) == ("E2402", False)
    said = exchange.server.log.read_text()[len(log) :]
    assert "Accepted" not in said
    assert exchange.server.files("13") == {}
    assert rows(exchange.lab.province, "outbox") == outbox


@pytest.mark.row(35, "list others, read /etc, delete or overwrite receipts, exec, forward", "denied and logged")
def test_row_35_a_province_reaches_nothing_but_its_own_uploads(exchange: Exchange, syslog: Callable[[], str]) -> None:
    exchange.server.publish("13", f"{BATCH}.receipt1.dsse", "signed")
    exchange.server.publish("11", "11-up-main-e0001-s0000000001.receipt1.dsse", "theirs")
    before, receipt = exchange.server.files("13"), f"/out/{BATCH}.receipt1.dsse"
    sftp = exchange.raw()
    assert sorted(sftp.listdir("/")) == ["dev", "in", "out", "pub"]
    attacks: tuple[Callable[[], object], ...] = (
        lambda: sftp.listdir("/../p11"),
        lambda: sftp.listdir("/srv/exch"),
        lambda: sftp.open("/etc/passwd"),
        lambda: sftp.open("../../etc/passwd"),
        lambda: sftp.open("/out/../../p11/out/11-up-main-e0001-s0000000001.receipt1.dsse"),
        lambda: sftp.remove(receipt),
        lambda: sftp.open(receipt, "w"),
        lambda: sftp.open(receipt, "a"),
        lambda: sftp.rename(receipt, "/in/ready/receipt"),
        lambda: sftp.posix_rename(receipt, "/in/ready/receipt"),
        lambda: sftp.open("/pub/trust-list-000009.dsse", "w"),
        lambda: sftp.chmod("/in/ready", 0o777),
        lambda: sftp.mkdir("/in/more"),
        lambda: sftp.rmdir("/in/part"),
    )
    for attack in attacks:
        with pytest.raises(OSError):  # noqa: PT011 - "no such file" and "permission denied" both deny
            attack()
    around = sftp.get_channel()
    assert around is not None
    link = around.get_transport()
    channel = link.open_session()
    channel.exec_command("id")
    assert channel.recv_exit_status() == 1
    with pytest.raises(paramiko.ChannelException):
        link.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1))
    assert exchange.server.files("13") == before
    assert "refused local port forward" in exchange.server.log.read_text()
    told = syslog()
    assert "sent status Permission denied" in told or "Refusing" in told
    assert f'open "{receipt}"' in told


@pytest.mark.row(36, "symlink or hard link planted in ready", "request denied; if present all the same, not read")
@pytest.mark.row(38, "FIFO, device or folder named like a manifest", "ignored with an alarm, no hang")
@pytest.mark.parametrize(
    "plant",
    [
        "ln -s /etc/hostname {0}",
        "echo x > {1} && ln {1} {0}",
        "mkfifo {0}",
        "mkdir {0}",
        "mknod {0} c 1 3",
    ],
)
def test_row_36_and_38_what_is_no_file_is_never_read_and_the_batch_still_applies(
    exchange: Exchange, plant: str
) -> None:
    sftp = exchange.raw()
    with pytest.raises(PermissionError):
        sftp.symlink("/etc/passwd", f"/in/ready/{MANIFEST}")
    request: Any = sftp._request  # type: ignore[attr-defined]
    with pytest.raises(OSError):  # noqa: PT011
        request(paramiko.sftp.CMD_EXTENDED, "hardlink@openssh.com", "/in/part/x", f"/in/ready/{MANIFEST}")
    assert os.listdir(exchange.ready) == []
    # Present all the same: somebody with more rights than an SFTP login put it there.
    name = "/srv/exch/p13/in/ready/13-up-main-e0001-s0000000002.manifest.dsse"
    exchange.server.run("sh", "-c", plant.format(name, "/srv/exch/p13/in/part/other"))
    assert exchange.deliver() > 0
    start = time.monotonic()
    result = run_intake(exchange.lab.ministry, at=AT)
    assert time.monotonic() - start < 60  # a FIFO that were opened would never come back
    assert [(d.batch_id, d.verdict) for d in result.decisions] == [(BATCH, "APPLIED")]
    assert [alarm.code for alarm in result.alarms] == ["E2407"]
    assert [row["seq"] for row in rows(exchange.lab.ministry, "inbox")] == [1]
    evidence = [p.read_bytes() for p in exchange.lab.ministry.store.rglob("*") if p.is_file()]
    assert Path("/etc/hostname").read_bytes() not in evidence


@pytest.mark.row(37, "handle kept open, file rewritten after pick-up", "the copy's digest decides, the copy stays")
def test_row_37_a_part_rewritten_over_sftp_after_pick_up_changes_nothing(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.deliver()
    part = max(exchange.ready.glob("*.cms"), key=lambda path: path.stat().st_size).name
    sealed = (exchange.ready / part).read_bytes()
    handle = exchange.raw().open(f"/in/ready/{part}", "r+b")
    taken = ServerTransport.take
    rewritten: list[str] = []

    def take(self: ServerTransport, party: str, name: str, dst: Path, limit: int, **options: int | None) -> object:
        copied = taken(self, party, name, dst, limit, **options)
        if name == part:
            handle.write(b"\0" * 1000)
            handle.flush()
            rewritten.append(name)
        return copied

    monkeypatch.setattr(ServerTransport, "take", take)
    assert exchange.intake() == [("APPLIED", None)]
    handle.write(b"\0" * 1000)
    assert rewritten == [part]
    assert sealed in [p.read_bytes() for p in exchange.lab.ministry.store.rglob("*.cms")]


@pytest.mark.row(39, "two uploaders on one .part", "digest mismatch, REFUSED, clean re-ship")
def test_row_39_two_uploaders_on_one_part_end_in_a_refusal_and_a_clean_re_ship(exchange: Exchange) -> None:
    """Two raw SFTP clients of one province: one resumes what the other has just begun anew."""
    body = max(exchange.lab.province.spool.glob("*.cms"), key=lambda path: path.stat().st_size)
    sealed, half = body.read_bytes(), body.stat().st_size // 2
    one, other = exchange.raw(), exchange.raw()
    first = one.open(f"/in/part/{body.name}.part", "wb")
    first.write(sealed[:half])
    first.flush()
    second = other.open(f"/in/part/{body.name}.part", "ab")  # it finds half of the file and goes on, from its own start
    second.write(sealed[: len(sealed) - half])
    second.close()
    first.close()
    one.rename(f"/in/part/{body.name}.part", f"/in/ready/{body.name}")
    assert (exchange.ready / body.name).stat().st_size == len(sealed)
    assert exchange.intake() == []
    before = {name: state for name, state in exchange.state().items() if name != "receipt"}
    exchange.deliver()
    assert (exchange.ready / body.name).read_bytes() != sealed, "what lies there with the right size is taken as sent"
    assert exchange.intake() == [("REFUSED", "E_FILE_DIGEST")]
    assert {name: state for name, state in exchange.state().items() if name != "receipt"} == before
    assert [r.verdict for r in listen(exchange.lab.province, at=AT).receipts] == ["REFUSED"]
    assert exchange.deliver() >= len(sealed)
    assert (exchange.ready / body.name).read_bytes() == sealed
    assert exchange.intake() == [("APPLIED", None)]
    assert [row["digest"] for row in rows(exchange.lab.ministry, "inbox")] == [
        row["digest"] for row in rows(exchange.lab.province, "outbox")
    ]


@pytest.mark.row(40, "kill the uploader at 40 %, resume", "identical bytes, applied once")
def test_row_40_an_uploader_killed_at_40_per_cent_resumes_and_the_batch_applies_once(exchange: Exchange) -> None:
    script = [sys.executable, "-c", KILLED, str(exchange.lab.province.folder)]
    killed = subprocess.run(script, cwd=ROOT, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -9, killed.stderr.decode()
    assert any(name.endswith(".part") for name in exchange.server.files("13"))
    assert not (exchange.ready / MANIFEST).exists()
    assert exchange.intake() == []
    size = sum(path.stat().st_size for path in exchange.lab.province.spool.iterdir())
    assert 0 < exchange.deliver() < size
    for path in exchange.lab.province.spool.iterdir():
        assert (exchange.ready / path.name).read_bytes() == path.read_bytes()
    assert exchange.intake() == [("APPLIED", None)]
    after = exchange.state()
    exchange.deliver(again=True)
    assert exchange.intake() == [("DUPLICATE", None)]
    assert exchange.state() == after
    assert [r.verdict for r in listen(exchange.lab.province, at=AT).receipts] == ["APPLIED"]


@pytest.mark.row(7, "10 GB endless upload", "the limit stops it, other provinces unaffected")
def test_row_7_an_endless_upload_is_cut_off_and_others_go_on(tmp_path: Path) -> None:
    server = TransferServer(file_limit=8 << 20)
    try:
        endless, other = server.client(server.login("13")), server.client(server.login("11"))
        block, sent = os.urandom(1 << 20), 0
        part = endless._sftp().open("/in/part/endless.part", "wb")
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):  # noqa: PT012
            while sent < 64:
                part.write(block)
                sent += 1
        assert sent < 16
        assert (server.home("13") / "in/part/endless.part").stat().st_size <= 8 << 20
        (tmp_path / "11-up-main-e0001-s0000000001.f01.cms").write_bytes(block)
        assert other.put("11-up-main-e0001-s0000000001.f01.cms", tmp_path / "11-up-main-e0001-s0000000001.f01.cms")
    finally:
        server.stop()


@pytest.mark.row(41, "server disk full in mid-upload, quota hit", "client backs off with an alarm, no partial manifest")
@pytest.mark.row(7, "10 GB endless upload", "the quota stops it, other provinces unaffected")
def test_row_41_and_7_a_full_disk_is_said_and_leaves_no_manifest_and_space_heals_it(
    exchange: Exchange, tmp_path: Path
) -> None:
    """The province's `in/` on a small file system of its own: what a quota does to it."""
    server = exchange.server
    server.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", "/srv/exch/p13/in")
    try:
        server.hub("transfer", "add-province", "13")
        outbox, before = rows(exchange.lab.province, "outbox"), exchange.state()
        with pytest.raises(HubError) as full:
            exchange.deliver()
        assert (full.value.code, full.value.retryable) == ("E2412", True)
        assert MANIFEST not in server.run("ls", "/srv/exch/p13/in/ready", "/srv/exch/p13/in/part").stdout
        assert (rows(exchange.lab.province, "outbox"), exchange.state()) == (outbox, before)
        neighbour = tmp_path / "11-up-main-e0001-s0000000001.f01.cms"
        neighbour.write_bytes(os.urandom(400_000))
        with server.client(server.login("11")) as client:
            assert client.put(neighbour.name, neighbour) == 400_000
    finally:
        server.run("umount", "-l", "/srv/exch/p13/in")
    assert exchange.deliver() > 0
    assert exchange.intake() == [("APPLIED", None)]
