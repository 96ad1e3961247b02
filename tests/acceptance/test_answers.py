"""Answers nobody gave, ciphertext of the wrong form, weaker protocols (protocol 15)."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hub.batch import strictjson
from hub.batch.admission import seal_certs
from hub.batch.cipher import PartDigest
from hub.batch.envelope import PayloadType, build, parse
from hub.verdict import Verdict
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.listen import listen
from tests.acceptance.offline import Offline
from tests.ministry.forge import STREAM, Forged, Province
from tests.round.labs import AT, answer, audit_holds, events, keyring, receipt, snapshot

FIRST = "13-up-main-e0001-s0000000001"
FORGED = ("forged receipt; receipt for other digest; chain gap", "ignored + alarm; state unchanged")


@pytest.fixture
def sent(published: Lab) -> Lab:
    deliver(published.province, at=AT)
    return published


def _own_signature(lab: Lab) -> None:
    own = keyring(lab.province).signer
    answer(lab, receipt(lab, 1, Verdict.APPLIED, signer_key=own.keyid), signer=own)


def _tampered(lab: Lab) -> None:
    answer(lab, receipt(lab, 1, Verdict.APPLIED), spoil=True)


def _other_digest(lab: Lab) -> None:
    answer(lab, receipt(lab, 1, Verdict.APPLIED, manifest_digest="sha256:" + "0" * 64))


def _gap(lab: Lab) -> None:
    answer(lab, receipt(lab, 1, Verdict.APPLIED, prev_receipt="sha256:" + "1" * 64))


def _skipped(lab: Lab) -> None:
    """Chains well, and is the third receipt of a batch that had none."""
    answer(lab, receipt(lab, 1, Verdict.APPLIED, receipt_no=3))


@pytest.mark.row(47, *FORGED)
@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (_own_signature, "E_ROLE"),
        (_tampered, "E_SIG"),
        (_other_digest, "E_RECEIPT"),
        (_gap, "E_RECEIPT"),
        (_skipped, "E_RECEIPT"),
    ],
)
def test_row_47_a_receipt_that_is_not_the_ministrys_next_word_moves_nothing(
    sent: Lab, forge: Callable[[Lab], None], code: str
) -> None:
    forge(sent)
    before = snapshot(sent.province)
    for _ in range(2):
        heard = listen(sent.province, at=AT)
        assert (heard.receipts, [i.code for i in heard.ignored]) == ((), [code])
    assert snapshot(sent.province) == before
    (told,) = (name for event, name in events(sent.province) if event == "回执不予采信")
    assert told == f"{FIRST}.receipt{3 if forge is _skipped else 1}.dsse"
    assert audit_holds(sent.province)


def _replaced(province: Province, change: Callable[[bytes], bytes]) -> Forged:
    """The next batch with its part's ciphertext changed, and a manifest that says so under a valid signature."""

    forged = province.batch()
    ((name, body),) = forged.parts.items()
    body = change(body)
    (entry,) = forged.manifest.files
    digest: PartDigest = replace(entry.digest, cms_size=len(body), cms_sha256=hashlib.sha256(body).hexdigest())
    files = (replace(entry, digest=digest),)
    return province.sign(replace(forged.manifest, files=files), {name: body})


def _outer(body: bytes) -> tuple[int, int]:
    """(length of the outer header, length of its content)."""
    octets = body[1] & 0x7F
    return 2 + octets, int.from_bytes(body[2 : 2 + octets], "big")


def _trailing(body: bytes) -> bytes:
    return body + b"\0"


def _indefinite(body: bytes) -> bytes:
    start, _ = _outer(body)
    return body[:1] + b"\x80" + body[start:] + b"\0\0"


def _non_minimal(body: bytes) -> bytes:
    start, length = _outer(body)
    octets = start - 2
    return body[:1] + bytes([0x80 | (octets + 1), 0]) + length.to_bytes(octets, "big") + body[start:]


def _short_tag(body: bytes) -> bytes:
    at = body.rindex(b"\x02\x01\x10", 0, 4096)
    return body[:at] + b"\x02\x01\x0c" + body[at + 3 :]


STRICT = ("BER indefinite, trailing byte, non-minimal length, CBC, 12-byte tag", "E_DECRYPT (strict profile)")


@pytest.mark.row(26, *STRICT)
@pytest.mark.parametrize("change", [_trailing, _indefinite, _non_minimal, _short_tag])
def test_row_26_ciphertext_of_another_form_is_refused_and_nothing_moves(
    province: Province, change: Callable[[bytes], bytes]
) -> None:
    forged, before = _replaced(province, change), province.state()
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_DECRYPT")
    assert province.state() == before
    assert province.plaintext_left() == []


@pytest.mark.row(26, *STRICT)
def test_row_26_enveloped_data_with_cbc_is_refused(province: Province, tmp_path: Path) -> None:
    certs = []
    for n, listed in enumerate(seal_certs(STREAM, province.keys.trust, AT)):
        certs.append(tmp_path / f"{n}.pem")
        certs[-1].write_bytes(listed.cert.public_bytes(Encoding.PEM))
    plain, out = tmp_path / "plain", tmp_path / "out"
    plain.write_bytes(b"PAR1" * 2000)
    command = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER"]
    subprocess.run([*command, "-in", plain, "-out", out, *certs], check=True, capture_output=True)
    forged, before = _replaced(province, lambda _: out.read_bytes()), province.state()
    (entry,) = forged.manifest.files
    digest = replace(entry.digest, plain_size=len(plain.read_bytes()))
    forged = province.sign(replace(forged.manifest, files=(replace(entry, digest=digest),)), forged.parts)
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_DECRYPT")
    assert province.state() == before


WEAKER = ("suite or protocol version below the trust list's minimum", "E_SUITE / E_VERSION")


@pytest.mark.row(76, *WEAKER)
@pytest.mark.parametrize(("demanded", "code"), [({"min_protocol": 2}, "E_VERSION"), ({"min_suite": "G1"}, "E_SUITE")])
def test_row_76_what_is_weaker_than_a_new_trust_list_demands_is_refused_and_no_list_goes_back(
    province: Province, demanded: dict[str, Any], code: str
) -> None:
    """Two key holders sign a list that raises the minimum of province 13; it comes in as any list does."""
    offline, forged = Offline(province.lab), province.batch()

    def demand(data: dict[str, Any]) -> None:
        (member,) = (member for member in data["parties"] if member["party"] == "13")
        member.update(demanded)
        if "min_suite" in demanded:
            data["suites"] = ["I1", "G1"]

    older = offline.newest(province.lab.ministry)
    offline.deliver(*offline.next_list(demand))
    assert province.intake().decisions == ()
    before = province.state()
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code, decision.receipt_name) == ("REJECTED", code, None)
    assert province.state() == before
    assert forged.envelope in province.evidence().values()
    offline.deliver("trust-list-000003.dsse", older)  # the way back to the weaker one
    province.upload(forged)
    result = province.intake()
    assert [d.code for d in result.decisions] == [code]
    assert "E_TRUST_ROLLBACK" in [alarm.code for alarm in result.alarms]
    assert province.state() == before


@pytest.mark.row(76, *WEAKER)
@pytest.mark.parametrize(
    ("member", "value", "code"), [("v", 0, "E_VERSION"), ("suite", "G1", "E_SUITE"), ("suite", "I0", "E_SUITE")]
)
def test_row_76_a_manifest_that_names_another_version_or_suite_under_a_valid_signature_is_refused(
    province: Province, member: str, value: object, code: str
) -> None:
    forged, before = province.batch(), province.state()
    payload = parse(forged.envelope, PayloadType.BATCH_MANIFEST).payload
    bent = strictjson.emit({**strictjson.parse_object(payload), member: value})
    province.upload(replace(forged, envelope=build(PayloadType.BATCH_MANIFEST, bent, [province.keys.signer])))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", code)
    assert province.state() == before
