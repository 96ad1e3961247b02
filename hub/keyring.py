"""A node's keys and what it trusts, opened once per run from `keys/` and `trust/`.

Decides that nothing is used before it was verified: trust lists and CRLs (`hub.trust_folder`), then the epoch grants
under the list in force (protocol 9.1). A grant that does not hold opens nothing and stops nobody else: it is named in
`spoiled`. Leaves to others: who may sign what (`hub.trust`), and fetching new lists.

Files in `keys/`: `sign.*` and `enc.*` in use; `next/` what was generated and waits for its turn; `old/` decryption keys
that peers may still have encrypted to (protocol 10.4, 10.5). With the setting `signer_command` the signing key is in
a device and `keys/` only holds its certificate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509

from hub.batch import wire
from hub.batch.envelope import PayloadType, parse
from hub.batch.grant import EpochGrant, open_grant, parse_grant
from hub.batch.layout import StreamId
from hub.errors import HubError, KeyMaterialError, RefusedError
from hub.settings import Node
from hub.signing import CommandSigner
from hub.trust.keys import (
    DevelopmentFileSigner,
    PrivateKey,
    Signer,
    cert_keyid,
    keyid_of,
    load_certificates,
    load_private_key,
)
from hub.trust.trust_list import TrustList
from hub.trust_folder import ACCEPTED, PINS, accepted_grants, keep_grants, list_at, open_trust, read

__all__ = ["ACCEPTED", "ENC_CERT", "ENC_KEY", "PINS", "SIGN_CERT", "SIGN_KEY", "Keyring", "open_keyring", "open_trust"]

SIGN_KEY, SIGN_CERT = "sign.key.pem", "sign.cert.pem"
ENC_KEY, ENC_CERT = "enc.key.pem", "enc.cert.pem"
NEXT, OLD = "next", "old"
_OLD_KEYS: Final = "enc-*.key.pem"
_ANEW: Final = "取得签名成立的授权，用 hub key accept 收下以替换该文件；来历不明的移出 trust 目录并查明"

Decryption = tuple[PrivateKey, x509.Certificate]


@dataclass(frozen=True)
class Keyring:
    """What a step needs to sign, open and believe. `decryption`: private key and the certificate peers encrypt to;
    `others`: the same of the key to come and of keys that were replaced; `spoiled`: grants in `trust/` that do
    not hold, by file name, and why."""

    signer: Signer = field(repr=False)
    decryption: Decryption = field(repr=False)
    trust: TrustList = field(repr=False)
    grants: Mapping[StreamId, EpochGrant]
    others: tuple[Decryption, ...] = field(repr=False, default=())
    folder: Path | None = field(repr=False, default=None)
    spoiled: Mapping[str, HubError] = field(default_factory=dict)

    def grant(self, stream_id: StreamId) -> EpochGrant | None:
        """The verified grant that opened this epoch, None when the node holds none."""
        return self.grants.get(stream_id)

    def trust_of(self, version: int) -> TrustList:
        """The list of that version with the CRLs known now: what evidence is judged under (protocol 10.7)."""
        if self.folder is None or not 0 < version < self.trust.version:
            return self.trust
        return replace(list_at(self.folder, version), crls=self.trust.crls)

    def opening(self, keyids: Collection[str]) -> Decryption:
        """The pair that opens what was encrypted to one of these keys; the one in use when none of them is ours."""
        fitting = (pair for pair in (self.decryption, *self.others) if cert_keyid(pair[1]) in keyids)
        return next(fitting, self.decryption)


def open_keyring(node: Node, *, at: datetime) -> Keyring:
    """Reads and verifies keys, trust lists and grants of a node. `at`: aware, the moment things must be valid.

    Raises `NotInitialisedError` E1001 (a file is not there), `KeyMaterialError` E1201–E1204 (unreadable, foreign or
    unequal keys), `RefusedError` with a code of protocol 4.2 or `E_TRUST_…`.
    """
    signer = open_signer(node)
    trust = open_trust(node.trust, at=at)
    current = _pair(node.keys, ENC_KEY, ENC_CERT)
    grants, spoiled = _grants(node.trust, trust, at)
    others = tuple(_others(node.keys))
    return Keyring(signer, current, trust, MappingProxyType(grants), others, node.trust, MappingProxyType(spoiled))


def open_signer(node: Node) -> Signer:
    """The node's signer: the device behind `signer_command`, otherwise the development key file."""
    cert_pem = read(node.keys, SIGN_CERT).decode("ascii", "replace")
    settings = node.settings
    if settings.signer_command:
        return CommandSigner(settings.signer_command, cert_pem, seconds=settings.signer_seconds, where=SIGN_CERT)
    return DevelopmentFileSigner.load(read(node.keys, SIGN_KEY), cert_pem, where=SIGN_KEY)


def _grants(folder: Path, trust: TrustList, at: datetime) -> tuple[dict[StreamId, EpochGrant], dict[str, HubError]]:
    """Grants by stream, and those that do not hold by name. A file is verified when its bytes are first seen, under the
    list in force then; afterwards their digest stands for it, so that keys which expire or leave the list take no epoch
    back (protocol 10.7)."""
    accepted = accepted_grants(folder)
    found: dict[StreamId, EpochGrant] = {}
    spoiled: dict[str, HubError] = {}
    seen = dict(accepted)
    for path in sorted(folder.glob("*.grant.dsse")):
        try:
            content = read(folder, path.name)
            digest = wire.digest_of(content)
            if accepted.get(path.name) == digest:
                grant = parse_grant(parse(content, PayloadType.EPOCH_GRANT, where=path.name).payload, where=path.name)
            else:
                grant = open_grant(content, path.name, trust=trust, at=at)
        except RefusedError as error:
            what = f"期次授权不成立，不开通任何期次：{error.what}"
            spoiled[path.name] = RefusedError(error.code, what, where=path.name, step=_ANEW)
            continue
        except HubError as error:
            spoiled[path.name] = error
            continue
        found[grant.stream_id], seen[path.name] = grant, digest
    if seen != accepted:
        keep_grants(folder, seen)
    return found, spoiled


def _others(keys: Path) -> Iterator[Decryption]:
    """Keys that are not the newest and still open something: the announced one, and replaced ones."""
    if (keys / NEXT / ENC_CERT).is_file():
        yield _pair(keys / NEXT, ENC_KEY, ENC_CERT)
    for path in sorted((keys / OLD).glob(_OLD_KEYS)):
        yield _pair(keys / OLD, path.name, path.name.replace(".key.", ".cert."))


def _pair(folder: Path, key_name: str, cert_name: str) -> Decryption:
    key = load_private_key(read(folder, key_name), where=key_name)
    cert = load_certificates(read(folder, cert_name), where=cert_name)[0]
    if cert_keyid(cert) != keyid_of(key.public_key()):
        raise KeyMaterialError(
            "E1203", "解密私钥与证书不匹配", where=key_name, step="核对密钥目录中的证书与私钥是否为同一对"
        )
    return key, cert
