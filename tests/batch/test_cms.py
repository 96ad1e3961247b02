"""The strict CMS profile, protocol 5.2, 5.4 and 15 #26, #56."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.batch import cms, der
from hub.batch.cipher import PartDigest, decrypt_file, recipient_ids
from hub.batch.recipients import wrap_for
from tests.batch.sealed import PLAIN, attempt, rewrap, seal, write_keys
from tests.trust.network import Network, code_of, network


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


@pytest.fixture
def sealed(net: Network, tmp_path: Path) -> tuple[Path, PartDigest]:
    """One file for the ministry (RSA), escrow (EC), province 13 (RSA) and province 12 (EC)."""
    return seal(net, tmp_path, ["moe", "moe-dr", "13", "12"])


def indefinite(data: bytes) -> bytes:
    return bytes([0x30, 0x80]) + data[4:] + b"\0\0"


def long_length(data: bytes) -> bytes:
    assert data[1] == 0x83
    return bytes([0x30, 0x84, 0]) + data[2:]


def twelve_byte_tag(data: bytes) -> bytes:
    info = data.replace(der.integer(16), der.integer(12), 1)
    return info[:-18] + der.octets(info[-16:-4])


def only_tag_shortened(data: bytes) -> bytes:
    return data[:-18] + der.octets(data[-16:-4])


STRICT: dict[str, Callable[[bytes], bytes]] = {
    "BER indefinite length": indefinite,
    "non-minimal length": long_length,
    "trailing byte": lambda data: data + b"\0",
    "12-byte tag": twelve_byte_tag,
    "12-byte tag, 16 announced": only_tag_shortened,
    "cut off": lambda data: data[:100],
    "empty": lambda data: data[:0],
    "EnvelopedData": lambda data: data.replace(der.oid("1.2.840.113549.1.9.16.1.23"), der.oid("1.2.840.113549.1.7.3")),
    "CBC instead of GCM": lambda data: data.replace(
        der.oid("2.16.840.1.101.3.4.1.46"), der.oid("2.16.840.1.101.3.4.1.42")
    ),
    "AES-128": lambda data: data.replace(der.oid("2.16.840.1.101.3.4.1.46"), der.oid("2.16.840.1.101.3.4.1.6")),
    "OAEP with SHA-1": lambda data: data.replace(der.oid("2.16.840.1.101.3.4.2.1"), der.oid("2.16.840.1.101.3.4.2.4")),
    "PKCS#1 v1.5": lambda data: data.replace(der.oid("1.2.840.113549.1.1.7"), der.oid("1.2.840.113549.1.1.1")),
    "outer length one too small": lambda data: data[:4] + bytes([data[4] - 1]) + data[5:],
}


@pytest.mark.parametrize("name", STRICT)
def test_forms_outside_the_strict_profile_are_refused(net: Network, sealed: tuple[Path, PartDigest], name: str) -> None:
    """Protocol 15 #26."""
    path, _ = sealed
    original = path.read_bytes()
    spoiled = STRICT[name](original)
    assert spoiled != original
    path.write_bytes(spoiled)
    assert attempt(net, path) == "E_DECRYPT"


def test_pkcs7_enveloped_cbc_from_openssl_is_refused(net: Network, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(PLAIN)
    write_keys(net, "moe", tmp_path)
    command = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-nodetach", "-outform", "DER"]
    subprocess.run([*command, "-in", "plain", "-out", "x.cms", "cert.pem"], cwd=tmp_path, check=True)
    assert attempt(net, tmp_path / "x.cms") == "E_DECRYPT"


def test_unsorted_or_doubled_recipients_are_refused(net: Network, tmp_path: Path) -> None:
    path = tmp_path / "part.cms"
    key = os.urandom(32)
    good = rewrap(net, {"moe": key, "moe-dr": key})
    header = cms.read_header(good, len(good))
    swapped = good.replace(b"".join(header.recipients), b"".join(reversed(header.recipients)))
    path.write_bytes(swapped)
    assert attempt(net, path) == "E_DECRYPT"
    info = wrap_for(net.encrypt["moe"].cert, key, os.urandom)
    twice = [info, wrap_for(net.encrypt["moe"].cert, key, os.urandom)]
    path.write_bytes(cms.write_header(twice, bytes(12), 3) + b"abc" + cms.write_tail(bytes(16)))
    assert attempt(net, path) == "E_DECRYPT"
    assert code_of(lambda: recipient_ids(path)) == "E_DECRYPT"


def test_seventeen_recipients_are_refused(net: Network, tmp_path: Path) -> None:
    info = wrap_for(net.encrypt["12"].cert, bytes(32), os.urandom)
    with pytest.raises(RuntimeError):
        cms.write_header([info] * 17, bytes(12), 3)
    fine = cms.write_header([info] * 16, bytes(12), 0) + cms.write_tail(bytes(16))
    assert len(cms.read_header(fine, len(fine)).recipients) == 16


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_a_mutated_header_never_opens_to_other_plaintext(net: Network, tmp_path: Path, data: st.DataObject) -> None:
    """Protocol 15 #56, in small: mutations are refused or leave our plaintext as it was."""
    path = tmp_path / "part.cms"
    path.unlink(missing_ok=True)
    key = b"k" * 32
    original = rewrap(net, {"moe-dr": key, "12": key}, plain=b"plaintext", key=key)
    spoiled = bytearray(original)
    position = data.draw(st.integers(0, len(original) - 1))
    spoiled[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(spoiled)
    out, pair = tmp_path / "out", net.encrypt["moe-dr"]
    code = code_of(lambda: decrypt_file(path, out, pair.key, pair.cert))
    assert code in (None, "E_DECRYPT", "E_RECIPIENT")
    assert out.exists() == (code is None)
    if code is None:
        assert out.read_bytes() == b"plaintext"
        out.unlink()
