"""Sequence verdicts and epochs, protocol 7.1, 9.1 and 15 #8 to #15."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.batch.grant import EpochGrant, Position, build_grant, open_grant
from hub.batch.layout import StreamId, grant_name
from hub.batch.sequence import (
    BatchHeader,
    PeerStream,
    Sequence,
    advance,
    check_window,
    freeze,
    judge,
    open_epoch,
)
from hub.errors import RefusedError
from tests.trust.network import NOW, STREAM, Network, code_of, network

GRANT = "sha256:" + "9" * 64


def digest(seq: int) -> str:
    return GRANT if seq == 0 else f"sha256:{seq:064x}"


def at(seq: int) -> PeerStream:
    return PeerStream(STREAM, seq, digest(seq))


def batch(seq: int, *, epoch: int = 1, prev: str | None = None, own: str | None = None) -> BatchHeader:
    return BatchHeader(STREAM.at_epoch(epoch), seq, prev or digest(seq - 1), own or digest(seq))


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


def test_the_next_batch_is_new_and_moves_the_position() -> None:
    decision = judge(at(7), batch(8))
    assert (decision.verdict, decision.code, decision.refuses) == (Sequence.NEW, None, False)
    assert advance(at(7), batch(8)) == at(8)
    assert judge(at(0), batch(1)).verdict is Sequence.NEW


def test_a_replayed_batch_is_a_duplicate() -> None:
    """Protocol 15 #8."""
    assert judge(at(7), batch(7)).verdict is Sequence.DUPLICATE
    assert judge(at(7), batch(3), stored_digest=digest(3)).verdict is Sequence.DUPLICATE


@pytest.mark.parametrize("seq", [3, 7])
def test_the_same_seq_with_other_content_is_a_fork(seq: int) -> None:
    """Protocol 15 #9."""
    decision = judge(at(7), batch(seq, own="sha256:" + "f" * 64), stored_digest=digest(seq))
    assert (decision.verdict, decision.code, decision.freezes_stream) == (Sequence.FORK, "E_SEQ_FORK", True)


def test_a_wrong_prev_is_a_fork() -> None:
    """Protocol 15 #10; for seq 1 `prev` is the grant's digest."""
    assert judge(at(7), batch(8, prev=digest(3))).code == "E_SEQ_FORK"
    assert judge(at(0), batch(1, prev=digest(3))).code == "E_SEQ_FORK"


def test_a_parked_or_refused_batch_replaced_by_another_is_a_fork() -> None:
    assert judge(at(7), batch(9, own="sha256:" + "f" * 64), stored_digest=digest(9)).code == "E_SEQ_FORK"
    assert judge(at(7), batch(9), stored_digest=digest(9)).verdict is Sequence.GAP
    assert judge(at(7), batch(8, own="sha256:" + "f" * 64), stored_digest=digest(8)).code == "E_SEQ_FORK"
    assert judge(at(7), batch(8), stored_digest=digest(8)).verdict is Sequence.NEW


def test_a_skipped_seq_is_parked_and_says_what_it_waits_for() -> None:
    """Protocol 15 #11."""
    decision = judge(at(7), batch(9))
    assert (decision.verdict, decision.code, decision.waiting_for) == (Sequence.GAP, "E_SEQ_GAP", 8)
    assert not decision.refuses


@given(st.permutations(range(1, 6)))
def test_batches_in_any_order_of_arrival_apply_in_order(arrival: list[int]) -> None:
    """Protocol 15 #12."""
    state, parked, applied = at(0), dict[int, BatchHeader](), list[int]()
    for seq in arrival:
        parked[seq] = batch(seq)
        assert judge(state, parked[seq]).verdict in (Sequence.NEW, Sequence.GAP)
        while (following := parked.get(state.last_seq + 1)) and judge(state, following).verdict is Sequence.NEW:
            state = advance(state, following)
            applied.append(following.seq)
    assert applied == [1, 2, 3, 4, 5]
    assert state == at(5)


def test_a_seq_beyond_the_window_is_refused() -> None:
    """Protocol 15 #13."""
    state = at(7)
    assert judge(state, batch(7 + 64)).verdict is Sequence.GAP
    for seq in (7 + 65, 1007):
        decision = judge(state, batch(seq))
        assert (decision.verdict, decision.code, decision.refuses) == (Sequence.FAST_FORWARD, "E_SEQ_FF", True)
    assert state == at(7)


def test_batches_of_other_epochs_are_refused() -> None:
    """Protocol 15 #14."""
    current = replace(at(7), stream_id=STREAM.at_epoch(2))
    assert judge(current, batch(8, epoch=1)).verdict is Sequence.STALE
    assert judge(current, batch(1, epoch=3)).verdict is Sequence.NO_GRANT
    assert judge(None, batch(1)).verdict is Sequence.NO_GRANT
    assert {judge(current, batch(1, epoch=epoch)).code for epoch in (1, 3)} == {"E_EPOCH"}


def test_a_frozen_stream_answers_duplicates_and_nothing_else() -> None:
    frozen = freeze(at(7), "E_SEQ_FORK")
    assert judge(frozen, batch(7)).verdict is Sequence.DUPLICATE
    decision = judge(frozen, batch(8))
    assert (decision.verdict, decision.code, decision.refuses) == (Sequence.FROZEN, "E_SEQ_FORK", True)
    with pytest.raises(RefusedError, match="E_SEQ_FORK"):
        raise decision.error("13-up-main-e0001-s0000000008")


def test_a_lost_inbox_row_is_our_own_fault_not_a_fork() -> None:
    with pytest.raises(RuntimeError):
        judge(at(7), batch(3))


def test_only_the_next_batch_moves_a_position() -> None:
    for wrong in (batch(9), batch(7), batch(8, prev=digest(1)), batch(8, epoch=2)):
        with pytest.raises(RuntimeError):
            advance(at(7), wrong)


def test_the_first_epoch_needs_a_grant_and_seq_1_names_it(net: Network) -> None:
    grant = net.grant()
    state = open_epoch(None, grant)
    assert state == PeerStream(STREAM, 0, grant.digest)
    assert judge(state, batch(1, prev=grant.digest)).verdict is Sequence.NEW
    assert open_epoch(state, grant) == state


def test_an_epoch_grant_unfreezes_and_closes_the_old_epoch(net: Network) -> None:
    grant = net.grant(STREAM.at_epoch(2), base="continue", prev_epoch_last=Position(7, digest(7)))
    state = open_epoch(freeze(at(7), "E_SEQ_FORK"), grant)
    assert (state.frozen, state.last_seq, state.last_digest) == (None, 0, grant.digest)
    assert judge(state, batch(8, epoch=1)).code == "E_EPOCH"


def test_grants_that_do_not_fit_the_position_are_refused(net: Network) -> None:
    second, last = STREAM.at_epoch(2), Position(7, digest(7))
    wrong: list[tuple[PeerStream | None, EpochGrant, str]] = [
        (None, net.grant(second), "E_GRANT"),
        (at(7), net.grant(second), "E_GRANT"),
        (at(7), net.grant(second, prev_epoch_last=Position(6, digest(6))), "E_GRANT"),
        (at(7), net.grant(second, prev_epoch_last=Position(7, digest(6))), "E_GRANT"),
        (at(7), net.grant(STREAM.at_epoch(3), prev_epoch_last=last), "E_GRANT"),
        (at(0), net.grant(reason="另一份"), "E_GRANT"),
        (replace(at(7), stream_id=second), net.grant(), "E_EPOCH"),
    ]
    for state, grant, code in wrong:
        assert code_of(lambda state=state, grant=grant: open_epoch(state, grant)) == code  # type: ignore[misc]


def test_a_grant_needs_two_distinct_ministry_keys(net: Network) -> None:
    """Protocol 15 #15."""
    draft = EpochGrant(STREAM, "首次开通", "snapshot", None, NOW)
    roots, name = net.roots, grant_name(STREAM)
    enough, grant = build_grant(draft, roots[1:])
    assert open_grant(enough, name, trust=net.trust, at=NOW) == grant
    wrong = {
        "one": ([roots[0]], "E_SIG"),
        "same key twice": ([roots[0], roots[0]], "E_SIG"),
        "root and ministry node": ([roots[0], net.signer("moe")], "E_SIG"),
        "two provinces": ([net.signer("12"), net.signer("13")], "E_ROLE"),
    }
    for signers, code in wrong.values():
        envelope, _ = build_grant(draft, signers)
        assert code_of(lambda e=envelope: open_grant(e, name, trust=net.trust, at=NOW)) == code  # type: ignore[misc]
    other = grant_name(StreamId("12", "up", "main", 1))
    assert code_of(lambda: open_grant(enough, other, trust=net.trust, at=NOW)) == "E_NAME"


def test_only_a_batch_expired_at_first_sight_is_refused_for_its_dates() -> None:
    day = timedelta(days=1)
    assert check_window(NOW, NOW + 30 * day, first_seen=NOW) == ()
    assert check_window(NOW + 3 * day, NOW + 30 * day, first_seen=NOW) == ("W_CLOCK",)
    assert check_window(NOW - 3 * day, NOW + 30 * day, first_seen=NOW) == ("W_CLOCK",)
    assert check_window(NOW - day / 2, NOW + 30 * day, first_seen=NOW) == ()
    assert check_window(NOW - day / 2, NOW + 30 * day, first_seen=NOW, at_once=True) == ("W_CLOCK",)
    assert code_of(lambda: check_window(NOW - 40 * day, NOW - day, first_seen=NOW)) == "E_EXPIRED"
