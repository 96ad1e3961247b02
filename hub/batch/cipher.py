"""Encrypting and decrypting one payload file in constant memory (protocol 5).

Decides whether a ciphertext opens for us, and moves the bytes: one pass, chunks of 8 MiB, digests computed on the
way. The form of the file is `cms`'s, wrapping the content key is `recipients`'.

Rules: what is written carries a temporary name (`<dst>.unverified`, mode 0600, created new) until the tag and all
expected digests hold; on any failure it is gone, and `dst` was never there. `cms_sha256` is checked before parsing
(protocol 5.4). Our own side never uses `pkcs7_*` of `cryptography` (protocol 5.5).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hub.batch import cms
from hub.batch.der import DerError
from hub.batch.limits import Limits
from hub.batch.recipients import (
    CONTENT_KEY_BYTES,
    Random,
    RecipientId,
    RecipientInfo,
    parse_recipient,
    recipient_id,
    unwrap,
    wrap_for,
)
from hub.errors import KeyMaterialError
from hub.trust.keys import PrivateKey, cert_keyid, keyid_of
from hub.verdict import refused

CHUNK_BYTES = 8 * 1024 * 1024
UNVERIFIED_SUFFIX = ".unverified"


@dataclass(frozen=True)
class PartDigest:
    """Sizes in bytes and plain hex SHA-256 of ciphertext and plaintext, as in `files` of a manifest."""

    cms_size: int
    cms_sha256: str
    plain_size: int
    plain_sha256: str


def encrypt_file(
    src: Path,
    dst: Path,
    recipients: Sequence[x509.Certificate],
    rng: Random,
    *,
    max_bytes: int = Limits.file_bytes,
    chunk_bytes: int = CHUNK_BYTES,
) -> PartDigest:
    """Encrypt `src` for the certificates into the new file `dst`, fsynced; the directory is the caller's to sync.

    `rng(n)` gives n random bytes (content key, nonce, ephemeral keys): `os.urandom` outside tests. Raises E_BUDGET for
    a file beyond the limit, RuntimeError when `dst` exists (a sealed file is never rewritten, protocol 5.6).
    """
    with src.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        if size > max_bytes:
            raise refused("E_BUDGET", f"单个文件 {size} 字节，上限 {max_bytes}", where=src.name)
        key, nonce = rng(CONTENT_KEY_BYTES), rng(cms.NONCE_BYTES)
        header = cms.write_header([wrap_for(cert, key, rng) for cert in recipients], nonce, size)
        with _new_file(dst, durable=True) as target:
            plain, outer = hashlib.sha256(), hashlib.sha256(header)
            target.write(header)
            encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
            buffer = bytearray(chunk_bytes + 16)
            done = 0
            for chunk in _chunks(source, size, chunk_bytes):
                count = encryptor.update_into(chunk, buffer)
                view = memoryview(buffer)[:count]
                plain.update(chunk)
                outer.update(view)
                target.write(view)
                done += count
            if done != size or source.read(1):
                raise RuntimeError("the plaintext changed while it was sealed")
            encryptor.finalize()
            tail = cms.write_tail(encryptor.tag)
            outer.update(tail)
            target.write(tail)
    return PartDigest(len(header) + size + len(tail), outer.hexdigest(), size, plain.hexdigest())


def decrypt_file(
    src: Path,
    dst: Path,
    private_key: PrivateKey,
    cert: x509.Certificate,
    *,
    expect: PartDigest | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> PartDigest:
    """Decrypt `src` into the new file `dst`; returns what was found.

    With `expect` (from the manifest) the ciphertext's size and digest are checked before it is parsed (E_FILE_SIZE,
    E_FILE_DIGEST) and the plaintext's before `dst` appears (E_PLAIN_DIGEST). E_DECRYPT for every fault of
    protocol 5.4, a file that is not for `cert` among them. On failure no plaintext is left behind.
    """
    if keyid_of(private_key.public_key()) != cert_keyid(cert):
        raise KeyMaterialError("E1203", "解密私钥与证书不匹配", step="核对密钥目录中的证书与私钥是否为同一对")
    with src.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        outer = _digest(source, size, chunk_bytes)
        if expect is not None:
            _check_cipher(expect, size, outer, src.name)
        source.seek(0)
        try:
            header = cms.read_header(source.read(cms.MAX_HEADER_BYTES), size)
            found = [parse_recipient(raw) for raw in header.recipients]
            source.seek(header.start + header.size)
            tag = cms.read_tail(source.read())
            content_key = unwrap(_ours(found, cert, src.name), private_key)
        except DerError:
            raise refused("E_DECRYPT", where=src.name) from None
        source.seek(header.start)
        with _new_file(dst, durable=False) as target:
            plain = _decrypt_into(target, source, header, (content_key, tag), chunk_bytes, src.name)
            if expect is not None and (expect.plain_size, expect.plain_sha256) != (header.size, plain):
                raise refused("E_PLAIN_DIGEST", where=src.name)
    return PartDigest(size, outer, header.size, plain)


def recipient_ids(src: Path) -> frozenset[RecipientId]:
    """Issuer and serial of every RecipientInfo; E_DECRYPT when malformed, or when one recipient stands twice."""
    with src.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        try:
            header = cms.read_header(source.read(cms.MAX_HEADER_BYTES), size)
            ids = [parse_recipient(raw).rid for raw in header.recipients]
        except DerError:
            raise refused("E_DECRYPT", where=src.name) from None
    if len(set(ids)) != len(ids):
        raise refused("E_DECRYPT", "同一收件方出现两次", where=src.name)
    return frozenset(ids)


def check_recipients(src: Path, certs: Sequence[x509.Certificate]) -> None:
    """The RecipientInfos are exactly these certificates, no more, no fewer; else E_DECRYPT (protocol 3.3, 15 #24)."""
    if recipient_ids(src) != {recipient_id(cert) for cert in certs}:
        raise refused("E_DECRYPT", "密文的收件方与清单所列不同", where=src.name)


def check_cipher_file(src: Path, expect: PartDigest, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Size and digest of a received file against the manifest: E_FILE_MISSING, E_FILE_SIZE or E_FILE_DIGEST."""
    try:
        source = src.open("rb")
    except FileNotFoundError:
        raise refused("E_FILE_MISSING", where=src.name) from None
    with source:
        size = os.fstat(source.fileno()).st_size
        if size != expect.cms_size:
            raise refused("E_FILE_SIZE", f"清单 {expect.cms_size} 字节，收到 {size} 字节", where=src.name)
        _check_cipher(expect, size, _digest(source, size, chunk_bytes), src.name)


def _check_cipher(expect: PartDigest, size: int, digest: str, where: str) -> None:
    if size != expect.cms_size:
        raise refused("E_FILE_SIZE", f"清单 {expect.cms_size} 字节，收到 {size} 字节", where=where)
    if digest != expect.cms_sha256:
        raise refused("E_FILE_DIGEST", where=where)


def _ours(found: Sequence[RecipientInfo], cert: x509.Certificate, where: str) -> RecipientInfo:
    own = recipient_id(cert)
    matching = [info for info in found if info.rid == own]
    if not matching:
        raise refused("E_DECRYPT", "密文不是发给本节点的", where=where)
    if len({info.rid for info in found}) != len(found):
        raise DerError("one recipient stands twice")
    return matching[0]


def _decrypt_into(
    target: BinaryIO, source: BinaryIO, header: cms.Header, secret: tuple[bytes, bytes], chunk_bytes: int, where: str
) -> str:
    """Stream the plaintext out; its digest when the tag holds, E_DECRYPT otherwise. `secret`: key and tag."""
    content_key, tag = secret
    decryptor = Cipher(algorithms.AES(content_key), modes.GCM(header.nonce, tag)).decryptor()
    plain = hashlib.sha256()
    buffer = bytearray(chunk_bytes + 16)
    for chunk in _chunks(source, header.size, chunk_bytes):
        count = decryptor.update_into(chunk, buffer)
        view = memoryview(buffer)[:count]
        plain.update(view)
        target.write(view)
    try:
        decryptor.finalize()
    except InvalidTag:
        raise refused("E_DECRYPT", where=where) from None
    return plain.hexdigest()


def _digest(source: BinaryIO, size: int, chunk_bytes: int) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(source, size, chunk_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(source: BinaryIO, size: int, chunk_bytes: int) -> Iterator[memoryview]:
    """Exactly `size` bytes in reused memory; a file that ends early is our own file being changed."""
    buffer = bytearray(min(chunk_bytes, max(size, 1)))
    left = size
    while left:
        view = memoryview(buffer)[: min(left, len(buffer))]
        count = source.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise RuntimeError("the file became shorter while it was read")
        left -= count
        yield view[:count]


@contextmanager
def _new_file(dst: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends well; otherwise nothing is left.

    `durable`: fsync before it appears (ciphertext); plaintext lives on tmpfs and is not worth the wait.
    """
    if dst.exists():
        raise RuntimeError("the target exists; sealed and decrypted files are never rewritten")
    temporary = dst.with_name(dst.name + UNVERIFIED_SUFFIX)
    temporary.unlink(missing_ok=True)  # left by a process that was killed; the folder is ours alone (protocol 5.6)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            yield target
            target.flush()
            if durable:
                os.fsync(target.fileno())
        temporary.replace(dst)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
