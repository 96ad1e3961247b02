"""Ciphertext files, protocol 5 and 15 #1, #21, #24 to #27; openssl is the outside judge."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from hub.batch import cms, der
from hub.batch.cipher import (
    PartDigest,
    check_cipher_file,
    check_recipients,
    decrypt_file,
    encrypt_file,
    recipient_ids,
)
from hub.batch.der import Reader
from hub.batch.recipients import parse_recipient, recipient_id, wrap_for
from hub.errors import KeyMaterialError, RefusedError
from tests.batch.sealed import PLAIN, attempt, rewrap, seal, write_keys
from tests.trust.network import NOW, Network, code_of, files_in, network


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


@pytest.fixture
def sealed(net: Network, tmp_path: Path) -> tuple[Path, PartDigest]:
    """One file for the ministry (RSA), escrow (EC), province 13 (RSA) and province 12 (EC)."""
    return seal(net, tmp_path, ["moe", "moe-dr", "13", "12"])


@pytest.mark.parametrize("party", ["moe", "moe-dr", "13", "12"])
def test_every_recipient_opens_the_file(
    net: Network, sealed: tuple[Path, PartDigest], party: str, tmp_path: Path
) -> None:
    path, digest = sealed
    pair = net.encrypt[party]
    found = decrypt_file(path, tmp_path / "out", pair.key, pair.cert, expect=digest)
    assert (tmp_path / "out").read_bytes() == PLAIN
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert (
        found
        == digest
        == PartDigest(
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
            len(PLAIN),
            hashlib.sha256(PLAIN).hexdigest(),
        )
    )


@pytest.mark.parametrize("party", ["moe", "moe-dr"])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_openssl_cms_opens_every_file(net: Network, party: str, size: int, tmp_path: Path) -> None:
    path, _ = seal(net, tmp_path, ["moe", "moe-dr", "13"], PLAIN[:size])
    openssl_decrypt(net, path, party, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == PLAIN[:size]


def openssl_encrypt(net: Network, party: str, folder: Path, *, stream: bool) -> Path:
    (folder / "plain").write_bytes(PLAIN)
    write_keys(net, party, folder)
    rsa_options = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"]
    options = rsa_options if party == "moe" else ["ecdh_kdf_md:sha256"]
    keyopts = [word for option in options for word in ("-keyopt", option)]
    command = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-in", "plain"]
    command += ["-out", "o.cms", *(["-stream"] if stream else []), "-recip", "cert.pem", *keyopts]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "o.cms"


@pytest.mark.parametrize("party", ["moe", "moe-dr"])
def test_a_file_written_by_openssl_opens_here(net: Network, party: str, tmp_path: Path) -> None:
    path = openssl_encrypt(net, party, tmp_path, stream=False)
    pair = net.encrypt[party]
    decrypt_file(path, tmp_path / "out", pair.key, pair.cert)
    assert (tmp_path / "out").read_bytes() == PLAIN


def test_a_file_streamed_by_openssl_has_indefinite_lengths_and_is_refused(net: Network, tmp_path: Path) -> None:
    assert attempt(net, openssl_encrypt(net, "moe", tmp_path, stream=True)) == "E_DECRYPT"


def openssl_decrypt(net: Network, path: Path, party: str, out: Path) -> None:
    folder = path.parent
    write_keys(net, party, folder)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", path.name, "-out", out.name]
    command += ["-inkey", "key.pem", "-recip", "cert.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_recipient_infos_are_exactly_the_certificates(net: Network, sealed: tuple[Path, PartDigest]) -> None:
    path, _ = sealed
    certs = [pair.cert for pair in net.encrypt.values()]
    assert recipient_ids(path) == {recipient_id(cert) for cert in certs}
    check_recipients(path, certs)
    assert code_of(lambda: check_recipients(path, certs[:-1])) == "E_DECRYPT"


def test_one_flipped_bit_is_refused_before_anything_is_decrypted(net: Network, sealed: tuple[Path, PartDigest]) -> None:
    """Protocol 15 #1."""
    path, digest = sealed
    original = path.read_bytes()
    for position in (0, len(original) // 2, len(original) - 1):
        spoiled = bytearray(original)
        spoiled[position] ^= 1
        path.write_bytes(spoiled)
        assert attempt(net, path, expect=digest) == "E_FILE_DIGEST"
        assert code_of(lambda: check_cipher_file(path, digest)) == "E_FILE_DIGEST"
        assert attempt(net, path) == "E_DECRYPT"
    path.write_bytes(original)
    assert attempt(net, path, expect=digest) is None


def test_files_of_another_batch_are_refused_by_digest(net: Network, tmp_path: Path) -> None:
    """Protocol 15 #21."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    seq8, _ = seal(net, tmp_path / "a", ["moe"], PLAIN[:5000])
    _, of_seq9 = seal(net, tmp_path / "b", ["moe"], PLAIN[:5000])
    assert attempt(net, seq8, expect=of_seq9) == "E_FILE_DIGEST"


def test_missing_and_truncated_files_have_codes_of_their_own(net: Network, sealed: tuple[Path, PartDigest]) -> None:
    path, digest = sealed
    path.write_bytes(path.read_bytes()[:-1])
    assert code_of(lambda: check_cipher_file(path, digest)) == "E_FILE_SIZE"
    assert attempt(net, path, expect=digest) == "E_FILE_SIZE"
    assert attempt(net, path) == "E_DECRYPT"
    path.unlink()
    assert code_of(lambda: check_cipher_file(path, digest)) == "E_FILE_MISSING"


def test_ciphertext_for_another_party_is_refused(net: Network, tmp_path: Path) -> None:
    """Protocol 15 #24: not addressed to us, and addressed to us with a key that is not ours."""
    path, digest = seal(net, tmp_path, ["13", "12"])
    assert attempt(net, path, "moe", digest) == "E_DECRYPT"
    mislabelled = net.authority.issue_encryption(net.encrypt["13"].cert.public_key(), "x", now=NOW)  # type: ignore[arg-type]
    info = wrap_for(mislabelled, os.urandom(32), os.urandom)
    ours = recipient_id(net.encrypt["moe"].cert)
    theirs = recipient_id(mislabelled)
    own_rid = der.sequence(ours.issuer, der.integer(ours.serial))
    info = rebuilt_info(info, der.sequence(theirs.issuer, der.integer(theirs.serial)), own_rid)
    nonce = os.urandom(12)
    path.write_bytes(cms.write_header([info], nonce, 3) + b"abc" + cms.write_tail(bytes(16)))
    assert attempt(net, path, "moe") == "E_DECRYPT"


def rebuilt_info(info: bytes, old: bytes, new: bytes) -> bytes:
    """A KeyTransRecipientInfo with its rid exchanged and its length repaired."""
    body = Reader(info).enter(der.SEQUENCE)
    content = info[body.position : body.end]
    assert old in content
    return der.sequence(content.replace(old, new))


def test_altered_recipient_info_of_another_party_is_caught_by_the_digest(
    net: Network, sealed: tuple[Path, PartDigest]
) -> None:
    """Protocol 15 #25: GCM does not cover it, our own part would open."""
    path, digest = sealed
    data = bytearray(path.read_bytes())
    header = cms.read_header(bytes(data[: cms.MAX_HEADER_BYTES]), len(data))
    other = next(raw for raw in header.recipients if recipient_id_of(raw) == recipient_id(net.encrypt["13"].cert))
    data[data.index(other) + len(other) - 1] ^= 1
    path.write_bytes(data)
    assert attempt(net, path, expect=digest) == "E_FILE_DIGEST"
    assert attempt(net, path) is None


def recipient_id_of(raw: bytes) -> object:
    return parse_recipient(raw).rid


def test_wrong_content_key_for_one_recipient_is_refused(net: Network, tmp_path: Path) -> None:
    """Protocol 15 #27: the others would open it, we do not."""
    path = tmp_path / "part.cms"
    path.write_bytes(rewrap(net, {"moe": os.urandom(32), "moe-dr": (key := os.urandom(32))}, key=key))
    assert attempt(net, path, "moe-dr") is None
    assert attempt(net, path, "moe") == "E_DECRYPT"


def test_ciphertext_that_opens_to_other_plaintext_leaves_none(net: Network, sealed: tuple[Path, PartDigest]) -> None:
    """Protocol 15 #27: the tag holds, the manifest promised something else."""
    path, digest = sealed
    assert attempt(net, path, expect=replace(digest, plain_sha256="0" * 64)) == "E_PLAIN_DIGEST"
    assert attempt(net, path, expect=replace(digest, plain_size=digest.plain_size + 1)) == "E_PLAIN_DIGEST"


def test_content_key_of_another_length_is_refused(net: Network, tmp_path: Path) -> None:
    path = tmp_path / "part.cms"
    for party in ("moe", "moe-dr"):
        path.write_bytes(rewrap(net, {party: os.urandom(16)}, key=os.urandom(16)))
        assert attempt(net, path, party) == "E_DECRYPT"


def test_a_key_that_does_not_belong_to_the_certificate_is_our_own_fault(
    net: Network, sealed: tuple[Path, PartDigest], tmp_path: Path
) -> None:
    with pytest.raises(KeyMaterialError):
        decrypt_file(sealed[0], tmp_path / "out", net.encrypt["12"].key, net.encrypt["moe"].cert)
    assert not (tmp_path / "out").exists()


def test_neither_ciphertext_nor_plaintext_is_ever_overwritten(
    net: Network, sealed: tuple[Path, PartDigest], tmp_path: Path
) -> None:
    path, _ = sealed
    before = path.read_bytes()
    (tmp_path / "plain").write_bytes(b"x")
    with pytest.raises(RuntimeError):
        encrypt_file(tmp_path / "plain", path, [net.encrypt["moe"].cert], os.urandom)
    with pytest.raises(RuntimeError):
        decrypt_file(path, tmp_path / "plain", net.encrypt["moe"].key, net.encrypt["moe"].cert)
    assert path.read_bytes() == before
    assert (tmp_path / "plain").read_bytes() == b"x"


def test_a_leftover_of_a_killed_process_does_not_block_the_next_one(
    net: Network, sealed: tuple[Path, PartDigest], tmp_path: Path
) -> None:
    (tmp_path / "out.unverified").write_bytes(b"half")
    assert attempt(net, sealed[0]) is None


def test_a_file_beyond_the_limit_is_not_encrypted(net: Network, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(bytes(11))
    with pytest.raises(RefusedError) as failure:
        encrypt_file(tmp_path / "plain", tmp_path / "c", [net.encrypt["moe"].cert], os.urandom, max_bytes=10)
    assert failure.value.code == "E_BUDGET"
    assert list(files_in(tmp_path)) == ["plain"]


def test_every_file_has_its_own_key_and_nonce(net: Network, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, _ = seal(net, tmp_path / "a", ["moe"])
    second, _ = seal(net, tmp_path / "b", ["moe"])
    heads = [cms.read_header(path.read_bytes(), path.stat().st_size) for path in (first, second)]
    assert heads[0].nonce != heads[1].nonce
    assert first.read_bytes()[-5000:] != second.read_bytes()[-5000:]


def test_memory_is_constant_in_both_directions(net: Network, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    with plain.open("wb") as target:
        target.truncate(64 * 1024 * 1024)
    pair = net.encrypt["moe"]
    tracemalloc.start()
    digest = encrypt_file(plain, tmp_path / "c", [pair.cert], os.urandom, chunk_bytes=1024 * 1024)
    decrypt_file(tmp_path / "c", tmp_path / "out", pair.key, pair.cert, expect=digest, chunk_bytes=1024 * 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    assert (tmp_path / "out").stat().st_size == 64 * 1024 * 1024
