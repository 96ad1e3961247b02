"""`hub key` from a person's side: a rotation from the first key to the last, and what it refuses."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sample.run import generate
from hub.cli import main
from hub.cli.shell import Shell
from hub.trust_folder import open_trust
from pipelines.lab.setup import Lab, init_lab
from tests.acceptance.offline import Offline, trust_files
from tests.round.labs import copy_lab

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
BY = ["--by", "张三"]
TWO = [*BY, "--second", "李四"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "sources", province="13", students=3000, seed=1)
    return init_lab(folder / "lab", sources=folder / "sources", province="13", at=NOW, rng=os.urandom)


@pytest.fixture
def lab(template: Lab, tmp_path: Path) -> Lab:
    return copy_lab(template, tmp_path / "lab")


class Person:
    """Types `hub` commands at a given time and reads the JSON answer."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._capsys, self._patch = NOW, capsys, monkeypatch
        monkeypatch.setattr(Shell, "now", lambda _self: self.now)

    def __call__(self, *words: object, code: int = 0) -> dict[str, object]:
        self._patch.setattr("sys.argv", ["hub", "--json", *map(str, words)])
        self._capsys.readouterr()
        assert main() == code
        answer: dict[str, object] = json.loads(self._capsys.readouterr().out)
        return answer


@pytest.fixture
def hub(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(capsys, monkeypatch)


def refusal(answer: dict[str, object]) -> str:
    error = answer["error"]
    assert isinstance(error, dict)
    return str(error["code"])


def test_a_province_rotates_its_signing_key_with_two_persons_at_the_ministry(lab: Lab, hub: Person) -> None:
    here, there, offline = lab.province, lab.ministry, Offline(lab)
    generated = hub("key", "gen", *BY, "--purpose", "sign", "--node", here.folder)["made"]
    assert isinstance(generated, list)
    made: dict[str, str] = generated[0]
    assert refusal(hub("key", "gen", *BY, "--purpose", "sign", "--node", here.folder, code=2)) == "E1215"
    certificate = lab.folder / "cert.pem"
    certificate.write_bytes(offline.signing_cert(Path(made["request"]), at=NOW))
    hub("key", "install", certificate, "--node", here.folder)
    rotate = ["key", "rotate", *BY, "--purpose", "sign", "--node", here.folder]
    assert refusal(hub(*rotate, code=2)) == "E1216"
    out = lab.folder / "drafts"
    draft = ["key", "draft", "--out", out, "--node", there.folder]
    announce = ["--announce", f"13:sign:{certificate}:{made['keyid']}"]
    assert refusal(hub(*draft, *BY, "--second", "张三", *announce, code=2)) == "E1219"
    wrong = ["--announce", f"13:sign:{certificate}:sha256:{'0' * 64}"]
    assert refusal(hub(*draft, *TWO, *wrong, code=1)) == "E1218"
    assert not out.exists()
    assert hub(*draft, *TWO, *announce)["version"] == 2
    payload, before = out / "trust-list-000002.json", trust_files(there)
    for n in (1, 2):
        keys = lab.folder / "offline-keys"
        key, cert = keys / f"root{n}.key.pem", keys / f"root{n}.cert.pem"
        assert hub("key", "sign", payload, "--key", key, "--certificate", cert)["signatures"] == n
        if n == 1:
            signed = out / "trust-list-000002.dsse"
            assert refusal(hub("key", "accept", signed, "--node", there.folder, code=4)) == "E_SIG"
            assert trust_files(there) == before
    for node in (there, here):
        hub("key", "accept", out / "trust-list-000002.dsse", "--node", node.folder)
        assert open_trust(node.trust, at=NOW).version == 2
    assert refusal(hub(*rotate, code=2)) == "E1216"
    hub.now = NOW + timedelta(days=7, minutes=1)
    hub(*rotate, "--plan")
    hub(*rotate)
    keys_now = hub("key", "show", "--node", here.folder)["keys"]
    assert isinstance(keys_now, list)
    (current,) = (k for k in keys_now if k["place"] == "current" and k["purpose"] == "sign")
    assert (current["keyid"], current["listed"]) == (made["keyid"], "已公布")
    assert not (here.keys / "next" / "sign.key.pem").exists()


def test_a_plain_renewal_changes_dates_and_nothing_else(lab: Lab, hub: Person) -> None:
    before = open_trust(lab.ministry.trust, at=NOW)
    hub.now = NOW + timedelta(days=20)
    answer = hub("key", "draft", *TWO, "--out", lab.folder, "--node", lab.ministry.folder)
    assert answer["changes"] == []
    data = json.loads((lab.folder / "trust-list-000002.json").read_bytes())
    assert data["version"] == before.version + 1
    assert {entry["party"] for entry in data["parties"]} == set(before.members)


def test_revoking_needs_a_moment_and_a_reason(lab: Lab, hub: Person) -> None:
    shown = hub("key", "show", "--node", lab.province.folder)["keys"]
    assert isinstance(shown, list)
    draft = ["key", "draft", *TWO, "--out", lab.folder, "--node", lab.ministry.folder, "--revoke", shown[0]["keyid"]]
    assert refusal(hub(*draft, code=2)) == "E1014"
    answer = hub(*draft, "--since", "2026-11-20T00:00:00Z", "--reason", "私钥外泄")
    data = json.loads((lab.folder / "trust-list-000002.json").read_bytes())
    assert [entry["compromised_since"] for entry in data["revoked"]] == ["2026-11-20T00:00:00Z"]
    assert answer["version"] == 2
