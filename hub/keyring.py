"""A node's keys and what it trusts, opened once per run from `keys/` and `trust/`.

Decides that nothing is used before it was verified: the trust lists from the pinned offline keys onwards, one by one
(protocol 10.1), then the epoch grants under the list in force (protocol 9.1). Leaves to others: who may sign what
(`hub.trust`), and fetching new lists.

`trust/accepted.json` keeps, per version, its digest and when it was accepted. It is the persisted highest version: a
folder from which the newest list was taken away is a rollback. A list accepted once is verified as of that moment
again, so that a certificate that has expired since takes nothing back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509

from hub.batch import wire
from hub.batch.grant import EpochGrant, open_grant
from hub.batch.layout import NameKind, StreamId, parse_name, trust_list_name
from hub.errors import KeyMaterialError, NotInitialisedError
from hub.settings import Node
from hub.transport.durable import write_durably
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
from hub.trust.update import MAX_STEPS, accept_first, accept_next
from hub.verdict import refused

SIGN_KEY, SIGN_CERT = "sign.key.pem", "sign.cert.pem"
ENC_KEY, ENC_CERT = "enc.key.pem", "enc.cert.pem"
PINS, ACCEPTED = "roots.json", "accepted.json"
# Longest envelope of a trust list or grant (protocol 3.1).
_MAX_BYTES: Final = 512 * 1024


@dataclass(frozen=True)
class Keyring:
    """What a step needs to sign, open and believe. `decryption`: private key and the certificate peers encrypt to."""

    signer: Signer = field(repr=False)
    decryption: tuple[PrivateKey, x509.Certificate] = field(repr=False)
    trust: TrustList = field(repr=False)
    grants: Mapping[StreamId, EpochGrant]

    def grant(self, stream_id: StreamId) -> EpochGrant | None:
        """The verified grant that opened this epoch, None when the node holds none."""
        return self.grants.get(stream_id)


def open_keyring(node: Node, *, at: datetime) -> Keyring:
    """Reads and verifies keys, trust lists and grants of a node. `at`: aware, the moment things must be valid.

    Raises `NotInitialisedError` E1001 (a file is not there), `KeyMaterialError` E1201–E1204 (unreadable, foreign or
    unequal keys), `RefusedError` with a code of protocol 4.2, `E_TRUST_…` or `E_GRANT`.
    """
    signer = DevelopmentFileSigner.load(
        _read(node.keys, SIGN_KEY), _read(node.keys, SIGN_CERT).decode("ascii", "replace"), where=SIGN_KEY
    )
    trust = open_trust(node.trust, at=at)
    return Keyring(signer, _decryption(node.keys), trust, MappingProxyType(_grants(node.trust, trust, at)))


def open_trust(folder: Path, *, at: datetime) -> TrustList:
    """The newest trust list of a `trust/` folder, verified from the pins; keeps what was newly accepted."""
    accepted = _accepted(folder)
    first = trust_list_name(1)
    trust = accept_first(_read(folder, first), pins=_pins(folder), at=_moment(accepted, 1, at), where=first)
    seen = {1: _kept(accepted, trust, at)}
    while (folder / trust_list_name(trust.version + 1)).is_file():
        if len(seen) > MAX_STEPS:
            raise refused("E_TRUST_GAP", f"一次最多接受 {MAX_STEPS} 个版本", where="trust-list")
        name = trust_list_name(trust.version + 1)
        trust = accept_next(trust, _read(folder, name), at=_moment(accepted, trust.version + 1, at), where=name)
        seen[trust.version] = _kept(accepted, trust, at)
    highest = max(accepted, default=0)
    if trust.version < highest:
        raise refused("E_TRUST_ROLLBACK", f"曾接受第 {highest} 版，现只有第 {trust.version} 版", where="trust")
    if seen.keys() != accepted.keys():
        body = json.dumps({str(n): entry for n, entry in sorted(seen.items())}, indent=1).encode()
        write_durably([body], folder / ACCEPTED, _MAX_BYTES)
    return trust


def _kept(accepted: Mapping[int, Mapping[str, str]], trust: TrustList, at: datetime) -> dict[str, str]:
    known = accepted.get(trust.version)
    if known is None:
        return {"digest": trust.digest, "seen_at": wire.write_utc(at)}
    if known["digest"] != trust.digest:
        raise refused("E_TRUST_FORK", f"第 {trust.version} 版", where=trust_list_name(trust.version))
    return dict(known)


def _moment(accepted: Mapping[int, Mapping[str, str]], version: int, at: datetime) -> datetime:
    known = accepted.get(version)
    return wire.read_utc(known["seen_at"], where=ACCEPTED) if known else at


def _accepted(folder: Path) -> dict[int, dict[str, str]]:
    if not (folder / ACCEPTED).is_file():
        return {}
    data = _json(folder, ACCEPTED)
    try:
        return {int(n): {"digest": str(e["digest"]), "seen_at": str(e["seen_at"])} for n, e in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _unreadable(f"{folder.name}/{ACCEPTED}") from None


def _pins(folder: Path) -> frozenset[str]:
    data = _json(folder, PINS)
    pins = data.get("pins") if isinstance(data, dict) else None
    if not isinstance(pins, list) or not all(isinstance(pin, str) for pin in pins):
        raise _unreadable(f"{folder.name}/{PINS}")
    return frozenset(pins)


def _grants(folder: Path, trust: TrustList, at: datetime) -> dict[StreamId, EpochGrant]:
    found = {}
    for path in sorted(folder.glob("*.grant.dsse")):
        if parse_name(path.name).kind is NameKind.GRANT:
            grant = open_grant(_read(folder, path.name), path.name, trust=trust, at=at)
            found[grant.stream_id] = grant
    return found


def _decryption(keys: Path) -> tuple[PrivateKey, x509.Certificate]:
    key = load_private_key(_read(keys, ENC_KEY), where=ENC_KEY)
    cert = load_certificates(_read(keys, ENC_CERT), where=ENC_CERT)[0]
    if cert_keyid(cert) != keyid_of(key.public_key()):
        raise KeyMaterialError(
            "E1203", "解密私钥与证书不匹配", where=ENC_KEY, step="核对密钥目录中的证书与私钥是否为同一对"
        )
    return key, cert


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads(_read(folder, name))
    except ValueError:
        raise _unreadable(f"{folder.name}/{name}") from None


def _read(folder: Path, name: str) -> bytes:
    where = f"{folder.name}/{name}"
    try:
        with (folder / name).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotInitialisedError(
            "E1001", "节点密钥或信任材料不存在", where=where, step="先运行 hub lab init，或从备份恢复该文件"
        ) from None
    except OSError:
        raise _unreadable(where) from None
    if len(content) > _MAX_BYTES:
        raise _unreadable(where)
    return content


def _unreadable(where: str) -> KeyMaterialError:
    return KeyMaterialError(
        "E1204", "密钥或信任材料无法读取", where=where, step="核对文件内容与权限（属主只读），或从备份恢复"
    )
