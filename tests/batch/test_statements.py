"""Heads, orders and DR statements: read as signed, and refused when they are not for this reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.batch.control import Control, Repair, Resend, open_control, sign_control
from hub.batch.head import StreamHead, Tip, open_head, sign_head, went_back
from hub.batch.restart import DrStatement, Restart, build_statement, open_statement
from tests.trust.network import NOW, STREAM, Network, code_of, network

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


HEAD = StreamHead("13", (Tip("up", "main", 1, 42, DIGEST),), 1, 57, NOW, NOW + timedelta(hours=2))


def test_a_head_is_read_as_it_was_signed(net: Network) -> None:
    assert open_head(sign_head(HEAD, net.signer("moe")), party="13", trust=net.trust, at=NOW) == HEAD


def test_a_head_of_another_province_or_by_a_province_is_refused(net: Network) -> None:
    for head, signer, code in (
        (replace(HEAD, to="12"), "moe", "E_NAME"),
        (HEAD, "13", "E_ROLE"),
    ):
        envelope = sign_head(head, net.signer(signer))
        assert code_of(lambda: open_head(envelope, party="13", trust=net.trust, at=NOW)) == code  # noqa: B023


@pytest.mark.parametrize(
    ("now", "back"),
    [
        (Tip("up", "main", 1, 43, OTHER), False),
        (Tip("up", "main", 2, 0, OTHER), False),
        (Tip("up", "main", 1, 42, DIGEST), False),
        (Tip("up", "main", 1, 41, DIGEST), True),
        (Tip("up", "main", 1, 42, OTHER), True),
        (Tip("up", "case", 1, 42, DIGEST), True),
    ],
)
def test_a_head_goes_back_when_a_stream_does(now: Tip, back: bool) -> None:
    assert bool(went_back(HEAD.tips, replace(HEAD, tips=(now,)))) is back


@pytest.mark.parametrize("order", [Resend(STREAM, 41), Repair(STREAM, 9, {"xs": (0, 17, 4095), "xx": (3,)})])
def test_an_order_is_read_as_it_was_signed_by_its_province_only(net: Network, order: Resend | Repair) -> None:
    control = Control("13", 7, order, NOW)
    envelope = sign_control(control, net.signer("moe"))
    assert open_control(envelope, control.name, party="13", trust=net.trust, at=NOW) == control
    assert code_of(lambda: open_control(envelope, control.name, party="12", trust=net.trust, at=NOW)) == "E_NAME"
    renamed = replace(control, number=8).name
    assert code_of(lambda: open_control(envelope, renamed, party="13", trust=net.trust, at=NOW)) == "E_NAME"


def test_a_dr_statement_needs_two_different_ministry_keys(net: Network) -> None:
    statement = DrStatement(1, "数据库恢复到备份", NOW, (Restart(STREAM, 40, DIGEST, OTHER),))
    good = build_statement(statement, net.roots[1:3])
    found = open_statement(good, statement.name, trust=net.trust, at=NOW)
    assert replace(found, digest="") == statement
    assert found.restart("13", "up", "main") == statement.restarts[0]
    for signers in (net.roots[:1], [net.roots[0], net.roots[0]], [net.roots[0], net.signer("moe")]):
        envelope = build_statement(statement, signers)
        assert code_of(lambda: open_statement(envelope, statement.name, trust=net.trust, at=NOW)) == "E_SIG"  # noqa: B023
