"""`hub intake`: the ministry's steps from the command line: take in what provinces sent, and how things stand.

Decides nothing: reads the clock and randomness, calls the steps, and tells what they did. Dagster runs the same steps.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.cli.output import Progress, emit, table
from hub.cli.shell import Shell, shell_of
from hub.settings import Node
from hub.verdict import Verdict
from hub.words import word
from ministry_node.decide import Decision
from ministry_node.desk import require_ministry
from ministry_node.intake import DUPLICATE, REJECTED, IntakeResult, run_intake
from ministry_node.release import release as release_batch
from ministry_node.release import void as void_batch
from ministry_node.status import IntakeStatus, intake_status

app = typer.Typer(add_completion=False, no_args_is_help=True, help="部级：接收、验证、入库并签发回执。")

WITH_REJECTS = 3
_GOOD = frozenset({str(Verdict.APPLIED), str(Verdict.RECEIVED), DUPLICATE})

Batch = Annotated[str, typer.Argument(metavar="批次号", help="暂停待批的批次，见 hub intake status")]
By = Annotated[str, typer.Option("--by", metavar="姓名", help="经办人，记入审计")]
Second = Annotated[str, typer.Option("--second", metavar="姓名", help="复核人，须与经办人不同")]
Reason = Annotated[str, typer.Option("--reason", metavar="理由", help="一句话理由，记入审计")]

_WORDS = {DUPLICATE: "重复到达", REJECTED: "拒绝（无回执）"}


@app.command("run")
def run(
    ctx: typer.Context,
    province: Annotated[
        list[str] | None,
        typer.Option("--province", metavar="代码", help="只处理这些省（可重复）；默认为全部"),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=64, help="同时处理各省的进程数；SQLite 只容一个写者，仍逐个处理")
    ] = 1,
) -> None:
    """处理各省已送达的批次：复制、验签、解密、入库、签回执。有拒收、暂停、作废或告警时以 3 退出。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    with Progress() as progress:
        done = run_intake(
            node, at=shell.now(), rng=os.urandom, progress=progress.step, parties=province or None, jobs=jobs
        )
    emit(shell, intake_document(done), lambda c: tell_intake(c, done))
    if code := intake_code(done):
        raise typer.Exit(code)


@app.command("status")
def status(ctx: typer.Context) -> None:
    """各省数据流现状：期次、已决序号、在库行数、冻结、待处理批次。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    found = intake_status(node, at=shell.now())
    document: dict[str, Any] = {
        "node": node.party,
        "trust": {"version": found.trust_version, "expires": found.trust_expires.isoformat()},
        "streams": [asdict(stream) for stream in found.streams],
    }
    emit(shell, document, lambda c: _tell_status(c, node, found))


@app.command("release")
def release(ctx: typer.Context, batch: Batch, by: By, second: Second, reason: Reason) -> None:
    """放行暂停待批的批次：两人同意后重新验证并入库。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    with Progress() as progress:
        done = release_batch(
            node, batch, by=by, second=second, reason=reason, at=shell.now(), rng=os.urandom, progress=progress.step
        )
    _tell_decision(shell, done)


@app.command("void")
def void(ctx: typer.Context, batch: Batch, by: By, second: Second, reason: Reason) -> None:
    """作废暂停待批的批次：两人同意后占用序号、不写入任何行，对方从起点重新生成。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    with Progress() as progress:
        done = void_batch(
            node, batch, by=by, second=second, reason=reason, at=shell.now(), rng=os.urandom, progress=progress.step
        )
    _tell_decision(shell, done)


def _tell_decision(shell: Shell, done: Decision) -> None:
    result = IntakeResult((done,), ())
    emit(shell, intake_document(result), lambda c: tell_intake(c, result))


def intake_code(done: IntakeResult) -> int:
    """0, or 3: something was not applied or a person must look (console §7)."""
    return WITH_REJECTS if done.alarms or any(d.verdict not in _GOOD for d in done.decisions) else 0


def intake_document(done: IntakeResult) -> dict[str, Any]:
    """One run as a JSON document."""
    return {
        "decisions": [asdict(d) for d in done.decisions],
        "alarms": [asdict(a) for a in done.alarms],
        "waiting": list(done.waiting),
    }


def tell_intake(console: Console, done: IntakeResult) -> None:
    """Each decision with its counts; alarms; batches whose files may still come."""
    for one in done.decisions:
        mark = "✔" if one.verdict in _GOOD else "✘"
        receipt = f"　回执 {one.receipt_name}" if one.receipt_name else ""
        console.print(f"{mark} {one.batch_id}　{word_of(one.verdict)}　{one.seconds:.1f} 秒{receipt}")
        console.print(f"    {one.sentence}")
    tell_alarms(console, done, told={one.sentence for one in done.decisions})
    for batch in done.waiting:
        console.print(f"… {batch}　文件尚未到齐，下次再看")
    if not (done.decisions or done.alarms or done.waiting):
        console.print("没有待处理的批次。")


def tell_alarms(console: Console, done: IntakeResult, *, told: Collection[str] = ()) -> None:
    """What the ministry's people must look at, without what was `told` already."""
    for alarm in done.alarms:
        if alarm.sentence not in told:
            console.print(f"! 部级告警　{alarm.party}　{alarm.sentence}")


def word_of(verdict: str) -> str:
    """A verdict with its Chinese word."""
    words = _WORDS.get(verdict) or Verdict(verdict).chinese
    return f"{verdict}（{words}）"


def _tell_status(console: Console, node: Node, found: IntakeStatus) -> None:
    trust = f"信任清单第 {found.trust_version} 版，有效至 {found.trust_expires:%Y-%m-%d}"
    console.print(f"{node.settings.name}（{node.party}）　{trust}")
    rows = [
        [s.party, s.epoch, s.last_seq, s.rows, "、".join(f"{word(v)} {n}" for v, n in s.decided.items()) or "无",
         s.last_decided, len(s.undecided), s.ready, s.frozen or "正常"]
        for s in found.streams
    ]  # fmt: skip
    heads = ["省", "期次", "已决序号", "在库行数", "已决批次", "最近一次", "未决", "待取", "状态"]
    console.print(table("", heads, rows))
    for stream in found.streams:
        for one in stream.undecided:
            codes = "、".join(one.codes)
            console.print(f"! {one.batch_id}　{word_of(one.verdict)}　{codes}{'　文件已收妥' if one.parked else ''}")


def ministry_of(shell: Shell) -> Node:
    """The node of `--node`, which must be the ministry's."""
    node = shell.open_node()
    require_ministry(node)
    return node
