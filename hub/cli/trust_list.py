"""`hub key draft`, `sign`, `accept`: the next trust list, from the ministry's wish to what is in force (protocol 10.1).

Decides nothing: `hub.trust.amend` knows how a change stands on the list, `hub.trust_folder` what is accepted. The list
is drafted by two persons at the ministry, signed by two of the three offline keys one after the other on machines of
their own, accepted at the ministry, and handed to the provinces by its next intake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from rich.console import Console

from hub import node_keys
from hub.batch.envelope import PayloadType, countersign, parse
from hub.batch.grant import open_grant
from hub.batch.layout import trust_list_name
from hub.cli.output import emit
from hub.cli.persons import By, Second
from hub.cli.shell import Shell, shell_of
from hub.errors import HubError, UsageError
from hub.keyring import open_keyring
from hub.roles import two_persons
from hub.transport.durable import write_durably
from hub.trust import amend
from hub.trust.build import MemberEntry, SignEntry
from hub.trust.keys import DevelopmentFileSigner, cert_keyid, load_certificates
from hub.trust.roles import province_roles
from hub.trust.trust_list import TrustList, parse_trust_list
from hub.trust_folder import MAX_BYTES, MAX_CRL, open_trust, read, take_crl, take_first, take_list

Announce = Annotated[
    list[str] | None,
    typer.Option("--announce", metavar="参与方:sign|enc:证书文件:密钥号", help="公布下一把密钥，密钥号须电话核对"),
]
Admit = Annotated[
    list[str] | None,
    typer.Option(
        "--admit", metavar="省:签名证书:密钥号:加密证书:密钥号", help="新省接入，两个密钥号须电话核对（可重复）"
    ),
]
Revoke = Annotated[list[str] | None, typer.Option("--revoke", metavar="密钥号", help="吊销，须写 --since、--reason")]
Since = Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%dT%H:%M:%SZ"], help="从何时起不可信")]
Retire = Annotated[list[str] | None, typer.Option("--retire", metavar="密钥号", help="撤下已换下的密钥")]
CrlFiles = Annotated[list[Path] | None, typer.Option("--crl", metavar="文件", help="随清单下发的吊销列表（DER）")]
Files = Annotated[list[Path], typer.Argument(metavar="文件…", help="信任列表文件")]


_ADMIT = re.compile(
    r"(?P<party>[1-6][0-9]):(?P<sign>.+):(?P<sign_id>sha256:[0-9a-f]{64}):(?P<enc>.+):(?P<enc_id>sha256:[0-9a-f]{64})"
)


@dataclass
class _Wish:
    """What two persons want of the next list. `said`: each change in words."""

    announce: Sequence[str]
    admit: Sequence[str]
    revoke: Sequence[str]
    since: datetime | None
    reason: str
    retire: Sequence[str]
    host_key: str
    at_once: bool
    said: list[str] = field(default_factory=list)

    def apply(self, data: dict[str, Any]) -> None:
        """Writes the changes into the payload; UsageError where one cannot be."""
        self.said += [_announce(data, word, at_once=self.at_once) for word in self.announce]
        self.said += [_admit(data, word) for word in self.admit]
        for keyid in self.revoke:
            if self.since is None or not self.reason:
                step = "写明从何时起不可信与理由"
                raise UsageError("E1014", "缺少参数 --since 或 --reason", where="draft", step=step)
            party = amend.revoke(data, keyid, since=self.since.replace(tzinfo=UTC), reason=self.reason)
            self.said.append(f"吊销 {party} 的密钥 {keyid}")
        self.said += [f"撤下 {amend.retire(data, keyid)} 的密钥 {keyid}" for keyid in self.retire]
        if self.host_key:
            amend.announce_host_key(data, self.host_key)
            self.said.append("公布交换服务器的下一把主机公钥")


def draft(
    ctx: typer.Context,
    by: By,
    second: Second,
    out: Annotated[Path, typer.Option("--out", metavar="目录", help="待签内容写到哪里")],
    announce: Announce = None,
    admit: Admit = None,
    revoke: Revoke = None,
    since: Since = None,
    reason: Annotated[str, typer.Option("--reason", help="吊销理由")] = "",
    retire: Retire = None,
    crl: CrlFiles = None,
    host_key: Annotated[str, typer.Option("--host-key", metavar="公钥行", help="交换服务器的下一把主机公钥")] = "",
    at_once: Annotated[bool, typer.Option("--at-once", help="不等七天，仅用于顶替已泄露的密钥")] = False,
) -> None:
    """部级：起草下一版信任清单，供离线密钥签名。不带改动即为续期。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    two_persons(by, second)
    wish = _Wish(announce or [], admit or [], revoke or [], since, reason, retire or [], host_key, at_once)
    trust = open_trust(node.trust, at=shell.now())
    last = parse(read(node.trust, trust_list_name(trust.version)), PayloadType.TRUST_LIST)
    data = amend.next_version(last.payload, issued=shell.now())
    wish.apply(data)
    fetched = [found.der for found in trust.crls.by_issuer.values()]
    amend.renew_crls(data, [*fetched, *(read(path.parent, path.name, MAX_CRL) for path in crl or [])], trust.anchors)
    payload, made = amend.finish(data)
    target = out / trust_list_name(made.version).replace(".dsse", ".json")
    out.mkdir(parents=True, exist_ok=True)
    write_durably([payload], target, MAX_BYTES, mode=0o644)
    _tell_draft(shell, target, made, wish.said)


def sign(
    ctx: typer.Context,
    payload: Annotated[Path, typer.Argument(metavar="待签内容", help="hub key draft 写出的 .json")],
    key: Annotated[Path, typer.Option("--key", metavar="文件", help="离线私钥")],
    certificate: Annotated[Path, typer.Option("--certificate", metavar="文件", help="该私钥的证书")],
) -> None:
    """离线：为信任清单加一个签名，写入旁边的 .dsse；三把离线密钥中的两把先后各签一次。"""
    shell = shell_of(ctx)
    content = read(payload.parent, payload.name)
    trust = parse_trust_list(content)
    pem = read(certificate.parent, certificate.name).decode("ascii", "replace")
    signer = DevelopmentFileSigner.load(read(key.parent, key.name), pem, where=key.name)
    target = payload.with_name(trust_list_name(trust.version))
    before = read(target.parent, target.name) if target.exists() else None
    envelope = countersign(before, PayloadType.TRUST_LIST, content, signer, where=target.name)
    write_durably([envelope], target, MAX_BYTES, mode=0o644)
    count = len(parse(envelope, PayloadType.TRUST_LIST).signatures)
    words = (
        f"✔ 第 {trust.version} 版信任清单已有 {count} 个签名（需 {trust.thresholds['trust-list']} 个），写入 {target}"
    )
    emit(shell, {"version": trust.version, "signatures": count, "file": str(target)}, lambda c: c.print(words))


def accept(ctx: typer.Context, files: Files) -> None:
    """验证并收下信任清单、期次授权（.dsse）或吊销列表（.crl）；部级下一次 hub intake run 把清单下发给各省。

    新节点从第 1 版清单起依次收下；第 1 版按信任锚（hub key pin）核验。
    """
    shell = shell_of(ctx)
    node = shell.open_node()
    at, said = shell.now(), []
    for path in files:
        content = read(path.parent, path.name, MAX_CRL)
        if path.name.endswith(".grant.dsse"):
            grant = open_grant(content, path.name, trust=open_trust(node.trust, at=at), at=at)
            write_durably([content], node.trust / path.name, MAX_BYTES)
            said.append(f"{path.name}：{grant.stream_id} 的期次授权")
        elif path.suffix == ".crl":
            crl = take_crl(node.trust, content, at=at)
            said.append(f"{path.name}：{'与现用的相同' if crl is None else f'第 {crl.number} 号吊销列表'}")
        else:
            take = take_list if (node.trust / trust_list_name(1)).exists() else take_first
            said.append(f"{path.name}：现行第 {take(node.trust, content, at=at, where=path.name).version} 版")
    open_keyring(node, at=at)
    emit(shell, {"accepted": said}, lambda c: c.print("\n".join(f"✔ {line}" for line in said)))


def _announce(data: dict[str, Any], word: str, *, at_once: bool) -> str:
    """One `--announce`: the certificate must be the one whose key id was compared by telephone."""
    party, _, rest = word.partition(":")
    kind, _, rest = rest.partition(":")
    file, _, keyid = rest.partition(":")
    if kind not in node_keys.PURPOSES or not keyid:
        raise UsageError("E1015", "参数 --announce 的取值不合要求", step="写作 参与方:sign|enc:证书文件:密钥号")
    cert = checked_certificate(Path(file), keyid, party)
    add = amend.announce_signing if kind == "sign" else amend.announce_encryption
    add(data, party, cert, at_once=at_once)
    return f"公布 {party} 的下一把{'签名' if kind == 'sign' else '加密'}密钥 {keyid}"


def _admit(data: dict[str, Any], word: str) -> str:
    """One `--admit`: a province with both certificates, whose key ids were compared by telephone."""
    match = _ADMIT.fullmatch(word)
    if match is None:
        raise UsageError("E1015", "参数 --admit 的取值不合要求", step="写作 省:签名证书:sha256:…:加密证书:sha256:…")
    party = match["party"]
    signing = checked_certificate(Path(match["sign"]), match["sign_id"], party)
    opening = checked_certificate(Path(match["enc"]), match["enc_id"], party)
    amend.admit(data, MemberEntry(party, (SignEntry(signing, province_roles(party)),), (opening,)))
    return f"省 {party} 接入"


def checked_certificate(file: Path, keyid: str, where: str) -> x509.Certificate:
    """The certificate in a file; HubError E1218 unless it is of the key that was compared."""
    cert = load_certificates(read(file.parent, file.name), where=file.name)[0]
    if cert_keyid(cert) != keyid:
        raise HubError(
            "E1218", "证书的密钥号与电话核对的不同，没有起草", where=where, step="停止公布，向该方查明证书来源"
        )
    return cert


def _tell_draft(shell: Shell, target: Path, made: TrustList, said: list[str]) -> None:
    def render(console: Console) -> None:
        console.print(f"第 {made.version} 版信任清单，有效至 {made.expires:%Y-%m-%d %H:%M}Z，待签：{target}")
        for line in said or ["仅续期"]:
            console.print(f"　· {line}")
        console.print("下一步：两位离线密钥保管人先后运行 hub key sign，再用 hub key accept 收下")

    emit(shell, {"version": made.version, "file": str(target), "changes": said}, render)
