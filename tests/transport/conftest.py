"""One exchange place per test, over each transport: the same tests must hold on all of them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.transport import ClientTransport, ServerTransport, open_client, open_server
from tests.servers import SshServer, ssh_kinds, start_sshd

Servers = Callable[[str], SshServer]
# A party of its own for each test, so that all tests can share one running server and no late byte of an earlier test
# is taken for this one's; after ninety tests the first ones' folders are used again, emptied.
PARTIES = itertools.count(10)


@dataclass
class Place:
    """Both views of one party's exchange place, and where its files lie."""

    kind: str
    party: str
    url: str
    server: ServerTransport
    ssh: SshServer | None

    def client(self) -> ClientTransport:
        if self.ssh is None:
            return open_client(self.url, self.party)
        return open_client(self.url, self.party, key_file=self.ssh.client_key, host_keys=[self.ssh.host_key_line])

    @property
    def home(self) -> Path:
        return self.server.root / f"p{self.party}"

    @property
    def ready(self) -> Path:
        return self.home / "in" / "ready"

    @property
    def part(self) -> Path:
        return self.home / "in" / "part"

    def files(self) -> dict[str, bytes]:
        """All that a province has put here, by path: for showing that nothing moved."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted((self.home / "in").rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    running: dict[str, SshServer] = {}

    def get(kind: str) -> SshServer:
        if kind not in running:
            running[kind] = start_sshd(tmp_path_factory.mktemp(kind), kind=kind)
        return running[kind]

    yield get
    for server in running.values():
        server.stop()


def _place(kind: str, servers: Servers, tmp_path: Path) -> Place:
    party = f"{next(PARTIES) % 90 + 10:02}"
    ssh = None if kind == "folder" else servers(kind)
    root = tmp_path / "exch" if ssh is None else ssh.root
    server = open_server(root)
    shutil.rmtree(root / f"p{party}", ignore_errors=True)
    server.prepare(party)
    return Place(kind, party, f"folder:{root}" if ssh is None else ssh.url(party), server, ssh)


@pytest.fixture(params=["folder", *ssh_kinds()])
def place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    return _place(request.param, servers, tmp_path)


@pytest.fixture(params=ssh_kinds())
def ssh_place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    return _place(request.param, servers, tmp_path)
