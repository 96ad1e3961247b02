"""The servers that other tests lean on."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from hub.transport import open_client
from tests.servers import PostgresServer, SshServer


def test_each_database_on_the_test_server_is_new_empty_and_utf8(postgres: PostgresServer) -> None:
    urls = [postgres.create_database("same"), postgres.create_database("same")]
    assert urls[0] != urls[1]
    for url in urls:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE only_here (name text)"))
            assert connection.execute(text("SHOW server_encoding")).scalar() == "UTF8"
        engine.dispose()


def test_the_shared_sftp_server_lets_both_parties_in(sshd: SshServer) -> None:
    for party in ("13", "11"):
        client = open_client(sshd.url(party), party, key_file=sshd.client_key, host_keys=[sshd.host_key_line])
        with client:
            assert client.list_out() == []
