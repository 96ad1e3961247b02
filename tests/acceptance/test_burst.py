"""Thirty-two provinces after an outage: every one gets its turn, every receipt comes out (protocol 6.2; 15 #80)."""

from __future__ import annotations

import copy
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.batch.grant import EpochGrant, build_grant
from hub.batch.layout import StreamId, grant_name
from hub.batch.manifest import Manifest, Watermark
from hub.transport import open_server
from hub.trust import amend
from hub.trust.keys import Signer, load_certificates
from tests.acceptance.offline import Offline
from tests.ministry.forge import Forged, Province
from tests.round.labs import AT, audit_holds, rows

SPANS = ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 66))
PARTIES = tuple(str(code) for first, last in SPANS for code in range(first, last + 1))
EACH, BACKLOG, LATE, BAD = 2, 9, "65", "21"
VERIFY = Path(__file__).parents[2] / "deploy" / "verify" / "verify-dsse.sh"


@dataclass
class Nation:
    """One ministry, and every province with a key of its own and nothing else."""

    province: Province
    signers: dict[str, Signer]
    grants: dict[str, EpochGrant]

    @classmethod
    def around(cls, province: Province) -> Nation:
        """Thirty-one more provinces: a trust list by two of three, a grant each, a place each."""
        offline, lab = Offline(province.lab), province.lab
        signers: dict[str, Signer] = {party: offline.signer(party) for party in PARTIES if party != "13"}

        def admit(data: dict[str, Any]) -> None:
            (model,) = (member for member in data["parties"] if member["party"] == "13")
            for party, signer in signers.items():
                member = copy.deepcopy(model) | {"party": party}
                cert = load_certificates(signer.cert_pem)[0]
                data["parties"].append(member)
                amend.announce_signing(data, party, cert, at_once=True)
                (mine,) = member["sign"] = member["sign"][-1:]
                mine["roles"] = [role.replace(":13", f":{party}") for role in mine["roles"]]

        offline.deliver(*offline.next_list(admit))
        nation, server = cls(province, signers, {}), open_server(lab.exchange_root)
        for party in signers:
            server.prepare(party)
            stream = StreamId(party, "up", "main", 1)
            envelope, grant = build_grant(EpochGrant(stream, "开通", "continue", None, AT), offline.roots[:2])
            (lab.ministry.trust / grant_name(stream)).write_bytes(envelope)
            nation.grants[party] = grant
        return nation

    def ready(self, party: str) -> Path:
        return self.province.lab.exchange_root / f"p{party}" / "in" / "ready"

    def heartbeats(self, party: str, count: int) -> list[Forged]:
        """The first batches of a province: no files, each chained to the one before."""
        prev, made = self.grants[party].digest, []
        model = self.province.batch().manifest
        for seq in range(1, count + 1):
            manifest: Manifest = replace(
                model, stream_id=StreamId(party, "up", "main", 1), seq=seq, prev=prev, kind="heartbeat", files=(),
                recipients=(), watermark=Watermark(1, 0), created=AT - timedelta(minutes=count - seq), trust_version=2,
            )  # fmt: skip
            made.append(self.province.sign(manifest, {}, signer=self.signers[party]))
            prev = made[-1].digest
        return made


@pytest.mark.long
@pytest.mark.row(23, "p11's manifest uploaded by p12, under either name", "E_ROLE")
@pytest.mark.row(80, "32 provinces send what an outage held back, at once", "fair turns, nobody starves, all receipts")
def test_row_23_and_80_every_province_has_its_turn_and_its_receipts_and_none_speaks_for_another(
    province: Province,
) -> None:
    nation = Nation.around(province)
    counts = {party: BACKLOG if party == LATE else EACH for party in nation.signers}
    sent: dict[str, list[Forged]] = {}
    for party, count in counts.items():
        sent[party] = nation.heartbeats(party, count)
        for batch in reversed(sent[party]):  # the newest first, as a directory may list them
            (nation.ready(party) / batch.name).write_bytes(batch.envelope)
    spoilt = sent[BAD][0]
    (nation.ready(BAD) / spoilt.name).write_bytes(spoilt.envelope.replace(b'"sig":"', b'"sig":"AAAA', 1))
    own = province.window(EACH)
    province.upload(*own)

    result = province.intake()
    applied = [(d.party, d.seq) for d in result.decisions if d.verdict == "APPLIED"]
    expected = {**counts, "13": EACH} | {BAD: 0}
    assert Counter(party for party, _ in applied) == Counter({p: n for p, n in expected.items() if n})
    for party, count in expected.items():
        seqs = [seq for who, seq in applied if who == party]
        assert seqs == sorted(seqs)
        assert len(seqs) == count
    first_turn = [party for party, _ in applied[: len(PARTIES) - 1]]
    assert sorted(first_turn) == sorted(set(PARTIES) - {BAD}), "each has its first turn before any has its second"
    tail = [party for party, _ in applied[(len(PARTIES) - 1) * EACH :]]
    assert tail == [LATE] * (BACKLOG - EACH), "the long backlog comes last"
    refused = [(d.party, d.seq, d.verdict, d.code) for d in result.decisions if d.party == BAD]
    assert refused == [(BAD, 1, "REJECTED", "E_SIG"), (BAD, 2, "RECEIVED", "E_SEQ_GAP")]
    assert not [row for row in rows(province.ministry, "inbox") if row["party"] == BAD]

    cert = province.ministry.keys / "sign.cert.pem"
    for party, count in expected.items():
        out = province.lab.exchange_root / f"p{party}" / "out"
        answered = {int(path.name[18:28]) for path in out.glob("*-up-main-*.receipt1.dsse")}
        assert answered == ({2} if party == BAD else set(range(1, count + 1 + (party == "13"))))
    some = province.lab.exchange_root / f"p{LATE}" / "out" / f"{LATE}-up-main-e0001-s{BACKLOG:010d}.receipt1.dsse"
    done = subprocess.run([VERIFY, some, cert], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert audit_holds(province.ministry)

    (nation.ready(BAD) / spoilt.name).write_bytes(spoilt.envelope)  # sent again, whole: both come through
    assert [(d.party, d.seq, d.verdict) for d in province.intake().decisions] == [
        (BAD, 1, "APPLIED"),
        (BAD, 2, "APPLIED"),
    ]

    before = province.state()
    (theirs,) = nation.heartbeats("11", EACH + 1)[EACH:]  # genuine, and the next one of its stream
    for name in (theirs.name, theirs.name.replace("11-", "12-", 1)):
        (nation.ready("12") / name).write_bytes(theirs.envelope)
    judged = [(d.party, d.verdict, d.code) for d in province.intake().decisions]
    assert judged == [("12", "REJECTED", "E_ROLE")] * 2
    assert province.state() == before
