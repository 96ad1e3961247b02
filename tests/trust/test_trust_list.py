"""Trust lists and their updates, protocol 10.1, 10.2 and 15 #15 to #19."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hub.errors import KeyMaterialError
from hub.trust.authority import LabAuthority
from hub.trust.build import MemberEntry, SignEntry
from hub.trust.keys import (
    DevelopmentFileSigner,
    certificate_pem,
    generate_signing_key,
    load_certificates,
    load_private_key,
    private_key_pem,
)
from hub.trust.trust_list import Freshness, Revocation, TrustList, parse_trust_list, role_covers
from hub.trust.update import accept_first, accept_next
from tests.trust.network import MINISTRY_ROLES, NOW, Network, code_of, network, pair, with_member


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


def root_members(net: Network, **signers: DevelopmentFileSigner) -> tuple[MemberEntry, ...]:
    """Members with other root keys."""
    roots = [SignEntry(load_certificates(signer.cert_pem)[0], ("trust", "grant", "dr")) for signer in signers.values()]
    return with_member(net.draft, "moe", sign=(SignEntry(net.sign["moe"].cert, MINISTRY_ROLES), *roots))


def offered(current: TrustList, envelope: bytes, **changes: Any) -> str | None:
    """Code of an offer; the list in force is frozen and can be compared afterwards."""
    before = (current.version, current.digest)
    code = code_of(lambda: accept_next(current, envelope, at=changes.get("at", NOW)))
    assert (current.version, current.digest) == before
    return code


def test_the_next_version_signed_by_two_roots_is_accepted(net: Network) -> None:
    envelope, following = net.trust_list(2)
    assert accept_next(net.trust, envelope, at=NOW) == following
    assert following.version == 2


def test_the_same_version_again_is_a_no_op(net: Network) -> None:
    assert accept_next(net.trust, net.trust_envelope, at=NOW) is net.trust


def test_the_same_version_with_other_content_is_an_alarm(net: Network) -> None:
    envelope, _ = net.trust_list(1, revoked=(Revocation(net.signer("12").keyid, NOW, "x"),))
    assert offered(net.trust, envelope) == "E_TRUST_FORK"


def test_an_old_trust_list_is_refused(net: Network) -> None:
    """Protocol 15 #16."""
    current = accept_next(net.trust, net.trust_list(2)[0], at=NOW)
    assert offered(current, net.trust_envelope) == "E_TRUST_ROLLBACK"


def test_a_version_may_not_be_skipped(net: Network) -> None:
    """Protocol 15 #17."""
    second, third = net.trust_list(2)[0], net.trust_list(3)[0]
    assert offered(net.trust, third) == "E_TRUST_GAP"
    assert accept_next(accept_next(net.trust, second, at=NOW), third, at=NOW).version == 3


def test_new_root_keys_alone_cannot_take_over(net: Network) -> None:
    """Protocol 15 #18, and the reverse: leavers alone cannot either."""
    fresh = {f"n{n}": pair(net.authority, f"new root {n}").signer for n in (1, 2, 3)}
    members = root_members(net, **fresh)
    new, old = list(fresh.values())[:2], net.roots[:2]
    assert offered(net.trust, net.trust_list(2, members=members, signers=new)[0]) == "E_KEY_UNKNOWN"
    assert offered(net.trust, net.trust_list(2, members=members, signers=old)[0]) == "E_KEY_UNKNOWN"
    assert offered(net.trust, net.trust_list(2, members=members, signers=[*old, new[0]])[0]) == "E_SIG"
    assert offered(net.trust, net.trust_list(2, members=members, signers=[*old, *new])[0]) is None


def test_one_signature_or_the_same_key_twice_is_not_enough(net: Network) -> None:
    """Protocol 15 #15 for trust lists."""
    first = net.roots[0]
    assert offered(net.trust, net.trust_list(2, signers=[first])[0]) == "E_SIG"
    assert offered(net.trust, net.trust_list(2, signers=[first, first])[0]) == "E_SIG"
    assert offered(net.trust, net.trust_list(2, signers=[first, net.signer("moe")])[0]) == "E_SIG"
    assert offered(net.trust, net.trust_list(2, signers=[net.signer("moe")])[0]) == "E_ROLE"


def test_a_revoked_root_key_is_replaced_by_the_two_that_are_left(net: Network) -> None:
    """Protocol 10.6."""
    revoked = (Revocation(net.roots[0].keyid, NOW - timedelta(days=1), "遗失"),)
    assert offered(net.trust, net.trust_list(2, revoked=revoked, signers=net.roots[1:])[0]) is None
    assert offered(net.trust, net.trust_list(2, revoked=revoked, signers=net.roots[:2])[0]) == "E_SIG"


def test_crls_never_go_back_with_a_trust_list(net: Network) -> None:
    second = accept_next(net.trust, net.trust_list(2, crls=(net.authority.crl(5, now=NOW),))[0], at=NOW)
    assert offered(second, net.trust_list(3, crls=(net.authority.crl(4, now=NOW),))[0]) == "E_TRUST_ROLLBACK"
    assert offered(second, net.trust_list(3, crls=())[0]) == "E_CHAIN"
    assert offered(second, net.trust_list(3, crls=(net.authority.crl(6, now=NOW),))[0]) is None


def test_the_crl_of_a_second_ca_is_not_dropped_while_the_ca_stays(net: Network) -> None:
    other = LabAuthority.create("第二 CA", now=NOW - timedelta(days=2))
    both = (net.authority.cert, other.cert)
    crls = (*net.draft.crls, other.crl(1, now=NOW))
    second = accept_next(net.trust, net.trust_list(2, crls=crls, anchors=both)[0], at=NOW)
    assert offered(second, net.trust_list(3, anchors=both)[0]) == "E_TRUST_ROLLBACK"
    assert offered(second, net.trust_list(3)[0]) is None


def test_a_province_silent_for_months_catches_up(net: Network) -> None:
    """The CRLs inside the list in force are long stale then; a revocation on them would still count."""
    later = NOW + timedelta(days=200)
    crl = net.authority.crl(9, now=later)
    envelope, _ = net.trust_list(2, at=later, crls=(crl,))
    assert accept_next(net.trust, envelope, at=later).version == 2
    serial = net.sign["root1"].cert.serial_number
    marked = net.trust_list(1, crls=(net.authority.crl(2, now=NOW, revoked=[(serial, NOW)]),))[1]
    assert offered(marked, envelope, at=later) == "E_SIG"


def test_the_first_list_needs_two_keys_compared_out_of_band(net: Network) -> None:
    ids = [signer.keyid for signer in net.roots]
    assert accept_first(net.trust_envelope, pins=ids, at=NOW) == net.trust
    assert code_of(lambda: accept_first(net.trust_envelope, pins=ids[1:], at=NOW)) == "E_SIG"
    assert code_of(lambda: accept_first(net.trust_envelope, pins=[], at=NOW, threshold=0)) == "E_SIG"


def test_an_expired_list_holds_everything_after_seven_days_grace(net: Network) -> None:
    """Protocol 15 #19."""
    expires = net.trust.expires
    assert net.trust.freshness(NOW) is Freshness.FRESH
    assert net.trust.freshness(expires + timedelta(days=7)) is Freshness.GRACE
    assert net.trust.freshness(expires + timedelta(days=7, seconds=1)) is Freshness.EXPIRED


def altered(net: Network, change: Any) -> str | None:
    data = json.loads(b64decode(json.loads(net.trust_envelope)["payload"]))
    change(data)
    return code_of(lambda: parse_trust_list(json.dumps(data, ensure_ascii=False).encode()))


def test_lists_that_contradict_themselves_are_refused(net: Network) -> None:
    moe, _, _, p13 = range(4)

    def foreign_spki(data: Any) -> None:
        data["parties"][p13]["sign"][0]["spki"] = data["parties"][moe]["sign"][0]["spki"]

    changes = {
        "threshold of one": lambda data: data["thresholds"].update({"trust-list": 1}),
        "no anchors": lambda data: data["anchors"].clear(),
        "spki of another key": foreign_spki,
        "party twice": lambda data: data["parties"].append(data["parties"][p13]),
        "key under two parties": lambda data: data["parties"][p13]["sign"].append(data["parties"][moe]["sign"][0]),
        "31 days": lambda data: data.update(expires="2026-12-31T00:00:00Z"),
        "expires before issued": lambda data: data.update(expires="2026-01-01T00:00:00Z"),
        "certificate that is none": lambda data: data["anchors"].append("AAAA"),
        "foreign encryption keyid": lambda data: data["parties"][p13]["encrypt"][0].update(
            keyid=data["parties"][moe]["encrypt"][0]["keyid"]
        ),
        "limits missing": lambda data: data["limits"].pop("columns"),
    }
    for name, change in changes.items():
        assert altered(net, change) == "E_ENV_JSON", name
    assert altered(net, lambda data: data.update(v=2)) == "E_VERSION"
    assert altered(net, lambda data: data.update(note="later")) is None


def test_a_crl_of_a_foreign_ca_does_not_enter_a_list(net: Network) -> None:
    foreign = LabAuthority.create("他方", now=NOW).crl(1, now=NOW)
    assert code_of(lambda: net.trust_list(2, crls=(foreign,))) == "E_CHAIN"


def test_ssh_host_keys_and_encryption_certificates_are_read(net: Network) -> None:
    assert net.trust.member("moe").ssh_host_keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample",)
    assert net.trust.newest_encryption_cert("13", NOW).cert == net.encrypt["13"].cert
    assert code_of(lambda: net.trust.member("54")) == "E_ROLE"


def test_roles_match_segment_by_segment() -> None:
    assert role_covers("sign:dn:case:*", "sign:dn:case:13")
    assert not role_covers("sign:dn:case:*", "sign:dn:case:13:x")
    assert not role_covers("sign:dn:case:*", "sign:up:case:13")
    assert not role_covers("sign:up:main:13", "sign:up:main:12")
    assert not role_covers("*", "sign:up:main:13")


def test_signer_and_keys_come_back_from_pem(net: Network, caplog: pytest.LogCaptureFixture) -> None:
    source = net.sign["13"]
    signer = DevelopmentFileSigner.load(private_key_pem(source.key), certificate_pem(source.cert))
    assert signer.keyid == net.signer("13").keyid
    assert caplog.text.count("开发密钥") == 1
    DevelopmentFileSigner.load(private_key_pem(source.key), certificate_pem(source.cert))
    assert caplog.text.count("开发密钥") == 1, "one process says it once of one key file"
    DevelopmentFileSigner.load(private_key_pem(source.key), certificate_pem(source.cert), where="other.pem")
    assert caplog.text.count("开发密钥") == 2
    protected = private_key_pem(source.key, b"secret")
    assert load_private_key(protected, b"secret").key_size == 256
    for password in (None, b"wrong"):
        with pytest.raises(KeyMaterialError):
            load_private_key(protected, password)
    with pytest.raises(KeyMaterialError):
        DevelopmentFileSigner(generate_signing_key(), certificate_pem(source.cert))
    with pytest.raises(KeyMaterialError):
        load_certificates("nothing")


def test_an_authority_comes_back_from_pem(net: Network) -> None:
    again = LabAuthority.load(net.authority.key_pem, net.authority.cert_pem)
    assert again.cert == net.authority.cert


def test_drafts_are_values(net: Network) -> None:
    changed = replace(net.draft, revoked=(Revocation("sha256:" + "0" * 64, NOW, "x"),))
    assert net.draft.revoked == ()
    assert changed.revoked != ()
