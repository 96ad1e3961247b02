"""`hub conflict case`: the ministry's questions in the queue (来源：部级核查), seen and answered from the command line.

Decides nothing: an answer is a proposal like any other, reviewed by a second person; it travels with the next sync.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from hub.cli.output import emit, table
from hub.errors import UsageError
from province_node.conflict_desk import Note, Number, Reason, Seen, Who, desk
from quality.case_notice import notice_of
from quality.decisions import CASE_KINDS, Action, Kind, Move, Proposal
from quality.decisions_store import act, load

app = typer.Typer(add_completion=False, no_args_is_help=True, help="部级核查：查看、答复。")


@app.command("show")
def show(ctx: typer.Context, number: Number, who: Who) -> None:
    """一件部级核查：对方省与学校、期限、催办、裁定、本省答复。"""
    shell, store, acting = desk(ctx, who)
    with store.reading() as reader:
        row, _ = load(reader, number, acting)
        found = notice_of(reader, number)
    if found is None:
        raise UsageError("E1058", "该冲突不是部级核查", where=str(number), step="用 hub conflict show 查看")
    document = {**asdict(found), "state_of_conflict": row["state"], "version": row["version"], "persons": None}

    def render(console: Console) -> None:
        console.print(f"{found.case_no}　冲突 {number}　{row['state']}（版本 {row['version']}）　部级：{found.state}")
        schools = "、".join(found.schools)
        console.print(f"对方：{'、'.join(found.counterpart)}　学校 {schools}　规则 {found.reason or ''}")
        console.print(f"期限 {found.due or '无'}　催办 {found.reminders} 次　裁定保留 {found.keeper or '未裁定'}")
        if found.closed_at:
            console.print(f"关闭：{found.cause or ''}　依据 {found.evidence or '人工关闭'}")
        rows = [[a.created_at[:19], a.answer, a.reason or "", a.batch_id] for a in found.answers]
        console.print(table("本省答复", ["时间", "答复", "原因", "批次"], rows) if rows else "本省答复：无")

    emit(shell, document, render)


@app.command("answer")
def answer(
    ctx: typer.Context, number: Number, who: Who, version: Seen, reason: Reason,
    say: Annotated[str, typer.Option("--say", metavar="答复", help="、".join(CASE_KINDS))], note: Note = "",
    draft: Annotated[bool, typer.Option("--draft", help="暂存：只提议，不提交")] = False,
) -> None:  # fmt: skip
    """答复部级核查并提交复核；复核通过后随下一次同步上报。"""
    if say not in CASE_KINDS:
        raise UsageError("E1058", "没有这种答复", where="--say", step="可选：" + "、".join(CASE_KINDS))
    shell, store, acting = desk(ctx, who)
    step = act(store, acting, number, Move(Action.PROPOSE, reason, note, Proposal(Kind(say))), version=version)
    if not draft:
        step = act(store, acting, number, Move(Action.SUBMIT), version=step.after.version)
    document = {"conflict": number, "state": str(step.after.state), "version": step.after.version}
    emit(shell, document, lambda c: c.print(f"核查 {number}：{step.after.state}（版本 {step.after.version}）"))
