"""`hub epoch` and `hub head`: grants proposed, signed by one key holder after the other, published; heads issued.

Decides nothing: reads the clock and files, calls the steps, and tells what they did. `sign` needs no node: it runs
where the offline keys are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.batch.cosign import add_signature, read_proposal
from hub.batch.grant import EpochGrant
from hub.batch.restart import DrStatement
from hub.cli.output import emit, table
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.transport.durable import write_durably
from hub.trust.keys import DevelopmentFileSigner
from ministry_node.cli import ministry_of
from ministry_node.desk import Desk
from ministry_node.epoch import propose_epoch, propose_first, publish_epoch
from ministry_node.head import issue_heads, last_heard, silent
from ministry_node.intake import open_bench

app = typer.Typer(add_completion=False, no_args_is_help=True, help="期次授权：提出、两人先后签名、发布。")
head = typer.Typer(add_completion=False, no_args_is_help=True, help="数据流位置声明：签发、查看。")

_CAP = 256 * 1024
Party = Annotated[str, typer.Option("--party", metavar="省级代码", help="例如 13")]
Base = Annotated[str, typer.Option("--base", metavar="continue|snapshot", help="接续现有数据，或以全量快照重新开始")]
Reason = Annotated[str, typer.Option("--reason", metavar="理由", help="一句话理由，写入授权并记入审计")]
Out = Annotated[Path, typer.Option("--out", metavar="目录", help="写入待签文件的目录")]
File = Annotated[Path, typer.Argument(metavar="文件", help="待签名或已签名的文件，保持原文件名")]
Key = Annotated[Path, typer.Option("--key", metavar="私钥", help="密钥持有人的签名私钥（PEM）")]
Cert = Annotated[Path, typer.Option("--cert", metavar="证书", help="该私钥的证书（PEM）")]


@app.command("propose")
def propose(ctx: typer.Context, party: Party, reason: Reason, out: Out, base: Base = "continue") -> None:
    """按数据流现状写出下一期次的授权，交两位密钥持有人先后签名。此时什么也没有改变。"""
    shell = shell_of(ctx)
    with desk_of(shell) as desk:
        made = propose_epoch(desk, party, base=base, reason=reason)
    lay_out(shell, out / made.name, made.body, {"grant": made.grant}, "hub epoch")


@app.command("open")
def open_streams(ctx: typer.Context, party: Party, out: Out, reason: Reason = "首次开通") -> None:
    """新省接入：写出开通它全部数据流的授权，交两位密钥持有人先后签名。此时什么也没有改变。"""
    shell = shell_of(ctx)
    with desk_of(shell) as desk:
        proposed = propose_first(desk, party, reason=reason)
    out.mkdir(parents=True, exist_ok=True)
    for made in proposed:
        write_file(out / made.name, made.body)
    document = {"files": [made.name for made in proposed], "grants": [words_of(made.grant) for made in proposed]}

    def render(console: Console) -> None:
        for made in proposed:
            console.print(f"待签文件：{out / made.name}")
        console.print("下一步：每个文件由两位密钥持有人先后运行 hub epoch sign。")
        console.print(f"签好后：{proposed[0].name} 由部级 hub epoch publish；其余由部级与该省各自 hub key accept。")

    emit(shell, document, render)


@app.command("sign")
def sign(ctx: typer.Context, file: File, key: Key, cert: Cert) -> None:
    """密钥持有人签名：先列出内容，再加上一个签名。可在不联网的机器上运行，不需要节点。"""
    sign_file(shell_of(ctx), file, key, cert, "hub epoch publish")


@app.command("publish")
def publish(ctx: typer.Context, file: File) -> None:
    """核验三取二签名后开通新期次并发给该省；旧期次就此永久关闭。"""
    shell = shell_of(ctx)
    body = read_file(file)
    with desk_of(shell) as desk:
        grant = publish_epoch(desk, file.name, body)
        issue_heads(desk)
    emit(shell, {"file": file.name, "grant": words_of(grant)}, lambda c: c.print(f"已开通 {grant.stream_id} 并发布"))


@head.command("issue")
def issue(ctx: typer.Context) -> None:
    """为各省签发新的位置声明（有效 2 小时）。接收任务每次运行也会签发。"""
    shell = shell_of(ctx)
    with desk_of(shell) as desk:
        done = issue_heads(desk)
        alarms = [*done.alarms, *silent(desk)]
    document = {"heads": {p: [vars(t) for t in h.tips] for p, h in done.heads.items()},
                "alarms": [vars(a) for a in alarms]}  # fmt: skip

    def render(console: Console) -> None:
        console.print(f"已为 {len(done.heads)} 个省签发位置声明。")
        for alarm in alarms:
            console.print(f"! 告警　{alarm.party}　{alarm.sentence}")

    emit(shell, document, render)
    if alarms:
        raise typer.Exit(3)


@head.command("status")
def status(ctx: typer.Context) -> None:
    """各省最近一次批次或心跳的时间；超过 26 小时的告警并以 3 退出。"""
    shell = shell_of(ctx)
    with desk_of(shell) as desk:
        heard, quiet = last_heard(desk), silent(desk)
    rows = [[p, at.isoformat() if at else "从未", "静默" if p in {a.party for a in quiet} else "正常"]
            for p, at in heard.items()]  # fmt: skip
    document = {"heard": {p: at.isoformat() if at else None for p, at in heard.items()},
                "silent": [a.party for a in quiet]}  # fmt: skip
    emit(shell, document, lambda c: c.print(table("", ["省", "最近一次", "状态"], rows)))
    if quiet:
        raise typer.Exit(3)


@contextmanager
def desk_of(shell: Shell) -> Iterator[Desk]:
    """The ministry's desk for one command, at this moment."""
    node = ministry_of(shell)
    with open_bench(node, at=shell.now(), rng=os.urandom, progress=lambda _a, _b: None, clock=time.monotonic) as bench:
        yield bench.desk


def lay_out(shell: Shell, path: Path, body: bytes, said: dict[str, EpochGrant | DrStatement], command: str) -> None:
    """Writes a proposal and tells what it says and who signs it. `said`: the statement under its document's name."""
    write_file(path, body)
    ((name, statement),) = said.items()

    def render(console: Console) -> None:
        console.print(f"待签文件：{path}")
        tell_words(console, statement)
        console.print(f"下一步：两位密钥持有人先后运行 {command} sign，再运行 {command} publish。")

    emit(shell, {"file": path.name, name: words_of(statement)}, render)


def sign_file(shell: Shell, file: Path, key: Path, cert: Path, following: str) -> None:
    """Adds one holder's signature to a proposal in place, after showing what it says."""
    body = read_file(file)
    statement, before = read_proposal(body, where=file.name)
    certificate = read_file(cert).decode("ascii", "replace")
    signer = DevelopmentFileSigner.load(read_file(key), certificate, where=key.name)
    write_file(file, add_signature(body, signer, where=file.name))
    number = len(before) + 1
    more = _ready(statement, following) if number >= 2 else "交另一位密钥持有人签名"
    signed = {"signatures": number, "signer": signer.keyid, "next": more}
    document = {"file": file.name, "statement": words_of(statement), **signed}

    def render(console: Console) -> None:
        tell_words(console, statement)
        console.print(f"已签名：第 {number} 个签名，密钥 {signer.keyid[:19]}…")
        console.print(f"下一步：{more}。")

    emit(shell, document, render)


def _ready(statement: EpochGrant | DrStatement, following: str) -> str:
    """Who takes what is signed: grants of down streams are accepted at both tiers, the others are published."""
    if isinstance(statement, EpochGrant) and statement.stream_id.direction == "dn":
        return "由部级与该省各自运行 hub key accept"
    return f"运行 {following}"


def words_of(statement: EpochGrant | DrStatement) -> dict[str, Any]:
    """What a holder must read before signing."""
    if isinstance(statement, EpochGrant):
        last = statement.prev_epoch_last
        return {
            "授权": str(statement.stream_id),
            "基准": statement.base,
            "理由": statement.reason,
            "上一期次末批次": f"序号 {last.seq}，摘要 {last.digest}" if last else "无（首次开通）",
            "提出时间": statement.issued.isoformat(),
        }
    return {
        "灾备声明": statement.number,
        "理由": statement.reason,
        "提出时间": statement.issued.isoformat(),
        **{
            str(r.stream_id): f"部级末批次 {r.last_seq}，回执链自 {r.last_receipt or '起点'} 重新接续"
            for r in statement.restarts
        },
    }


def tell_words(console: Console, statement: EpochGrant | DrStatement) -> None:
    """The same, line by line."""
    for name, value in words_of(statement).items():
        console.print(f"  {name}　{value}")


def read_file(path: Path) -> bytes:
    """A small file a person named. UsageError E1070 when it cannot be read."""
    try:
        with path.open("rb") as file:
            body = file.read(_CAP + 1)
    except OSError as error:
        raise UsageError("E1070", "文件读不了", where=path.name, step="核对路径与权限") from error
    if len(body) > _CAP:
        raise UsageError("E1070", "文件过大，不是授权、声明、密钥或证书", where=path.name, step="核对路径")
    return body


def write_file(path: Path, body: bytes) -> None:
    """Durable, replacing what was there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("E1070", "目录建不了", where=path.parent.name, step="核对路径与权限") from error
    write_durably([body], path, _CAP)
