"""Chains and revocation lists, protocol 4.4 and 15 #28 to #30."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import RefusedError
from hub.trust.authority import LabAuthority
from hub.trust.chain import CrlSet, check_chain, check_revocation, crl_is_stale, parse_crl
from hub.trust.keys import generate_signing_key
from tests.trust.network import NOW, code_of, pair

START = NOW - timedelta(days=30)


@pytest.fixture(scope="module")
def root() -> LabAuthority:
    return LabAuthority.create("根 CA", now=START)


def chained(
    root: LabAuthority, leaf: x509.Certificate, *between: x509.Certificate, days: float = 0, trusted: bool = True
) -> str | None:
    anchors = [root.cert] if trusted else [LabAuthority.create("另一 CA", now=START).cert]
    return code_of(lambda: check_chain(leaf, list(between), anchors=anchors, at=NOW + timedelta(days=days)))


def test_a_leaf_below_the_anchor_is_accepted(root: LabAuthority) -> None:
    leaf = pair(root, "leaf").cert
    assert check_chain(leaf, [], anchors=[root.cert], at=NOW) == [leaf, root.cert]


def test_two_intermediates_are_accepted_and_three_are_not(root: LabAuthority) -> None:
    """Chain of at most four, protocol 4.2 #7."""
    first = root.intermediate("一级", now=START)
    second = first.intermediate("二级", now=START)
    third = second.intermediate("三级", now=START)
    assert chained(root, pair(first, "a").cert, first.cert) is None
    assert chained(root, pair(second, "b").cert, first.cert, second.cert) is None
    assert chained(root, pair(third, "c").cert, first.cert, second.cert, third.cert) == "E_CHAIN"
    assert chained(root, pair(second, "b").cert, second.cert) == "E_CHAIN"


def test_wrong_leaves_are_refused(root: LabAuthority) -> None:
    """Protocol 15 #30."""
    key = generate_signing_key().public_key()
    other_eku = root.issue_signing(key, "x", now=START, eku=ExtendedKeyUsageOID.CLIENT_AUTH)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    critical = root.issue_signing(key, "x", now=START, extra=[(unknown, True)])
    harmless = root.issue_signing(key, "x", now=START, extra=[(unknown, False)])
    short = root.issue_signing(key, "x", now=START, days=10)
    no_eku = root.issue_encryption(key, "x", now=START)
    assert chained(root, other_eku) == "E_CHAIN"
    assert chained(root, no_eku) == "E_CHAIN"
    assert chained(root, critical) == "E_CHAIN"
    assert chained(root, harmless) is None
    assert chained(root, short) == "E_CHAIN"
    assert chained(root, short, days=-25) is None
    assert chained(root, pair(root, "x").cert, trusted=False) == "E_CHAIN"


def test_a_leaf_cannot_issue(root: LabAuthority) -> None:
    """Protocol 15 #30, leaf as CA."""
    leaf_key = generate_signing_key()
    leaf = root.issue_signing(leaf_key.public_key(), "leaf", now=START)
    forged = LabAuthority(leaf_key, leaf)
    assert chained(root, pair(forged, "forged").cert, leaf) == "E_CHAIN"


def test_a_ca_certificate_does_not_sign_batches(root: LabAuthority) -> None:
    assert chained(root, root.intermediate("ca", now=START).cert) == "E_CHAIN"


def test_weak_and_foreign_keys_are_refused_by_our_own_check(root: LabAuthority) -> None:
    """Protocol 15 #30: the library accepts RSA-1024 and Ed25519 leaves."""
    weak = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505
    assert chained(root, root.issue_signing(weak, "rsa1024", now=START)) == "E_CHAIN"
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    assert chained(root, root.issue_signing(edwards, "ed", now=START)) == "E_CHAIN"  # type: ignore[arg-type]


def revoked(root: LabAuthority, crls: CrlSet, leaf: x509.Certificate, *, days: float = 0) -> str | None:
    chain = [leaf, root.cert]
    return code_of(lambda: check_revocation(chain, crls, at=NOW + timedelta(days=days)))


def test_a_revoked_serial_is_refused_from_its_date_on(root: LabAuthority) -> None:
    leaf = pair(root, "leaf").cert
    der = root.crl(1, now=NOW, revoked=[(leaf.serial_number, NOW)])
    crls = CrlSet().offer(der, [root.cert])
    assert revoked(root, crls, leaf) == "E_KEY_REVOKED"
    assert revoked(root, crls, leaf, days=-1) is None
    assert revoked(root, crls, pair(root, "other").cert) is None


def test_an_expired_crl_is_used_in_grace_and_then_nothing_is_accepted(root: LabAuthority) -> None:
    """Protocol 15 #29, #78."""
    leaf = pair(root, "leaf").cert
    crls = CrlSet().offer(root.crl(1, now=NOW, days=1), [root.cert])
    assert (revoked(root, crls, leaf), crl_is_stale(crls, at=NOW)) == (None, False)
    in_grace = NOW + timedelta(days=3.9)
    assert (revoked(root, crls, leaf, days=3.9), crl_is_stale(crls, at=in_grace)) == (None, True)
    assert revoked(root, crls, leaf, days=4.1) == "E_CHAIN"


def test_without_a_crl_of_the_ca_nothing_is_accepted(root: LabAuthority) -> None:
    assert revoked(root, CrlSet(), pair(root, "leaf").cert) == "E_CHAIN"


def test_an_intermediate_needs_a_crl_too_and_can_be_revoked(root: LabAuthority) -> None:
    between = root.intermediate("一级", now=START)
    leaf = pair(between, "leaf").cert
    chain = check_chain(leaf, [between.cert], anchors=[root.cert], at=NOW)
    authorities = [root.cert, between.cert]
    only_root = CrlSet().offer(root.crl(1, now=NOW), authorities)
    both = only_root.offer(between.crl(1, now=NOW), authorities)
    assert code_of(lambda: check_revocation(chain, only_root, at=NOW)) == "E_CHAIN"
    check_revocation(chain, both, at=NOW)
    gone = both.offer(root.crl(2, now=NOW, revoked=[(between.cert.serial_number, NOW)]), authorities)
    assert code_of(lambda: check_revocation(chain, gone, at=NOW)) == "E_KEY_REVOKED"


def test_a_lower_crl_number_is_refused_and_the_set_stays(root: LabAuthority) -> None:
    """Protocol 15 #29."""
    crls = CrlSet().offer(root.crl(7, now=NOW), [root.cert])
    assert code_of(lambda: crls.offer(root.crl(6, now=NOW), [root.cert])) == "E_CHAIN"
    assert code_of(lambda: crls.offer(root.crl(7, now=NOW, days=90), [root.cert])) == "E_CHAIN"
    assert [crl.number for crl in crls.by_issuer.values()] == [7]
    higher = crls.offer(root.crl(8, now=NOW), [root.cert])
    assert [crl.number for crl in higher.by_issuer.values()] == [8]


def test_a_crl_signed_by_another_ca_is_refused(root: LabAuthority) -> None:
    """Protocol 15 #29: also when it borrows the name."""
    impostor = LabAuthority.create("根 CA", now=START)
    assert code_of(lambda: CrlSet().offer(impostor.crl(1, now=NOW), [root.cert])) == "E_CHAIN"
    der = bytearray(root.crl(1, now=NOW))
    der[-1] ^= 1
    assert code_of(lambda: parse_crl(bytes(der), [root.cert])) == "E_CHAIN"


def test_malformed_crls_are_refused(root: LabAuthority) -> None:
    plain = x509.CertificateRevocationListBuilder().issuer_name(root.cert.subject).last_update(NOW)
    plain = plain.next_update(NOW + timedelta(days=1))
    delta = plain.add_extension(x509.CRLNumber(2), False).add_extension(x509.DeltaCRLIndicator(1), True)
    for builder in (plain, delta):
        der = builder.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        assert code_of(lambda der=der: parse_crl(der, [root.cert])) == "E_CHAIN"  # type: ignore[misc]
    assert code_of(lambda: parse_crl(b"nonsense", [root.cert])) == "E_CHAIN"


def test_refusals_do_not_print_certificates(root: LabAuthority) -> None:
    with pytest.raises(RefusedError) as failure:
        check_chain(pair(root, "签名员甲").cert, [], anchors=[root.cert], at=NOW + timedelta(days=10_000))
    assert "签名员甲" not in failure.value.sentence()
