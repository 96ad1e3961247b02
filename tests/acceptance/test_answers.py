"""Answers nobody gave, ciphertext of the wrong form, weaker protocols, two uploaders, a burst (protocol 15)."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hub.batch.admission import seal_certs
from hub.batch.cipher import PartDigest
from hub.keyring import Keyring, open_keyring
from hub.transport.folder import FolderClient
from hub.verdict import Verdict
from ministry_node import bench
from ministry_node.turn import Turn
from ministry_node.workers import in_rotation
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.listen import listen
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


@pytest.mark.row(47, *FORGED)
@pytest.mark.parametrize(
    ("forge", "code"),
    [(_own_signature, "E_ROLE"), (_tampered, "E_SIG"), (_other_digest, "E_RECEIPT"), (_gap, "E_RECEIPT")],
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
    assert [e for e in events(sent.province) if e[0] == "回执不予采信"] == [("回执不予采信", f"{FIRST}.receipt1.dsse")]
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


@pytest.mark.row(39, "two uploaders on one .part", "digest mismatch, REFUSED, clean re-ship")
def test_row_39_two_uploaders_on_one_part_end_in_a_refusal_and_a_clean_re_ship(province: Province) -> None:
    forged, before = province.batch(), province.state()
    ((name, body),) = forged.parts.items()
    part = province.ready.parent / "part" / f"{name}.part"
    half = len(body) // 2
    # The second one began anew while the first one still appended: half of each, and the size is right.
    part.write_bytes(body[:half] + body[: len(body) - half])
    with FolderClient(province.lab.exchange_root, "13") as client:
        assert client.put(name, _as_file(province, name, body)) == 0
    province.upload(forged, leave_out=[name])
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_FILE_DIGEST")
    assert province.state() == before
    with FolderClient(province.lab.exchange_root, "13") as client:
        assert client.put(name, _as_file(province, name, body)) == len(body)
    province.upload(forged, leave_out=[name])
    assert province.decide().verdict == "APPLIED"


def _as_file(province: Province, name: str, body: bytes) -> Path:
    path = province.lab.folder / name
    path.write_bytes(body)
    return path


WEAKER = ("suite or protocol version below the trust list's minimum", "E_SUITE / E_VERSION")


@pytest.mark.row(76, *WEAKER)
def test_row_76_a_protocol_version_below_the_minimum_is_refused(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged, before = province.batch(), province.state()
    province.upload(forged)
    _demand(monkeypatch, min_protocol=2)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_VERSION")
    assert province.state() == before


@pytest.mark.row(76, *WEAKER)
def test_row_76_a_suite_below_the_minimum_is_refused(province: Province, monkeypatch: pytest.MonkeyPatch) -> None:
    forged, before = province.batch(), province.state()
    province.upload(forged)
    _demand(monkeypatch, min_suite="G1")
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REJECTED", "E_SUITE")
    assert province.state() == before


def _demand(monkeypatch: pytest.MonkeyPatch, **minimum: Any) -> None:
    """The ministry's trust list, with a higher minimum for province 13."""
    whole = open_keyring

    def opened(*arguments: Any, **named: Any) -> Keyring:
        keys = whole(*arguments, **named)
        members = {**keys.trust.members, "13": replace(keys.trust.member("13"), **minimum)}
        return replace(keys, trust=replace(keys.trust, members=members))

    monkeypatch.setattr(bench, "open_keyring", opened)


class _Backlog:
    """A province with batches to decide, one of which takes long; only the order matters."""

    def __init__(self, party: str, count: int) -> None:
        self.party, self._left = party, count

    def step(self) -> str | None:
        self._left -= 1
        return self.party if self._left >= 0 else None


@pytest.mark.row(80, "32 provinces send 24 hours of batches at once", "fair turns, nobody starves")
def test_row_80_after_an_outage_every_province_gets_its_turn_before_any_gets_a_second() -> None:
    sizes = {f"{n:02d}": 24 if n != 5 else 200 for n in range(1, 33)}
    turns = cast("list[Turn]", [_Backlog(party, count) for party, count in sizes.items()])
    desk = cast("Any", SimpleNamespace(progress=lambda _a, _b: None, parties=tuple(sizes)))
    decided, failures = in_rotation(desk, turns)
    order = cast("list[str]", decided)
    assert failures == []
    assert Counter(order) == Counter(sizes)
    for turn in range(24):
        assert sorted(order[turn * 32 : (turn + 1) * 32]) == sorted(sizes)
