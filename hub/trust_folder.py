"""The `trust/` folder of a node: trust lists and revocation lists accepted so far (protocol 10.1, 4.4).

Decides what enters the folder: only what was verified against what is in force, so that a bad file in `pub/` can never
stop a node. Leaves to others where files come from and who is told.

`accepted.json` keeps, per version, its digest and when it was accepted: the persisted highest version, so that a folder
from which the newest list was taken away is a rollback. A list accepted once is verified as of that moment again; a
certificate that has expired since takes nothing back. `crls.json` does the same for the CRL number of each CA.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from hub.batch import wire
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import trust_list_name
from hub.errors import KeyMaterialError, NotInitialisedError, RefusedError
from hub.transport.durable import write_durably
from hub.trust.chain import Crl, CrlSet, parse_crl
from hub.trust.keys import cert_keyid
from hub.trust.trust_list import TrustList, parse_trust_list
from hub.trust.update import MAX_STEPS, accept_first, accept_next
from hub.verdict import refused

PINS, ACCEPTED, CRLS, GRANTS = "roots.json", "accepted.json", "crls.json", "grants.json"
# Longest envelope of a trust list or grant (protocol 3.1), and of a revocation list.
MAX_BYTES: Final = 512 * 1024
MAX_CRL: Final = 4 << 20
CRL_NAME: Final = re.compile(r"crl-([0-9a-f]{16})-([0-9]{10})\.crl", re.ASCII)


def open_trust(folder: Path, *, at: datetime) -> TrustList:
    """The newest trust list, verified from the pins, with the newest CRL of each CA; keeps what was newly accepted."""
    accepted = _accepted(folder)
    first = trust_list_name(1)
    trust = accept_first(read(folder, first), pins=_pins(folder), at=_moment(accepted, 1, at), where=first)
    seen = {1: _kept(accepted, trust, at)}
    while (folder / trust_list_name(trust.version + 1)).is_file():
        # So many at once (protocol 10.1): what was accepted on another day is no step.
        if len(seen.keys() - accepted.keys() - {1}) >= MAX_STEPS:
            raise refused("E_TRUST_GAP", f"一次最多接受 {MAX_STEPS} 个版本", where="trust-list")
        name = trust_list_name(trust.version + 1)
        trust = accept_next(trust, read(folder, name), at=_moment(accepted, trust.version + 1, at), where=name)
        seen[trust.version] = _kept(accepted, trust, at)
    highest = max(accepted, default=0)
    if trust.version < highest:
        raise refused("E_TRUST_ROLLBACK", f"曾接受第 {highest} 版，现只有第 {trust.version} 版", where="trust")
    if seen.keys() != accepted.keys():
        body = json.dumps({str(n): entry for n, entry in sorted(seen.items())}, indent=1).encode()
        write_durably([body], folder / ACCEPTED, MAX_BYTES)
    return replace(trust, crls=_newest_crls(folder, trust))


def take_first(folder: Path, envelope: bytes, *, at: datetime, where: str) -> TrustList:
    """The first list of a new node, judged by the pins; in the folder on return.

    Raises E_NAME for another name than the first list's, E_SIG when the pinned keys did not sign it.
    """
    if where != trust_list_name(1):
        raise refused("E_NAME", "新节点须从第 1 版信任清单收起", where=where)
    accept_first(envelope, pins=_pins(folder), at=at, where=where)
    write_durably([envelope], folder / where, MAX_BYTES)
    return open_trust(folder, at=at)


def take_list(folder: Path, envelope: bytes, *, at: datetime, where: str) -> TrustList:
    """The list in force after `envelope` was offered under the name `where`; in the folder on return, if it was new.

    Raises E_TRUST_…, E_NAME for a name of another version, or a code of protocol 4.2; the folder is as it was then.
    """
    current = open_trust(folder, at=at)
    candidate = accept_next(list_at(folder, current.version), envelope, at=at, where=where)
    if where != trust_list_name(candidate.version):
        raise refused("E_NAME", f"签名内容是第 {candidate.version} 版", where=where)
    if candidate.version == current.version:
        return current
    write_durably([envelope], folder / trust_list_name(candidate.version), MAX_BYTES)
    return open_trust(folder, at=at)


def take_crl(folder: Path, der: bytes, *, at: datetime) -> Crl | None:
    """The CRL, now in the folder; None when it is the one in use. E_CHAIN when foreign, malformed or older."""
    trust = open_trust(folder, at=at)
    crl = parse_crl(der, trust.anchors)
    known = trust.crls.by_issuer.get(crl.issuer_keyid)
    trust.crls.offer(der, trust.anchors)
    if known is not None and known.number == crl.number:
        return None
    write_durably([der], folder / crl_name(crl), MAX_CRL)
    numbers = {issuer: found.number for issuer, found in trust.crls.by_issuer.items()} | {crl.issuer_keyid: crl.number}
    write_durably([json.dumps(numbers, indent=1).encode()], folder / CRLS, MAX_BYTES)
    return crl


def crl_name(crl: Crl) -> str:
    """`crl-<16 digits of the CA's key id>-<CRL number>.crl`, in `trust/` and in `pub/`."""
    return f"crl-{crl.issuer_keyid.removeprefix('sha256:')[:16]}-{crl.number:010d}.crl"


def stored_lists(folder: Path, trust: TrustList) -> Iterator[tuple[str, bytes]]:
    """Every accepted list, oldest first: what a province that was silent needs (protocol 10.1)."""
    for version in range(1, trust.version + 1):
        name = trust_list_name(version)
        yield name, read(folder, name)


def list_at(folder: Path, version: int) -> TrustList:
    """A version that is in the folder and was accepted before (protocol 10.7: evidence under the recorded version)."""
    name = trust_list_name(version)
    return parse_trust_list(parse(read(folder, name), PayloadType.TRUST_LIST, where=name).payload)


def accepted_grants(folder: Path) -> dict[str, str]:
    """Name of every epoch grant that was verified before, and the digest of the very bytes."""
    if not (folder / GRANTS).is_file():
        return {}
    data = _json(folder, GRANTS)
    if not isinstance(data, dict) or not all(isinstance(digest, str) for digest in data.values()):
        raise unreadable(f"{folder.name}/{GRANTS}")
    return data


def keep_grants(folder: Path, digests: Mapping[str, str]) -> None:
    """Remembers verified grants."""
    body = json.dumps(dict(sorted(digests.items())), indent=1).encode()
    write_durably([body], folder / GRANTS, MAX_BYTES)


def read(folder: Path, name: str, limit: int = MAX_BYTES) -> bytes:
    """A small file of keys or trust; NotInitialisedError E1001 when absent, KeyMaterialError E1204 when unreadable."""
    where = f"{folder.name}/{name}"
    try:
        with (folder / name).open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        own = "用 hub key gen、hub key install 生成并装入，" if folder.name != "trust" else "用 hub key accept 收下，"
        step = f"新节点{own}或从备份恢复该文件"
        raise NotInitialisedError("E1001", "节点密钥或信任材料不存在", where=where, step=step) from None
    except OSError:
        raise unreadable(where) from None
    if len(content) > limit:
        raise unreadable(where)
    return content


def unreadable(where: str) -> KeyMaterialError:
    """E1204 for a file of keys or trust."""
    return KeyMaterialError(
        "E1204", "密钥或信任材料无法读取", where=where, step="核对文件内容与权限（属主只读），或从备份恢复"
    )


def _newest_crls(folder: Path, trust: TrustList) -> CrlSet:
    """The list's own CRLs and those fetched since, the highest number of each CA; E_CHAIN when one was taken away."""
    newest = dict(trust.crls.by_issuer)
    for path in sorted(folder.glob("crl-*.crl")):
        if CRL_NAME.fullmatch(path.name) is None:
            continue
        try:
            crl = parse_crl(read(folder, path.name, MAX_CRL), trust.anchors)
        except RefusedError:
            continue  # of a CA that has left the list; it was verified when it came
        known = newest.get(crl.issuer_keyid)
        if known is None or crl.number > known.number:
            newest[crl.issuer_keyid] = crl
    anchors = {cert_keyid(cert) for cert in trust.anchors}
    for issuer, number in _numbers(folder).items():
        if issuer in anchors and (issuer not in newest or newest[issuer].number < number):
            raise refused("E_CHAIN", f"曾使用第 {number} 号吊销列表，现在没有了", where="trust")
    return CrlSet(MappingProxyType(newest))


def _numbers(folder: Path) -> dict[str, int]:
    if not (folder / CRLS).is_file():
        return {}
    data = _json(folder, CRLS)
    if not isinstance(data, dict) or not all(isinstance(n, int) for n in data.values()):
        raise unreadable(f"{folder.name}/{CRLS}")
    return data


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
        raise unreadable(f"{folder.name}/{ACCEPTED}") from None


def _pins(folder: Path) -> frozenset[str]:
    data = _json(folder, PINS)
    pins = data.get("pins") if isinstance(data, dict) else None
    if not isinstance(pins, list) or not all(isinstance(pin, str) for pin in pins):
        raise unreadable(f"{folder.name}/{PINS}")
    return frozenset(pins)


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads(read(folder, name))
    except ValueError:
        raise unreadable(f"{folder.name}/{name}") from None
