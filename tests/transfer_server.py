"""The transfer server as it is set up for real: accounts, chroots, certificates, by `hub transfer` itself.

Everything happens in a mount namespace of its own, with a private copy of `/etc` and a private `/srv`, so that the
machine keeps its accounts and folders. That needs root and the right to mount; where either is missing,
`why_not` says so and the tests that need it are skipped with that sentence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hub.transport import ClientTransport, open_client
from hub.transport.sftp import SftpClient
from tests.servers import SSHD, free_port, write_key

HUB = [sys.executable, "-c", "import sys; from hub.cli import main; sys.argv[0] = 'hub'; sys.exit(main())"]
ROOT = Path(__file__).parents[1]
FILE_LIMIT = 268_566_528  # LimitFSIZE of deploy/transfer/hub-transfer.service


@cache
def why_not() -> str | None:
    """Why this machine cannot run it, None when it can."""
    if os.geteuid() != 0:
        return "not tried: chroots and accounts need root"
    if not os.access(SSHD, os.X_OK) or shutil.which("unshare") is None:
        return "not tried: OpenSSH's server or unshare is not installed"
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False)
    return "not tried: this container may not mount" if tried.returncode else None


@dataclass(frozen=True)
class Login:
    """A province's key with its certificate beside it."""

    party: str
    key: Path

    @property
    def certificate(self) -> Path:
        return self.key.with_name(f"{self.key.name}-cert.pub")

    @property
    def public(self) -> Path:
        return self.key.with_name(f"{self.key.name}.pub")


class TransferServer:
    """A running server for provinces 11 and 13. Start it once per run; stop it with `stop`."""

    def __init__(self, *, file_limit: int = FILE_LIMIT) -> None:
        self._file_limit = file_limit
        # Not pytest's folder, which other accounts may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="hub-transfer-"))
        self.folder.chmod(0o755)
        shutil.copytree("/etc", self.folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
        (self.folder / "srv").mkdir()
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port, self.log = free_port(), self.folder / "sshd.log"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", self._prepare()],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self.hub("transfer", "init", "--port", str(self.port))
        self.hub("transfer", "add-province", "11", "13")
        self.sshd: subprocess.Popen[bytes] | None = None
        self.start()

    def _prepare(self) -> str:
        etc, srv = self.folder / "etc", self.folder / "srv"
        return f"mount --bind {etc} /etc && mount --bind {srv} /srv && echo ready && exec sleep infinity"

    @property
    def exchange(self) -> Path:
        """Where the provinces' homes are, as this process sees them."""
        return self.folder / "srv" / "exch"

    @property
    def host_key_line(self) -> str:
        return " ".join((self.folder / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def home(self, party: str) -> Path:
        return self.exchange / f"p{party}"

    def run(self, *command: str, user: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command inside the server, as root or as one of its accounts."""
        inside = ["nsenter", f"--target={self._holder.pid}", "--mount", f"--wd={ROOT}"]
        if user is not None:
            inside += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        done = subprocess.run([*inside, *command], capture_output=True, text=True, check=False, cwd=ROOT)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def hub(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command line on the server."""
        return self.run("env", f"PYTHONPATH={ROOT}", *HUB, *arguments, check=check)

    def start(self) -> None:
        """sshd with the configuration `hub transfer init` wrote and the file limit of the service unit."""
        inside = ["nsenter", f"--target={self._holder.pid}", "--mount", "prlimit", f"--fsize={self._file_limit}"]
        with self.log.open("ab") as out:
            self.sshd = subprocess.Popen(
                [*inside, SSHD, "-D", "-e", "-f", "/srv/keys/sshd_config"], stdout=out, stderr=out
            )
        end = time.monotonic() + 15
        while "Server listening" not in self.log.read_text():
            assert self.sshd.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "sshd did not start"
            time.sleep(0.02)

    def login(
        self, party: str, *, sources: Sequence[str] = ("127.0.0.0/8",), days: int = 90, at: datetime | None = None
    ) -> Login:
        """A new key with a certificate of the server's user CA; `at`: issued then, past the command line."""
        folder = Path(tempfile.mkdtemp(prefix=f"p{party}-", dir=self.folder))
        login = Login(party, folder / "ssh")
        login.public.write_text(write_key(login.key) + "\n")
        if at is None:
            options = [word for source in sources for word in ("--source-address", source)]
            out = ["--out", str(login.certificate), "--days", str(days)]
            self.hub("transfer", "certify", party, "--public-key", str(login.public), *options, *out)
            return login
        code = (
            "import sys; from datetime import datetime; from pathlib import Path\n"
            "from hub.transport import ssh_ca; from hub.transport.sshd import Places\n"
            "party, public, out, at, days, *sources = sys.argv[1:]\n"
            "_, line = ssh_ca.issue(Places(), party, Path(public), sources, at=datetime.fromisoformat(at),"
            " days=int(days))\n"
            "Path(out).write_bytes(line)\n"
        )
        given = [party, str(login.public), str(login.certificate), at.astimezone(UTC).isoformat(), str(days), *sources]
        self.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", code, *given)
        return login

    def client(self, login: Login, **options: Any) -> SftpClient:
        """The province's own transport over this server."""
        pins = options.pop("host_keys", [self.host_key_line])
        url = f"sftp://p{options.pop('account', login.party)}@127.0.0.1:{self.port}"
        made: ClientTransport = open_client(url, login.party, key_file=login.key, host_keys=pins, **options)
        assert isinstance(made, SftpClient)
        return made

    def files(self, party: str) -> dict[str, bytes]:
        """Everything in a province's home by path, links unread."""
        return {
            str(path.relative_to(self.home(party))): path.read_bytes()
            for path in sorted(self.home(party).rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def publish(self, party: str, name: str, content: str) -> None:
        """A file in `out/`, written by the hub's account."""
        place = f"/srv/exch/p{party}/out/{name}"
        self.run("sh", "-c", f"umask 027; printf %s '{content}' > {place}", user="hub")

    def stop(self) -> None:
        for process in (self.sshd, self._holder):
            if process is not None:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
