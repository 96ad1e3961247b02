"""A node's own keys: made, certified, replaced (protocol 10.3–10.6, console 7).

Decides the order of a routine rotation: a next key is made beside the one in use (`keys/next/`), its certificate comes
from the CA, the ministry announces it at least seven days ahead, and only then does it take the old one's place. A
decryption key that was replaced stays (`keys/old/`): what is under way was encrypted to it. Leaves to `hub.trust` what
the trust list says, and never takes a private key out of the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from hub.errors import KeyMaterialError, UsageError
from hub.keyring import ENC_CERT, ENC_KEY, NEXT, OLD, SIGN_CERT, SIGN_KEY
from hub.transport.durable import sync_folder, write_durably
from hub.trust.keys import (
    cert_keyid,
    certificate_pem,
    generate_encryption_key,
    generate_signing_key,
    keyid_of,
    load_certificates,
    load_private_key,
    private_key_pem,
)
from hub.trust.trust_list import TrustList

Purpose = Literal["sign", "enc"]
PURPOSES: Final[dict[Purpose, tuple[str, str, str]]] = {
    "sign": (SIGN_KEY, SIGN_CERT, "sign.csr.pem"),
    "enc": (ENC_KEY, ENC_CERT, "enc.csr.pem"),
}
WORDS: Final[dict[Purpose, str]] = {"sign": "签名", "enc": "加密"}
_MAX: Final = 64 * 1024


@dataclass(frozen=True)
class OwnKey:
    """One key of the node. `place`: `current`, `next` or `old`; `expires`: of its certificate, None without one."""

    purpose: Purpose
    place: str
    keyid: str
    expires: datetime | None


@dataclass(frozen=True)
class Made:
    """A next key: its key id, to be compared by telephone, and the request for the CA."""

    purpose: Purpose
    keyid: str
    request: Path


def list_keys(keys: Path) -> Iterator[OwnKey]:
    """All keys of a node; of one in a device only the certificate."""
    for purpose, (key_name, cert_name, _) in PURPOSES.items():
        for place, folder in (("current", keys), ("next", keys / NEXT)):
            if (folder / cert_name).is_file():
                cert = load_certificates((folder / cert_name).read_bytes(), where=cert_name)[0]
                yield OwnKey(purpose, place, cert_keyid(cert), cert.not_valid_after_utc)
            elif (folder / key_name).is_file():
                key = load_private_key((folder / key_name).read_bytes(), where=key_name)
                yield OwnKey(purpose, place, keyid_of(key.public_key()), None)
    for path in sorted((keys / OLD).glob("*.cert.pem")):
        cert = load_certificates(path.read_bytes(), where=path.name)[0]
        yield OwnKey(
            "sign" if path.name.startswith("sign") else "enc", "old", cert_keyid(cert), cert.not_valid_after_utc
        )


def generate(keys: Path, purpose: Purpose, name: str) -> Made:
    """A next key and its certificate request (PKCS#10). UsageError E1215 when one waits already.

    `name`: common name of the request. Signing keys of production are made in the device (protocol 10.3).
    """
    key_name, _, csr_name = PURPOSES[purpose]
    folder = keys / NEXT
    folder.mkdir(mode=0o700, exist_ok=True)
    if (folder / key_name).exists():
        raise UsageError(
            "E1215", f"已有一把待启用的{WORDS[purpose]}密钥", where=f"keys/{NEXT}", step="先用 hub key rotate 启用它"
        )
    key = generate_signing_key() if purpose == "sign" else generate_encryption_key("ec")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    write_durably([private_key_pem(key)], folder / key_name, _MAX)
    write_durably([request.public_bytes(serialization.Encoding.PEM)], folder / csr_name, _MAX, mode=0o644)
    return Made(purpose, keyid_of(key.public_key()), folder / csr_name)


def install(keys: Path, pem: bytes, *, device: bool = False) -> OwnKey:
    """The CA's certificate (leaf first) beside the next key it belongs to; KeyMaterialError E1203 when to none.

    `device`: the signing key lies in one, so that a certificate which fits no key here is the signing key's.
    """
    chain = load_certificates(pem, where="cert")
    keyid = cert_keyid(chain[0])
    for purpose, (key_name, _, _) in PURPOSES.items():
        path = keys / NEXT / key_name
        if not path.is_file() or keyid_of(load_private_key(path.read_bytes(), where=key_name).public_key()) != keyid:
            continue
        return _installed(keys, purpose, chain)
    if device:
        (keys / NEXT).mkdir(mode=0o700, exist_ok=True)
        return _installed(keys, "sign", chain)
    raise KeyMaterialError("E1203", "证书不属于任何待启用的密钥", where="cert", step="核对是否为本节点请求签发的证书")


def _installed(keys: Path, purpose: Purpose, chain: list[x509.Certificate]) -> OwnKey:
    body = "".join(certificate_pem(cert) for cert in chain).encode("ascii")
    write_durably([body], keys / NEXT / PURPOSES[purpose][1], _MAX, mode=0o644)
    return OwnKey(purpose, "next", cert_keyid(chain[0]), chain[0].not_valid_after_utc)


def begin(keys: Path, purpose: Purpose) -> bool:
    """Puts the first pair of a new node in use; False, with nothing done, where one is in use already."""
    key_name, cert_name, csr_name = PURPOSES[purpose]
    if (keys / cert_name).is_file():
        return False
    for name in (key_name, cert_name):
        if (keys / NEXT / name).is_file():
            os.replace(keys / NEXT / name, keys / name)
    (keys / NEXT / csr_name).unlink(missing_ok=True)
    sync_folder(keys)
    if not any((keys / NEXT).iterdir()):
        shutil.rmtree(keys / NEXT)
    return True


def holder_key(folder: Path, purpose: Purpose, name: str) -> Made:
    """The key of somebody who is no node (an offline key's holder, the escrow) and its request, `<purpose>.*.pem`.

    UsageError E1215 when the folder has one already.
    """
    made = generate(folder, purpose, name) if not (folder / PURPOSES[purpose][0]).exists() else None
    if made is None:
        raise UsageError("E1215", f"该目录已有一把{WORDS[purpose]}密钥", where=folder.name, step="每把密钥用一个目录")
    key_name, _, csr_name = PURPOSES[purpose]
    for file in (key_name, csr_name):
        os.replace(folder / NEXT / file, folder / file)
    shutil.rmtree(folder / NEXT)
    return Made(purpose, made.keyid, folder / csr_name)


def ready_to_rotate(keys: Path, purpose: Purpose, party: str, trust: TrustList, at: datetime) -> str:
    """Key id of the next key, when it may take over at `at`; UsageError E1216 saying what is missing otherwise."""
    _, cert_name, _ = PURPOSES[purpose]
    path = keys / NEXT / cert_name
    if not path.is_file():
        raise _not_yet(purpose, "还没有待启用的密钥及其证书", "先用 hub key gen 生成，再用 hub key install 装入证书")
    keyid = cert_keyid(load_certificates(path.read_bytes(), where=cert_name)[0])
    member = trust.member(party)
    listed = {entry.keyid: entry for entry in (member.sign if purpose == "sign" else member.encrypt)}
    if keyid not in listed:
        raise _not_yet(purpose, f"现行信任清单（第 {trust.version} 版）没有这把密钥", "请部级在下一版信任清单中公布")
    begin = listed[keyid].not_before
    if at < begin:
        raise _not_yet(purpose, f"公布未满七天，{begin:%Y-%m-%d %H:%M} UTC 起可启用", "到时重新运行")
    if trust.is_revoked(keyid, at):
        raise _not_yet(purpose, "这把密钥已被吊销", "另行生成")
    return keyid


def rotate(keys: Path, purpose: Purpose) -> None:
    """The next key becomes the one in use; the one in use goes to `old/`. Safe to repeat after a crash.

    Copies first, then one rename per file, certificate last: until then the old pair is whole.
    """
    key_name, cert_name, csr_name = PURPOSES[purpose]
    old, coming = keys / OLD, keys / NEXT
    old.mkdir(mode=0o700, exist_ok=True)
    keyid = cert_keyid(load_certificates((keys / cert_name).read_bytes(), where=cert_name)[0])
    short = keyid.removeprefix("sha256:")[:16]
    for source, kind in ((key_name, "key"), (cert_name, "cert")):
        kept = old / f"{purpose}-{short}.{kind}.pem"
        # A signing key that was replaced signs nothing any more: only its certificate is kept.
        if (keys / source).is_file() and not kept.exists() and (purpose, kind) != ("sign", "key"):
            write_durably([(keys / source).read_bytes()], kept, _MAX)
    for name in (key_name, cert_name):
        if (coming / name).is_file():
            os.replace(coming / name, keys / name)
    (coming / csr_name).unlink(missing_ok=True)
    sync_folder(keys)
    if not any(coming.iterdir()):
        shutil.rmtree(coming)


def _not_yet(purpose: Purpose, what: str, step: str) -> UsageError:
    return UsageError("E1216", f"{WORDS[purpose]}密钥还不能启用：{what}", where=f"keys/{NEXT}", step=step)
