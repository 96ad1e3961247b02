"""`hub key`: a node's keys and the trust list that announces them (console 7, protocol 10).

Decides nothing: `hub.node_keys` knows the order of a rotation. At the ministry two persons stand behind every change of
keys. The trust list's commands are `hub.cli.trust_list`'s.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hub import node_keys
from hub.audit import Event, append
from hub.cli import ceremony, trust_list
from hub.cli.output import emit, table
from hub.cli.persons import By, Second
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.new_node import write_pins
from hub.roles import two_persons
from hub.settings import Node
from hub.trust.trust_list import EncryptionCert, TrustedKey, TrustList
from hub.trust_folder import open_trust, read

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="密钥与信任清单：生成、装入、轮换；公布、吊销、离线签名、导入。"
)

Kinds = Annotated[list[str] | None, typer.Option("--purpose", metavar="sign|enc", help="哪一种密钥，默认两种")]
_PLACES = {"current": "使用中", "next": "待启用", "old": "已换下"}


@app.command("show")
def show(ctx: typer.Context) -> None:
    """本节点的密钥：用途、位置、密钥号、证书到期日、信任清单是否已公布。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    trust, at = open_trust(node.trust, at=shell.now()), shell.now()
    rows = [asdict(key) | {"listed": _listed(trust, node, key.keyid, at)} for key in node_keys.list_keys(node.keys)]

    def render(console: Console) -> None:
        heads = ["用途", "位置", "密钥号", "证书到期", "信任清单"]
        cells = [
            [node_keys.WORDS[r["purpose"]], _PLACES[r["place"]], r["keyid"], r["expires"] or "无证书", r["listed"]]
            for r in rows
        ]
        console.print(table("", heads, cells))

    emit(shell, {"node": node.party, "trust_version": trust.version, "keys": rows}, render)


@app.command("pin")
def pin(
    ctx: typer.Context,
    keyids: Annotated[
        list[str], typer.Argument(metavar="密钥号…", help="部级三把离线密钥的密钥号，由两人分别电话核对")
    ],
) -> None:
    """写入信任锚：第一版信任清单须由其中至少两把签名。已有信任清单的节点不能再改。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    if any(node.trust.glob("trust-list-*.dsse")):
        raise UsageError("E1077", "本节点已有信任清单，信任锚不能再改", step="密钥变更走信任清单，见 hub key accept")
    write_pins(node, keyids)
    document = {"node": node.party, "pins": keyids}
    emit(shell, document, lambda c: c.print("✔ 三把离线密钥的密钥号已写入 trust/roots.json"))


@app.command("gen")
def gen(ctx: typer.Context, by: By, second: Second = "", purpose: Kinds = None) -> None:
    """生成下一把密钥与证书请求（CSR），放在 keys/next；现用密钥不变。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    _persons(node, by, second)
    made = []
    for kind in _purposes(purpose):
        if kind == "sign" and node.settings.signer_command:
            raise UsageError(
                "E1217", "签名密钥在签名设备中生成", where="hub.toml", step="在设备上生成，再用 hub key install 装证书"
            )
        made.append(node_keys.generate(node.keys, kind, f"{node.party} {node_keys.WORDS[kind]}"))
        _note(shell, node, Event.KEY_CREATED, made[-1].keyid, by, second)

    def render(console: Console) -> None:
        for one in made:
            console.print(f"✔ {node_keys.WORDS[one.purpose]}密钥　{one.keyid}")
            console.print(f"    证书请求 {one.request}；密钥号须与部级电话核对")
        console.print("下一步：把证书请求交教育 CA，证书发回后运行 hub key install 证书文件")

    emit(shell, {"made": [asdict(one) for one in made]}, render)


@app.command("install")
def install(
    ctx: typer.Context,
    certificate: Annotated[Path, typer.Argument(metavar="证书文件", help="签发机构签好的证书链（PEM）")],
) -> None:
    """装入 CA 签发的证书：与 keys/next 中的密钥配对；现用密钥不变。新节点的第一把随即启用。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    device = bool(node.settings.signer_command)
    done = node_keys.install(node.keys, read(certificate.parent, certificate.name), device=device)
    first = node_keys.begin(node.keys, done.purpose)
    then = "这是本节点的第一把，已在使用" if first else "请部级公布（hub key draft）"
    words = f"✔ {node_keys.WORDS[done.purpose]}证书已装入，密钥号 {done.keyid}；{then}"
    emit(shell, {"installed": asdict(done), "in_use": first}, lambda c: c.print(words))


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    by: By,
    second: Second = "",
    purpose: Kinds = None,
    plan: Annotated[bool, typer.Option("--plan", help="只检查能否启用")] = False,
) -> None:
    """启用下一把密钥：须已在现行信任清单中公布满七天；换下的解密私钥留存。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    _persons(node, by, second)
    trust = open_trust(node.trust, at=shell.now())
    kinds = _purposes(purpose)
    ready = {k: node_keys.ready_to_rotate(node.keys, k, node.party, trust, shell.now()) for k in kinds}
    for kind, keyid in ready.items():
        if not plan:
            node_keys.rotate(node.keys, kind)
            _note(shell, node, Event.KEY_ROTATED, keyid, by, second)

    def render(console: Console) -> None:
        for kind, keyid in ready.items():
            console.print(f"✔ {node_keys.WORDS[kind]}密钥{'可以启用' if plan else '已启用'}　{keyid}")

    emit(shell, {"plan": plan, "rotated": ready}, render)


def _listed(trust: TrustList, node: Node, keyid: str, at: datetime) -> str:
    member = trust.members.get(node.party)
    entries: tuple[TrustedKey | EncryptionCert, ...] = (*member.sign, *member.encrypt) if member else ()
    for entry in entries:
        if entry.keyid == keyid:
            if trust.is_revoked(keyid, at):
                return "已吊销"
            return "已公布" if entry.not_before <= at else f"已公布，{entry.not_before:%Y-%m-%d %H:%M}Z 起可启用"
    return "未公布"


def _purposes(given: list[str] | None) -> list[node_keys.Purpose]:
    wanted = given or list(node_keys.PURPOSES)
    if set(wanted) - set(node_keys.PURPOSES):
        raise UsageError("E1015", "参数 --purpose 的取值不合要求", step="只能是 sign 或 enc")
    return [kind for kind in node_keys.PURPOSES if kind in wanted]


def _persons(node: Node, by: str, second: str) -> None:
    if node.settings.role == "ministry":
        two_persons(by, second)


def _note(shell: Shell, node: Node, event: Event, keyid: str, by: str, second: str) -> None:
    store = shell.open_store(node)
    try:
        with store.begin() as transaction:
            purpose = f"经办 {by}" + (f"，复核 {second}" if second else "")
            append(
                transaction.connection, event, ts=shell.now(), node=node.party, actor=shell.actor(), object=keyid,
                purpose=purpose,
            )  # fmt: skip
    finally:
        store.close()


app.command("holder")(ceremony.holder)
app.command("found")(ceremony.found)
app.command("draft")(trust_list.draft)
app.command("sign")(trust_list.sign)
app.command("accept")(trust_list.accept)
