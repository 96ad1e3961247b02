"""Rows 30 to 33 and 77: certificates, rotation of keys, evidence years later, and a signer that is down."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hub import node_keys
from hub.batch import wire
from hub.batch.admission import seal_certs
from hub.batch.manifest import Recipient
from hub.errors import PeerUnreachableError, UsageError
from hub.evidence.kept import kept_batches, verify_batch
from hub.evidence.stored import ByHistory
from hub.evidence.tree import verify_tree
from hub.keyring import open_keyring
from hub.settings import open_node
from hub.store import open_store
from hub.trust import amend
from hub.trust.authority import LabAuthority
from hub.trust.keys import cert_keyid, load_certificates
from hub.trust_folder import open_trust
from hub.trust_read import read_history
from province_node.listen import listen
from province_node.publish import publish_pending
from tests.acceptance.lands import Land
from tests.acceptance.offline import Offline, leaf, spread, verdicts, versions, with_certificate
from tests.ministry.forge import CATALOG, STREAM, Province
from tests.round.labs import AT, snapshot

DAY = timedelta(days=1)


def bad_leaf(kind: str, authority: LabAuthority, province: Province) -> tuple[x509.Certificate, ...]:
    """Certificates over the province's own key, each wrong in one way."""
    public = leaf(province.lab.province).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    issue, start = authority.issue_signing, AT - 10 * DAY
    if kind == "wrong EKU":
        return (issue(public, "x", now=start, eku=x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")),)
    if kind == "expired leaf":
        return (issue(public, "x", now=start, days=5),)
    if kind == "other root":
        return (LabAuthority.create("别的 CA", now=start).issue_signing(public, "x", now=start),)
    if kind == "unknown critical extension":
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        return (issue(public, "x", now=start, extra=[(odd, True)]),)
    if kind == "leaf as CA":
        key = ec.generate_private_key(ec.SECP256R1())
        between = LabAuthority(key, issue(key.public_key(), "leaf", now=start))
        return between.issue_signing(public, "x", now=start), between.cert
    feeble = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the weakness under test
    weak = LabAuthority(feeble, _intermediate(authority, feeble, start))  # type: ignore[arg-type]
    return weak.issue_signing(public, "x", now=start), weak.cert


def _intermediate(authority: LabAuthority, key: rsa.RSAPrivateKey, start: datetime) -> x509.Certificate:
    """An intermediate CA over a weak key, otherwise flawless."""
    model = authority.intermediate("弱", now=start).cert
    builder = x509.CertificateBuilder(
        issuer_name=model.issuer,
        subject_name=model.subject,
        public_key=key.public_key(),
        serial_number=model.serial_number,
        not_valid_before=model.not_valid_before_utc,
        not_valid_after=model.not_valid_after_utc,
    )
    for extension in model.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, critical=extension.critical)
    return builder.sign(authority.key, hashes.SHA256())


@pytest.mark.row(30, "wrong EKU, expired, other root, leaf as CA, RSA-1024, unknown critical extension", "E_CHAIN")
@pytest.mark.parametrize(
    "kind", ["wrong EKU", "expired leaf", "other root", "unknown critical extension", "leaf as CA", "RSA-1024"]
)
def test_row_30_a_certificate_that_does_not_hold_is_refused_though_the_key_is_pinned(
    province: Province, kind: str
) -> None:
    authority, before = Offline(province.lab).authority, province.state()
    signer = with_certificate(province.lab.province, *bad_leaf(kind, authority, province))
    province.upload(province.batch(signer=signer))
    assert verdicts(province, AT) == [("REJECTED", "E_CHAIN")]
    assert province.state() == before
    own = leaf(province.lab.province).public_key()
    assert isinstance(own, ec.EllipticCurvePublicKey)
    good = authority.issue_signing(own, "x", now=AT - 10 * DAY)
    province.upload(province.batch(signer=with_certificate(province.lab.province, good)))
    assert verdicts(province, AT) == [("APPLIED", None)]


@pytest.mark.row(31, "valid CA certificate, key not in the trust list", "E_KEY_UNKNOWN")
def test_row_31_a_certificate_of_the_right_ca_is_not_enough(province: Province) -> None:
    before = province.state()
    province.upload(province.batch(signer=Offline(province.lab).signer("13")))
    assert verdicts(province, AT) == [("REJECTED", "E_KEY_UNKNOWN")]
    assert province.state() == before


@pytest.mark.row(32, "routine rotation with overlap, batches in flight under both keys", "all applied")
def test_row_32_batches_under_the_old_and_the_new_keys_are_all_applied(province: Province) -> None:
    lab, offline = province.lab, Offline(province.lab)
    edits = []
    for node, party in ((lab.province, "13"), (lab.ministry, "moe")):
        for purpose in ("sign", "enc"):
            made = node_keys.generate(node.keys, purpose, party)
            issue = offline.signing_cert if purpose == "sign" else offline.encryption_cert
            node_keys.install(node.keys, issue(made.request))
            cert = load_certificates((node.keys / "next" / f"{purpose}.cert.pem").read_bytes())[0]
            add = amend.announce_signing if purpose == "sign" else amend.announce_encryption
            edits.append((add, party, cert))
    with pytest.raises(UsageError, match="E1216"):
        node_keys.ready_to_rotate(lab.province.keys, "sign", "13", open_trust(lab.province.trust, at=AT), AT)
    spread(province, *offline.next_list(*(lambda data, e=e: e[0](data, e[1], e[2]) for e in edits)))
    assert versions(province) == (2, 2)
    early, later = AT + 6 * DAY, AT + 8 * DAY
    trust = open_trust(lab.province.trust, at=AT)
    with pytest.raises(UsageError, match="E1216"):
        node_keys.ready_to_rotate(lab.province.keys, "sign", "13", trust, early)
    first = province.batch()  # sealed under the old keys, still under way
    for node, party in ((lab.province, "13"), (lab.ministry, "moe")):
        for purpose in ("sign", "enc"):
            node_keys.ready_to_rotate(node.keys, purpose, party, trust, later)  # type: ignore[arg-type]
            node_keys.rotate(node.keys, purpose)  # type: ignore[arg-type]
    province.keys = open_keyring(lab.province, at=later)
    certs = seal_certs(STREAM, province.keys.trust, later)
    assert {c.keyid for c in certs}.isdisjoint({r.enc_key for r in first.manifest.recipients if r.party != "moe-dr"})
    second = province.batch(
        [("xx", province.changes("xx", 1, ver=3))],
        seq=first.manifest.seq + 1,
        prev=first.digest,
        lo=first.hi + 1,
        created=later,
        part={"certs": [c.cert for c in certs]},
        recipients=tuple(Recipient(c.party, c.keyid) for c in certs),
    )
    assert open_keyring(lab.ministry, at=later).decryption[1] != Offline(lab).authority.cert
    province.upload(first, second)
    assert verdicts(province, later) == [("APPLIED", None), ("APPLIED", None)]
    heard = listen(lab.province, at=later)
    assert not [one for one in heard.ignored if one.code == "E_KEY_UNKNOWN"]


@pytest.mark.row(33, "evidence under an expired certificate verified years later", "valid at the time of receipt")
def test_row_33_evidence_of_an_expired_and_retired_key_is_still_good_years_later(province: Province) -> None:
    lab, offline = province.lab, Offline(province.lab)
    old = cert_keyid(leaf(lab.province))
    successor = load_certificates(offline.signer("13 next").cert_pem)[0]

    def retire(data: dict[str, Any]) -> None:
        amend.announce_signing(data, "13", successor, at_once=True)
        amend.retire(data, old)

    years = AT + timedelta(days=30 * 365)
    for n in range(1, 3):
        at = AT + n * DAY
        spread(province, *offline.next_list(*([retire] if n == 1 else []), at=at), at=at)
    assert leaf(lab.province).not_valid_after_utc < years
    keyring = open_keyring(lab.ministry, at=AT + 2 * DAY)
    assert keyring.trust.key(old) is None
    late = open_keyring(lab.ministry, at=years)
    store = open_store(lab.ministry.database_url, CATALOG)
    try:
        with store.reading() as reader:
            (kept,) = kept_batches(reader, lab.ministry)
            assert [check for check in verify_batch(kept, late) if check.ok is False] == []
            assert kept.envelope is not None
            bent = replace(kept, envelope=kept.envelope.replace(b'"payload":"', b'"payload":"A', 1))
            assert [check for check in verify_batch(bent, late) if check.ok is False]
    finally:
        store.close()
    # Away from the node too; under the newest list alone nobody would know the key.
    evidence = lab.ministry.store / "13"
    (checks,) = dict(verify_tree(evidence, ByHistory(read_history(lab.ministry.trust)))).values()
    assert [check for check in checks if check.ok is False] == []
    sealed_late = province.batch(created=AT + 2 * DAY, trust_version=3)
    (evidence / "e0001" / "0000000002").mkdir()
    (evidence / "e0001" / "0000000002" / sealed_late.name).write_bytes(sealed_late.envelope)
    found = dict(verify_tree(evidence, ByHistory(read_history(lab.ministry.trust))))
    failed = [(b, c.name, "E_KEY_UNKNOWN" in c.detail) for b, checks in found.items() for c in checks if c.ok is False]
    assert failed == [(sealed_late.manifest.batch_id, "清单签名", True)]


SIGNER = """
import os
import sys
from pathlib import Path
from hub.trust.keys import DevelopmentFileSigner
keys = Path(sys.argv[1])
if (keys / "down").exists():
    sys.exit(1)
if (keys / "wrong").exists():
    sys.stdout.buffer.write(b"0" * 64)
    sys.exit(0)
signer = DevelopmentFileSigner.load((keys / "sign.key.pem").read_bytes(), (keys / "sign.cert.pem").read_text())
sys.stdout.buffer.write(signer.sign(sys.stdin.buffer.read()))
"""


def behind_a_device(folder: Path) -> None:
    """The node's key behind a command, as an HSM would be."""
    (folder / "signer.py").write_text(SIGNER)
    command = f'["{sys.executable}", "{folder / "signer.py"}", "{folder / "keys"}"]'
    with (folder / "hub.toml").open("a") as settings:
        settings.write(f"signer_command = {command}\n")


@pytest.mark.row(77, "signer down for 10 minutes", "batches undecided, no unsigned receipt, nothing lost")
@pytest.mark.parametrize("fault", ["down", "wrong"])
def test_row_77_the_ministry_decides_nothing_while_its_signer_is_down(
    province: Province, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    behind_a_device(province.ministry.folder)
    node = open_node(province.ministry.folder)
    province.lab = replace(province.lab, ministry=node)
    province.upload(province.batch())
    before, out, ready = province.state(), province.out, sorted(p.name for p in province.ready.iterdir())
    (node.keys / fault).touch()
    result = province.intake()
    assert result.decisions == ()
    assert ("E1211" if fault == "down" else "E1212") in [alarm.code for alarm in result.alarms]
    assert (province.state(), province.out) == (before, out)
    assert sorted(p.name for p in province.ready.iterdir()) == ready
    (node.keys / fault).unlink()
    assert verdicts(province, AT + timedelta(minutes=10)) == [("APPLIED", None)]
    assert wire.digest_of(b"") not in str(province.receipts())


@pytest.mark.row(77, "signer down for 10 minutes", "batches unsealed, nothing unsigned leaves, nothing lost")
def test_row_77_a_province_seals_nothing_while_its_signer_is_down(
    prepared: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    behind_a_device(prepared.lab.province.folder)
    node = open_node(prepared.lab.province.folder)
    (node.keys / "down").touch()
    before, manifests = snapshot(node), sorted(node.spool.glob("*.manifest.dsse"))
    with pytest.raises(PeerUnreachableError) as waiting:
        publish_pending(node, at=AT, rng=os.urandom)
    assert (waiting.value.code, waiting.value.retryable) == ("E1211", True)
    assert snapshot(node) == before
    assert sorted(node.spool.glob("*.manifest.dsse")) == manifests
    (node.keys / "down").unlink()
    assert len(publish_pending(node, at=AT, rng=os.urandom)) == 1
