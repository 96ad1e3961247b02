"""The next trust list from the one in force: what is announced, revoked, retired, renewed (protocol 10.1, 10.4, 10.6).

Decides how a change stands on the list; who wants it is in arguments, who signs it are the offline keys' holders. All
functions take and give the payload as a dictionary, so that members of it which this version does not know are kept.

Rules: an announced key becomes valid seven days after the list is issued, unless it replaces a compromised one; the
keys before it stay until they are retired; what was revoked stays on the list for ever; a CRL number never goes down.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hub.batch import strictjson, wire
from hub.errors import UsageError
from hub.trust.build import MemberEntry, member_payload
from hub.trust.chain import CrlSet
from hub.trust.keys import SUITE_I1, algorithm_of, cert_keyid, cert_spki, is_strong
from hub.trust.trust_list import VALIDITY, TrustList, parse_trust_list

Payload = dict[str, Any]
AHEAD = timedelta(days=7)


def next_version(payload: bytes, *, issued: datetime) -> Payload:
    """The same content under the next number, valid for 30 days from `issued` (aware UTC)."""
    data: Payload = copy.deepcopy(strictjson.parse_object(payload, where="trust-list"))
    data["version"] += 1
    data["issued"], data["expires"] = wire.write_utc(issued), wire.write_utc(issued + VALIDITY)
    return data


def admit(data: Payload, member: MemberEntry) -> None:
    """A further party with its keys, valid at once; UsageError E1214 when it is listed already."""
    if any(entry["party"] == member.party for entry in data["parties"]):
        raise _cannot("该参与方已在清单中", member.party)
    data["parties"].append(member_payload(member))


def announce_signing(data: Payload, party: str, cert: x509.Certificate, *, at_once: bool = False) -> str:
    """Pins the party's next signing key with the roles of its newest one; returns the key id.

    `at_once`: without the seven days, for a key that replaces a compromised one. UsageError E1214 for a weak key, a
    party that is not listed or has no key whose roles could be taken over, a key that is listed already.
    """
    member, keyid = _member(data, party), _strong(cert)
    if any(entry["keyid"] == keyid for other in data["parties"] for entry in other["sign"]):
        raise _cannot("该签名密钥已在清单中", party)
    online = [entry for entry in member["sign"] if "trust" not in entry["roles"]]
    if not online:
        raise _cannot("该方没有签名密钥，无从沿用权限", party)
    before = max(online, key=lambda entry: entry["not_before"])
    entry = {
        "keyid": keyid,
        "spki": wire.write_base64(cert_spki(cert)),
        "alg": algorithm_of(cert.public_key()),  # type: ignore[arg-type]
        "suite": SUITE_I1,
        "roles": list(before["roles"]),
        "not_before": wire.write_utc(_begin(data, cert, at_once)),
        "not_after": wire.write_utc(cert.not_valid_after_utc),
    }
    member["sign"].append(entry)
    return keyid


def announce_encryption(data: Payload, party: str, cert: x509.Certificate, *, at_once: bool = False) -> str:
    """Lists the party's next encryption certificate; senders use it from its first day on (protocol 10.5)."""
    member, keyid = _member(data, party), _strong(cert)
    if any(entry["keyid"] == keyid for entry in member["encrypt"]):
        raise _cannot("该加密证书已在清单中", party)
    entry = {
        "keyid": keyid,
        "cert": wire.write_base64(cert.public_bytes(serialization.Encoding.DER)),
        "suite": SUITE_I1,
        "not_before": wire.write_utc(_begin(data, cert, at_once)),
        "not_after": wire.write_utc(cert.not_valid_after_utc),
    }
    member["encrypt"].append(entry)
    return keyid


def revoke(data: Payload, keyid: str, *, since: datetime, reason: str) -> str:
    """The key counts no more from `since` on; its party. It stays pinned, so that older evidence can be judged."""
    for member in data["parties"]:
        if any(entry["keyid"] == keyid for entry in (*member["sign"], *member["encrypt"])):
            if any(entry["keyid"] == keyid for entry in data["revoked"]):
                raise _cannot("该密钥已被吊销", member["party"])
            data["revoked"].append({"keyid": keyid, "compromised_since": wire.write_utc(since), "reason": reason})
            return str(member["party"])
    raise _cannot("清单中没有该密钥", keyid[:23])


def retire(data: Payload, keyid: str) -> str:
    """Takes a replaced key off the list, once nothing signed by it is under way; its party."""
    for member in data["parties"]:
        for kind in ("sign", "encrypt"):
            left = [entry for entry in member[kind] if entry["keyid"] != keyid]
            if len(left) < len(member[kind]):
                if not left:
                    raise _cannot("这是该方唯一的密钥，不能退役", member["party"])
                member[kind] = left
                return str(member["party"])
    raise _cannot("清单中没有该密钥", keyid[:23])


def renew_crls(data: Payload, ders: Sequence[bytes], anchors: Sequence[x509.Certificate]) -> None:
    """Newer CRLs in place of those of the same CA; E_CHAIN when one is older or not a listed CA's."""
    before = CrlSet().offer_all((wire.read_base64(text) for text in data["crls"]), anchors)
    newest = before.offer_all(ders, anchors)
    data["crls"] = [wire.write_base64(crl.der) for crl in newest.by_issuer.values()]


def announce_host_key(data: Payload, line: str, *, retire_others: bool = False) -> None:
    """The transfer server's next host key beside the current one, or alone (protocol 2.6)."""
    keys = _member(data, "moe")["ssh"]["host_keys"]
    _member(data, "moe")["ssh"]["host_keys"] = [line] if retire_others else list(dict.fromkeys([*keys, line]))


def finish(data: Payload) -> tuple[bytes, TrustList]:
    """Canonical bytes to be signed, parsed again: nothing is signed that receivers would refuse."""
    payload = strictjson.emit(data)
    return payload, parse_trust_list(payload)


def _begin(data: Payload, cert: x509.Certificate, at_once: bool) -> datetime:
    issued = wire.read_utc(data["issued"])
    return max(cert.not_valid_before_utc, issued if at_once else issued + AHEAD)


def _member(data: Payload, party: str) -> Payload:
    for member in data["parties"]:
        if member["party"] == party:
            found: Payload = member
            return found
    raise _cannot("信任清单中没有该参与方", party)


def _strong(cert: x509.Certificate) -> str:
    if not is_strong(cert.public_key()):
        raise _cannot("证书的密钥类型或长度不合规定", "cert")
    return cert_keyid(cert)


def _cannot(what: str, where: str) -> UsageError:
    return UsageError("E1214", what, where=where, step="核对参与方、证书与密钥号；没有生成任何文件")
