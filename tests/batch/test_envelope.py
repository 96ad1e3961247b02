"""DSSE envelopes, protocol 4.1 to 4.3 and 15 #2 to #7, #28, #31, #76."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.batch import envelope as dsse
from hub.batch import wire
from hub.batch.envelope import PayloadType, Verified
from hub.batch.manifest import manifest_payload, sign_manifest
from hub.errors import RefusedError
from hub.trust.build import SignEntry
from hub.trust.keys import DevelopmentFileSigner, certificate_pem
from hub.trust.trust_list import Revocation, TrustList, parse_trust_list
from tests.trust.network import (
    NOW,
    Network,
    code_of,
    manifest,
    network,
    pair,
    province_roles,
    rsa_key,
    with_crl,
    with_member,
)

ROLE = "sign:up:main:13"
MANIFEST = PayloadType.BATCH_MANIFEST


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


@pytest.fixture(scope="module")
def signed(net: Network) -> bytes:
    return sign_manifest(manifest(net), net.signer("13"))[1]


def verify(data: bytes, trust: TrustList, **changes: Any) -> Verified:
    arguments: dict[str, Any] = {"payload_type": MANIFEST, "trust": trust, "role": ROLE, "at": NOW, **changes}
    return dsse.verify(data, **arguments)


def refusal(data: bytes, trust: TrustList, **changes: Any) -> str | None:
    return code_of(lambda: verify(data, trust, **changes))


def altered(data: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(data), **members}).encode()


def first_signature(data: bytes, **members: Any) -> bytes:
    value = json.loads(data)
    value["signatures"][0].update(members)
    return json.dumps(value).encode()


def test_pre_authentication_encoding_is_that_of_the_dsse_specification() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_the_payload_handed_back_is_exactly_what_was_signed(net: Network, signed: bytes) -> None:
    verified = verify(signed, net.trust)
    assert verified.payload == manifest_payload(manifest(net))
    assert verified.signer.party == "13"
    assert verified.digest == wire.digest_of(verified.payload)


def test_signing_again_changes_the_envelope_but_not_the_digest(net: Network, signed: bytes) -> None:
    again = sign_manifest(manifest(net), net.signer("13"))[1]
    assert again != signed
    assert verify(again, net.trust).digest == verify(signed, net.trust).digest


def test_one_flipped_bit_in_the_payload_is_refused(net: Network, signed: bytes) -> None:
    """Protocol 15 #2."""
    payload = bytearray(b64decode(json.loads(signed)["payload"]))
    payload[len(payload) // 2] ^= 1
    assert refusal(altered(signed, payload=b64encode(payload).decode()), net.trust) == "E_SIG"


def test_another_partys_valid_signature_is_refused_for_its_role(net: Network) -> None:
    """Protocol 15 #3."""
    assert refusal(sign_manifest(manifest(net), net.signer("12"))[1], net.trust) == "E_ROLE"


def test_keyid_and_algorithm_in_the_envelope_are_only_hints(net: Network, signed: bytes) -> None:
    """Protocol 15 #4."""
    other = net.signer("12")
    assert refusal(first_signature(signed, keyid=other.keyid), net.trust) == "E_SIG"
    assert refusal(first_signature(signed, keyid=other.keyid, cert=other.cert_pem), net.trust) == "E_SIG"
    assert refusal(first_signature(signed, alg="none", sig=b64encode(b"x").decode()), net.trust) == "E_SIG"


def test_a_receipt_is_not_taken_for_a_manifest(net: Network, signed: bytes) -> None:
    """Protocol 15 #5; the type is under the signature, so renaming it does not help."""
    payload = manifest_payload(manifest(net))
    receipt = dsse.build(PayloadType.RECEIPT, payload, [net.signer("13")])
    assert refusal(receipt, net.trust) == "E_TYPE"
    assert refusal(altered(receipt, payloadType=str(MANIFEST)), net.trust) == "E_SIG"


def test_an_envelope_of_300_kib_is_refused_before_it_is_parsed(net: Network) -> None:
    """Protocol 15 #7."""
    assert refusal(b"[" * (300 * 1024), net.trust) == "E_ENV_SIZE"
    assert refusal(b"[" * (256 * 1024), net.trust) == "E_ENV_JSON"
    with pytest.raises(RefusedError) as failure:
        dsse.build(PayloadType.STREAM_HEAD, b"x" * 16_000, [net.signer("moe")])
    assert failure.value.code == "E_ENV_SIZE"


@pytest.mark.parametrize(
    "members",
    [
        {"signatures": []},
        {"payload": "not base64!"},
        {"payload": "YQ"},
        {"payload": "YR=="},
        {"payload": None},
        {"payload": "e30=\n"},
    ],
)
def test_malformed_envelopes_are_refused(net: Network, signed: bytes, members: dict[str, Any]) -> None:
    assert refusal(altered(signed, **members), net.trust) == "E_ENV_JSON"


def test_nine_signatures_are_refused(net: Network, signed: bytes) -> None:
    assert refusal(altered(signed, signatures=json.loads(signed)["signatures"] * 9), net.trust) == "E_ENV_JSON"


def test_a_second_signature_that_does_not_hold_spoils_a_manifest(net: Network, signed: bytes) -> None:
    signatures = json.loads(signed)["signatures"]
    broken = {**signatures[0], "sig": b64encode(b"broken").decode()}
    assert refusal(altered(signed, signatures=[*signatures, broken]), net.trust) == "E_SIG"


def test_a_valid_certificate_outside_the_trust_list_is_unknown(net: Network) -> None:
    """Protocol 15 #31."""
    stranger = pair(net.authority, "stranger").signer
    assert refusal(sign_manifest(manifest(net), stranger)[1], net.trust) == "E_KEY_UNKNOWN"


def test_a_renewed_certificate_for_the_pinned_key_is_accepted(net: Network) -> None:
    """Protocol 10.4: CA renewal with the same key keeps the pin."""
    key = net.sign["13"].key
    renewed = net.authority.issue_signing(key.public_key(), "renewed", now=NOW)
    signer = DevelopmentFileSigner(key, certificate_pem(renewed))
    assert refusal(sign_manifest(manifest(net), signer)[1], net.trust) is None


def test_rsa_pss_signatures_hold_under_rsa_pss_only(net: Network) -> None:
    key = rsa_key(2)
    assert isinstance(key, rsa.RSAPrivateKey)
    cert = net.authority.issue_signing(key.public_key(), "rsa", now=NOW - timedelta(days=1))
    _, trust = net.trust_list(1, members=with_member(net.draft, "13", sign=(SignEntry(cert, province_roles("13")),)))
    data = sign_manifest(manifest(net), DevelopmentFileSigner(key, certificate_pem(cert)))[1]
    assert refusal(data, trust) is None
    spoiled = bytearray(data)
    position = data.index(b'"sig":"') + 100
    spoiled[position] = ord("A") if spoiled[position] != ord("A") else ord("B")
    assert refusal(bytes(spoiled), trust) == "E_SIG"


def test_a_revoked_key_is_refused_from_the_moment_of_revocation(net: Network, signed: bytes) -> None:
    """Protocol 15 #28 by trust list and by CRL, and #33: evidence from before stays valid."""
    since = NOW - timedelta(minutes=5)
    revoked = (Revocation(net.signer("13").keyid, since, "密钥泄露"),)
    _, listed = net.trust_list(1, revoked=revoked)
    serial = net.sign["13"].cert.serial_number
    by_crl = with_crl(net, net.authority.crl(2, now=NOW - timedelta(hours=1), revoked=[(serial, since)]))
    for trust in (listed, by_crl):
        assert refusal(signed, trust) == "E_KEY_REVOKED"
        assert refusal(signed, trust, at=since - timedelta(minutes=1)) is None


def test_a_key_outside_its_pinned_window_is_refused(net: Network, signed: bytes) -> None:
    entry = SignEntry(net.sign["13"].cert, province_roles("13"), not_after=NOW - timedelta(seconds=1))
    _, trust = net.trust_list(1, members=with_member(net.draft, "13", sign=(entry,)))
    assert refusal(signed, trust) == "E_CHAIN"


def test_two_keys_of_one_party_serve_during_rotation(net: Network) -> None:
    """Protocol 15 #32."""
    following = pair(net.authority, "13 next")
    entries = tuple(SignEntry(cert, province_roles("13")) for cert in (net.sign["13"].cert, following.cert))
    _, trust = net.trust_list(2, members=with_member(net.draft, "13", sign=entries))
    for signer in (net.signer("13"), following.signer):
        assert refusal(sign_manifest(manifest(net), signer)[1], trust) is None


def test_a_key_of_a_suite_that_is_not_allowed_is_refused_not_downgraded(net: Network, signed: bytes) -> None:
    """Protocol 15 #75, #76."""
    payload = json.loads(b64decode(json.loads(net.trust_envelope)["payload"]))
    for party in payload["parties"]:
        for key in party["sign"] if party["party"] == "13" else ():
            key.update(suite="G1", alg="sm2-sm3")
    trust = parse_payload(payload)
    assert refusal(signed, trust) == "E_SUITE"


def test_key_type_is_that_of_the_trust_list(net: Network) -> None:
    """A pinned P-384 key is not ECDSA P-256, whatever its certificate says."""
    key = ec.generate_private_key(ec.SECP384R1())
    cert = net.authority.issue_signing(key.public_key(), "p384", now=NOW - timedelta(days=1))
    _, trust = net.trust_list(1, members=with_member(net.draft, "13", sign=(SignEntry(cert, province_roles("13")),)))
    data = sign_manifest(manifest(net), DevelopmentFileSigner(key, certificate_pem(cert)))[1]
    assert refusal(data, trust) == "E_SIG"


def parse_payload(payload: dict[str, Any]) -> TrustList:
    return parse_trust_list(json.dumps(payload).encode())


def test_every_refusal_names_the_file_and_the_next_step(net: Network, signed: bytes) -> None:
    name = "13-up-main-e0001-s0000000001.manifest.dsse"
    with pytest.raises(RefusedError) as failure:
        verify(signed, net.trust, role="sign:up:main:12", where=name)
    assert failure.value.where == name
    assert "下一步" in failure.value.sentence()
    assert not failure.value.retryable


@settings(deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), cut=st.integers(0, 2), insert=st.binary(max_size=2))
def test_mutated_envelopes_never_verify_to_other_bytes(
    net: Network, signed: bytes, where: float, cut: int, insert: bytes
) -> None:
    position = int(where * len(signed))
    spoiled = signed[:position] + insert + signed[position + cut :]
    found: list[bytes] = []
    code = code_of(lambda: found.append(verify(spoiled, net.trust).payload))
    assert found == ([] if code else [manifest_payload(manifest(net))])
