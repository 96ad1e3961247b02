"""RecipientInfos: wrapping the content key for a certificate, and unwrapping it (protocol 5.2; RFC 5652, 5753).

Decides the two forms: RSA >= 3072 OAEP (SHA-256, MGF1-SHA-256, empty label) and ECDH P-256
dhSinglePass-stdDH-sha256kdf with AES-256 wrap; the recipient is named by issuer and serial number. Faults in bytes
are `DerError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.batch import der
from hub.batch.cms import KEY_AGREE, KEY_TRANS
from hub.batch.der import DerError, Reader
from hub.trust.keys import PrivateKey, is_strong

Random = Callable[[int], bytes]
CONTENT_KEY_BYTES = 32

_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
_SHA256_NULL = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.element(der.NULL))
_MGF1 = der.oid("1.2.840.113549.1.1.8")
_OAEP = der.oid("1.2.840.113549.1.1.7")
_EC_PUBLIC = der.oid("1.2.840.10045.2.1")
_P256 = der.oid("1.2.840.10045.3.1.7")
_STD_DH_SHA256 = der.oid("1.3.132.1.11.1")
_AES256_WRAP = der.sequence(der.oid("2.16.840.1.101.3.4.1.45"))
_ORIGINATOR_ALGORITHMS = (
    der.sequence(_EC_PUBLIC),
    der.sequence(_EC_PUBLIC, der.element(der.NULL)),
    der.sequence(_EC_PUBLIC, _P256),
)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_POINT_BYTES = 65


def _oaep_algorithms() -> tuple[bytes, ...]:
    """RSAES-OAEP parameters for SHA-256 and the empty label; RFC 4055 lets the hash carry NULL or nothing."""
    return tuple(
        der.sequence(_OAEP, der.sequence(der.element(0xA0, sha), der.element(0xA1, der.sequence(_MGF1, sha))))
        for sha in (_SHA256, _SHA256_NULL)
    )


_OAEP_ALGORITHMS = _oaep_algorithms()


@dataclass(frozen=True)
class RecipientId:
    """Issuer (DER name) and serial number of the certificate a content key is wrapped for."""

    issuer: bytes
    serial: int


@dataclass(frozen=True)
class RecipientInfo:
    """A parsed RecipientInfo. `point`: originator's public point for ECDH, empty for RSA."""

    rid: RecipientId
    wrapped: bytes
    point: bytes = b""


def recipient_id(cert: x509.Certificate) -> RecipientId:
    """Issuer and serial number of a certificate."""
    return RecipientId(cert.issuer.public_bytes(), cert.serial_number)


def wrap_for(cert: x509.Certificate, content_key: bytes, rng: Random) -> bytes:
    """DER RecipientInfo. `rng` feeds the ephemeral ECDH key; OAEP's seed comes from OpenSSL."""
    key = cert.public_key()
    if not is_strong(key) or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise RuntimeError("recipient keys are checked when the trust list is read")
    rid = der.sequence(cert.issuer.public_bytes(), der.integer(cert.serial_number))
    if isinstance(key, rsa.RSAPublicKey):
        return der.sequence(der.integer(0), rid, _OAEP_ALGORITHMS[0], der.octets(key.encrypt(content_key, _oaep())))
    ephemeral = _ephemeral_key(rng)
    wrapped = aes_key_wrap(_agreed_key(ephemeral, key), content_key)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    originator = der.element(0xA1, _ORIGINATOR_ALGORITHMS[0], der.element(der.BIT_STRING, b"\0", point))
    return der.element(
        KEY_AGREE,
        der.integer(3),
        der.element(0xA0, originator),
        der.sequence(_STD_DH_SHA256, _AES256_WRAP),
        der.sequence(der.sequence(rid, der.octets(wrapped))),
    )


def parse_recipient(raw: bytes) -> RecipientInfo:
    """Parse one RecipientInfo strictly; DerError when it is not one of the two forms."""
    outer = Reader(raw)
    kind = outer.peek()
    body = outer.enter(KEY_TRANS if kind == KEY_TRANS else KEY_AGREE)
    outer.finish()
    return _parse_key_trans(body) if kind == KEY_TRANS else _parse_key_agree(body)


def unwrap(info: RecipientInfo, key: PrivateKey) -> bytes:
    """The content key; DerError for any failure (one reason only, so that nothing can be learnt from it)."""
    try:
        if isinstance(key, rsa.RSAPrivateKey) and not info.point:
            content_key = key.decrypt(info.wrapped, _oaep())
        elif isinstance(key, ec.EllipticCurvePrivateKey) and info.point:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), info.point)
            content_key = aes_key_unwrap(_agreed_key(key, peer), info.wrapped)
        else:
            raise DerError("content key cannot be unwrapped")
    except (ValueError, InvalidUnwrap):
        raise DerError("content key cannot be unwrapped") from None
    if len(content_key) != CONTENT_KEY_BYTES:
        raise DerError("content key cannot be unwrapped")
    return content_key


def _parse_key_trans(body: Reader) -> RecipientInfo:
    body.expect(der.integer(0))
    rid = _read_rid(body)
    if body.raw(der.SEQUENCE) not in _OAEP_ALGORITHMS:
        raise DerError("key transport other than OAEP with SHA-256")
    wrapped = body.content(der.OCTET_STRING)
    body.finish()
    return RecipientInfo(rid, wrapped)


def _parse_key_agree(body: Reader) -> RecipientInfo:
    body.expect(der.integer(3))
    originator = body.enter(0xA0)
    public = originator.enter(0xA1)
    originator.finish()
    if public.raw(der.SEQUENCE) not in _ORIGINATOR_ALGORITHMS:
        raise DerError("originator key of a foreign kind")
    bits = public.content(der.BIT_STRING)
    public.finish()
    if len(bits) != 1 + _POINT_BYTES or bits[:2] != b"\0\x04":
        raise DerError("originator key is not an uncompressed P-256 point")
    body.expect(der.sequence(_STD_DH_SHA256, _AES256_WRAP))
    keys = body.enter(der.SEQUENCE)
    body.finish()
    entry = keys.enter(der.SEQUENCE)
    keys.finish()
    rid = _read_rid(entry)
    wrapped = entry.content(der.OCTET_STRING)
    entry.finish()
    return RecipientInfo(rid, wrapped, bits[1:])


def _read_rid(reader: Reader) -> RecipientId:
    rid = reader.enter(der.SEQUENCE)
    issuer = rid.raw(der.SEQUENCE)
    serial = rid.integer()
    rid.finish()
    return RecipientId(issuer, serial)


def _ephemeral_key(rng: Random) -> ec.EllipticCurvePrivateKey:
    """Private scalar by rejection, uniform in 1..n-1."""
    while True:
        scalar = int.from_bytes(rng(32), "big")
        if 0 < scalar < _P256_ORDER:
            return ec.derive_private_key(scalar, ec.SECP256R1())


def _agreed_key(own: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    """RFC 5753 7.2: X9.63 KDF over the shared secret, with ECC-CMS-SharedInfo for AES-256 wrap."""
    bits = (CONTENT_KEY_BYTES * 8).to_bytes(4, "big")
    shared_info = der.sequence(_AES256_WRAP, der.element(0xA2, der.octets(bits)))
    secret = own.exchange(ec.ECDH(), peer)
    return X963KDF(hashes.SHA256(), CONTENT_KEY_BYTES, shared_info).derive(secret)


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
