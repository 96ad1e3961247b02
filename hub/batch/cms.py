"""The one CMS form of suite I1: AuthEnvelopedData, AES-256-GCM, strict DER (protocol 5.2, 5.4; RFC 5083, 5084, 5652).

Decides how the header (everything before the ciphertext) and the tail (the tag) are written, and which headers are
accepted: version 0, content type data, 12-byte nonce, 16-byte tag, no attributes, at most 16 recipients in 64 KiB.
Moving the ciphertext is `cipher`'s; wrapping the content key is `recipients`'.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.batch import der
from hub.batch.der import DerError, Reader

MAX_RECIPIENTS = 16
MAX_RECIPIENT_BYTES = 64 * 1024
MAX_HEADER_BYTES = MAX_RECIPIENT_BYTES + 512
NONCE_BYTES = 12
TAG_BYTES = 16
TAIL_BYTES = 2 + TAG_BYTES
KEY_TRANS, KEY_AGREE = der.SEQUENCE, 0xA1
_EXPLICIT_0, _IMPLICIT_0 = 0xA0, 0x80

_AUTH_ENVELOPED = der.oid("1.2.840.113549.1.9.16.1.23")
_DATA = der.oid("1.2.840.113549.1.7.1")
_AES256_GCM = der.oid("2.16.840.1.101.3.4.1.46")
_VERSION_0 = der.integer(0)


@dataclass(frozen=True)
class Header:
    """A parsed header: raw RecipientInfos, nonce, and where the ciphertext lies (`start`, `size` in bytes)."""

    recipients: tuple[bytes, ...]
    nonce: bytes
    start: int
    size: int


def write_header(recipient_infos: list[bytes], nonce: bytes, size: int) -> bytes:
    """Everything before `size` bytes of ciphertext; the tail follows it."""
    if not 0 < len(recipient_infos) <= MAX_RECIPIENTS or sum(map(len, recipient_infos)) > MAX_RECIPIENT_BYTES:
        raise RuntimeError("1 to 16 recipients in 64 KiB")
    algorithm = der.sequence(_AES256_GCM, der.sequence(der.octets(nonce), der.integer(TAG_BYTES)))
    content_head = bytes([_IMPLICIT_0]) + der.write_length(size)
    encrypted = _open(der.SEQUENCE, _DATA + algorithm + content_head, size)
    body = _open(der.SEQUENCE, _VERSION_0 + der.set_of(recipient_infos) + encrypted, size + TAIL_BYTES)
    explicit = _open(_EXPLICIT_0, body, size + TAIL_BYTES)
    return _open(der.SEQUENCE, _AUTH_ENVELOPED + explicit, size + TAIL_BYTES)


def write_tail(tag: bytes) -> bytes:
    """The `mac` element."""
    return der.octets(tag)


def read_header(head: bytes, file_size: int) -> Header:
    """Parse the first bytes of a file of `file_size` bytes (`MAX_HEADER_BYTES` of them suffice); DerError otherwise."""
    outer = Reader(head, 0, file_size)
    info = outer.enter(der.SEQUENCE)
    outer.finish()
    info.expect(_AUTH_ENVELOPED)
    explicit = info.enter(_EXPLICIT_0)
    info.finish()
    body = explicit.enter(der.SEQUENCE)
    explicit.finish()
    body.expect(_VERSION_0)
    recipients = _recipients(body)
    encrypted = body.enter(der.SEQUENCE)
    if body.end - body.position != TAIL_BYTES:
        raise DerError("not exactly a 16-byte tag behind the content")
    encrypted.expect(_DATA)
    nonce = _gcm_nonce(encrypted)
    start, end = encrypted.header(_IMPLICIT_0)
    encrypted.finish()
    return Header(recipients, nonce, start, end - start)


def read_tail(tail: bytes) -> bytes:
    """The tag from the last `TAIL_BYTES` of the file."""
    reader = Reader(tail)
    tag = reader.content(der.OCTET_STRING)
    reader.finish()
    if len(tag) != TAG_BYTES:
        raise DerError("tag of another length")
    return tag


def _recipients(body: Reader) -> tuple[bytes, ...]:
    start, end = body.header(der.SET)
    if end - start > MAX_RECIPIENT_BYTES:
        raise DerError("recipients beyond 64 KiB")
    reader = Reader(body.data, start, end)
    found: list[bytes] = []
    while (tag := reader.peek()) is not None:
        if tag not in (KEY_TRANS, KEY_AGREE) or len(found) == MAX_RECIPIENTS:
            raise DerError("foreign recipient kind, or more than 16 recipients")
        found.append(reader.raw(tag))
    if not found or found != sorted(found):
        raise DerError("recipients empty or not in DER order")
    return tuple(found)


def _gcm_nonce(encrypted: Reader) -> bytes:
    algorithm = encrypted.enter(der.SEQUENCE)
    algorithm.expect(_AES256_GCM)
    parameters = algorithm.enter(der.SEQUENCE)
    nonce = parameters.content(der.OCTET_STRING)
    tag_size = parameters.integer()
    parameters.finish()
    algorithm.finish()
    if len(nonce) != NONCE_BYTES or tag_size != TAG_BYTES:
        raise DerError("nonce or tag of another length")
    return nonce


def _open(tag: int, begin: bytes, rest: int) -> bytes:
    """An element whose first bytes are `begin` and whose last `rest` bytes are written elsewhere."""
    return bytes([tag]) + der.write_length(len(begin) + rest) + begin
