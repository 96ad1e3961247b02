"""The stored test vectors are what the script builds, byte for byte, and our readers do with each what it says."""

from __future__ import annotations

import filecmp
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.batch import strictjson
from hub.batch.cipher import decrypt_file
from hub.batch.envelope import PayloadType, pae, verify
from hub.trust import chain
from hub.trust.keys import SUITE_I1, algorithm_of, cert_keyid, cert_spki
from hub.trust.trust_list import TrustedKey, TrustList
from tests.trust.network import code_of, network
from tests.vectors import build

INDEX: list[dict[str, Any]] = json.loads((build.FILES / "index.json").read_text())
ROLE = "control:up:main:13"


def of(kind: str) -> list[Any]:
    return [pytest.param(entry, id=entry["file"]) for entry in INDEX if entry["kind"] == kind]


def test_the_script_builds_the_stored_vectors_byte_for_byte(tmp_path: Path) -> None:
    build.build(tmp_path / "files")
    names = sorted(path.name for path in build.FILES.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "files").iterdir())
    same, different, unread = filecmp.cmpfiles(build.FILES, tmp_path / "files", names, shallow=False)
    assert (different, unread) == ([], [])
    assert len(same) == len(INDEX) + 1


@pytest.mark.parametrize("entry", of("json"))
def test_json(entry: dict[str, Any]) -> None:
    data = (build.FILES / entry["file"]).read_bytes()
    begun = time.process_time()
    assert code_of(lambda: strictjson.parse_object(data)) == entry["outcome"]
    assert time.process_time() - begun < 0.05
    if entry["outcome"] is None:
        assert strictjson.emit(strictjson.parse(data)) == data


def test_pae_is_that_of_the_dsse_specification() -> None:
    (entry,) = (entry for entry in INDEX if entry["kind"] == "pae")
    stored = (build.FILES / entry["file"]).read_bytes()
    assert stored == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == stored


def trust() -> TrustList:
    """Keys 1 and 2 pinned; only key 1 has the role. Chains are not what is tested here."""
    keys = {}
    for number, role in ((1, ROLE), (2, "control:up:main:12")):
        cert = build.certificate(number, f"signer {number}", signing=True)
        keys[cert_keyid(cert)] = TrustedKey(
            "moe", cert_keyid(cert), cert_spki(cert), algorithm_of(cert.public_key()), SUITE_I1, (role,),  # type: ignore[arg-type]
            cert.not_valid_before_utc, cert.not_valid_after_utc,
        )  # fmt: skip
    return replace(network().trust, keys=keys, revoked={})


@pytest.mark.parametrize("entry", of("envelope"))
def test_envelope(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = (build.FILES / entry["file"]).read_bytes()
    monkeypatch.setattr("hub.batch.envelope.check_chain", lambda leaf, *_a, **_k: [leaf])
    assert chain.check_chain is not None

    def read() -> object:
        return verify(data, payload_type=PayloadType.CONTROL, trust=trust(), role=ROLE, at=build.AT)

    assert code_of(read) == entry["outcome"]


@pytest.mark.parametrize("entry", of("cms"))
def test_cms(entry: dict[str, Any], tmp_path: Path) -> None:
    cert = build.certificate(4, "recipient 4", signing=False)
    out = tmp_path / "out"
    assert code_of(lambda: decrypt_file(build.FILES / entry["file"], out, build.key(4), cert)) == entry["outcome"]
    assert [path.name for path in tmp_path.iterdir()] == ([] if entry["outcome"] else ["out"])
    if not entry["outcome"]:
        assert out.read_bytes() == build.PLAIN


def test_openssl_opens_the_good_one(tmp_path: Path) -> None:
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", "cms-good.cms", "-out", str(tmp_path / "out")]
    keys = ["-recip", "cert-4.pem", "-inkey", "key-4.pem"]
    subprocess.run([*command, *keys], cwd=build.FILES, check=True, capture_output=True)
    assert (tmp_path / "out").read_bytes() == build.PLAIN
