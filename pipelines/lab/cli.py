"""`hub lab`: a paired province and ministry on one machine, set up and run for a whole round.

Decides nothing: reads the clock and randomness, calls `setup` and `round`, and tells what happened.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from ministry_node.cli import intake_code, tell_alarms
from pipelines.lab.round import LabRound, TablePair, run_lab, table_digests
from pipelines.lab.setup import Lab, init_lab, join_lab
from province_node.cli import AllowDeletes, AllowVolume, Full, NoReview, Today, options_of
from province_node.telling import delivered_document, exit_code, round_document, tell_exchange, tell_round

app = typer.Typer(add_completion=False, no_args_is_help=True, help="一机试验：建立并运行成对的省级、部级节点。")

Folder = Annotated[Path, typer.Argument(metavar="目录", help="试验目录")]
SourcesOption = Annotated[
    Path, typer.Option("--sources", metavar="目录", help="含 s1.db、s2.db、s3.db 与 templates/，或 sources.toml")
]
ProvinceOption = Annotated[str, typer.Option("--province", metavar="代码", help="两位省级代码（GB/T 2260）")]
ProvinceDb = Annotated[str | None, typer.Option("--province-db", metavar="URL", help="省级数据库，默认 SQLite")]
MinistryDb = Annotated[str | None, typer.Option("--ministry-db", metavar="URL", help="部级数据库，默认 SQLite")]
TransportOption = Annotated[
    str | None, typer.Option("--transport", metavar="URL", help="folder:目录 或 sftp://用户@主机:端口")
]
HostKeys = Annotated[
    list[str] | None, typer.Option("--host-key", metavar="公钥", help="SFTP 服务器主机公钥行，可多次给出")
]
ExchangeRoot = Annotated[
    Path | None, typer.Option("--exchange-root", metavar="目录", help="SFTP 服务器的交换目录在本机上的位置")
]
SshKey = Annotated[Path | None, typer.Option("--ssh-key", metavar="文件", help="省级登录 SFTP 的私钥；不给则新建一对")]


@app.command("init")
def init(
    ctx: typer.Context,
    folder: Folder,
    sources: SourcesOption,
    province: ProvinceOption = "13",
    province_db: ProvinceDb = None,
    ministry_db: MinistryDb = None,
    transport: TransportOption = None,
    host_key: HostKeys = None,
    exchange_root: ExchangeRoot = None,
    ssh_key: SshKey = None,
) -> None:
    """在目录中建立成对的省级、部级节点：密钥、信任清单、数据库、交换目录。目录须为空或不存在。"""
    shell = shell_of(ctx)
    lab = init_lab(
        folder,
        sources=sources,
        province=province,
        province_db=province_db,
        ministry_db=ministry_db,
        transport=transport,
        host_keys=tuple(host_key or ()),
        exchange_root=exchange_root,
        ssh_key=ssh_key,
        at=shell.now(),
        rng=os.urandom,
    )
    document = {
        "province": {"party": lab.province.party, "name": lab.province.settings.name},
        "ministry": {"party": lab.ministry.party, "name": lab.ministry.settings.name},
        "trust_version": lab.trust_version,
        "ssh_public": lab.ssh_public,
    }
    emit(shell, document, lambda c: _tell_lab(c, lab, folder))


@app.command("join")
def join(ctx: typer.Context, folder: Folder, sources: SourcesOption, province: ProvinceOption) -> None:
    """在已有试验中再接入一省：密钥、新版信任清单、期次授权、数据库。"""
    shell = shell_of(ctx)
    lab = join_lab(folder, sources=sources, province=province, at=shell.now(), rng=os.urandom)
    document = {"province": {"party": lab.province.party, "name": lab.province.settings.name},
                "trust_version": lab.trust_version}  # fmt: skip
    joined = f"✔ 已接入 {lab.province.settings.name}（{lab.province.party}）"
    text = f"{joined}\n下一步：hub lab run {folder} --province {province}"
    emit(shell, document, lambda c: c.print(text))


def _tell_lab(console: Console, lab: Lab, folder: Path) -> None:
    console.print(f"✔ 省级节点 {lab.province.settings.name}（{lab.province.party}）　{folder / 'province'}")
    console.print(f"✔ 部级节点 {lab.ministry.settings.name}（{lab.ministry.party}）　{folder / 'ministry'}")
    console.print(f"✔ 信任清单第 {lab.trust_version} 版，上行数据流已获期次授权")
    console.print(f"✔ 数据源 {lab.province.sources}（原地读取）")
    if lab.ssh_public:
        console.print(f"! 把这行公钥加到 SFTP 服务器的 authorized_keys：\n{lab.ssh_public}")
    console.print(f"下一步：hub lab run {folder}")


@app.command("run")
def run(
    ctx: typer.Context,
    folder: Folder,
    full: Full = False,
    today: Today = None,
    allow_deletes: AllowDeletes = False,
    allow_volume: AllowVolume = False,
    no_review: NoReview = False,
    province: Annotated[str | None, typer.Option("--province", metavar="代码", help="跑哪个省，默认最先建立的")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="结束时逐表比对两级节点的内容摘要")] = False,
) -> None:
    """完整运行一轮：省级读取、定值、入库、封装、送出；部级接收、验证、入库、签回执；省级收回执。

    有新的隔离、冲突、告警或拒收时以 3 退出：一轮已完成，但有事要看。
    """
    shell = shell_of(ctx)
    options = options_of(shell, today=today, full=full, no_review=no_review, allow_deletes=allow_deletes)
    with Progress() as progress:
        done = run_lab(
            folder,
            today=options.today,
            at=shell.now(),
            rng=os.urandom,
            full=full,
            review=options.review,
            allow_deletes=allow_deletes,
            allow_volume=allow_volume,
            party=province,
            progress=progress.step,
        )
        pairs = table_digests(done.lab) if compare else ()
    emit(shell, _run_document(done, pairs), lambda c: _tell_run(c, ctx, done, pairs))
    if code := _code(done, pairs):
        raise typer.Exit(code)


def _run_document(done: LabRound, pairs: tuple[TablePair, ...]) -> dict[str, Any]:
    return {
        "round": round_document(done.round),
        "published": [asdict(p) for p in done.published],
        "delivered": [delivered_document(d) for d in done.delivered],
        "intakes": [asdict(i) for i in done.intakes],
        "receipts": [asdict(r) | {"counts": dict(r.counts)} for h in done.listened for r in h.receipts],
        "ignored": [asdict(i) for h in done.listened for i in h.ignored],
        "digests": [{**asdict(p), "equal": p.equal} for p in pairs],
    }


def _code(done: LabRound, pairs: tuple[TablePair, ...]) -> int:
    """4 when both tiers differ after everything was applied, otherwise that of the province's round, or the
    ministry's where only it has something to look at."""
    if any(not p.equal for p in pairs):
        return 4
    code = exit_code(done.round, done.published, done.delivered, done.listened)
    return code or max(intake_code(intake) for intake in done.intakes)


def _tell_run(console: Console, ctx: Any, done: LabRound, pairs: tuple[TablePair, ...]) -> None:
    tell_round(console, shell_of(ctx).catalog(), done.round)
    tell_exchange(console, done.published, done.delivered, done.listened)
    for intake in done.intakes:
        tell_alarms(console, intake)
    if pairs:
        rows = [[p.cn, p.province.rows, p.ministry.rows, p.province.sha256[:16], p.ministry.sha256[:16],
                 "✔" if p.equal else "✘"] for p in pairs]  # fmt: skip
        console.print(table("两级节点比对", ["实体", "省级行数", "部级行数", "省级摘要", "部级摘要", "一致"], rows))
    base = done.lab.folder
    console.print(f"接着看：hub --node {base / 'province'} quarantine ls　hub --node {base / 'ministry'} batch ls")
