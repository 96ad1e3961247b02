"""`hub key holder`, `hub key found`, `hub ca`: what a network needs once, before its first trust list (protocol 10.1).

Decides nothing: who belongs on the first list is said in arguments and signed offline by two of three holders. The CA
of `hub ca` is for trials: in production the education CA issues certificates and revocation lists (protocol 10.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from rich.console import Console

from hub import node_keys
from hub.batch.layout import ESCROW, MINISTRY, trust_list_name
from hub.cli.output import emit
from hub.cli.persons import By, Second
from hub.cli.shell import shell_of
from hub.errors import InputError, UsageError
from hub.keyring import ENC_CERT, SIGN_CERT
from hub.roles import two_persons
from hub.settings import Node
from hub.transport.durable import write_durably
from hub.trust.authority import LabAuthority
from hub.trust.build import MemberEntry, SignEntry, TrustDraft, trust_list_payload
from hub.trust.keys import certificate_pem, load_certificates
from hub.trust.roles import MINISTRY_ROLES, ROOT_ROLES
from hub.trust.trust_list import parse_trust_list
from hub.trust_folder import MAX_BYTES, MAX_CRL, read

ca = typer.Typer(add_completion=False, no_args_is_help=True, help="试验用 CA：仅供试验；生产证书由教育 CA 签发。")

ROOTS = 3
KEY, CERT = "ca.key.pem", "ca.cert.pem"
_DAYS = 730
Cas = Annotated[Path, typer.Option("--ca", metavar="目录", help="hub ca init 建立的目录")]
Out = Annotated[Path, typer.Option("--out", metavar="文件", help="写到哪里")]


def holder(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="目录", help="这把密钥自己的目录（离线介质上）")],
    name: Annotated[str, typer.Option("--name", metavar="名称", help="证书请求中的名称，例如 部级离线密钥一")],
    purpose: Annotated[str, typer.Option("--purpose", metavar="sign|enc", help="签名，或托管解密")] = "sign",
) -> None:
    """离线：为离线密钥保管人或托管方生成一把密钥与证书请求。不需要节点。"""
    shell = shell_of(ctx)
    if purpose not in ("sign", "enc"):
        raise UsageError("E1015", "参数 --purpose 的取值不合要求", step="只能是 sign 或 enc")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = node_keys.holder_key(folder, "sign" if purpose == "sign" else "enc", name)
    document = {"keyid": made.keyid, "request": str(made.request)}
    emit(shell, document, lambda c: c.print(f"✔ 密钥号 {made.keyid}\n证书请求 {made.request}"))


def found(
    ctx: typer.Context,
    by: By,
    second: Second,
    root: Annotated[list[Path], typer.Option("--root", metavar="证书", help="三把离线密钥的证书（写三次）")],
    escrow: Annotated[Path, typer.Option("--escrow", metavar="证书", help="托管解密证书")],
    anchor: Annotated[list[Path], typer.Option("--anchor", metavar="证书", help="签发机构的根证书（可重复）")],
    crl: Annotated[list[Path], typer.Option("--crl", metavar="文件", help="签发机构的吊销列表（DER，可重复）")],
    out: Annotated[Path, typer.Option("--out", metavar="目录", help="待签内容写到哪里")],
    host_key: Annotated[
        list[str] | None, typer.Option("--host-key", metavar="公钥行", help="交换服务器主机公钥")
    ] = None,
) -> None:
    """部级：起草第 1 版信任清单（部级、离线密钥、托管方），供离线密钥签名；各省随后用 hub key draft --admit 接入。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    two_persons(by, second)
    if node.settings.role != "ministry":
        raise UsageError("E1078", "第 1 版信任清单由部级节点起草", where="hub.toml", step="用 --node 指定部级节点")
    roots = [_certificate(path) for path in root]
    if len({r.fingerprint(hashes.SHA256()) for r in roots}) != ROOTS:
        raise UsageError("E1079", f"应给出 {ROOTS} 把不同的离线密钥的证书", where="--root", step="--root 写三次")
    members = _founders(node, roots, escrow, host_key or [])
    lists = [read(path.parent, path.name, MAX_CRL) for path in crl]
    draft = TrustDraft(members=members, anchors=[_certificate(path) for path in anchor], crls=lists)
    payload = trust_list_payload(draft, version=1, issued=shell.now())
    made = parse_trust_list(payload)
    target = out / trust_list_name(1).replace(".dsse", ".json")
    out.mkdir(parents=True, exist_ok=True)
    write_durably([payload], target, MAX_BYTES, mode=0o644)

    def render(console: Console) -> None:
        console.print(f"第 1 版信任清单，有效至 {made.expires:%Y-%m-%d %H:%M}Z，待签：{target}")
        console.print("下一步：两位离线密钥保管人先后运行 hub key sign，再用 hub key pin、hub key accept 收下")

    emit(shell, {"version": 1, "file": str(target)}, render)


@ca.command("init")
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="目录", help="CA 的目录，须为空或不存在")],
    name: Annotated[str, typer.Option("--name", metavar="名称", help="CA 的名称")] = "试验 CA（仅供试验）",
) -> None:
    """建立一个试验用 CA：私钥、根证书、空的吊销列表（ca.crl）。"""
    shell = shell_of(ctx)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("E1072", "节点目录不是空目录，不会覆盖已有内容", where=folder.name, step="换一个目录")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = LabAuthority.create(name, now=shell.now())
    write_durably([made.key_pem], folder / KEY, MAX_BYTES)
    write_durably([made.cert_pem.encode()], folder / CERT, MAX_BYTES, mode=0o644)
    write_durably([made.crl(1, now=shell.now())], folder / "ca.crl", MAX_CRL, mode=0o644)
    emit(shell, {"folder": str(folder)}, lambda c: c.print(f"✔ 试验 CA 已建立：{folder}（不得用于生产）"))


@ca.command("issue")
def issue(
    ctx: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="证书请求", help="hub key gen 或 hub key holder 写出的 .csr.pem")],
    ca_folder: Cas,
    out: Out,
    purpose: Annotated[str, typer.Option("--purpose", metavar="sign|enc", help="默认按请求的文件名")] = "",
) -> None:
    """按证书请求签发两年期证书。"""
    shell = shell_of(ctx)
    authority = _authority(ca_folder)
    try:
        asked = x509.load_pem_x509_csr(read(request.parent, request.name))
    except ValueError:
        raise InputError(
            "E1211", "不是证书请求（PKCS#10）", where=request.name, step="用 hub key gen 重新生成"
        ) from None
    if not asked.is_signature_valid:
        raise InputError("E1211", "证书请求的签名不成立", where=request.name, step="用 hub key gen 重新生成")
    name = str(asked.subject.rfc4514_string()).removeprefix("CN=")
    kind = purpose or request.name.split(".")[0]
    if kind not in ("sign", "enc"):
        raise UsageError("E1015", "参数 --purpose 的取值不合要求", step="只能是 sign 或 enc")
    issued = authority.issue_signing if kind == "sign" else authority.issue_encryption
    cert = issued(asked.public_key(), name, now=shell.now(), days=_DAYS)  # type: ignore[arg-type]
    write_durably([certificate_pem(cert).encode()], out, MAX_BYTES, mode=0o644)
    emit(shell, {"file": str(out)}, lambda c: c.print(f"✔ 已签发：{out}"))


@ca.command("crl")
def revocations(
    ctx: typer.Context,
    ca_folder: Cas,
    out: Out,
    number: Annotated[int, typer.Option("--number", min=1, help="吊销列表编号，须比上一份大")],
) -> None:
    """签发一份新的（空的）吊销列表，有效 30 天；随下一版信任清单下发。"""
    shell = shell_of(ctx)
    write_durably([_authority(ca_folder).crl(number, now=shell.now())], out, MAX_CRL, mode=0o644)
    emit(shell, {"file": str(out), "number": number}, lambda c: c.print(f"✔ 第 {number} 号吊销列表：{out}"))


def _founders(
    node: Node, roots: Sequence[x509.Certificate], escrow: Path, host_keys: Sequence[str]
) -> tuple[MemberEntry, ...]:
    """Who stands in the first list: the ministry with its own and the offline keys, and the escrow."""
    own = SignEntry(_certificate(node.keys / SIGN_CERT), MINISTRY_ROLES)
    signing = (own, *(SignEntry(cert, ROOT_ROLES) for cert in roots))
    ministry = MemberEntry(MINISTRY, signing, (_certificate(node.keys / ENC_CERT),), ssh_host_keys=list(host_keys))
    return (ministry, MemberEntry(ESCROW, (), (_certificate(escrow),)))


def _authority(folder: Path) -> LabAuthority:
    return LabAuthority.load(read(folder, KEY), read(folder, CERT).decode("ascii", "replace"))


def _certificate(path: Path) -> x509.Certificate:
    return load_certificates(read(path.parent, path.name), where=path.name)[0]
