"""Time in the exchange: wrong clocks, holes that stand, answers that do not come, signs of life (protocol 6.1)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hub.batch.control import Control, Resend, sign_control
from hub.batch.outbox import BatchState, ship_again_at
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.listen import listen
from province_node.publish import publish_pending
from tests.acceptance.offline import Offline, leaf, with_certificate
from tests.acceptance.test_tampering import codes
from tests.ministry.forge import STREAM, Province
from tests.round.labs import AT, events, keyring, rows, spool

DAY = timedelta(days=1)
CLOCKS = ("province clock +3 d / -3 d; ministry clock back 1 d", "applied + warning; expiry not fooled")
HOLE = ("one seq skipped", "GAP parked, resend, applied in order")


@pytest.mark.row(59, *CLOCKS)
@pytest.mark.parametrize("off", [3 * DAY, -3 * DAY])
def test_row_59_a_province_clock_three_days_off_applies_with_a_warning(province: Province, off: timedelta) -> None:
    """Three days back is before the network's keys were valid at all."""
    province.upload(province.batch(created=AT + off, expires=AT + off + 30 * DAY))
    decision = province.decide()
    assert decision.verdict == "APPLIED"
    assert codes(province, 2) == ["W_CLOCK"]


@pytest.mark.row(59, *CLOCKS)
def test_row_59_a_ministry_clock_set_back_does_not_make_an_expired_batch_young(province: Province) -> None:
    province.intake(at=AT + DAY)
    before = province.state()
    province.upload(province.batch(created=AT, expires=AT + DAY / 2))
    result = province.intake(at=AT)
    assert [(d.verdict, d.code) for d in result.decisions] == [("REFUSED", "E_EXPIRED")]
    assert [a.code for a in result.alarms if a.code == "E3204"] == ["E3204"]
    assert province.state() == before


@pytest.mark.row(59, *CLOCKS)
def test_row_59_a_ministry_clock_set_back_still_applies_what_is_good(province: Province) -> None:
    province.intake(at=AT + DAY)
    province.upload(province.batch(created=AT + DAY, expires=AT + 30 * DAY))
    result = province.intake(at=AT)
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert codes(province, 2) == ["W_CLOCK"]


@pytest.mark.row(59, *CLOCKS)
def test_row_59_a_ministry_clock_set_back_does_not_make_an_expired_certificate_good(province: Province) -> None:
    node, authority = province.lab.province, Offline(province.lab).authority
    public = leaf(node).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    half_a_day = authority.issue_signing(public, "x", now=AT - 9.5 * DAY, days=10)
    assert AT < half_a_day.not_valid_after_utc < AT + DAY
    province.intake(at=AT + DAY)
    before = province.state()
    province.upload(province.batch(signer=with_certificate(node, half_a_day)))
    decision = province.decide(at=AT)
    assert (decision.verdict, decision.code) == ("REJECTED", "E_CHAIN")
    assert province.state() == before


@pytest.mark.row(11, *HOLE)
def test_row_11_a_hole_that_stands_for_an_hour_is_asked_for_once_an_hour(province: Province) -> None:
    def orders() -> list[str]:
        return sorted(p.name for p in (province.lab.exchange_root / "p13" / "out").glob("control-*"))

    first, second = province.window(2)
    before = province.state()
    province.upload(second)
    assert province.decide().verdict == "RECEIVED"
    for minutes, asked in ((59, 0), (60, 1), (100, 1), (121, 2)):
        province.intake(at=AT + timedelta(minutes=minutes))
        assert len(orders()) == asked
    assert province.state() == before
    assert events(province.ministry)[-1][0] == "指令签发"
    province.upload(first)
    done = province.intake(at=AT + timedelta(minutes=130)).decisions
    assert [(d.seq, d.verdict) for d in done] == [(2, "APPLIED"), (3, "APPLIED")]


@pytest.mark.row(11, *HOLE)
def test_row_11_the_province_sends_again_what_was_asked_for_with_identical_bytes(province: Province) -> None:
    node, ministry = province.lab.province, keyring(province.ministry)
    listen(node, at=AT)
    assert [r["state"] for r in rows(node, "outbox")] == ["APPLIED"]
    order = Control("13", 1, Resend(STREAM, 1), AT)
    (province.lab.exchange_root / "p13" / "out" / order.name).write_bytes(sign_control(order, ministry.signer))
    listen(node, at=AT)
    assert [b.seq for b in deliver(node, at=AT).batches] == [1]
    uploaded = {p.name: p.read_bytes() for p in province.ready.iterdir()}
    assert uploaded == spool(node)
    before, outs = province.state(), province.out
    assert province.decide().verdict == "DUPLICATE"
    assert (province.state(), province.out) == (before, outs)
    assert [r["state"] for r in rows(node, "outbox")] == ["APPLIED"]
    listen(node, at=AT)
    assert deliver(node, at=AT).batches == ()


def test_an_answer_that_does_not_come_is_waited_for_ever_longer_and_then_told() -> None:
    sent = datetime(2026, 11, 23, tzinfo=UTC)
    waits = [ship_again_at(BatchState.SENT, sent, n, "13-up-main-e0001-s0000000002") for n in range(1, 12)]
    spans = [(at - sent).total_seconds() / 60 for at in waits if at is not None]
    assert len(spans) == 11
    assert all(15 * 2**n <= span <= 22.5 * 2**n for n, span in enumerate(spans[:5]))
    assert max(spans) <= 18 * 60
    parked = ship_again_at(BatchState.RECEIVED, sent, 1, "b")
    assert parked is not None
    assert timedelta(hours=4) <= parked - sent <= timedelta(hours=6)
    assert ship_again_at(BatchState.HELD, sent, 1, "b") is None


def test_a_batch_without_an_answer_is_shipped_again_after_a_quarter_of_an_hour_and_told_after_a_day(
    published: Lab,
) -> None:
    node = published.province
    assert [b.again for b in deliver(node, at=AT).batches] == [False]
    assert deliver(node, at=AT + timedelta(minutes=14)).batches == ()
    assert [b.again for b in deliver(node, at=AT + timedelta(minutes=23)).batches] == [True]
    late = deliver(node, at=AT + timedelta(hours=24))
    assert [a.code for a in late.alarms] == ["E3421"]
    assert rows(node, "outbox")[0]["sends"] == 3


def test_a_quiet_province_gives_a_sign_of_life_that_changes_no_row(province: Province) -> None:
    node, later = province.lab.province, AT + timedelta(hours=13)
    listen(node, at=AT)
    publish_pending(node, at=AT + timedelta(hours=11), rng=os.urandom)
    assert len(rows(node, "outbox")) == 1
    publish_pending(node, at=later, rng=os.urandom)
    publish_pending(node, at=later, rng=os.urandom)
    assert [(r["seq"], r["parts"], r["hi"] - r["lo"]) for r in rows(node, "outbox")][1:] == [(2, 0, -1)]
    golden, lineage = province.golden(), rows(province.ministry, "lineage")
    deliver(node, at=later)
    assert province.decide(later).verdict == "APPLIED"
    assert (province.golden(), rows(province.ministry, "lineage")) == (golden, lineage)
    listen(node, at=later)
    assert [r["state"] for r in rows(node, "outbox")] == ["APPLIED", "APPLIED"]


def test_ciphertext_stays_in_the_spool_for_thirty_days_after_its_result(province: Province) -> None:
    node = province.lab.province
    listen(node, at=AT)
    kept = spool(node)
    assert deliver(node, at=AT + 29 * DAY).swept == 0
    assert spool(node) == kept
    assert deliver(node, at=AT + 31 * DAY).swept == len(kept)
    assert spool(node) == {}
