"""The order of a stream attacked: replays, forks, gaps, foreign epochs, a receiver killed (protocol 15 #8-#14, #43)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ministry_node import receipts
from tests.ministry.forge import STREAM, Forged, Province, frozen_state
from tests.round.labs import AT, audit_holds, events


@pytest.mark.row(8, "replay of an applied batch", "DUPLICATE, same receipt bytes, 0 rows")
def test_row_8_a_replayed_batch_is_answered_with_the_same_bytes_and_writes_no_row(province: Province) -> None:
    """Row 8."""
    forged = province.batch()
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"
    before, outs, issued = province.state(), province.out, province.receipts()
    province.upload(forged)
    decision = province.decide(AT + timedelta(days=3))
    assert (decision.verdict, decision.counts.upd) == ("DUPLICATE", 0)
    assert (province.state(), province.out, province.receipts()) == (before, outs, issued)
    assert list(province.ready.iterdir()) == []
    assert events(province.ministry)[-1] == ("批次重复到达", forged.manifest.batch_id)


@pytest.mark.row(8, "replay of an applied batch", "DUPLICATE, same receipt bytes, 0 rows")
@pytest.mark.row(46, "receipt lost at the server", "re-published; re-ship is a DUPLICATE")
def test_row_8_and_46_a_receipt_deleted_at_the_server_comes_back_byte_for_byte(province: Province) -> None:
    """Rows 8 and 46."""
    forged = province.batch()
    province.upload(forged)
    name = province.decide().receipt_name
    assert name is not None
    outs = province.out
    (province.lab.exchange_root / "p13" / "out" / name).unlink()
    province.upload(forged)
    assert province.decide().verdict == "DUPLICATE"
    assert province.out == outs


@pytest.mark.row(9, "same seq, other content, validly signed", "FORK: both kept, stream frozen")
def test_row_9_two_batches_under_one_number_freeze_the_stream_and_both_are_kept(province: Province) -> None:
    """Row 9."""
    here = province.position()
    first = province.batch([("xx", province.changes("xx", 1))])
    other = province.batch([("xx", province.changes("xx", 2))])
    assert first.name == other.name
    province.upload(first)
    assert province.decide().verdict == "APPLIED"
    before = province.state()
    province.upload(other)
    result = province.intake()
    assert [(d.verdict, d.code) for d in result.decisions] == [("REJECTED", "E_SEQ_FORK")]
    assert [alarm.code for alarm in result.alarms] == ["E_SEQ_FORK"]
    assert province.state() == frozen_state(before, "E_SEQ_FORK")
    kept = province.evidence()
    assert {first.envelope, other.envelope} <= set(kept.values())
    assert here["last_seq"] + 1 == province.position()["last_seq"]

    following = province.batch()
    frozen = province.state()
    province.upload(following)
    assert province.decide().verdict == "REJECTED"
    assert province.state() == frozen


@pytest.mark.row(10, "seq+1 with wrong prev", "FORK")
def test_row_10_a_batch_that_follows_another_past_freezes_the_stream(province: Province) -> None:
    """Row 10."""
    before = province.state()
    province.upload(province.batch(prev="sha256:" + "e" * 64))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_SEQ_FORK")
    assert province.state() == frozen_state(before, "E_SEQ_FORK")


@pytest.mark.row(11, "one seq skipped", "GAP parked, resend, applied in order")
def test_row_11_a_batch_ahead_of_its_turn_is_kept_and_applied_when_the_missing_one_arrives(province: Province) -> None:
    """Row 11."""
    first, second = province.window(2)
    before = province.state()
    province.upload(second)
    parked = province.decide()
    assert (parked.verdict, parked.code) == ("RECEIVED", "E_SEQ_GAP")
    assert province.state() == before
    assert list(province.ready.iterdir()) == []
    province.upload(first)
    done = province.intake().decisions
    assert [(d.seq, d.verdict, d.counts.upd) for d in done] == [(2, "APPLIED", 1), (3, "APPLIED", 1)]
    assert province.position()["last_digest"] == second.digest


@pytest.mark.row(12, "five batches out of order", "applied 1..5, receipts in order")
@pytest.mark.parametrize("order", [(4, 2, 0, 3, 1), (4, 3, 2, 1, 0)])
def test_row_12_five_batches_out_of_order_are_applied_in_order(province: Province, order: tuple[int, ...]) -> None:
    """Row 12."""
    batches, applied = province.window(5), []
    for k in order:
        province.upload(batches[k])
        applied += [d.seq for d in province.intake().decisions if d.verdict == "APPLIED"]
    assert applied == [2, 3, 4, 5, 6]
    final = [r for r in province.receipts() if r[2] == "APPLIED"]
    assert [seq for seq, _, _ in final] == [1, 2, 3, 4, 5, 6]
    assert province.position()["last_digest"] == batches[4].digest
    assert audit_holds(province.ministry)


@pytest.mark.row(13, "seq + 1000", "refused, last_seq unchanged")
def test_row_13_a_batch_a_thousand_numbers_ahead_moves_nothing(province: Province) -> None:
    """Row 13."""
    before = province.state()
    province.upload(province.batch(seq=1002))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_SEQ_FF")
    assert province.state() == before
    province.upload(province.batch())
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(14, "batch of a closed or unknown epoch", "E_EPOCH")
@pytest.mark.parametrize("epoch", [0, 2, 7])
def test_row_14_a_batch_of_an_epoch_nobody_granted_is_refused(province: Province, epoch: int) -> None:
    """Row 14, second half."""
    before = province.state()
    province.upload(province.batch(stream_id=replace(STREAM, epoch=epoch), seq=1))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_EPOCH")
    assert province.state() == before


@pytest.mark.row(52, "VOID inside a window", "cascade, rebuild")
def test_row_52_a_batch_that_goes_with_a_void_one_is_void_and_the_rebuilt_one_applies(province: Province) -> None:
    """Row 52, at the ministry: three received, the first void, all void; the rebuilt range applies."""
    first, second, third = province.window(3)
    spoiled = province.sign(
        replace(first.manifest, schema=replace(first.manifest.schema, version="9.0.0")), first.parts
    )
    chained = _after(province, second, spoiled)
    last = _after(province, third, chained)
    golden = province.golden()
    province.upload(spoiled, chained, last)
    done = province.intake().decisions
    assert [(d.seq, d.verdict, d.code) for d in done] == [
        (2, "VOID", "E_SCHEMA"),
        (3, "VOID", "E_SCHEMA"),
        (4, "VOID", "E_SCHEMA"),
    ]
    assert province.golden() == golden
    rebuilt = province.batch(supersedes=spoiled.manifest.batch_id)
    assert (rebuilt.manifest.seq, rebuilt.manifest.watermark) == (5, first.manifest.watermark)
    province.upload(rebuilt)
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(43, "receiver killed at its crash points", "exactly once, receipt byte-identical")
def test_row_43_a_receiver_killed_between_commit_and_publishing_publishes_the_same_receipt_next_time(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 43."""
    forged = province.batch()
    province.upload(forged)
    seen: list[receipts.Issued] = []

    def killed(_desk: object, _party: str, issued: receipts.Issued) -> None:
        seen.append(issued)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            province.intake()
    name = "13-up-main-e0001-s0000000002.receipt1.dsse"
    assert name not in province.out
    assert province.plaintext_left() == []
    after = province.state()
    result = province.intake()
    assert [d.verdict for d in result.decisions] == ["DUPLICATE"]
    assert province.out[name] == seen[0].envelope
    assert province.state() == after
    assert list(province.ready.iterdir()) == []


@pytest.mark.row(43, "receiver killed at its crash points", "exactly once, receipt byte-identical")
def test_row_43_a_receiver_killed_before_its_commit_has_done_nothing(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 43: rows are merged, the receipt is being signed, and the process dies."""
    forged, before, outs = province.batch(), province.state(), province.out
    province.upload(forged)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "issue", killed)
        with pytest.raises(KeyboardInterrupt):
            province.intake()
    assert (province.state(), province.out) == (before, outs)
    assert province.plaintext_left() == []
    decision = province.decide()
    assert (decision.verdict, decision.counts.upd) == ("APPLIED", 1)


def _after(province: Province, batch: Forged, before: Forged) -> Forged:
    """The same batch, chained to another one before it."""
    return province.sign(replace(batch.manifest, prev=before.digest), batch.parts)
