"""Keys, certificates, trust lists and the first epoch grants of a laboratory (protocol 9.1, 10).

Decides who may do what in a lab: the ministry answers, the province seals, three offline keys sign trust lists and
grants, two at a time, and an escrow key can open everything. All are development key files and say so; production keys
live in hardware and come from the education CA (protocol 10.3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from hub import keyring
from hub.batch.envelope import PayloadType
from hub.batch.envelope import build as build_envelope
from hub.batch.envelope import parse as parse_envelope
from hub.batch.grant import EpochGrant, build_grant
from hub.batch.layout import ESCROW, EVERYONE, MINISTRY, StreamId, grant_name, trust_list_name
from hub.down.form import CASE, CODES, ERRORS, stream_of
from hub.settings import Node
from hub.trust import amend
from hub.trust.authority import LabAuthority
from hub.trust.build import MemberEntry, SignEntry, TrustDraft, build_trust_list
from hub.trust.keys import (
    DevelopmentFileSigner,
    PrivateKey,
    cert_keyid,
    certificate_pem,
    generate_encryption_key,
    generate_signing_key,
    load_certificates,
    load_private_key,
    private_key_pem,
)
from hub.trust.roles import MINISTRY_ROLES, ROOT_ROLES, province_roles
from hub.trust.trust_list import TrustList

OFFLINE: Final = "offline-keys"
ROOTS: Final = ("root1", "root2", "root3")
# A list that lapses within these days is renewed before a round: it is valid for 30 (protocol 10.1).
RENEW_BEFORE: Final = timedelta(days=10)
# Longer than a list lives: a list that lapsed is told as that (protocol 15 #19), not as a missing CRL.
_CRL_DAYS: Final = 60
_DAYS: Final = 3650
_README: Final = """这里是实验环境的开发密钥，仅供演示和测试。

- 私钥以明文文件保存，没有硬件保护，证书由本机的实验 CA 签发。
- 不得用于生产环境；生产环境的签名密钥须在密码机或签名验签服务器中生成和使用。
- 不要把本目录提交到版本库或发送给他人。
"""
Random = Callable[[int], bytes]


@dataclass(frozen=True)
class Pair:
    """A private key with its certificate."""

    key: PrivateKey
    cert: x509.Certificate

    @property
    def signer(self) -> DevelopmentFileSigner:
        return DevelopmentFileSigner(self.key, certificate_pem(self.cert))


def create_credentials(
    lab: Path, province: Node, ministry: Node, *, host_keys: Sequence[str], at: datetime, rng: Random
) -> TrustList:
    """Writes all keys, trust list 1, the pins and the grants that open every stream; returns the trust list."""
    offline = lab / OFFLINE
    authority = LabAuthority.create("实验 CA（仅供演示）", now=at)
    for folder in (offline, province.keys, ministry.keys):
        folder.mkdir(mode=0o700, parents=True)
        (folder / "README").write_text(_README, encoding="utf-8")
    _write_secret(offline / "ca.key.pem", authority.key_pem)
    (offline / "ca.cert.pem").write_text(certificate_pem(authority.cert), encoding="ascii")
    for name in ROOTS:
        _new_signing(authority, offline, f"{name}.key.pem", f"{name}.cert.pem", f"开发密钥 部级离线 {name}", at)
    _new_encryption(authority, offline, "escrow.key.pem", "escrow.cert.pem", "开发密钥 部级托管解密", at)
    for node, name in ((province, f"省级 {province.party}"), (ministry, "部级")):
        _new_signing(authority, node.keys, keyring.SIGN_KEY, keyring.SIGN_CERT, f"开发密钥 {name} 签名", at)
        _new_encryption(authority, node.keys, keyring.ENC_KEY, keyring.ENC_CERT, f"开发密钥 {name} 解密", at)
        _write_secret(node.keys / "record.secret", rng(32).hex().encode())
    trust = _issue(lab, province, ministry, version=1, host_keys=host_keys, at=at)
    pins = [cert_keyid(_pair(offline, f"{name}.key.pem", f"{name}.cert.pem").cert) for name in ROOTS]
    for node in (province, ministry):
        (node.trust / keyring.PINS).write_text(json.dumps({"pins": pins}, indent=1) + "\n", encoding="ascii")
    for stream_id in first_streams(province.party):
        issue_grant(lab, (province, ministry), EpochGrant(stream_id, "首次开通", "continue", None, at))
    return trust


def admit_province(lab: Path, nodes: Sequence[Node], joining: Node, *, at: datetime, rng: Random) -> TrustList:
    """Keys of a further province, the next trust list with it in it, and the grants that open its streams.

    `nodes`: those of the lab so far, the ministry's last.
    """
    offline, ministry = lab / OFFLINE, nodes[-1]
    authority, party = _authority(offline), joining.party
    for folder in (joining.keys, joining.trust):
        folder.mkdir(mode=0o700, parents=True)
    (joining.keys / "README").write_text(_README, encoding="utf-8")
    name = f"开发密钥 省级 {party}"
    _new_signing(authority, joining.keys, keyring.SIGN_KEY, keyring.SIGN_CERT, f"{name} 签名", at)
    _new_encryption(authority, joining.keys, keyring.ENC_KEY, keyring.ENC_CERT, f"{name} 解密", at)
    _write_secret(joining.keys / "record.secret", rng(32).hex().encode())
    for path in (*ministry.trust.glob("trust-list-*.dsse"), ministry.trust / keyring.PINS):
        (joining.trust / path.name).write_bytes(path.read_bytes())
    for path in ministry.trust.glob(f"{EVERYONE}-*.grant.dsse"):
        (joining.trust / path.name).write_bytes(path.read_bytes())
    trust = _next_list(offline, ministry, _member_of(joining), at)
    for node in (*nodes, joining):
        (node.trust / trust_list_name(trust[0].version)).write_bytes(trust[1])
    for stream_id in first_streams(party):
        if stream_id.party != EVERYONE:
            issue_grant(lab, (joining, ministry), EpochGrant(stream_id, "首次开通", "continue", None, at))
    return trust[0]


def _member_of(node: Node) -> MemberEntry:
    signing = _pair(node.keys, keyring.SIGN_KEY, keyring.SIGN_CERT)
    opening = _pair(node.keys, keyring.ENC_KEY, keyring.ENC_CERT)
    return MemberEntry(node.party, (SignEntry(signing.cert, province_roles(node.party)),), (opening.cert,))


def _next_list(offline: Path, ministry: Node, member: MemberEntry, at: datetime) -> tuple[TrustList, bytes]:
    name = max(path.name for path in ministry.trust.glob("trust-list-*.dsse"))
    last = parse_envelope((ministry.trust / name).read_bytes(), PayloadType.TRUST_LIST, where=name).payload
    data = amend.next_version(last, issued=at)
    amend.admit(data, member)
    payload, trust = amend.finish(data)
    signers = [_root(offline, root).signer for root in ROOTS[:2]]
    return trust, build_envelope(PayloadType.TRUST_LIST, payload, signers, where=trust_list_name(trust.version))


def first_streams(party: str) -> tuple[StreamId, ...]:
    """The streams a lab opens: the province's own up stream, its down streams, and the public one (protocol 2.7)."""
    down = (stream_of(CODES, EVERYONE), stream_of(ERRORS, party), stream_of(CASE, party))
    return (StreamId(party, "up", "main", 1), *down)


def issue_grant(lab: Path, nodes: Sequence[Node], grant: EpochGrant) -> bytes:
    """An epoch grant by two of the three offline keys, laid into the nodes' `trust/`; returns the envelope."""
    envelope, _ = build_grant(grant, [_root(lab / OFFLINE, name).signer for name in ROOTS[:2]])
    for node in nodes:
        (node.trust / grant_name(grant.stream_id)).write_bytes(envelope)
    return envelope


def renew_trust(lab: Path, province: Node, ministry: Node, current: TrustList, *, at: datetime) -> TrustList | None:
    """Trust list N+1 with a fresh CRL where the current one lapses soon; None when it does not.

    A lab that lay idle would otherwise hold everything after 37 days, as a real network must (protocol 10.1).
    """
    if current.expires - at > RENEW_BEFORE:
        return None
    offline = lab / OFFLINE
    authority = _authority(offline)
    name = trust_list_name(current.version)
    last = parse_envelope((ministry.trust / name).read_bytes(), PayloadType.TRUST_LIST, where=name).payload
    data = amend.next_version(last, issued=at)
    number = max(crl.number for crl in current.crls.by_issuer.values()) + 1
    amend.renew_crls(data, [authority.crl(number, now=at, days=_CRL_DAYS)], current.anchors)
    payload, trust = amend.finish(data)
    name = trust_list_name(trust.version)
    signers = [_root(offline, root).signer for root in ROOTS[:2]]
    envelope = build_envelope(PayloadType.TRUST_LIST, payload, signers, where=name)
    for node in (province, ministry):
        (node.trust / name).write_bytes(envelope)
    return trust


def _authority(offline: Path) -> LabAuthority:
    return LabAuthority.load(
        (offline / "ca.key.pem").read_bytes(), (offline / "ca.cert.pem").read_text(encoding="ascii")
    )


def _issue(
    lab: Path, province: Node, ministry: Node, *, version: int, host_keys: Sequence[str], at: datetime
) -> TrustList:
    offline = lab / OFFLINE
    authority = _authority(offline)
    roots = [_root(offline, name) for name in ROOTS]
    escrow = _pair(offline, "escrow.key.pem", "escrow.cert.pem")
    signing = {n.party: _pair(n.keys, keyring.SIGN_KEY, keyring.SIGN_CERT) for n in (province, ministry)}
    opening = {n.party: _pair(n.keys, keyring.ENC_KEY, keyring.ENC_CERT) for n in (province, ministry)}
    party = province.party
    members = (
        MemberEntry(
            MINISTRY,
            (SignEntry(signing[MINISTRY].cert, MINISTRY_ROLES), *(SignEntry(r.cert, ROOT_ROLES) for r in roots)),
            (opening[MINISTRY].cert,),
            ssh_host_keys=host_keys,
        ),
        MemberEntry(ESCROW, (), (escrow.cert,)),
        MemberEntry(party, (SignEntry(signing[party].cert, province_roles(party)),), (opening[party].cert,)),
    )
    draft = TrustDraft(
        members=members, anchors=(authority.cert,), crls=(authority.crl(version, now=at, days=_CRL_DAYS),)
    )
    envelope, trust = build_trust_list(draft, [r.signer for r in roots[:2]], version=version, issued=at)
    for node in (province, ministry):
        node.trust.mkdir(mode=0o700, exist_ok=True)
        (node.trust / trust_list_name(version)).write_bytes(envelope)
    return trust


def _new_signing(authority: LabAuthority, folder: Path, key_name: str, cert_name: str, name: str, at: datetime) -> None:
    key = generate_signing_key()
    cert = authority.issue_signing(key.public_key(), name, now=at, days=_DAYS)
    _write_pair(folder, key_name, cert_name, Pair(key, cert))


def _new_encryption(
    authority: LabAuthority, folder: Path, key_name: str, cert_name: str, name: str, at: datetime
) -> None:
    key = generate_encryption_key("ec")
    cert = authority.issue_encryption(key.public_key(), name, now=at, days=_DAYS)
    _write_pair(folder, key_name, cert_name, Pair(key, cert))


def _write_pair(folder: Path, key_name: str, cert_name: str, pair: Pair) -> None:
    _write_secret(folder / key_name, private_key_pem(pair.key))
    (folder / cert_name).write_text(certificate_pem(pair.cert), encoding="ascii")


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)


def _root(offline: Path, name: str) -> Pair:
    return _pair(offline, f"{name}.key.pem", f"{name}.cert.pem")


def _pair(folder: Path, key_name: str, cert_name: str) -> Pair:
    key = load_private_key((folder / key_name).read_bytes(), where=key_name)
    return Pair(key, load_certificates((folder / cert_name).read_bytes(), where=cert_name)[0])
