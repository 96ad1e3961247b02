"""The shipped scripts judge real batches with jq and openssl alone, protocol 4.5, 5.3 and 15 #79."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.batch.layout import manifest_name
from hub.batch.manifest import sign_manifest
from hub.trust.keys import DevelopmentFileSigner, certificate_pem, private_key_pem
from tests.trust.network import NOW, Network, files_in, manifest, network, plausible_file, rsa_key, seal_part

SCRIPTS = Path(__file__).parents[2] / "deploy" / "verify"
NAME = manifest_name("13-up-main-e0001-s0000000001")

pytestmark = pytest.mark.skipif(not (shutil.which("jq") and shutil.which("openssl")), reason="needs jq and openssl")


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


@pytest.fixture
def stored(net: Network, tmp_path: Path) -> Path:
    """A stored batch of two parts, the signer's certificate and public key, and the recipients' keys."""
    folder = tmp_path / "batch"
    folder.mkdir()
    files = [seal_part(folder, net, n=n, size=50_000) for n in (1, 2)]
    payload, envelope = sign_manifest(manifest(net, files=files), net.signer("13"))
    (folder / NAME).write_bytes(envelope)
    (tmp_path / "payload.json").write_bytes(payload)
    (tmp_path / "signer.pem").write_text(certificate_pem(net.sign["13"].cert))
    public = net.sign["13"].cert.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    for party, keys in net.encrypt.items():
        (tmp_path / f"{party}.key").write_bytes(private_key_pem(keys.key))
        (tmp_path / f"{party}.pem").write_text(certificate_pem(keys.cert))
    return tmp_path


def verify(stored: Path, *, key: str = "signer.pem", options: tuple[str, ...] = ()) -> tuple[int, str]:
    command = [str(SCRIPTS / "verify-dsse.sh"), f"batch/{NAME}", key, *options]
    done = subprocess.run(command, cwd=stored, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def decrypt(stored: Path, *, party: str = "moe", n: int = 1, with_manifest: str = f"batch/{NAME}") -> tuple[int, str]:
    part = f"batch/13-up-main-e0001-s0000000001.f{n:02d}.cms"
    command = [str(SCRIPTS / "decrypt-part.sh"), part, f"{party}.key", f"{party}.pem", "out"]
    done = subprocess.run(
        [*command, *([with_manifest] if with_manifest else [])], cwd=stored, capture_output=True, text=True, check=False
    )
    left = [name for name in files_in(stored) if name.startswith("out")]
    assert left == ([] if done.returncode else ["out"])
    return done.returncode, done.stdout


@pytest.mark.parametrize("key", ["signer.pem", "public.pem"])
def test_a_stored_batch_is_verified(stored: Path, key: str) -> None:
    code, text = verify(stored, key=key, options=("--payload", "kept.json"))
    assert (code, text.count("✘")) == (0, 0)
    assert text.count("大小与 SHA-256 相符") == 2
    assert "验证通过" in text
    assert (stored / "kept.json").read_bytes() == (stored / "payload.json").read_bytes()


def test_a_manifest_of_64_files_signed_with_rsa_pss_is_verified(net: Network, tmp_path: Path) -> None:
    key = rsa_key(2)
    cert = net.authority.issue_signing(key.public_key(), "rsa", now=NOW - timedelta(days=1))
    files = [plausible_file(n=n) for n in range(1, 65)]
    (tmp_path / "batch").mkdir()
    (tmp_path / "signer.pem").write_text(certificate_pem(cert))
    envelope = sign_manifest(manifest(net, files=files), DevelopmentFileSigner(key, certificate_pem(cert)))[1]
    (tmp_path / "batch" / NAME).write_bytes(envelope)
    code, text = verify(tmp_path)
    assert "✔ 签名成立" in text
    assert (code, text.count("文件缺失")) == (4, 64)


def test_a_flipped_byte_in_a_part_is_found_and_the_other_part_is_still_judged(stored: Path) -> None:
    part = stored / "batch" / "13-up-main-e0001-s0000000001.f01.cms"
    data = bytearray(part.read_bytes())
    data[-1000] ^= 1  # ciphertext; the RecipientInfos of others are covered by the manifest only
    part.write_bytes(data)
    code, text = verify(stored)
    assert code == 4
    assert "✘ 13-up-main-e0001-s0000000001.f01.cms：SHA-256 不符" in text
    assert "✔ 13-up-main-e0001-s0000000001.f02.cms" in text
    assert decrypt(stored)[0] == 4
    assert decrypt(stored, with_manifest="")[0] == 4
    part.unlink()
    assert "文件缺失" in verify(stored)[1]
    part.write_bytes(data[:-1])
    assert "大小不符" in verify(stored)[1]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('"payload":"eyJ', '"payload":"eyI', "签名不成立"),
        ('"payload":"', '"payload":"!', "base64 不规范"),
        ('"sig":"M', '"sig":"N', "签名不成立"),
        ("batch-manifest.v1", "receipt.v1", "签名不成立"),
        ('"keyid":"sha256:', '"keyid":"sha256:0', "没有所给密钥的签名"),
        ("{", "", "不是合乎约定的 JSON"),
    ],
)
def test_a_tampered_envelope_exits_with_4_and_keeps_no_payload(stored: Path, old: str, new: str, finding: str) -> None:
    path = stored / "batch" / NAME
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code, shown = verify(stored, options=("--payload", "kept.json"))
    assert code == 4
    assert finding in shown
    assert not (stored / "kept.json").exists()


def test_another_partys_key_and_a_swapped_certificate_are_found(net: Network, stored: Path) -> None:
    (stored / "other.pem").write_text(certificate_pem(net.sign["12"].cert))
    assert verify(stored, key="other.pem")[0] == 4
    path = stored / "batch" / NAME
    value = json.loads(path.read_text())
    value["signatures"][0]["cert"] = certificate_pem(net.sign["12"].cert)
    path.write_text(json.dumps(value))
    code, text = verify(stored)
    assert code == 4
    assert "公钥与所给公钥不同" in text


def test_a_renamed_manifest_is_found(stored: Path) -> None:
    other = manifest_name("13-up-main-e0001-s0000000002")
    (stored / "batch" / NAME).rename(stored / "batch" / other)
    command = [str(SCRIPTS / "verify-dsse.sh"), f"batch/{other}", "signer.pem"]
    done = subprocess.run(command, cwd=stored, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "批次号不一致" in done.stdout


def test_wrong_calls_exit_with_2(stored: Path) -> None:
    for command in (["verify-dsse.sh"], ["verify-dsse.sh", "none", "signer.pem"], ["decrypt-part.sh", "a", "b", "c"]):
        done = subprocess.run(
            [str(SCRIPTS / command[0]), *command[1:]], cwd=stored, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr


@pytest.mark.parametrize("party", ["moe", "moe-dr", "13"])
def test_every_recipient_decrypts_with_openssl(stored: Path, party: str) -> None:
    plain = (stored / "batch" / "13-up-main-e0001-s0000000001.f01.cms.plain").read_bytes()
    code, text = decrypt(stored, party=party)
    assert (code, text.count("✔")) == (0, 4)
    assert (stored / "out").read_bytes() == plain
    (stored / "out").unlink()
    assert decrypt(stored, party=party, with_manifest="payload.json")[0] == 0
    (stored / "out").unlink()
    assert decrypt(stored, party=party, with_manifest="")[0] == 0


def test_a_stranger_decrypts_nothing(stored: Path) -> None:
    assert decrypt(stored, party="12")[0] == 4
    assert decrypt(stored, party="12", with_manifest="")[0] == 4


def test_the_plaintext_digest_of_the_manifest_decides(stored: Path) -> None:
    payload = json.loads((stored / "payload.json").read_text())
    payload["files"][0]["plain_sha256"] = "0" * 64
    (stored / "other.json").write_text(json.dumps(payload))
    code, text = decrypt(stored, with_manifest="other.json")
    assert code == 4
    assert "明文 SHA-256 与清单不符" in text


def test_an_existing_output_is_not_overwritten(stored: Path) -> None:
    (stored / "out").write_bytes(b"keep")
    part = "batch/13-up-main-e0001-s0000000001.f01.cms"
    command = [str(SCRIPTS / "decrypt-part.sh"), part, "moe.key", "moe.pem", "out"]
    assert subprocess.run(command, cwd=stored, capture_output=True, check=False).returncode == 2
    assert (stored / "out").read_bytes() == b"keep"
