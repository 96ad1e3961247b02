"""Builds the exchange's test vectors, good and bad, into `tests/vectors/files`: for us and for a second implementation.

    python -m tests.vectors.build            # writes the files anew
    python -m tests.vectors.build FOLDER     # writes them elsewhere, to be compared

Everything is deterministic: keys are derived from fixed numbers, ECDSA nonces follow RFC 6979, the content key, nonces
and ephemeral keys come from a hash chain. RSA recipients are left out, because OAEP takes its seed from OpenSSL; their
outcome is tested elsewhere. `index.json` says per file what it is and what a receiver must do with it: null to accept,
otherwise the code of protocol 7.3. The keys in here are public knowledge and good for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hub.batch import der, strictjson, wire
from hub.batch.cipher import encrypt_file
from hub.batch.envelope import PayloadType, pae
from hub.trust.chain import DOCUMENT_SIGNING
from hub.trust.keys import cert_keyid, certificate_pem, private_key_pem

FILES: Final = Path(__file__).with_name("files")
AT: Final = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
PLAIN: Final = hashlib.shake_256(b"plain").digest(4099)
_TYPE: Final = PayloadType.CONTROL

Entry = tuple[str, str, bytes, str | None]


def key(number: int) -> ec.EllipticCurvePrivateKey:
    """The test key of that number."""
    seed = int.from_bytes(hashlib.sha256(b"vector key %d" % number).digest(), "big")
    return ec.derive_private_key(seed >> 1, ec.SECP256R1())


def certificate(number: int, name: str, *, signing: bool) -> x509.Certificate:
    """A leaf of the test CA (key 0) over key `number`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vector CA")])
    builder = (
        x509.CertificateBuilder(issuer, subject, key(number).public_key(), 1000 + number)
        .not_valid_before(AT - timedelta(days=30))
        .not_valid_after(AT + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if signing:
        builder = builder.add_extension(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), critical=False)
    return builder.sign(key(0), hashes.SHA256(), ecdsa_deterministic=True)


def sign(number: int, data: bytes) -> bytes:
    """ECDSA with the nonce of RFC 6979."""
    return key(number).sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


class Chain:
    """`rng(n)`: bytes of a hash chain."""

    def __init__(self, seed: bytes) -> None:
        self._state = seed

    def __call__(self, n: int) -> bytes:
        self._state = hashlib.sha256(self._state).digest()
        return hashlib.shake_256(self._state).digest(n)


def build(folder: Path) -> None:
    """All vectors and their index in `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = []
    for kind, name, content, outcome in (*_json(), *_pae(), *_envelopes(), *_cms(), *_keys()):
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        index.append({"file": name, "kind": kind, "outcome": outcome, "sha256": digest})
    (folder / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _json() -> Iterator[Entry]:
    good = {
        "canonical": '{"a":1,"b":[true,false,null],"c":"\u4e2d\u804c"}'.encode(),
        "largest-integers": b'{"n":[9007199254740991,-9007199254740991]}',
        "eight-levels": b'{"a":' * 7 + b"[]" + b"}" * 7,
        "utf16-order": '{"\U0001f600":2,"\ue000":1}'.encode(),
    }
    bad = {
        "duplicate-key": b'{"a":1,"a":2}',
        "duplicate-key-escaped": b'{"a":1,"\\u0061":2}',
        "nan": b'{"a":NaN}',
        "infinity": b'{"a":-Infinity}',
        "float": b'{"seq":42.0}',
        "exponent": b'{"seq":1e3}',
        "integer-too-large": b'{"n":9007199254740992}',
        "negative-zero": b'{"n":-0}',
        "depth-bomb": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nine-levels": b'{"a":' * 8 + b"[]" + b"}" * 8,
        "lone-surrogate": b'{"a":"\\ud800"}',
        "not-nfc": '{"a":"e\u0301"}'.encode(),
        "not-utf8": b'{"a":"\xff"}',
        "byte-order-mark": b'\xef\xbb\xbf{"a":1}',
        "trailing-comma": b'{"a":1,}',
        "rest-behind": b'{"a":1}{}',
        "empty": b"",
    }
    yield from (("json", f"json-good-{name}.json", data, None) for name, data in good.items())
    yield from (("json", f"json-bad-{name}.json", data, "E_ENV_JSON") for name, data in bad.items())


def _pae() -> Iterator[Entry]:
    yield "pae", "pae.bin", pae("http://example.com/HelloWorld", b"hello world"), None


def _payload() -> bytes:
    return strictjson.emit({"v": 1, "note": "\u6d4b\u8bd5\u5411\u91cf", "n": 42})


def _envelope(number: int, *, payload_type: str = str(_TYPE), signed: bytes | None = None) -> dict[str, object]:
    payload = _payload()
    cert = certificate(number, f"signer {number}", signing=True)
    entry = {
        "keyid": cert_keyid(cert),
        "sig": wire.write_base64(sign(number, signed if signed is not None else pae(payload_type, payload))),
        "cert": certificate_pem(cert),
    }
    return {"payloadType": payload_type, "payload": wire.write_base64(payload), "signatures": [entry]}


def _envelopes() -> Iterator[Entry]:
    """Signature by key 1, which is trusted for the role; key 2 is trusted for another role, key 3 not at all."""
    good = strictjson.emit(_envelope(1))
    yield "envelope", "envelope-good.dsse", good, None
    bent = _envelope(1)
    bent["payload"] = wire.write_base64(_payload().replace(b"42", b"43"))
    yield "envelope", "envelope-bad-payload-changed.dsse", strictjson.emit(bent), "E_SIG"
    yield "envelope", "envelope-bad-signed-without-pae.dsse", strictjson.emit(_envelope(1, signed=_payload())), "E_SIG"
    receipt = _envelope(1, payload_type=str(PayloadType.RECEIPT))
    yield "envelope", "envelope-bad-type.dsse", strictjson.emit(receipt), "E_TYPE"
    yield "envelope", "envelope-bad-role.dsse", strictjson.emit(_envelope(2)), "E_ROLE"
    yield "envelope", "envelope-bad-unknown-key.dsse", strictjson.emit(_envelope(3)), "E_KEY_UNKNOWN"
    hinted = _envelope(1)
    hinted["signatures"] = [{**hinted["signatures"][0], "keyid": _envelope(2)["signatures"][0]["keyid"]}]  # type: ignore[index]
    yield "envelope", "envelope-bad-keyid-of-another.dsse", strictjson.emit(hinted), "E_SIG"
    padded = strictjson.emit({**_envelope(1), "pad": "x" * (257 * 1024)})
    yield "envelope", "envelope-bad-too-large.dsse", padded, "E_ENV_SIZE"
    yield (
        "envelope",
        "envelope-bad-doubled-member.dsse",
        good.replace(b'{"payload"', b'{"payload":"","payload"'),
        "E_ENV_JSON",
    )


def _cms() -> Iterator[Entry]:
    """Encrypted to keys 4 and 5; opened with key 4."""
    certs = [certificate(number, f"recipient {number}", signing=False) for number in (4, 5)]
    with tempfile.TemporaryDirectory() as temporary:
        plain, target = Path(temporary) / "plain", Path(temporary) / "part"
        plain.write_bytes(PLAIN)
        encrypt_file(plain, target, certs, Chain(b"cms"))
        good = target.read_bytes()
        target.unlink()
        encrypt_file(plain, target, certs[1:], Chain(b"other"))
        foreign = target.read_bytes()
    yield "cms", "cms-good.cms", good, None
    yield "cms", "cms-bad-not-a-recipient.cms", foreign, "E_DECRYPT"
    for name, spoil in SPOILT.items():
        yield "cms", f"cms-bad-{name}.cms", spoil(good), "E_DECRYPT"


def _indefinite(data: bytes) -> bytes:
    return bytes([0x30, 0x80]) + data[4:] + b"\0\0"


def _long_length(data: bytes) -> bytes:
    return data[:1] + bytes([0x83, 0]) + data[2:]


def _short_tag(data: bytes) -> bytes:
    return data[:-18] + der.octets(data[-16:-4])


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "indefinite-length": _indefinite,
    "non-minimal-length": _long_length,
    "trailing-byte": lambda data: data + b"\0",
    "twelve-byte-tag": _short_tag,
    "cbc": lambda data: data.replace(der.oid("2.16.840.1.101.3.4.1.46"), der.oid("2.16.840.1.101.3.4.1.42")),
    "enveloped-data": lambda data: data.replace(der.oid("1.2.840.113549.1.9.16.1.23"), der.oid("1.2.840.113549.1.7.3")),
    "content-bit": lambda data: _flip(data, len(data) // 2),
    "tag-bit": lambda data: _flip(data, len(data) - 1),
    "cut-off": lambda data: data[:-1],
    "empty": lambda _data: b"",
}


def _keys() -> Iterator[Entry]:
    for number in (4,):
        yield "key", f"key-{number}.pem", private_key_pem(key(number)), None
        cert = certificate(number, f"recipient {number}", signing=False)
        yield "certificate", f"cert-{number}.pem", cert.public_bytes(Encoding.PEM), None
    signer = certificate(1, "signer 1", signing=True)
    yield "certificate", "cert-1.pem", signer.public_bytes(Encoding.PEM), None


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else FILES)
