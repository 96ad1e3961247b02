"""`hub sync`: the province's steps from the command line: extract, settle, publish, deliver, listen.

Decides nothing: reads the clock, calls the steps, and tells what they did in counts. The same steps run in Dagster.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.catalog import Catalog
from hub.cli.output import Progress, emit
from hub.cli.shell import Shell, shell_of
from hub.errors import InputError, UsageError
from hub.settings import Node
from hub.store.ledger import CHANGE_SET, CONFLICT, OUTBOX, PEER_STREAM, QUARANTINE, RUN
from hub.words import word
from province_node.changeset import counted
from province_node.deliver import Delivered, deliver
from province_node.findings import on_day
from province_node.in_force import held_catalog
from province_node.listen import Listened, listen
from province_node.publish import Published, publish_pending
from province_node.rebuild import rebuild as rebuild_state
from province_node.settle import Options, Round, require_province, run_round
from province_node.stream import STREAM
from province_node.supplement_export import write_empty
from province_node.telling import (
    delivered_document,
    exit_code,
    in_transit_by_entity,
    round_document,
    tell_exchange,
    tell_round,
)
from province_node.window import unsealed

app = typer.Typer(add_completion=False, no_args_is_help=True, help="省级：从数据源同步、定值、封装并送出。")

Full = Annotated[bool, typer.Option("--full", help="全量比对，代替按时间戳增量")]
Today = Annotated[
    str | None, typer.Option("--today", metavar="YYYY-MM-DD", help="年龄与期限类规则所用的日期，默认今天")
]
AllowDeletes = Annotated[bool, typer.Option("--allow-deletes", help="确认本轮大批删除属实（删除刹车放行）")]
AllowVolume = Annotated[bool, typer.Option("--allow-volume", help="确认学生总量大幅变化属实（规则 JS06 放行）")]
NoReview = Annotated[bool, typer.Option("--no-review", help="学校补录未经复核，不采用")]


def options_of(
    shell: Shell,
    *,
    today: str | None,
    full: bool,
    no_review: bool,
    allow_deletes: bool,
    allow_volume: bool = False,
    plan: bool = False,
) -> Options:
    """Options of a round; UsageError E1034 for a date that is none."""
    now = shell.now().astimezone()
    try:
        day = date.fromisoformat(today) if today else now.date()
    except ValueError:
        raise UsageError("E1034", "--today 不是日期", step="写成 YYYY-MM-DD，例如 2026-11-23") from None
    return Options(
        today=day.isoformat(), full=full, review=not no_review, allow_deletes=allow_deletes, plan=plan,
        allow_volume=allow_volume, at=on_day(day.isoformat(), now),
    )  # fmt: skip


def nonce() -> str:
    """32 random bytes in hex, one per change file."""
    return os.urandom(32).hex()


def refused_in_transit(catalog: Catalog, done: Round) -> InputError | None:
    """E3730: a first load while the sources still hold rows in transit; they must be settled there, or be held."""
    if done.number != 1 or not done.transit.in_transit:
        return None
    listed = "、".join(f"{cn} {count:,} 行" for cn, count in in_transit_by_entity(catalog, done).items())
    return InputError(
        "E3730",
        f"首次迁移时仍有在途数据：{listed}，涉及 {done.transit.schools:,} 所学校",
        where="sync plan",
        step="请学校在源系统中办结审批，不能按期办结的予以驳回；"
        "或加 --hold-in-transit 挂起，日后用 hub transit prove 核对",
    )


@app.command("plan")
def plan(
    ctx: typer.Context,
    full: Full = False,
    today: Today = None,
    allow_deletes: AllowDeletes = False,
    allow_volume: AllowVolume = False,
    no_review: NoReview = False,
    hold_in_transit: Annotated[
        bool, typer.Option("--hold-in-transit", help="首次迁移时，仍在途的数据挂起，审批后再入库")
    ] = False,
) -> None:
    """试算一轮：读数据源并定值，列出将发生的变更，什么也不留下。首次迁移而有在途数据时拒绝，除非先说明挂起。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    options = options_of(
        shell, today=today, full=full, no_review=no_review, allow_deletes=allow_deletes, allow_volume=allow_volume,
        plan=True,
    )  # fmt: skip
    with Progress() as progress:
        done = run_round(node, options, nonce=nonce, progress=progress.step)
    refusal = None if hold_in_transit else refused_in_transit(shell.catalog(), done)
    document = {"plan": True, "round": round_document(done), "refused": refusal.sentence() if refusal else None}

    def render(console: Console) -> None:
        console.print("试算（未写入任何数据）")
        tell_round(console, shell.catalog(), done)
        if refusal:
            console.print(f"! 拒绝　{refusal.sentence()}")

    emit(shell, document, render)
    _leave(3 if done.alarms or refusal else 0)


@app.command("run")
def run(
    ctx: typer.Context,
    full: Full = False,
    today: Today = None,
    allow_deletes: AllowDeletes = False,
    allow_volume: AllowVolume = False,
    no_review: NoReview = False,
) -> None:
    """同步一轮：读取、定值、入库、封装、送出、收回执。有隔离、新冲突或告警时以 3 退出。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    options = options_of(
        shell, today=today, full=full, no_review=no_review, allow_deletes=allow_deletes, allow_volume=allow_volume
    )
    with Progress() as progress:
        left = publish_pending(node, at=shell.now(), rng=os.urandom, progress=progress.step, before_round=True)
        done = run_round(node, options, nonce=nonce, progress=progress.step)
        published = (*left, *publish_pending(node, at=shell.now(), rng=os.urandom, progress=progress.step))
        delivered, heard = _exchange(shell, node, progress)
    _finish(shell, done, published, delivered, heard)


@app.command("retry")
def retry(ctx: typer.Context) -> None:
    """不读数据源：补做未入库的变更集，重送未回执的批次，收回执。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    with Progress() as progress:
        published = publish_pending(node, at=shell.now(), rng=os.urandom, progress=progress.step)
        progress.step("listen", "回执")
        before = listen(node, at=shell.now())  # what has its answer there is not shipped again
        delivered, heard = _exchange(shell, node, progress, again=True)
    _finish(shell, None, published, delivered, before.then(heard))


def _exchange(shell: Shell, node: Node, progress: Progress, *, again: bool = False) -> tuple[Delivered, Listened]:
    delivered = deliver(node, at=shell.now(), progress=progress.amount, again=again)
    progress.step("listen", "回执")
    return delivered, listen(node, at=shell.now())


def _finish(
    shell: Shell, done: Round | None, published: tuple[Published, ...], delivered: Delivered, heard: Listened
) -> None:
    document: dict[str, Any] = {
        "round": round_document(done) if done else None,
        "published": [asdict(p) for p in published],
        "delivered": delivered_document(delivered),
        "receipts": [asdict(r) | {"counts": dict(r.counts)} for r in heard.receipts],
        "ignored": [asdict(i) for i in heard.ignored],
        "alarms": [{"code": a.code, "sentence": a.sentence()} for a in heard.alarms],
    }

    def render(console: Console) -> None:
        if done:
            tell_round(console, shell.catalog(), done)
        tell_exchange(console, published, [delivered], [heard])

    emit(shell, document, render)
    _leave(exit_code(done, published, [delivered], [heard]))


@app.command("status")
def status(ctx: typer.Context) -> None:
    """本节点现状：最近一轮、待入库变更集、在途批次、未结隔离与冲突。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    with shell.open_store(node).reading() as reader:
        ask = reader.connection.execute
        last = ask(sa.select(RUN).order_by(RUN.c.run_no.desc()).limit(1)).mappings().first()
        states = ask(sa.select(OUTBOX.c.state, sa.func.count()).group_by(OUTBOX.c.state)).all()
        stored = ask(sa.select(sa.func.max(CHANGE_SET.c.cs_no))).scalar_one() or 0
        hi = ask(sa.select(PEER_STREAM.c.hi).where(PEER_STREAM.c.stream == STREAM)).scalar() or 0
        waiting = len(unsealed(reader, node.party, int(hi)))
        opened = {
            t.name: int(ask(sa.select(sa.func.count()).select_from(t).where(t.c.closed_run.is_(None))).scalar_one())
            for t in (QUARANTINE, CONFLICT)
        }
    document = {
        "node": node.party,
        "last_run": {k: last[k] for k in ("run_no", "run_mode", "today", "state", "ended", "note")} if last else None,
        "change_sets": {"stored": int(stored), "waiting": max(0, counted(node) - int(stored)), "unsealed": waiting},
        "batches": {str(s): int(n) for s, n in states},
        "open": opened,
    }
    emit(shell, document, lambda c: _tell_status(c, node, document))


def _tell_status(console: Console, node: Node, document: dict[str, Any]) -> None:
    last, sets = document["last_run"], document["change_sets"]
    console.print(f"{node.settings.name}（{node.party}）")
    if last is None:
        console.print("还没有运行过。用 hub --node … sync run 开始第一轮。")
        return
    mode = word(last["run_mode"])
    console.print(f"最近一轮：第 {last['run_no']} 轮　{mode}　规则日期 {last['today']}　{last['ended']}")
    console.print(f"变更集：已入库 {sets['stored']} 个，待入库 {sets['waiting']} 个，待封装 {sets['unsealed']} 个")
    batches = "　".join(f"{word(state)} {n}" for state, n in document["batches"].items()) or "无"
    console.print(f"批次：{batches}")
    console.print(f"未结：隔离与挂起 {document['open']['quarantine']:,} 行，冲突 {document['open']['conflict']:,} 行")
    for line in (last["note"] or "").splitlines():
        console.print(f"! {line}")


@app.command("rebuild")
def rebuild(ctx: typer.Context, today: Today = None) -> None:
    """定值状态文件丢失或损坏后，从正式库重建；旧文件仍在时拒绝。下一轮自动全量重新定值。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    options = options_of(shell, today=today, full=False, no_review=False, allow_deletes=False)
    with Progress() as progress:
        done = rebuild_state(node, today=options.today, at=shell.now(), progress=lambda w: progress.step("重建", w))
    total = sum(done.rows.values())
    text = f"已重建定值状态：{total:,} 条记录，变更集 {done.change_set}。下一步：hub --node … sync run --full"
    emit(shell, asdict(done), lambda c: c.print(text))


@app.command("template")
def template(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="模板", help="模板或实体名，写错时列出全部")],
    out: Annotated[Path, typer.Option("--out", metavar="文件", help="写入的 xlsx 文件")],
) -> None:
    """生成空白 xlsx 模板，供学校填报；表头、必填与取值说明来自数据定义。"""
    shell = shell_of(ctx)
    made = write_empty(codes_of(shell), name, out)
    emit(shell, {"template": name, "file": out.name}, lambda c: c.print(f"已生成 {made.cn}：{out}"))


def province_of(shell: Shell) -> Node:
    node = shell.open_node()
    require_province(node)
    return node


def codes_of(shell: Shell) -> Catalog:
    """What the node of a command works by; the installed definitions where the command names no node."""
    return shell.catalog() if shell.folder is None else held_catalog(shell.open_node())


def _leave(code: int) -> None:
    if code:
        raise typer.Exit(code)
