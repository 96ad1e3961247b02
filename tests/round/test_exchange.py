"""Shipping and hearing: identical bytes until a receipt is believed, and only the right receipt is."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from hub.batch.receipt import Reason
from hub.errors import VerificationError
from hub.verdict import Verdict
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.listen import Listened, listen
from province_node.publish import publish_pending
from tests.round.labs import (
    AT,
    answer,
    audit_holds,
    change_setting,
    events,
    keyring,
    receipt,
    rows,
    snapshot,
    spool,
)

FIRST = "13-up-main-e0001-s0000000001"


@pytest.fixture
def shipped(published: Lab) -> Lab:
    deliver(published.province, at=AT)
    return published


def state(lab: Lab) -> list[str]:
    return [row["state"] for row in rows(lab.province, "outbox", "seq")]


def ready(lab: Lab) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (lab.exchange_root / "p13" / "in" / "ready").iterdir()}


def hear(lab: Lab) -> Listened:
    return listen(lab.province, at=AT)


def test_a_sealed_batch_arrives_as_it_lies_in_the_spool(published: Lab) -> None:
    done = deliver(published.province, at=AT)
    assert [(b.batch_id, b.again) for b in done.batches] == [(FIRST, False)]
    assert ready(published) == spool(published.province)
    assert done.sent == sum(map(len, ready(published).values()))
    (row,) = rows(published.province, "outbox")
    assert (row["state"], row["sent_at"]) == ("SENT", "2026-11-23T05:51:20.000Z")
    assert events(published.province)[-1] == ("批次发送", FIRST)


def test_shipping_again_without_a_receipt_sends_the_same_bytes(shipped: Lab) -> None:
    before, records = ready(shipped), len(events(shipped.province))
    again = deliver(shipped.province, at=AT, again=True)
    assert [(b.sent, b.again) for b in again.batches] == [(0, True)]
    assert (ready(shipped), len(events(shipped.province))) == (before, records)
    for path in (shipped.exchange_root / "p13" / "in" / "ready").iterdir():
        path.unlink()  # power cut at the server: the renames are undone
    assert deliver(shipped.province, at=AT, again=True).sent == sum(map(len, before.values()))
    assert ready(shipped) == before


def test_a_manifest_lost_from_the_spool_is_written_from_the_outbox_and_not_signed_anew(shipped: Lab) -> None:
    before = ready(shipped)
    (shipped.province.spool / f"{FIRST}.manifest.dsse").unlink()
    deliver(shipped.province, at=AT, again=True)
    assert (ready(shipped), spool(shipped.province)) == (before, before)


def test_a_part_missing_from_the_spool_stops_the_batch_before_anything_is_sent(published: Lab) -> None:
    before = snapshot(published.province)
    (published.province.spool / f"{FIRST}.f03.cms").unlink()
    with pytest.raises(VerificationError, match="E3408"):
        deliver(published.province, at=AT)
    assert snapshot(published.province) == before
    assert ready(published) == {}


def test_at_most_eight_batches_are_on_their_way_and_receipts_let_the_next_ones_go(settled: Lab) -> None:
    lab = change_setting(settled, "max_batch_rows", "1")
    publish_pending(lab.province, at=AT, rng=os.urandom)
    count = len(rows(lab.province, "outbox"))
    assert count > 10
    done = deliver(lab.province, at=AT)
    assert (len(done.batches), done.waiting) == (8, count - 8)
    assert state(lab) == ["SENT"] * 8 + ["SEALED"] * (count - 8)
    tip = answer(lab, receipt(lab, 1, Verdict.APPLIED))
    answer(lab, receipt(lab, 2, Verdict.APPLIED, prev_receipt=tip))
    assert [r.seq for r in hear(lab).receipts] == [1, 2]
    assert [b.seq for b in deliver(lab.province, at=AT).batches if not b.again] == [9, 10]


def test_the_receipt_moves_the_batch_and_is_kept(shipped: Lab) -> None:
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED))
    (heard,) = hear(shipped).receipts
    (row,) = rows(shipped.province, "outbox")
    assert (heard.verdict, str(heard.state), heard.counts["ins"]) == (Verdict.APPLIED, "APPLIED", row["rows_i"])
    assert (row["state"], row["verdict"]) == ("APPLIED", "APPLIED")
    (kept,) = rows(shipped.province, "receipt")
    assert (kept["type"], kept["digest"], kept["party"]) == ("APPLIED", heard.digest, "13")
    assert bytes(kept["body"]) == (shipped.exchange_root / "p13" / "out" / f"{FIRST}.receipt1.dsse").read_bytes()
    assert events(shipped.province)[-1] == ("回执接收", f"{FIRST}.receipt1.dsse")
    assert hear(shipped) == Listened()
    assert deliver(shipped.province, at=AT).batches == ()
    assert spool(shipped.province)  # kept until APPLIED + 30 days (protocol 5.6)


@pytest.mark.parametrize(
    ("verdict", "after"),
    [
        (Verdict.RECEIVED, "RECEIVED"),
        (Verdict.HELD, "HELD"),
        (Verdict.VOID, "VOID"),
        (Verdict.PARTIAL, "PARTIAL"),
        (Verdict.REFUSED, "SEALED"),
    ],
)
def test_every_verdict_leaves_its_state(shipped: Lab, verdict: Verdict, after: str) -> None:
    before = ready(shipped)
    answer(shipped, receipt(shipped, 1, verdict, reasons=(Reason("E_FILE_DIGEST"),)))
    (heard,) = hear(shipped).receipts
    assert (str(heard.state), heard.reasons) == (after, (("E_FILE_DIGEST", None),))
    assert state(shipped) == [after]
    again = deliver(shipped.province, at=AT)
    assert bool(again.batches) == (verdict is Verdict.REFUSED)
    assert ready(shipped) == before  # a refused batch is shipped again as it was sealed


def test_a_held_batch_takes_its_result_later(shipped: Lab) -> None:
    tip = answer(shipped, receipt(shipped, 1, Verdict.HELD))
    hear(shipped)
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED, receipt_no=2, prev_receipt=tip))
    hear(shipped)
    assert state(shipped) == ["APPLIED"]
    assert [row["receipt_no"] for row in rows(shipped.province, "receipt", "receipt_no")] == [1, 2]


def assert_ignored(lab: Lab, code: str, name: str = f"{FIRST}.receipt1.dsse") -> None:
    """Alarm and one audit record, and nothing moved, however often it is heard."""
    before = snapshot(lab.province)
    heard = hear(lab)
    assert (heard.receipts, [(i.name, i.code) for i in heard.ignored]) == ((), [(name, code)])
    assert snapshot(lab.province) == before
    hear(lab)
    noted = [event for event in events(lab.province) if event[0] == "回执不予采信"]
    assert noted == [("回执不予采信", name)]
    assert audit_holds(lab.province)


def test_a_tampered_receipt_is_ignored(shipped: Lab) -> None:
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED), spoil=True)
    assert_ignored(shipped, "E_SIG")


def test_a_receipt_the_province_signed_itself_is_ignored(shipped: Lab) -> None:
    own = keyring(shipped.province).signer
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED, signer_key=own.keyid), signer=own)
    assert_ignored(shipped, "E_ROLE")


def test_a_receipt_for_another_manifest_is_ignored(shipped: Lab) -> None:
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED, manifest_digest="sha256:" + "0" * 64))
    assert_ignored(shipped, "E_RECEIPT")


def test_a_receipt_for_a_batch_never_sealed_is_ignored(shipped: Lab) -> None:
    given = replace(receipt(shipped, 1, Verdict.APPLIED), batch_id=FIRST[:-1] + "7")
    answer(shipped, given)
    assert_ignored(shipped, "E_RECEIPT", given.name)


def test_a_receipt_outside_the_chain_is_ignored_until_the_chain_reaches_it(shipped: Lab) -> None:
    first = receipt(shipped, 1, Verdict.RECEIVED)
    tip = answer(shipped, first)
    path = shipped.exchange_root / "p13" / "out" / first.name
    held_back = path.read_bytes()
    path.unlink()
    late = receipt(shipped, 1, Verdict.APPLIED, receipt_no=2, prev_receipt=tip)
    answer(shipped, late)
    assert_ignored(shipped, "E_RECEIPT", late.name)
    path.write_bytes(held_back)
    assert [r.receipt_no for r in hear(shipped).receipts] == [1, 2]
    assert state(shipped) == ["APPLIED"]


def test_a_receipt_under_another_name_is_ignored(shipped: Lab) -> None:
    answer(shipped, receipt(shipped, 1, Verdict.APPLIED), name=f"{FIRST}.receipt2.dsse")
    assert_ignored(shipped, "E_NAME", f"{FIRST}.receipt2.dsse")


def test_an_oversized_receipt_is_ignored_unread(shipped: Lab) -> None:
    (shipped.exchange_root / "p13" / "out" / f"{FIRST}.receipt1.dsse").write_bytes(b"0" * (300 << 10))
    assert_ignored(shipped, "E_ENV_SIZE")


def test_a_void_after_applied_contradicts_and_is_ignored(shipped: Lab) -> None:
    tip = answer(shipped, receipt(shipped, 1, Verdict.APPLIED))
    hear(shipped)
    answer(shipped, receipt(shipped, 1, Verdict.VOID, receipt_no=2, prev_receipt=tip))
    assert_ignored(shipped, "E_RECEIPT", f"{FIRST}.receipt2.dsse")
    assert state(shipped) == ["APPLIED"]
