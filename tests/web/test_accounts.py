"""Accounts and sessions on both databases; the command line's way to a password (console 1, 6, 7)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from hub.cli import main
from hub.errors import UsageError
from hub.roles import Grant
from hub.roles_store import add_operator
from hub.store import Store, open_store
from hub.web.accounts import ATTEMPTS, account, bind_subject, set_password, try_password, unlock
from hub.web.passwords import check_password, hashed, matches
from hub.web.sessions import end, start, visitor_of
from pipelines.lab.setup import Lab
from tests.servers import PostgresServer
from tests.web.conftest import copied
from tests.web.consoles import AT, PASSWORD, catalog, give_password

IDLE = timedelta(minutes=30)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create_database("accounts")
    made = open_store(url, catalog(), busy_seconds=10)
    made.upgrade()
    for name in ("clerk", "chief"):
        add_operator(made, "13", name, name, [Grant("业务员")], at=AT, actor="test")
    give_password(made, "clerk")
    yield made
    made.close()


def attempt(store: Store, password: str = PASSWORD, **span: float) -> bool:
    return try_password(store, "13", "clerk", password, at=AT + timedelta(**span), source="127.0.0.1").good


def test_a_session_lives_by_its_id_and_ends_by_silence_signing_out_or_a_second_one(store: Store) -> None:
    first = start(store, "13", "clerk", at=AT, rng=os.urandom, source="127.0.0.1")
    visitor = visitor_of(store, first, at=AT + timedelta(minutes=29), idle=IDLE)
    assert visitor is not None
    assert visitor.roles == ("业务员",)
    assert visitor_of(store, first, at=AT + timedelta(minutes=58), idle=IDLE) is not None
    assert visitor_of(store, first, at=AT + timedelta(minutes=90), idle=IDLE) is None
    second = start(store, "13", "clerk", at=AT, rng=os.urandom, source="127.0.0.1")
    assert visitor_of(store, first, at=AT, idle=IDLE) is None
    found = visitor_of(store, second, at=AT, idle=IDLE)
    assert found is not None
    end(store, "13", found, at=AT)
    assert visitor_of(store, second, at=AT, idle=IDLE) is None


def test_many_attempts_at_once_are_no_more_than_many_in_a_row(store: Store) -> None:
    guesses = [f"guess-{n}" for n in range(ATTEMPTS * 3)]
    with ThreadPoolExecutor(6) as pool:
        assert not any(pool.map(lambda guess: attempt(store, guess), guesses))
    assert not attempt(store), "locked for the right password as well"
    assert attempt(store, minutes=16)


def test_a_success_forgets_the_failures_before_it(store: Store) -> None:
    for _ in range(3):
        for _ in range(ATTEMPTS - 1):
            assert not attempt(store, "wrong")
        assert attempt(store)


def test_an_administrator_lifts_a_lock(store: Store) -> None:
    for _ in range(ATTEMPTS):
        attempt(store, "wrong")
    assert not attempt(store)
    unlock(store, "13", "clerk", at=AT, actor="admin")
    assert attempt(store)


def test_a_person_at_the_provider_has_one_account(store: Store) -> None:
    bind_subject(store, "13", "clerk", "issuer zhang", at=AT, actor="admin")
    with pytest.raises(UsageError, match="E1094"):
        bind_subject(store, "13", "chief", "issuer zhang", at=AT, actor="admin")
    with store.reading() as reader:
        assert account(reader, "chief") is None


def test_the_two_passwords_of_an_account_differ(store: Store) -> None:
    with pytest.raises(UsageError, match="E1082"):
        set_password(store, "13", "clerk", PASSWORD, data=True, at=AT, actor="clerk", rng=os.urandom)


@pytest.mark.parametrize("weak", ["short-1", "onlyletters", "12345678901", "Clerk-12345", "x" * 201 + "1"])
def test_a_weak_password_is_refused(weak: str) -> None:
    with pytest.raises(UsageError, match="E1081"):
        check_password(weak, name="clerk")


def test_a_hash_is_salted_and_slow_and_tells_nothing_without_an_account() -> None:
    one, other = (hashed("Same-password-1", salt=bytes([n]) * 16) for n in (1, 2))
    assert one != other
    assert one.startswith("scrypt$32768$8$1$")
    assert matches("Same-password-1", one)
    assert not matches("same-password-1", one)
    assert not matches("", None)


def test_a_password_comes_from_standard_input_or_a_file_and_never_from_the_line(
    filled: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = copied(filled.province, filled, tmp_path)
    line = ["--node", str(node.folder), "operator", "password", "clerk"]
    monkeypatch.setattr("sys.stdin", io.StringIO("From-stdin-2026\n"))
    assert main(line) == 0
    file = tmp_path / "secret"
    file.write_text("From-file-2026\nsecond line\n", encoding="utf-8")
    assert main([*line, "--data", "--file", str(file)]) == 0
    assert main([*line, "Given-on-line-1"]) == 2
    out = capsys.readouterr()
    assert "2026" not in out.out + out.err
    store = open_store(node.database_url, catalog())
    assert try_password(store, "13", "clerk", "From-stdin-2026", at=AT, source="").good
    assert try_password(store, "13", "clerk", "From-file-2026", data=True, at=AT, source="").good
    store.close()


def test_the_console_is_not_opened_to_others_without_https(filled: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--node", str(filled.province.folder), "web", "--host", "0.0.0.0"]) == 2  # noqa: S104
    assert "E1080" in capsys.readouterr().err
