"""Bytes changed, swapped, lost or added on the way (protocol 15 #1-#5, #21-#24, #37)."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.batch.admission import seal_certs
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import manifest_name, part_name
from hub.transport import ServerTransport
from hub.trust.keys import DevelopmentFileSigner
from tests.ministry.forge import STREAM, Province, flip, frozen_state
from tests.round.labs import AT, audit_holds, keyring, rows


def codes(province: Province, seq: int) -> list[str]:
    """Reasons in the newest receipt of a batch."""
    row = next(r for r in reversed(rows(province.ministry, "receipt", "seq, receipt_no")) if r["seq"] == seq)
    body = json.loads(parse(bytes(row["body"]), PayloadType.RECEIPT).payload)
    return [reason["code"] for reason in body["reasons"]]


@pytest.mark.row(1, "flip 1 bit in a payload file", "REFUSED E_FILE_DIGEST before decrypt; the original applies")
def test_row_1_a_bit_flipped_in_a_part_is_refused_before_decrypting_and_the_original_applies(shipped: Province) -> None:
    """Row 1."""
    part = shipped.ready / part_name("13-up-main-e0001-s0000000001", 5)
    original = part.read_bytes()
    part.write_bytes(flip(original))
    manifest = (shipped.ready / manifest_name("13-up-main-e0001-s0000000001")).read_bytes()
    others = {p.name: p.read_bytes() for p in shipped.ready.iterdir()}
    refused = shipped.decide()
    assert (refused.verdict, refused.code) == ("REFUSED", "E_FILE_DIGEST")
    state = shipped.state()
    assert {digest.rows for digest in state["golden"].values()} == {0}
    assert (state["inbox"], state["lineage"]) == ([], [])
    assert state["peer_stream"][0]["last_seq"] == 0
    assert list(shipped.ready.iterdir()) == []
    kept = shipped.evidence()
    assert flip(original) in [body for name, body in kept.items() if "/other/" in name]

    for name, body in others.items():
        (shipped.ready / name).write_bytes(original if name == part.name else body)
    applied = shipped.decide()
    assert (applied.verdict, applied.counts.ins) == ("APPLIED", 15307)
    assert shipped.receipts() == [(1, 1, "REFUSED"), (1, 2, "APPLIED")]
    assert manifest in shipped.evidence().values()
    assert audit_holds(shipped.ministry)


@pytest.mark.row(2, "flip 1 bit in the manifest body", "E_SIG; evidence; no state change")
def test_row_2_a_bit_flipped_in_the_manifest_is_evidence_and_nothing_else(province: Province) -> None:
    """Row 2."""
    forged, before = province.batch(), province.state()
    data = json.loads(forged.envelope)
    payload = base64.b64decode(data["payload"])
    at = payload.index(b'"lo":"') + 6
    data["payload"] = base64.b64encode(flip(payload, at)).decode()
    spoiled = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    province.upload(forged, manifest=spoiled)
    outs = province.out
    result = province.intake()
    assert [(d.verdict, d.code, d.receipt_name) for d in result.decisions] == [("REJECTED", "E_SIG", None)]
    assert [alarm.code for alarm in result.alarms] == ["E_SIG"]
    assert (province.state(), province.out) == (before, outs)
    assert spoiled in [body for name, body in province.evidence().items() if name.startswith("unverified/")]
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(3, "signature of another party", "E_ROLE")
def test_row_3_a_manifest_signed_by_another_partys_valid_key_is_refused(province: Province) -> None:
    """Row 3."""
    before = province.state()
    province.upload(province.batch(signer=keyring(province.ministry).signer))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_ROLE")
    assert province.state() == before


@pytest.mark.row(4, "key id pointing to another key", "only a hint; E_SIG")
def test_row_4_a_key_id_pointing_at_another_key_does_not_choose_the_key(province: Province) -> None:
    """Row 4: the signature is the province's, the key id the ministry's."""
    forged, before = province.batch(), province.state()
    data = json.loads(forged.envelope)
    other = keyring(province.ministry).signer
    data["signatures"][0].update(keyid=other.keyid, cert=other.cert_pem)
    spoiled = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    province.upload(forged, manifest=spoiled)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_SIG")
    assert province.state() == before


@pytest.mark.row(5, "receipt presented as manifest", "E_TYPE")
def test_row_5_a_receipt_uploaded_as_a_manifest_is_refused_for_its_type(province: Province) -> None:
    """Row 5."""
    before = province.state()
    (receipt,) = province.out.values()
    (province.ready / manifest_name("13-up-main-e0001-s0000000002")).write_bytes(receipt)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_TYPE")
    assert province.state() == before


@pytest.mark.row(21, "manifest of one batch, files of another", "E_FILE_DIGEST")
@pytest.mark.parametrize("same_size", [True, False])
def test_row_21_a_manifest_with_the_parts_of_the_batch_before_is_refused(province: Province, same_size: bool) -> None:
    """Row 21: as they were, and cut or filled up so that only the digest tells."""
    first, second = province.window(2)
    province.upload(first)
    assert province.decide().verdict == "APPLIED"
    before = province.state()
    (old,) = first.parts.values()
    (new,) = second.parts.values()
    province.upload(second, part=(old + new)[: len(new)] if same_size else old + b"\0")
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_FILE_DIGEST")
    assert province.state() == before
    province.upload(second)
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(22, "file missing / extra file in ready", "wait, E_FILE_MISSING / evidence, ignored")
def test_row_22_a_missing_part_is_waited_for_and_then_refused(province: Province) -> None:
    """Row 22, first half."""
    forged, before = province.batch(), province.state()
    (part,) = forged.parts
    province.upload(forged, leave_out=[part])
    early = province.intake()
    assert (early.decisions, early.waiting) == ((), (forged.manifest.batch_id,))
    assert province.state() == before
    late = province.decide(AT + timedelta(minutes=16))
    assert (late.verdict, late.code) == ("REFUSED", "E_FILE_MISSING")
    assert province.state() == before
    province.upload(forged)
    assert province.decide(AT + timedelta(minutes=20)).verdict == "APPLIED"


@pytest.mark.row(22, "file missing / extra file in ready", "wait, E_FILE_MISSING / evidence, ignored")
def test_row_22_files_nobody_listed_go_to_the_evidence_and_the_batch_applies(province: Province) -> None:
    """Row 22, second half."""
    forged = province.batch()
    province.upload(forged)
    (province.ready / part_name(forged.manifest.batch_id, 9)).write_bytes(b"smuggled")
    result = province.intake()
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert [alarm.code for alarm in result.alarms] == ["E3415"]
    assert list(province.ready.iterdir()) == []
    assert b"smuggled" in province.evidence().values()


@pytest.mark.row(23, "name differs / foreign uploader", "E_NAME / E_ROLE")
def test_row_23_a_manifest_under_another_batchs_name_is_refused(province: Province) -> None:
    """Row 23, first half."""
    forged, before = province.batch(), province.state()
    (province.ready / manifest_name("13-up-main-e0001-s0000000003")).write_bytes(forged.envelope)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_NAME")
    assert province.state() == before


@pytest.mark.row(23, "name differs / foreign uploader", "E_NAME / E_ROLE")
def test_row_23_another_provinces_manifest_in_this_provinces_folder_is_refused(province: Province) -> None:
    """Row 23, second half."""
    before = province.state()
    theirs = replace(STREAM, party="12")
    province.upload(province.batch(stream_id=theirs, seq=1))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_ROLE")
    assert province.state() == before


@pytest.mark.row(24, "recipients without ministry; ciphertext for another", "E_RECIPIENT / E_DECRYPT")
def test_row_24_a_batch_without_the_ministry_among_its_recipients_is_refused_and_the_second_time_void(
    province: Province,
) -> None:
    """Row 24, first half; sealed in, so that shipping again cannot help (protocol 7.2)."""
    plain = province.batch()
    others = tuple(r for r in plain.manifest.recipients if r.party != "moe")
    forged, before = province.sign(replace(plain.manifest, recipients=others), plain.parts), province.state()
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_RECIPIENT")
    assert province.state() == before
    province.upload(forged)
    again = province.decide()
    assert (again.verdict, again.code) == ("VOID", "E_RECIPIENT")
    assert province.golden() == before["golden"]
    assert (province.position()["last_seq"], province.position()["hi"]) == (2, before["peer_stream"][0]["hi"])


@pytest.mark.row(24, "recipients without ministry; ciphertext for another", "E_RECIPIENT / E_DECRYPT")
def test_row_24_a_part_encrypted_for_others_than_the_manifest_says_is_refused(province: Province) -> None:
    """Row 24, second half."""
    before = province.state()
    certs = [c.cert for c in seal_certs(STREAM, province.keys.trust, AT) if c.party != "moe"]
    province.upload(province.batch(part={"certs": certs}))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_DECRYPT")
    assert province.state() == before
    assert province.plaintext_left() == []


@pytest.mark.row(37, "file rewritten after pick-up", "the copy decides")
def test_row_37_a_manifest_overwritten_after_pick_up_is_read_the_next_time_and_not_swept_away(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 37: its folder lets a province write into its own file; a second truth under one number is a fork."""
    forged = province.batch()
    other = province.sign(replace(forged.manifest, created=forged.manifest.created - timedelta(seconds=1)), {})
    province.upload(forged)
    taken = ServerTransport.take

    def take(self: ServerTransport, party: str, name: str, dst: Path, limit: int, **options: int | None) -> object:
        copied = taken(self, party, name, dst, limit, **options)
        if name == forged.name:
            (province.ready / name).write_bytes(other.envelope)
        return copied

    with monkeypatch.context() as patched:
        patched.setattr(ServerTransport, "take", take)
        assert province.decide().verdict == "APPLIED"
    before = province.state()
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_SEQ_FORK")
    assert province.state() == frozen_state(before, "E_SEQ_FORK")
    assert {forged.envelope, other.envelope} <= set(province.evidence().values())


@pytest.mark.row(37, "file rewritten after pick-up", "the copy decides")
def test_row_37_a_part_rewritten_through_an_open_handle_after_pick_up_changes_nothing(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 37: the uploader keeps writing to the file it still has open; our copy decides."""
    forged = province.batch()
    province.upload(forged)
    (part,) = forged.parts
    handle = os.open(province.ready / part, os.O_RDWR)
    taken = ServerTransport.take
    rewritten: list[str] = []

    def take(self: ServerTransport, party: str, name: str, dst: Path, limit: int, **options: int | None) -> object:
        copied = taken(self, party, name, dst, limit, **options)
        if name == part:
            os.pwrite(handle, b"\0" * 1000, 0)
            rewritten.append(name)
        return copied

    monkeypatch.setattr(ServerTransport, "take", take)
    decision = province.decide()
    os.close(handle)
    assert rewritten == [part]
    assert (decision.verdict, decision.counts.upd) == ("APPLIED", 1)
    assert forged.parts[part] in province.evidence().values()


def test_the_signer_of_the_forgeries_is_the_provinces_own_key(province: Province) -> None:
    """A control: what is refused above is not refused because of its key."""
    assert isinstance(province.keys.signer, DevelopmentFileSigner)
    province.upload(province.batch())
    assert province.decide().verdict == "APPLIED"
    assert codes(province, 2) == []
