"""`hub init`: a node outside a laboratory, from its file in `deploy/provinces`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from hub.cli.output import emit
from hub.cli.shell import shell_of
from hub.errors import UsageError
from hub.new_node import make_node, ministry_settings, read_province
from hub.settings import Node

# Where the province files lie beside the installed rooms; a site that keeps them elsewhere names its own.
FILES: Final = Path(__file__).resolve().parents[2] / "deploy" / "provinces"


def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="目录", help="新节点的目录，须为空或不存在")],
    province: Annotated[str | None, typer.Option("--province", metavar="代码", help="省级节点：两位代码")] = None,
    ministry: Annotated[bool, typer.Option("--ministry", help="部级节点")] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="文件", help="该省的部署文件；默认 deploy/provinces/代码.yaml")
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", metavar="地址", help="数据库（不含口令；口令用 HUB_DATABASE）")
    ] = None,
    transport: Annotated[
        str | None, typer.Option("--transport", metavar="地址", help="folder:目录，或 sftp://用户@主机:端口")
    ] = None,
    host_key: Annotated[
        list[str] | None, typer.Option("--host-key", metavar="公钥行", help="交换服务器主机公钥（可重复）")
    ] = None,
    sources: Annotated[str | None, typer.Option("--sources", metavar="位置", help="数据源目录或 sources.toml")] = None,
    pin: Annotated[
        list[str] | None, typer.Option("--pin", metavar="密钥号", help="部级三把离线密钥的密钥号，须电话核对（写三次）")
    ] = None,
) -> None:
    """建立一个节点的目录：hub.toml、记录号密钥、信任锚。不建数据库、不建签名密钥：随后按提示逐步办理。"""
    shell = shell_of(ctx)
    if ministry == (province is not None):
        raise UsageError("E1075", "请用 --province 代码 或 --ministry 说明建哪一级", step="二者取一")
    if ministry:
        values = ministry_settings(database or "sqlite:///hub.db", transport or "folder:exchange")
    else:
        values = _of_province(str(province), file, database, transport)
        values |= {"sources": sources or "sources", "sftp_host_keys": list(host_key or [])}
    node = make_node(folder, values, pin or [], os.urandom)
    steps = _steps(node, pinned=bool(pin))
    document = {"node": node.party, "folder": str(node.folder), "settings": values, "next": steps}
    emit(shell, document, lambda console: _tell(console, node, values, steps))


def _tell(console: Console, node: Node, values: Mapping[str, Any], steps: Sequence[str]) -> None:
    console.print(f"✔ {node.settings.name}（{node.party}）　{node.folder}")
    console.print(f"数据库 {values['database']}　交换 {values['transport']}")
    console.print("下一步：")
    for number, step in enumerate(steps, 1):
        console.print(f"  {number}. {step}")


def _of_province(party: str, file: Path | None, database: str | None, transport: str | None) -> dict[str, Any]:
    if not (len(party) == 2 and party.isascii() and party.isdigit()):
        raise UsageError("E1025", "--province 应为两位数字", step="按 GB/T 2260 填写，例如 13")
    told = read_province(file or FILES / f"{party}.yaml")
    if told.party != party:
        raise UsageError("E1076", f"部署文件是省 {told.party} 的", where="--file", step="核对 --province 与文件")
    return {
        "role": "province",
        "party": party,
        "name": told.name,
        "database": database or told.database,
        "transport": transport or told.transport,
        "overlap_hours": told.limits.overlap_hours,
        "max_delete_share": told.limits.max_delete_share,
        "schedule": told.schedule,
    }


def _steps(node: Node, *, pinned: bool) -> list[str]:
    here = f"hub --node {node.folder}"
    if node.settings.role == "ministry":
        return [
            f"{here} db upgrade　（数据库口令放进 HUB_DATABASE；由数据库管理员执行时加 --sql）",
            f"{here} key gen --by 甲 --second 乙　生成签名与解密密钥，把 keys/next 中的证书请求交教育 CA",
            f"{here} key install 证书.pem　装入签名、加密两张证书",
            f"{here} key found …　起草第 1 版信任清单，两位离线密钥保管人签名（hub key sign）",
            *([] if pinned else [f"{here} key pin 密钥号 密钥号 密钥号　写入三把离线密钥的密钥号"]),
            f"{here} key accept trust-list-000001.dsse　收下该清单",
            f"{here} doctor　（逐步写法见 deploy/runbooks/first-network.md）",
        ]
    return [
        f"{here} db upgrade　（数据库口令放进 HUB_DATABASE；由数据库管理员执行时加 --sql）",
        f"{here} key gen --by 经办人　生成签名与解密密钥，把 keys/next 中的证书请求交教育 CA",
        f"{here} key install 证书.pem　装入签名、加密两张证书",
        *([] if pinned else [f"{here} key pin 密钥号 密钥号 密钥号　写入部级三把离线密钥的密钥号（电话核对）"]),
        f"{here} key accept trust-list-000001.dsse …　收下部级的信任清单",
        f"{here} doctor",
    ]
