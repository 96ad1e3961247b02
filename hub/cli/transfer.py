"""`hub transfer`: builds and checks the transfer server, admits provinces, issues and revokes logins (protocol 2).

Runs on the server as root. Decides nothing: `hub.transport.site` knows what belongs there, `hub.transport.ssh_ca` the
certificates. Every command may be run again; what is right already is left alone.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from hub.cli.output import emit
from hub.cli.shell import Shell, shell_of
from hub.errors import HubError, NotInitialisedError, UsageError
from hub.transport import quota, site, ssh_ca
from hub.transport.durable import write_durably
from hub.transport.site import Step
from hub.transport.sshd import Places

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="交换服务器：建立、检查、接纳省级、签发与吊销登录证书。"
)

_PARTY = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-6]")
_DAYS_WARN: Final = 14
_SSHD: Final = "/usr/sbin/sshd"

Exchange = Annotated[Path, typer.Option("--exchange", metavar="目录", help="各省目录所在")]
Hub = Annotated[Path, typer.Option("--hub", metavar="目录", help="部级取件与存档目录")]
Keys = Annotated[Path, typer.Option("--keys", metavar="目录", help="公钥、吊销列表、sshd 配置所在")]
Plan = Annotated[bool, typer.Option("--plan", help="只列出将要做什么，不做任何改动")]
Codes = Annotated[list[str], typer.Argument(metavar="省级代码…", help="两位数字，例如 13 66")]
Code = Annotated[str, typer.Argument(metavar="省级代码", help="两位数字，例如 13")]
Source = Annotated[
    list[str], typer.Option("--source-address", metavar="网段", help="该省出口地址或网段，可重复；证书只在此处有效")
]
PublicKey = Annotated[Path, typer.Option("--public-key", metavar="文件", help="该省登录公钥（.pub，一行 ssh-ed25519）")]
_EXCHANGE, _HUB, _KEYS, _HOST_KEY = Places().exchange, Places().hub, Places().keys, Places().host_key


@app.command("init")
def init(
    ctx: typer.Context,
    exchange: Exchange = _EXCHANGE,
    hub: Hub = _HUB,
    keys: Keys = _KEYS,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="sshd 监听端口")] = 22,
    host_key: Annotated[Path, typer.Option("--host-key", metavar="文件", help="主机私钥；没有则生成")] = _HOST_KEY,
    user_ca: Annotated[
        Path | None, typer.Option("--user-ca", metavar="公钥", help="用户 CA 保管在别处时，只登记其公钥")
    ] = None,
    plan: Plan = False,
) -> None:
    """建立交换服务器：账号、目录、权限、主机密钥、用户 CA、吊销列表与 sshd 配置。重复运行不改变已正确的部分。"""
    shell = shell_of(ctx)
    places = Places(exchange, hub, keys, host_key, port)
    parties = site.provinces_of(places)
    items = [*site.base_items(places), *_of_provinces(places, parties), *site.log_items(places, parties)]
    if plan:
        steps = list(site.wanting(items))
        if wrong := ssh_ca.missing(places):
            steps.append(Step("用户 CA 与吊销列表", wrong))
        _tell_steps(shell, steps, plan=True)
        return
    _require_root()
    steps = list(site.build(items))
    steps += [Step(what, "不存在") for what in ssh_ca.set_up(places, public=user_ca)]
    _check_syntax(places)
    _tell_steps(shell, steps, plan=False, next_step=f"启动：{_SSHD} -D -f {places.config}，或启用服务单元")


@app.command("add-province")
def add_province(
    ctx: typer.Context,
    codes: Codes,
    exchange: Exchange = _EXCHANGE,
    hub: Hub = _HUB,
    keys: Keys = _KEYS,
    quota_gib: Annotated[int, typer.Option("--quota-gib", min=1, help="每省磁盘配额（GiB），文件系统支持时设置")] = 20,
    plan: Plan = False,
) -> None:
    """接纳省级：账号、chroot 与收发目录。登录证书另用 certify 签发。"""
    shell = shell_of(ctx)
    parties = [_party(code) for code in codes]
    places = Places(exchange, hub, keys)
    if not places.config.is_file():
        raise NotInitialisedError("E2436", "这里还没有交换服务器", where=str(keys), step="先运行 hub transfer init")
    logged = site.log_items(places, (*site.provinces_of(places), *parties))
    items = [*_of_provinces(places, parties), *logged]
    if plan:
        _tell_steps(shell, list(site.wanting(items)), plan=True)
        return
    _require_root()
    steps = list(site.build(items))
    notes = [quota.set_limit(f"p{party}", places.exchange, quota_gib) for party in parties]
    _tell_steps(shell, steps, plan=False, notes=notes, next_step="签发登录证书：hub transfer certify")


@app.command("certify")
def certify(
    ctx: typer.Context,
    code: Code,
    public_key: PublicKey,
    source_address: Source,
    keys: Keys = _KEYS,
    days: Annotated[int, typer.Option("--days", min=1, max=ssh_ca.LONGEST_DAYS, help="有效天数")] = ssh_ca.LONGEST_DAYS,
    out: Annotated[Path | None, typer.Option("--out", metavar="文件", help="证书写到哪里，默认在公钥旁")] = None,
) -> None:
    """为一省的登录公钥签发证书：最长 90 天，只在给出的来源地址有效。"""
    shell = shell_of(ctx)
    _require_root()
    places = Places(keys=keys)
    target = out or public_key.with_name(f"{public_key.stem}-cert.pub")
    entry, line = ssh_ca.issue(places, _party(code), public_key, source_address, at=shell.now(), days=days)
    write_durably([line], target, len(line), mode=0o644)

    def render(console: Console) -> None:
        console.print(f"✔ 证书 {entry.serial} 号：p{entry.party}，来源 {entry.sources}，有效至 {entry.expires[:10]}")
        console.print(f"    登录公钥指纹 {entry.fingerprint}（请与该省电话核对）")
        console.print(f"    写入 {target}；交给该省，与私钥放在一起")

    emit(shell, {"certificate": asdict(entry), "file": str(target)}, render)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    serial: Annotated[list[int] | None, typer.Option("--serial", help="证书序号，可重复")] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="文件", help="吊销该公钥及其全部证书")
    ] = None,
    keys: Keys = _KEYS,
) -> None:
    """吊销登录证书或登录公钥：写入吊销列表，下一次登录起即被拒绝；不可撤回。"""
    shell = shell_of(ctx)
    if not serial and public_key is None:
        raise UsageError(
            "E1014", "缺少参数 --serial 或 --public-key", where="hub transfer revoke", step="二者至少给一个"
        )
    _require_root()
    places = Places(keys=keys)
    if serial:
        ssh_ca.revoke(places, serial)
    if public_key is not None:
        ssh_ca.revoke_key(places, public_key)
    words = "、".join([*(f"{n} 号证书" for n in serial or []), *(["该公钥"] if public_key else [])])
    step = "已登录的连接不受影响：必要时结束该省的 sshd 会话进程"
    emit(shell, {"revoked": serial or [], "key": bool(public_key)}, lambda c: c.print(f"✔ 已吊销 {words}。{step}"))


@app.command("check")
def check(
    ctx: typer.Context,
    exchange: Exchange = _EXCHANGE,
    hub: Hub = _HUB,
    keys: Keys = _KEYS,
    quota_gib: Annotated[int, typer.Option("--quota-gib", min=1, help="每省磁盘配额（GiB），超过八成告警")] = 20,
) -> None:
    """检查交换服务器：权限、sshd 配置、用户 CA、吊销列表、证书余天、各省占用。有问题时以 3 退出。"""
    shell = shell_of(ctx)
    places = _configured(Places(exchange, hub, keys))
    parties = site.provinces_of(places)
    items = [*site.base_items(places), *_of_provinces(places, parties), *site.log_items(places, parties)]
    found = list(site.wanting(items))
    if wrong := ssh_ca.missing(places):
        found.append(Step("用户 CA 与吊销列表", wrong))
    if (fault := _syntax_fault(places)) is not None:
        found.append(Step("sshd 配置", fault))
    found += _expiring(places, shell)
    for party in parties:
        used = site.used_bytes(places.exchange / f"p{party}")
        if used > 0.8 * quota_gib * (1 << 30):
            found.append(Step(f"p{party} 占用", f"{used / (1 << 30):.1f} GiB，已超过配额的八成"))
    document = {"provinces": list(parties), "findings": [asdict(step) for step in found]}

    def render(console: Console) -> None:
        for step in found:
            console.print(f"✘ {step.name}　{step.fault}")
        if not found:
            console.print(f"✔ 未发现问题：{len(parties)} 个省级账号，目录 {places.exchange}")

    emit(shell, document, render)
    if found:
        raise typer.Exit(3)


def _of_provinces(places: Places, parties: Sequence[str]) -> list[site.Item]:
    return [item for party in parties for item in site.province_items(places, party)]


def _configured(places: Places) -> Places:
    """Port and host key as the written configuration has them, so that a moved port is no fault."""
    try:
        text = places.config.read_text(encoding="utf-8")
    except OSError:
        raise NotInitialisedError(
            "E2436", "这里还没有交换服务器", where=str(places.keys), step="先运行 hub transfer init"
        ) from None
    words = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith(("Port ", "HostKey ")))
    port, host_key = words.get("Port", "22"), words.get("HostKey", str(places.host_key))
    return replace(places, port=int(port) if port.isdigit() else 22, host_key=Path(host_key))


def _expiring(places: Places, shell: Shell) -> list[Step]:
    """Each province's newest certificate, when it ends soon; `check` as root only sees the CA's notes."""
    newest = {entry.party: entry for entry in ssh_ca.issued(places)}
    left = {party: entry.days_left(shell.now()) for party, entry in newest.items()}
    return [Step(f"p{p} 登录证书", f"还剩 {days} 天，请换发") for p, days in left.items() if days < _DAYS_WARN]


def _syntax_fault(places: Places) -> str | None:
    if not os.access(_SSHD, os.X_OK):
        return "本机没有 sshd"
    done = subprocess.run([_SSHD, "-t", "-f", str(places.config)], capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["无说明"])[-1][:200] if done.returncode else None


def _check_syntax(places: Places) -> None:
    if (fault := _syntax_fault(places)) is not None:
        raise HubError(
            "E2432", f"sshd 不接受配置：{fault}", where=places.config.name, step="安装 openssh-server 后重试"
        )


def _party(code: str) -> str:
    if _PARTY.fullmatch(code) is None:
        raise UsageError("E2410", "省级代码应为两位数字", where=code[:8], step="按 GB/T 2260 填写，例如 13")
    return code


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UsageError("E2437", "建立交换服务器须以 root 运行", step="用 sudo 重新运行；只看不动可加 --plan")


def _tell_steps(
    shell: Shell, steps: list[Step], *, plan: bool, notes: list[str] | None = None, next_step: str = ""
) -> None:
    document = {"plan": plan, "steps": [asdict(step) for step in steps], "notes": notes or []}

    def render(console: Console) -> None:
        for step in steps:
            console.print(
                f"将处理 {step.name}　{step.fault}" if plan else f"✔ {step.name}　已就绪（原先：{step.fault}）"
            )
        for note in notes or []:
            console.print(f"! {note}")
        if not steps:
            console.print("没有要做的：一切都已就绪。")
        elif next_step:
            console.print(f"下一步：{next_step}")

    emit(shell, document, render)
