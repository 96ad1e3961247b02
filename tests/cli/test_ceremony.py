"""Two nodes that were never in a laboratory: keys, certificates, trust and grants by the commands of the runbook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.sample.run import generate
from hub.cli import main
from hub.trust.keys import cert_keyid, load_certificates

GRANTS = ("00-dn-codes-e0001", "13-dn-case-e0001", "13-dn-errors-e0001", "13-up-main-e0001")


class Ceremony:
    """One network in a folder; `hub` runs a command and gives its document."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.ministry, self.province = root / "moe", root / "p13"

    def call(self, *args: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main([str(a) for a in args])
        out, err = self.capsys.readouterr()
        return code, out, err

    def hub(self, *args: object, code: int = 0) -> dict[str, Any]:
        status, out, err = self.call("--json", *args)
        assert status == code, err
        document: dict[str, Any] = json.loads(out)
        return document

    def keyid(self, file: str) -> str:
        return cert_keyid(load_certificates((self.root / file).read_text())[0])

    def certify(self, node: Path, name: str) -> None:
        """Keys of a node and their certificates, in use afterwards."""
        self.hub("--node", node, "key", "gen", "--by", "甲", "--second", "乙")
        for kind in ("sign", "enc"):
            made, cert = node / "keys" / "next" / f"{kind}.csr.pem", self.root / f"{name}-{kind}.pem"
            self.hub("ca", "issue", made, "--ca", self.root / "ca", "--out", cert)
            assert self.hub("--node", node, "key", "install", cert)["in_use"]

    def sign(self, payload: Path, *holders: int) -> None:
        for n in holders:
            key, cert = self.root / f"root{n}" / "sign.key.pem", self.root / f"root{n}" / "cert.pem"
            self.hub("key", "sign", payload, "--key", key, "--certificate", cert)

    def found(self) -> list[str]:
        """CA, offline keys, escrow, the ministry's node and its first list, ready to be accepted; the pins."""
        root = self.root
        self.hub("ca", "init", root / "ca")
        for name, purpose in (("root1", "sign"), ("root2", "sign"), ("root3", "sign"), ("escrow", "enc")):
            made = self.hub("key", "holder", root / name, "--name", name, "--purpose", purpose)
            self.hub("ca", "issue", made["request"], "--ca", root / "ca", "--out", root / name / "cert.pem")
        made = self.hub("init", self.ministry, "--ministry", "--transport", f"folder:{root / 'exchange'}")
        assert any("key gen --by 甲 --second 乙" in step for step in made["next"])
        assert any("key found" in step for step in made["next"])
        self.hub("--node", self.ministry, "db", "upgrade")
        self.certify(self.ministry, "moe")
        roots = [word for n in (1, 2, 3) for word in ("--root", root / f"root{n}" / "cert.pem")]
        draft = (
            "--by",
            "甲",
            "--second",
            "乙",
            "--anchor",
            root / "ca" / "ca.cert.pem",
            "--crl",
            root / "ca" / "ca.crl",
        )
        out = ("--escrow", root / "escrow" / "cert.pem", "--out", root / "signing")
        self.hub("--node", self.ministry, "key", "found", *draft, *roots, *out)
        self.sign(root / "signing" / "trust-list-000001.json", 1, 2)
        return [self.keyid(f"root{n}/cert.pem") for n in (1, 2, 3)]

    def admit(self, pins: list[str]) -> None:
        """The province's node, the list with it in it, and its streams."""
        root, node = self.root, self.province
        place = ("--database", "sqlite:///hub.db", "--transport", f"folder:{root / 'exchange'}")
        self.hub("init", node, "--province", "13", *place, "--sources", root / "sources")
        self.hub("--node", node, "key", "pin", *pins)
        self.hub("--node", node, "db", "upgrade")
        self.certify(node, "p13")
        words = [f"{root / f'p13-{kind}.pem'}:{self.keyid(f'p13-{kind}.pem')}" for kind in ("sign", "enc")]
        admit = ("--admit", f"13:{words[0]}:{words[1]}")
        self.hub(
            "--node", self.ministry, "key", "draft", "--by", "甲", "--second", "乙", "--out", root / "signing", *admit
        )
        self.sign(root / "signing" / "trust-list-000002.json", 1, 3)
        lists = [root / "signing" / f"trust-list-00000{n}.dsse" for n in (1, 2)]
        self.hub("--node", self.ministry, "key", "accept", lists[1])
        self.hub("--node", node, "key", "accept", *lists)
        self.hub("--node", self.ministry, "epoch", "open", "--party", "13", "--out", root / "grants")
        files = sorted((root / "grants").iterdir())
        assert [f.name for f in files] == [f"{name}.grant.dsse" for name in GRANTS]
        for file in files:
            for n in (2, 3):
                key, cert = root / f"root{n}" / "sign.key.pem", root / f"root{n}" / "cert.pem"
                signed = self.hub("epoch", "sign", file, "--key", key, "--cert", cert)
            assert ("hub key accept" in signed["next"]) == ("-dn-" in Path(file).name)
        self.hub("--node", self.ministry, "key", "accept", *files[:3])
        self.hub("--node", self.ministry, "epoch", "publish", files[3])
        self.hub("--node", node, "key", "accept", *files)


@pytest.fixture
def ceremony(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ceremony:
    return Ceremony(tmp_path, capsys)


def test_two_nodes_that_were_never_in_a_laboratory_exchange_a_batch(ceremony: Ceremony) -> None:
    generate(ceremony.root / "sources", province="13", students=200, seed=1, dirt=False)
    pins = ceremony.found()
    ceremony.hub("--node", ceremony.ministry, "key", "pin", *pins)
    ceremony.hub("--node", ceremony.ministry, "key", "accept", ceremony.root / "signing" / "trust-list-000001.dsse")
    ceremony.admit(pins)
    assert ceremony.call("--json", "--node", ceremony.province, "sync", "run", "--today", "2026-11-23")[0] in (0, 3)
    decided = ceremony.hub("--node", ceremony.ministry, "intake", "run")["decisions"]
    assert [d["verdict"] for d in decided] == ["APPLIED"]
    said = ceremony.hub("--node", ceremony.province, "sync", "retry")
    assert [r["verdict"] for r in said["receipts"]] == ["APPLIED"]
    assert said["delivered"]["batches"] == [], "what has its answer is not shipped again"
    both = [
        [(d["entity"], d["rows"], d["sha256"]) for d in ceremony.hub("--node", node, "records", "digest")["digests"]]
        for node in (ceremony.province, ceremony.ministry)
    ]
    assert both[0] == both[1]
    assert sum(rows for _, rows, _ in both[0]) > 1_000
    for node in (ceremony.province, ceremony.ministry):
        ceremony.hub("--node", node, "audit", "verify")


def test_a_first_list_that_the_pinned_keys_did_not_sign_is_not_taken(ceremony: Ceremony) -> None:
    pins = ceremony.found()
    others = [f"sha256:{n:064x}" for n in (1, 2, 3)]
    node, first = ceremony.ministry, ceremony.root / "signing" / "trust-list-000001.dsse"
    ceremony.hub("--node", node, "key", "pin", *others)
    code, _, err = ceremony.call("--node", node, "key", "accept", first)
    assert (code, "E_SIG" in err) == (4, True)
    assert not list((node / "trust").glob("trust-list-*"))
    ceremony.hub("--node", node, "key", "pin", *pins)
    ceremony.hub("--node", node, "key", "accept", first)
    code, _, err = ceremony.call("--node", node, "key", "pin", *others)
    assert (code, "E1077" in err) == (2, True)
    assert json.loads((node / "trust" / "roots.json").read_text()) == {"pins": pins}
    wrong = f"13:{ceremony.root / 'moe-sign.pem'}:{others[0]}:{ceremony.root / 'moe-enc.pem'}:{others[1]}"
    draft = ("--by", "甲", "--second", "乙", "--out", ceremony.root / "again", "--admit", wrong)
    code, _, err = ceremony.call("--node", node, "key", "draft", *draft)
    assert (code, "E1218" in err) == (1, True)
    assert not (ceremony.root / "again").exists()
