"""Trust lists and revocation (protocol 4.4, 10): rows 16-19, 28, 29, 78."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from hub.errors import RefusedError
from hub.keyring import open_keyring
from hub.trust import amend
from hub.trust.authority import LabAuthority
from hub.trust.keys import Signer, cert_keyid, load_certificates
from hub.trust_folder import take_crl, take_list
from province_node.listen import listen
from tests.acceptance.offline import Offline, leaf, spread, trust_files, verdicts, versions
from tests.ministry.forge import Province, frozen_state
from tests.round.labs import AT, rows, snapshot, store_of

DAY = timedelta(days=1)


def alarms_at_province(province: Province, at: datetime = AT) -> list[str]:
    return [alarm.code for alarm in listen(province.lab.province, at=at).alarms if alarm.code.startswith("E_TRUST")]


@pytest.mark.row(16, "an old trust list offered", "rollback refused with an alarm; the version is persisted")
def test_row_16_an_old_trust_list_is_refused_wherever_it_is_offered(province: Province) -> None:
    offline, lab = Offline(province.lab), province.lab
    first = offline.newest(lab.ministry)
    spread(province, *offline.next_list())
    assert versions(province) == (2, 2)
    listen(lab.province, at=AT)
    before, tables = trust_files(lab.province), snapshot(lab.province)
    offline.publish("trust-list-000003.dsse", first)
    assert alarms_at_province(province) == ["E_TRUST_ROLLBACK"]
    assert (trust_files(lab.province), snapshot(lab.province)) == (before, tables)
    state = province.state()
    offline.deliver("trust-list-000003.dsse", first)
    assert "E_TRUST_ROLLBACK" in [alarm.code for alarm in province.intake().alarms]
    assert (versions(province), province.state()) == ((2, 2), state)
    for node in (lab.province, lab.ministry):
        (node.trust / "trust-list-000002.dsse").unlink()
        with pytest.raises(RefusedError, match="E_TRUST_ROLLBACK"):
            open_keyring(node, at=AT)
    # Even a folder put back as a whole: the database remembers.
    (lab.ministry.trust / "accepted.json").unlink()
    (lab.ministry.trust / "incoming" / "trust-list-000003.dsse").unlink()
    with pytest.raises(RefusedError, match="E_TRUST_ROLLBACK"):
        province.intake()


@pytest.mark.row(17, "trust list N+2 without N+1", "refused; accepted in order once N+1 is there")
def test_row_17_a_version_may_not_be_skipped_and_both_are_taken_in_order(province: Province) -> None:
    offline, lab = Offline(province.lab), province.lab
    second = offline.next_list()
    third = offline.next_list(after=second[1])
    before = trust_files(lab.province)
    offline.publish(*third)
    assert alarms_at_province(province) == ["E_TRUST_GAP"]
    assert trust_files(lab.province) == before
    offline.publish(*second)
    assert alarms_at_province(province) == []
    assert versions(province) == (3, 1)
    noted = [r["object"] for r in rows(lab.province, "audit_event", "i") if r["action"] == "信任列表更新"]
    assert noted == ["trust-list-000001.dsse", "trust-list-000002.dsse", "trust-list-000003.dsse"]


@pytest.mark.row(18, "trust list signed by new keys only", "refused; old and new thresholds both count")
@pytest.mark.parametrize("who", ["new keys only", "old keys only", "one old and one new"])
def test_row_18_new_root_keys_need_the_old_ones_and_themselves(province: Province, who: str) -> None:
    offline, lab = Offline(province.lab), province.lab
    fresh = [offline.signer(f"new root {n}") for n in (1, 2, 3)]

    def replace_roots(data: dict[str, Any]) -> None:
        (ministry,) = (member for member in data["parties"] if member["party"] == "moe")
        roots = [entry for entry in ministry["sign"] if "trust" in entry["roles"]]
        online = [entry for entry in ministry["sign"] if "trust" not in entry["roles"]]
        ministry["sign"] = online
        for signer in fresh:
            amend.announce_signing(data, "moe", load_certificates(signer.cert_pem)[0], at_once=True)
            ministry["sign"][-1]["roles"] = list(roots[0]["roles"])

    every: dict[str, list[Signer]] = {
        "new keys only": [*fresh[:2]],
        "old keys only": offline.roots[:2],
        "one old and one new": [offline.roots[0], fresh[0]],
    }
    name, envelope = offline.next_list(replace_roots, signers=every[who])
    before = trust_files(lab.province)
    offline.publish(name, envelope)
    codes = [alarm.code for alarm in listen(lab.province, at=AT).alarms]
    assert codes[0] in ("E_KEY_UNKNOWN", "E_SIG")
    assert trust_files(lab.province) == before
    refusals = [r["object"] for r in rows(lab.province, "audit_event", "i") if r["action"] == "信任列表拒绝"]
    assert [subject.split(" ")[0] for subject in refusals] == [name]
    _, good = offline.next_list(replace_roots, signers=[*offline.roots[:2], *fresh[:2]])
    offline.publish(name, good)
    listen(lab.province, at=AT)
    assert versions(province) == (2, 1)


@pytest.mark.row(19, "expired trust list beyond its grace", "no applies, HELD receipts with the reason, alarm")
def test_row_19_an_expired_list_holds_everything_until_a_new_one_comes(province: Province) -> None:
    offline = Offline(province.lab)
    in_grace, beyond = AT + timedelta(days=31), AT + timedelta(days=38)
    offline.deliver("ca.crl", offline.crl(2, days=60))
    province.upload(province.batch(expires=in_grace + 9 * DAY))
    result = province.intake(in_grace)
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert "E_TRUST_EXPIRED" in [alarm.code for alarm in result.alarms]
    before = province.state()
    province.upload(held_back := province.batch([("xx", province.changes("xx", 1, ver=3))], expires=beyond + 9 * DAY))
    held = province.intake(beyond)
    assert [(d.verdict, d.code) for d in held.decisions] == [("HELD", "E_TRUST_EXPIRED")]
    assert "E_TRUST_EXPIRED" in [alarm.code for alarm in held.alarms]
    assert province.state() == before
    offline.deliver(*offline.next_list(at=beyond, crl_number=3))
    assert verdicts(province, beyond) == [("APPLIED", None)]
    assert province.position()["last_seq"] == held_back.manifest.seq == 3


@pytest.mark.row(28, "key revoked by CRL or by the list between sealing and arrival", "E_KEY_REVOKED, stream frozen")
def test_row_28_a_key_revoked_by_crl_freezes_the_stream(province: Province) -> None:
    forged, before = province.batch(), province.state()
    offline = Offline(province.lab)
    offline.deliver("ca.crl", offline.crl(2, revoked=[(leaf(province.lab.province).serial_number, AT)]))
    province.upload(forged)
    result = province.intake()
    assert [(d.verdict, d.code, d.receipt_name) for d in result.decisions] == [("REJECTED", "E_KEY_REVOKED", None)]
    assert province.state() == frozen_state(before, "E_KEY_REVOKED")
    assert forged.envelope in province.evidence().values()
    assert len(list((province.lab.exchange_root / "p13" / "pub").glob("crl-*-0000000002.crl"))) == 1


@pytest.mark.row(28, "key revoked by CRL or by the list between sealing and arrival", "E_KEY_REVOKED, stream frozen")
def test_row_28_a_key_revoked_by_the_list_freezes_its_stream_before_any_batch_comes(province: Province) -> None:
    forged, before = province.batch(), province.state()
    offline = Offline(province.lab)
    lost = cert_keyid(leaf(province.lab.province))
    since = AT - timedelta(hours=2)
    name, envelope = offline.next_list(lambda data: amend.revoke(data, lost, since=since, reason="私钥外泄"))
    offline.deliver(name, envelope)
    result = province.intake()
    assert result.decisions == ()
    (alarm,) = (alarm for alarm in result.alarms if alarm.code == "E_KEY_REVOKED")
    assert "1 个批次须逐个复核" in alarm.sentence
    assert province.state() == frozen_state(before, "E_KEY_REVOKED")
    province.upload(forged)
    assert [d.code for d in province.intake().decisions] == ["E_KEY_REVOKED"]
    assert province.state() == frozen_state(before, "E_KEY_REVOKED")

    store = store_of(province.ministry)
    with store.begin() as tx:
        tx.connection.execute(sa.text("UPDATE peer_stream SET epoch = 2, state = 'OPEN' WHERE direction = 'up'"))
    store.close()
    granted = province.state()
    province.upload(forged)
    assert [d.code for d in province.intake().decisions] == ["E_KEY_REVOKED"]
    assert province.state() == granted, "what is left of the closed epoch does not freeze the one that a grant opened"


@pytest.mark.row(29, "CRL expired / lower CRLNumber / of another CA", "cached in grace, then refused; rollback refused")
@pytest.mark.row(78, "CRL source down for 24 h", "goes on within grace, with an alarm")
def test_row_29_and_78_an_outdated_crl_counts_for_72_hours_with_an_alarm_and_then_nothing(province: Province) -> None:
    offline = Offline(province.lab)
    offline.deliver("ca.crl", offline.crl(2, days=2))
    assert "E1213" not in [alarm.code for alarm in province.intake().alarms]
    end = AT + 2 * DAY
    province.upload(province.batch())
    result = province.intake(end + DAY)
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert "E1213" in [alarm.code for alarm in result.alarms]
    before = province.state()
    province.upload(province.batch([("xx", province.changes("xx", 1, ver=3))]))
    assert verdicts(province, end + timedelta(hours=73)) == [("REJECTED", "E_CHAIN")]
    assert province.state() == before


@pytest.mark.row(29, "CRL expired / lower CRLNumber / of another CA", "cached in grace, then refused; rollback refused")
def test_row_29_a_crl_never_goes_back_and_never_comes_from_elsewhere(province: Province) -> None:
    offline, node = Offline(province.lab), province.lab.province
    assert take_crl(node.trust, offline.crl(5), at=AT) is not None
    before = trust_files(node)
    foreign = LabAuthority.create("实验 CA（仅供演示）", now=AT)
    for der in (offline.crl(4), foreign.crl(9, now=AT), offline.crl(5, days=90), b"no crl", b""):
        with pytest.raises(RefusedError) as refusal:
            take_crl(node.trust, der, at=AT)
        assert refusal.value.code == "E_CHAIN"
        assert trust_files(node) == before
    next(node.trust.glob("crl-*-0000000005.crl")).unlink()
    with pytest.raises(RefusedError, match="E_CHAIN"):
        open_keyring(node, at=AT)


def test_a_list_under_another_versions_name_is_refused(province: Province) -> None:
    name, envelope = Offline(province.lab).next_list()
    node = province.lab.province
    before = trust_files(node)
    with pytest.raises(RefusedError, match="E_NAME"):
        take_list(node.trust, envelope, at=AT, where="trust-list-000007.dsse")
    assert trust_files(node) == before
    assert take_list(node.trust, envelope, at=AT, where=name).version == 2


def test_a_province_that_holds_a_newer_list_than_the_ministry_is_told_of(province: Province) -> None:
    """The ministry's folder was put back: its own lists still lie in every `pub/`."""
    province.upload(province.batch(trust_version=province.keys.trust.version + 1))
    result = province.intake()
    assert [d.verdict for d in result.decisions] == ["APPLIED"]
    assert [(alarm.party, alarm.code) for alarm in result.alarms] == [("13", "E_TRUST_GAP")]
