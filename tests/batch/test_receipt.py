"""Receipts, their chain, the sender's states, and verdicts as data; protocol 6.1, 7.2 to 7.4 and 15 #46, #47."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import pytest

from hub import verdict as verdicts
from hub.batch import outbox
from hub.batch.layout import batch_id
from hub.batch.outbox import BatchState
from hub.batch.receipt import (
    Head,
    Reason,
    Receipt,
    ReceiptCounts,
    check_receipt,
    in_chain_order,
    open_receipt,
    read_receipt,
    receipt_files,
    receipt_payload,
    sign_receipt,
)
from hub.errors import RefusedError
from hub.verdict import CodeClass, Verdict
from tests.trust.network import NOW, STREAM, Network, code_of, manifest, network

SEALED = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


def receipt(net: Network, *, seq: int = 1, no: int = 1, prev: str | None = None, kind: str = "APPLIED") -> Receipt:
    plain = Receipt(
        batch_id=batch_id(STREAM, seq),
        receipt_no=no,
        prev_receipt=prev,
        verdict=Verdict(kind),
        manifest_digest=SEALED,
        received_at=NOW,
        decided_at=None if kind == "RECEIVED" else NOW,
        trust_version=1,
        signer_key=net.signer("moe").keyid,
        head=Head(seq, SEALED, seq + 1),
        files=receipt_files(manifest(net)),
        counts=ReceiptCounts(10, 20, 3, 1, 2),
        reasons=(Reason("E_ROWS_BAD", "q-17"),),
    )
    return read_receipt(receipt_payload(plain))


def test_a_receipt_is_opened_under_the_receivers_role(net: Network) -> None:
    sent = receipt(net)
    _, envelope = sign_receipt(sent, net.signer("moe"))
    opened, signer = open_receipt(envelope, sent.name, trust=net.trust, at=NOW)
    assert opened == sent
    assert signer.party == "moe"
    assert json.loads(receipt_payload(sent))["counts"]["del"] == 3


def test_forged_receipts_are_ignored(net: Network) -> None:
    """Protocol 15 #47."""
    sent = receipt(net)
    forged = replace(sent, signer_key=net.signer("13").keyid)
    _, by_province = sign_receipt(forged, net.signer("13"))
    assert code_of(lambda: open_receipt(by_province, sent.name, trust=net.trust, at=NOW)) == "E_ROLE"
    _, genuine = sign_receipt(sent, net.signer("moe"))
    other = receipt(net, no=2).name
    assert code_of(lambda: open_receipt(genuine, other, trust=net.trust, at=NOW)) == "E_NAME"
    assert code_of(lambda: check_receipt(sent, manifest_digest="sha256:" + "b" * 64, last_receipt=None)) == "E_RECEIPT"
    assert code_of(lambda: check_receipt(sent, manifest_digest=SEALED, last_receipt=SEALED)) == "E_RECEIPT"
    check_receipt(sent, manifest_digest=SEALED, last_receipt=None)


def test_a_receipt_that_names_another_signer_is_refused(net: Network) -> None:
    with pytest.raises(RuntimeError):
        sign_receipt(receipt(net), net.signer("13"))


def test_receipts_of_several_batches_are_read_in_the_order_they_were_issued(net: Network) -> None:
    first = receipt(net, seq=1, kind="RECEIVED")
    parked = receipt(net, seq=2, kind="RECEIVED", prev=first.digest)
    applied = receipt(net, seq=1, no=2, prev=parked.digest)
    last = receipt(net, seq=2, no=2, prev=applied.digest)
    fetched = [last, applied, first, parked]
    assert in_chain_order(fetched, None) == [first, parked, applied, last]
    assert in_chain_order(fetched, parked.digest) == [applied, last]
    assert in_chain_order([last, first], None) == [first]
    assert in_chain_order(fetched, last.digest) == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("receipt_no", 10),
        ("type", "DONE"),
        ("v", 2),
        ("counts", {}),
        ("received_at", "yesterday"),
        ("prev_receipt", ""),
    ],
)
def test_malformed_receipts_are_refused(net: Network, member: str, value: object) -> None:
    data = {**json.loads(receipt_payload(receipt(net))), member: value}
    assert code_of(lambda: read_receipt(json.dumps(data).encode())) in ("E_ENV_JSON", "E_VERSION")


def test_the_way_of_a_batch_that_is_applied() -> None:
    state = outbox.ship(outbox.seal(BatchState.OPEN))
    assert state is BatchState.SENT
    state = outbox.after_receipt(state, Verdict.RECEIVED)
    assert outbox.after_receipt(state, Verdict.APPLIED) is BatchState.APPLIED


def test_refused_returns_to_sealed_and_ships_again() -> None:
    assert outbox.after_receipt(BatchState.SENT, Verdict.REFUSED) is BatchState.SEALED
    assert outbox.ship(BatchState.SEALED) is BatchState.SENT
    assert outbox.ship(BatchState.RECEIVED) is BatchState.RECEIVED


def test_held_ends_in_a_result_and_in_nothing_else() -> None:
    held = BatchState.HELD
    for verdict in (Verdict.APPLIED, Verdict.PARTIAL, Verdict.VOID):
        assert outbox.after_receipt(held, verdict) == BatchState(verdict)
    assert outbox.after_receipt(held, Verdict.HELD) is held
    for verdict in (Verdict.RECEIVED, Verdict.REFUSED):
        assert code_of(lambda v=verdict: outbox.after_receipt(held, v)) == "E_RECEIPT"  # type: ignore[misc]


def test_a_result_never_changes() -> None:
    results = [state for state in BatchState if state.is_final]
    assert results == [BatchState.APPLIED, BatchState.PARTIAL, BatchState.VOID, BatchState.CLOSED]
    for state, verdict in product(results, Verdict):
        code = code_of(lambda s=state, v=verdict: outbox.after_receipt(s, v))  # type: ignore[misc]
        assert code == (None if str(state) == str(verdict) else "E_RECEIPT")
        with pytest.raises(RuntimeError):
            outbox.ship(state)
    with pytest.raises(RuntimeError):
        outbox.seal(BatchState.SEALED)
    assert code_of(lambda: outbox.after_receipt(BatchState.OPEN, Verdict.APPLIED)) == "E_RECEIPT"


def test_a_sender_killed_before_it_noted_sent_still_takes_the_receipt() -> None:
    assert outbox.after_receipt(BatchState.SEALED, Verdict.APPLIED) is BatchState.APPLIED


PROTOCOL_7_3 = {
    "E_ENV_SIZE",
    "E_ENV_JSON",
    "E_TYPE",
    "E_SIG",
    "E_KEY_UNKNOWN",
    "E_KEY_REVOKED",
    "E_ROLE",
    "E_CHAIN",
    "E_NAME",
    "E_SUITE",
    "E_VERSION",
    "E_SEQ_FORK",
    "E_SEQ_GAP",
    "E_SEQ_FF",
    "E_EPOCH",
    "E_EXPIRED",
    "E_RECIPIENT",
    "E_FILE_MISSING",
    "E_FILE_SIZE",
    "E_FILE_DIGEST",
    "E_DECRYPT",
    "E_PLAIN_DIGEST",
    "E_PARQUET",
    "E_BUDGET",
    "E_SCHEMA",
    "E_COUNTS",
    "E_WATERMARK",
    "E_ROWS_BAD",
    "E_GUARD",
    "E_AUDIT_INCONSISTENT",
}


def test_every_code_of_the_protocol_says_what_happened_and_what_to_do() -> None:
    assert set(verdicts.CODES) >= PROTOCOL_7_3
    own = set(verdicts.CODES) - PROTOCOL_7_3
    assert all(code.startswith(("E_TRUST_", "E_RECEIPT", "E_GRANT", "E_RESTORED")) for code in own)
    for code in verdicts.CODES:
        sentence = verdicts.refused(code, where="13-up-main-e0001-s0000000001").sentence()
        assert sentence.startswith(f"[{code}] ")
        assert "下一步：" in sentence


def test_codes_lead_to_the_verdicts_of_their_class() -> None:
    for rule in verdicts.CODES.values():
        if rule.code_class is CodeClass.AUTHENTICATION:
            assert rule.verdict is None
            assert rule.freezes_stream == (rule.code == "E_KEY_REVOKED")
        if rule.code_class is CodeClass.CONTENT:
            assert rule.verdict is Verdict.VOID
            assert rule.consumes_seq
        if rule.code_class is CodeClass.TRANSPORT:
            assert rule.verdict is Verdict.REFUSED
            assert not rule.consumes_seq


def test_a_fault_that_is_sealed_in_is_void_the_second_time() -> None:
    for code in ("E_RECIPIENT", "E_DECRYPT", "E_PLAIN_DIGEST", "E_EXPIRED"):
        assert verdicts.verdict_of(code) is Verdict.REFUSED
        assert verdicts.verdict_of(code, earlier_refusals=1) is Verdict.VOID
    assert verdicts.verdict_of("E_FILE_DIGEST", earlier_refusals=5) is Verdict.REFUSED
    assert verdicts.verdict_of("E_FILE_SIZE", earlier_refusals=1, sealed_in=True) is Verdict.VOID
    assert verdicts.verdict_of("E_SIG", earlier_refusals=5, sealed_in=True) is None


def test_every_verdict_has_a_word() -> None:
    assert all(verdict.chinese for verdict in Verdict)
    assert [verdict for verdict in Verdict if verdict.consumes_seq] == [Verdict.APPLIED, Verdict.PARTIAL, Verdict.VOID]


def test_an_unknown_code_is_our_own_fault() -> None:
    with pytest.raises(KeyError):
        verdicts.refused("E_NONSENSE")
    assert isinstance(verdicts.refused("E_SIG"), RefusedError)
