"""Key pairs, algorithms and signers of suite I1 (protocol 4.1, 4.3, 10.3).

Decides which key types and sizes exist (ECDSA P-256/SHA-256; RSA-PSS >= 3072/SHA-256, salt 32), what a key id is
(`sha256:` + hex over the DER SubjectPublicKeyInfo) and whether a signature verifies under a *given* algorithm. Which
algorithm applies comes from the trust list, never from the message. Randomness of key generation is OpenSSL's own.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hub.errors import KeyMaterialError

ECDSA_P256 = "ecdsa-p256-sha256"
RSA_PSS = "rsa-pss-sha256"
ALGORITHMS = (ECDSA_P256, RSA_PSS)
SUITE_I1 = "I1"
MIN_RSA_BITS = 3072
_MAX_RSA_BITS = 8192  # larger keys only cost verification time

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_log = logging.getLogger(__name__)
# Key files this process has warned of: a node opens its keys at every step and should not repeat itself.
_WARNED: set[tuple[str, str]] = set()


class Signer(Protocol):
    """Whatever holds a signing key: an HSM, a 签名验签服务器, or a development key file (protocol 10.3)."""

    @property
    def keyid(self) -> str:
        """`sha256:` + 64 hex digits over the SPKI."""

    @property
    def algorithm(self) -> str:
        """One of `ALGORITHMS`."""

    @property
    def cert_pem(self) -> str:
        """Leaf certificate in PEM, followed by intermediates if any."""

    def sign(self, data: bytes) -> bytes:
        """Signature over `data` (the signer hashes); raises PeerUnreachableError when it is down."""


def spki_der(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def keyid_of_spki(spki: bytes) -> str:
    """Key id of DER SubjectPublicKeyInfo bytes (protocol 4.1)."""
    return "sha256:" + hashlib.sha256(spki).hexdigest()


def keyid_of(key: PublicKey) -> str:
    """Key id of a public key."""
    return keyid_of_spki(spki_der(key))


def cert_spki(cert: x509.Certificate) -> bytes:
    """DER SubjectPublicKeyInfo of a certificate, also when its key type is foreign to us (re-encoded by OpenSSL)."""
    return cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def cert_keyid(cert: x509.Certificate) -> str:
    """Key id of the key in a certificate."""
    return keyid_of_spki(cert_spki(cert))


def is_strong(key: object) -> bool:
    """Our own check of type and size (protocol 4.4): P-256, or RSA of 3072 bits and more."""
    if isinstance(key, rsa.RSAPublicKey):
        return MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def algorithm_of(key: PublicKey) -> str:
    """The I1 signature algorithm that goes with a key."""
    return RSA_PSS if isinstance(key, rsa.RSAPublicKey) else ECDSA_P256


def signature_holds(algorithm: str, spki: bytes, signature: bytes, data: bytes) -> bool:
    """True when `signature` over `data` verifies under `algorithm` and the pinned `spki` (protocol 4.2 #6)."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return False
    if not is_strong(key):
        return False
    try:
        if algorithm == ECDSA_P256 and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif algorithm == RSA_PSS and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _pss(), hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True


def generate_signing_key() -> ec.EllipticCurvePrivateKey:
    """New P-256 signing key."""
    return ec.generate_private_key(ec.SECP256R1())


def generate_encryption_key(kind: str = "rsa") -> PrivateKey:
    """New decryption key: `rsa` (3072 bits, about a second) or `ec` (P-256)."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, MIN_RSA_BITS)
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    raise ValueError(f"unknown key kind {kind!r}")


def private_key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """PKCS#8 PEM; the caller writes it with mode 0600."""
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        protection = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def load_private_key(pem: bytes, password: bytes | None = None, *, where: str = "") -> PrivateKey:
    """Private key from PKCS#8 PEM; KeyMaterialError E1201 when unreadable, of a foreign type or too short."""
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyMaterialError(
            "E1201", "私钥文件无法读取", where=where, step="核对文件是否为 PKCS#8 PEM 以及口令是否正确"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or not is_strong(key.public_key()):
        raise KeyMaterialError(
            "E1201", "私钥类型或长度不合规定", where=where, step="使用 P-256 或不短于 3072 位的 RSA 密钥"
        )
    return key


def load_certificates(pem: str | bytes, *, where: str = "") -> list[x509.Certificate]:
    """Certificates of a PEM text, leaf first; KeyMaterialError E1202 when there is none."""
    try:
        return x509.load_pem_x509_certificates(pem.encode() if isinstance(pem, str) else pem)
    except (ValueError, x509.InvalidVersion):
        raise KeyMaterialError("E1202", "证书文件无法读取", where=where, step="核对文件是否为 PEM 证书") from None


def certificate_pem(cert: x509.Certificate) -> str:
    """PEM text of a certificate."""
    return cert.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)


class DevelopmentFileSigner:
    """Signs with a private key held in memory, read from a file. Development and laboratory only (protocol 10.3).

    Production keys live in an HSM or 签名验签服务器 behind the same `Signer` protocol.
    """

    def __init__(self, key: PrivateKey, cert_pem: str) -> None:
        leaf = load_certificates(cert_pem)[0]
        if cert_keyid(leaf) != keyid_of(key.public_key()):
            raise KeyMaterialError("E1203", "签名私钥与证书不匹配", step="核对密钥目录中的证书与私钥是否为同一对")
        self._key = key
        self._cert_pem = cert_pem

    @classmethod
    def load(
        cls, key_pem: bytes, cert_pem: str, password: bytes | None = None, *, where: str = ""
    ) -> DevelopmentFileSigner:
        """From PEM bytes the caller has read; warns once per process and key that it is not in hardware."""
        signer = cls(load_private_key(key_pem, password, where=where), cert_pem)
        if (where, signer.keyid) not in _WARNED:
            _WARNED.add((where, signer.keyid))
            _log.warning("使用的是文件中的开发密钥，不得用于生产环境 %s", where)
        return signer

    @property
    def keyid(self) -> str:
        """Key id of the certificate's key."""
        return keyid_of(self._key.public_key())

    @property
    def algorithm(self) -> str:
        """Algorithm that goes with the key."""
        return algorithm_of(self._key.public_key())

    @property
    def cert_pem(self) -> str:
        """Leaf first."""
        return self._cert_pem

    def sign(self, data: bytes) -> bytes:
        """Signature over `data`."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, _pss(), hashes.SHA256())
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
