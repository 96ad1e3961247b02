"""Servers shared by a whole test run, started when the first test asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quality.judge
from tests.oracle.session import StatementsOfTheRun
from tests.servers import PostgresServer, SshServer, start_postgres, start_sshd
from tests.transfer_server import TransferServer, why_not
from tests.warm_judge import Warm


def pytest_configure(config: pytest.Config) -> None:
    """What the tests make the product say to any database is judged for Oracle when they end."""
    heard = StatementsOfTheRun()
    heard.start()
    config.pluginmanager.register(heard, "statements-of-the-run")


@pytest.fixture(scope="session", autouse=True)
def warm_judge() -> Iterator[None]:
    """Rounds of this process take their second judge from one that is loaded already."""
    warm = Warm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality.judge, "subprocess", warm)
        yield
    warm.stop()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SFTP server for parties 13 and 11: OpenSSH where it is installed, else asyncssh."""
    server = start_sshd(tmp_path_factory.mktemp("sshd"), parties=("13", "11"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; take a database of your own with `create_database`."""
    server = start_postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def transfer_server() -> Iterator[TransferServer]:
    """The transfer server as `hub transfer` builds it: OpenSSH, accounts, chroots, certificates; needs root."""
    if reason := why_not():
        pytest.skip(reason)
    server = TransferServer()
    yield server
    server.stop()
