"""Sealed files for the cipher tests, whole and spoiled."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.batch import cms
from hub.batch.cipher import PartDigest, decrypt_file, encrypt_file
from hub.batch.recipients import wrap_for
from hub.trust.keys import certificate_pem, private_key_pem
from tests.trust.network import Network, code_of, files_in

PLAIN = os.urandom(100_003)


def seal(net: Network, folder: Path, parties: list[str], plain: bytes = PLAIN) -> tuple[Path, PartDigest]:
    source = folder / "plain"
    source.write_bytes(plain)
    target = folder / "part.cms"
    digest = encrypt_file(source, target, [net.encrypt[party].cert for party in parties], os.urandom)
    source.unlink()
    return target, digest


def attempt(net: Network, path: Path, party: str = "moe", expect: PartDigest | None = None) -> str | None:
    """Code of a decryption; whatever happens, no plaintext may be left unless it succeeded."""
    out = path.parent / "out"
    pair = net.encrypt[party]
    code = code_of(lambda: decrypt_file(path, out, pair.key, pair.cert, expect=expect))
    left = [name for name in files_in(path.parent) if name.startswith("out")]
    assert left == ([] if code else ["out"])
    out.unlink(missing_ok=True)
    return code


def rewrap(net: Network, content_keys: dict[str, bytes], *, plain: bytes = PLAIN, key: bytes | None = None) -> bytes:
    """A CMS file built by hand: content key per party, content encrypted under `key`."""
    key = key or content_keys["moe"]
    infos = [wrap_for(net.encrypt[party].cert, wrapped, os.urandom) for party, wrapped in content_keys.items()]
    nonce = os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, plain, None)
    return cms.write_header(infos, nonce, len(plain)) + sealed[:-16] + cms.write_tail(sealed[-16:])


def write_keys(net: Network, party: str, folder: Path) -> None:
    (folder / "key.pem").write_bytes(private_key_pem(net.encrypt[party].key))
    (folder / "cert.pem").write_text(certificate_pem(net.encrypt[party].cert))
