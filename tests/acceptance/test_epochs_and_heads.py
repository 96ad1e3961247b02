"""Epochs that nobody granted, grants that nobody may give, and heads that stop (protocol 8, 9.1, 9.5)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from hub.batch.cosign import add_signature
from hub.batch.envelope import PayloadType
from hub.batch.envelope import build as build_envelope
from hub.batch.grant import grant_payload
from hub.batch.layout import StreamId
from hub.errors import RefusedError, UsageError, VerificationError
from hub.trust.keys import Signer
from ministry_node.epoch import propose_epoch, publish_epoch
from tests.acceptance.lands import Land, desk_of, golden, position, root
from tests.ministry.forge import Province
from tests.round.labs import AT, keyring, rows


@pytest.mark.row(14, "a batch of epoch-1, and one of epoch+1 without a grant", "refused E_EPOCH, nothing moves")
@pytest.mark.parametrize("epoch", [1, 3])
def test_row_14_a_batch_of_a_closed_or_ungranted_epoch_is_refused(exchanged: Land, epoch: int) -> None:
    exchanged.grant()
    forge = Province(exchanged.lab)
    forged = forge.batch(stream_id=StreamId("13", "up", "main", epoch), seq=1)
    before = forge.state()
    forge.upload(forged)
    result = exchanged.intake()
    assert [(d.verdict, d.code, d.receipt_name) for d in result.decisions] == [("REJECTED", "E_EPOCH", None)]
    assert [alarm.code for alarm in result.alarms] == ["E_EPOCH"]
    assert forge.state() == before
    assert forged.envelope in forge.evidence().values()


@pytest.mark.row(14, "a batch of epoch-1, and one of epoch+1 without a grant", "refused E_EPOCH, nothing moves")
def test_row_14_with_a_grant_the_stream_goes_on_in_the_new_epoch(prepared: Land) -> None:
    here = prepared
    assert len(here.publish()) == 1
    here.grant()  # before the second batch was shipped: its change files are sealed again
    here.listen()
    assert here.exchange() == ["APPLIED"]
    assert (position(here.ministry)["epoch"], position(here.ministry)["last_seq"]) == (2, 1)
    assert golden(here.province) == golden(here.ministry)
    states = {(r["epoch"], r["seq"]): r["state"] for r in rows(here.province, "outbox")}
    assert states == {(1, 1): "APPLIED", (1, 2): "CLOSED", (2, 1): "APPLIED"}


@pytest.mark.row(15, "an epoch grant signed once, twice by one key, or by a key without the role", "refused")
@pytest.mark.parametrize("attack", ["nobody", "one key", "same key twice", "a ministry key that may not", "bent"])
def test_row_15_a_grant_without_two_of_three_different_keys_opens_nothing(exchanged: Land, attack: str) -> None:
    land = exchanged
    with desk_of(land.ministry) as desk:
        made = propose_epoch(desk, "13", base="continue", reason="演练")
        one = root(land.lab, 1)
        attacks: dict[str, list[Signer]] = {
            "nobody": [],
            "one key": [one],
            "same key twice": [one, one],
            "a ministry key that may not": [one, keyring(land.ministry).signer],
            "bent": [one, root(land.lab, 2)],
        }
        signers = attacks[attack]
        payload = grant_payload(made.grant)
        body = build_envelope(PayloadType.EPOCH_GRANT, payload, signers) if signers else made.body
        if attack == "bent":
            other = grant_payload(replace(made.grant, reason="另一份"))
            signed = build_envelope(PayloadType.EPOCH_GRANT, other, signers)
            body = _with_payload(body, signed)
        before, events = position(land.ministry), len(rows(land.ministry, "audit_event"))
        with pytest.raises(RefusedError) as refused:
            publish_epoch(desk, made.name, body)
    assert refused.value.code == ("E_ENV_JSON" if attack == "nobody" else "E_SIG")
    assert position(land.ministry) == before
    assert not (land.ministry.trust / made.name).exists()
    assert not (land.out / made.name).exists()
    assert len(rows(land.ministry, "audit_event")) == events + 1
    assert _province_ignores(land, made.name, body)


def _with_payload(body: bytes, other: bytes) -> bytes:
    """The signatures of one envelope under the payload of another."""
    return json.dumps({**json.loads(body), "payload": json.loads(other)["payload"]}).encode()


def _province_ignores(land: Land, name: str, body: bytes) -> bool:
    (land.out / name).write_bytes(body)
    before = position(land.province)
    told = [[alarm.where for alarm in land.listen().alarms] for _ in range(2)]
    land.publish()
    noted = [row for row in rows(land.province, "audit_event") if row["object"] == name]
    assert (len(noted), told) == (1, [[name]] * 2), "an alarm every time, one audit record per content"
    return position(land.province) == before and not (land.province.trust / name).exists()


@pytest.mark.row(15, "an epoch grant signed once, twice by one key, or by a key without the role", "refused")
def test_row_15_one_holder_cannot_sign_a_proposal_twice(exchanged: Land) -> None:
    with desk_of(exchanged.ministry) as desk:
        made = propose_epoch(desk, "13", base="continue", reason="演练")
    once = add_signature(made.body, root(exchanged.lab, 1), where=made.name)
    with pytest.raises(UsageError) as refused:
        add_signature(once, root(exchanged.lab, 1), where=made.name)
    assert refused.value.code == "E1061"


def test_a_grant_proposed_before_another_batch_was_applied_fits_no_more(prepared: Land) -> None:
    here = prepared
    with desk_of(here.ministry) as desk:
        made = propose_epoch(desk, "13", base="continue", reason="演练")
    assert here.exchange() == ["APPLIED"]
    body = add_signature(made.body, root(here.lab, 1), where=made.name)
    before = position(here.ministry)
    with desk_of(here.ministry) as desk, pytest.raises(RefusedError) as refused:
        publish_epoch(desk, made.name, add_signature(body, root(here.lab, 3), where=made.name))
    assert refused.value.code == "E_GRANT"
    assert position(here.ministry) == before


def test_a_spoiled_grant_in_the_ministrys_folder_is_named_and_stops_nobody(prepared: Land) -> None:
    here = prepared
    with desk_of(here.ministry) as desk:
        made = propose_epoch(desk, "13", base="continue", reason="演练")
    once = add_signature(made.body, root(here.lab, 1), where=made.name)
    first = here.ministry.trust / "13-up-main-e0001.grant.dsse"
    kept = first.read_bytes()
    spoiled = {made.name: once, first.name: kept[:-40], "99-up-main-e0001.grant.dsse": b"{}"}
    for name, content in spoiled.items():
        (here.ministry.trust / name).write_bytes(content)
    here.publish()
    here.deliver()
    result = here.intake()
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert sorted((a.party, a.code) for a in result.alarms) == [
        ("13", "E_ENV_JSON"),
        ("13", "E_SIG"),
        ("moe", "E_NAME"),
    ]
    assert all(any(name in alarm.sentence for alarm in result.alarms) for name in spoiled)
    assert (position(here.ministry)["epoch"], position(here.ministry)["last_seq"]) == (1, 2)
    first.write_bytes(kept)
    (here.ministry.trust / "99-up-main-e0001.grant.dsse").unlink()
    (here.ministry.trust / made.name).unlink()
    assert here.intake().alarms == ()


def test_a_spoiled_grant_at_the_province_is_named_and_made_good_by_the_true_one(exchanged: Land) -> None:
    path = exchanged.province.trust / "13-up-main-e0002.grant.dsse"
    exchanged.grant()
    true = (exchanged.out / path.name).read_bytes()
    path.write_bytes(true.replace(b"payload", b"payl0ad"))
    assert [(alarm.where, alarm.code) for alarm in exchanged.listen().alarms] == [(path.name, "E_ENV_JSON")]
    assert path.read_bytes() == true
    assert exchanged.listen().alarms == ()


@pytest.mark.row(20, "freeze: the head is not refreshed for 2 h; a province is silent for 26 h", "alarm, waiting side")
def test_row_20_the_province_alarms_when_the_head_expires(exchanged: Land) -> None:
    before = position(exchanged.province)
    assert exchanged.listen(AT + timedelta(minutes=119)).alarms == ()
    alarms = exchanged.listen(AT + timedelta(minutes=121)).alarms
    assert [alarm.code for alarm in alarms] == ["E3620"]
    assert position(exchanged.province) == before
    exchanged.intake(AT + timedelta(minutes=122))  # every run of the ministry issues a new one
    assert exchanged.listen(AT + timedelta(minutes=123)).alarms == ()


@pytest.mark.row(20, "freeze: the head is not refreshed for 2 h; a province is silent for 26 h", "alarm, waiting side")
def test_row_20_the_ministry_alarms_when_a_province_is_silent(exchanged: Land) -> None:
    before = position(exchanged.ministry)
    assert exchanged.intake(AT + timedelta(hours=25)).alarms == ()
    assert [(a.party, a.code) for a in exchanged.intake(AT + timedelta(hours=27)).alarms] == [("13", "E3610")]
    assert position(exchanged.ministry) == before


def test_a_head_that_goes_backwards_is_an_alarm(prepared: Land) -> None:
    here = prepared
    old, backup = (here.out / "head.dsse").read_bytes(), here.keep(here.ministry, here.lab.folder / "b")
    assert here.exchange(AT + timedelta(minutes=5)) == ["APPLIED"]
    (here.out / "head.dsse").write_bytes(old)
    assert here.listen(AT + timedelta(minutes=6)).alarms == ()  # an older head laid out again is not believed
    here.restore(here.ministry, backup)
    here.intake(AT + timedelta(minutes=7))
    assert [a.code for a in here.listen(AT + timedelta(minutes=8)).alarms] == ["E3621"]


@pytest.mark.row(63, "a province restored to an older backup tries to send", "local refusal; forced: FORK")
def test_row_63_a_restored_province_may_not_seal(prepared: Land) -> None:
    here = prepared
    backup = here.keep(here.province, here.lab.folder / "backup")
    assert here.exchange() == ["APPLIED"]
    here.restore(here.province, backup)  # the round is settled again, and not in the stream
    before, batches = golden(here.ministry), rows(here.province, "outbox")
    with pytest.raises(VerificationError) as refused:
        here.publish()
    assert refused.value.code == "E3622"
    assert (rows(here.province, "outbox"), golden(here.ministry)) == (batches, before)
    assert list(here.ready.iterdir()) == []


@pytest.mark.row(63, "a province restored to an older backup tries to send", "local refusal; forced: FORK")
def test_row_63_a_restored_province_that_is_forced_to_send_forks_and_freezes(prepared: Land) -> None:
    forge = Province(prepared.lab)
    forced = forge.batch()  # what a node without the check would seal after the restore
    here = prepared
    assert here.exchange() == ["APPLIED"]
    before = golden(here.ministry)
    forge.upload(forced)
    result = here.intake()
    assert [(d.verdict, d.code) for d in result.decisions] == [("REJECTED", "E_SEQ_FORK")]
    assert position(here.ministry)["state"] == "E_SEQ_FORK"
    assert golden(here.ministry) == before
