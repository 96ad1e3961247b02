"""A small certificate authority for laboratories and tests.

Issues leaf certificates for signing (EKU document signing) and for encryption, intermediates, and revocation lists. A
production network uses the education CA; the hub only ever sees certificates and CRLs, so nothing else depends on
this module. Time is an argument; serial numbers come from OpenSSL's generator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from hub.trust.chain import DOCUMENT_SIGNING
from hub.trust.keys import (
    PublicKey,
    certificate_pem,
    generate_signing_key,
    load_certificates,
    load_private_key,
    private_key_pem,
)

_BACKDATE = timedelta(minutes=5)  # clocks of the two sides differ a little


@dataclass(frozen=True)
class LabAuthority:
    """A CA key with its certificate, in memory. The name says what it is for."""

    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @classmethod
    def create(cls, name: str, *, now: datetime, days: int = 3650) -> LabAuthority:
        """Self-signed P-256 root valid for `days` from `now` (aware UTC)."""
        key = generate_signing_key()
        subject = _name(name)
        builder = _builder(subject, subject, key.public_key(), key.public_key(), now, days)
        return cls(key, _as_authority(builder).sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, key_pem: bytes, cert_pem: str) -> LabAuthority:
        """From what `key_pem` and `cert_pem` gave."""
        key = load_private_key(key_pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("a lab authority has a P-256 key")
        return cls(key, load_certificates(cert_pem)[0])

    @property
    def key_pem(self) -> bytes:
        """PKCS#8 PEM of the CA key."""
        return private_key_pem(self.key)

    @property
    def cert_pem(self) -> str:
        """PEM of the CA certificate."""
        return certificate_pem(self.cert)

    def intermediate(self, name: str, *, now: datetime, days: int = 1825) -> LabAuthority:
        """A subordinate CA under this one."""
        key = generate_signing_key()
        builder = _builder(_name(name), self.cert.subject, key.public_key(), self.key.public_key(), now, days)
        return LabAuthority(key, _as_authority(builder).sign(self.key, hashes.SHA256()))

    def issue_signing(
        self,
        public_key: PublicKey,
        name: str,
        *,
        now: datetime,
        days: int = 730,
        eku: x509.ObjectIdentifier = DOCUMENT_SIGNING,
        extra: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.Certificate:
        """Signing leaf; `eku` and `extra` (extension, critical) exist so that tests can issue wrong ones."""
        builder = _builder(_name(name), self.cert.subject, public_key, self.key.public_key(), now, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue_encryption(self, public_key: PublicKey, name: str, *, now: datetime, days: int = 730) -> x509.Certificate:
        """Encryption leaf for an RSA or P-256 key."""
        builder = _builder(_name(name), self.cert.subject, public_key, self.key.public_key(), now, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        is_rsa = isinstance(public_key, rsa.RSAPublicKey)
        builder = builder.add_extension(_usage(key_encipherment=is_rsa, key_agreement=not is_rsa), critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def crl(self, number: int, *, now: datetime, days: int = 30, revoked: Iterable[tuple[int, datetime]] = ()) -> bytes:
        """DER revocation list number `number`; `revoked` gives (serial number, revocation date)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.cert.subject)
            .last_update(now)
            .next_update(now + timedelta(days=days))
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for serial, date in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, issuer_public: PublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
        _usage(key_cert_sign=True, crl_sign=True), critical=True
    )


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=digital_signature,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
