"""`hub case`: one person in several provinces, from the ministry's side (console 5, 跨省核查).

Decides nothing: reads the clock, calls the actions and tells what they did. Cases are named by their number; nothing of
the person is shown.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from hub.cli.output import Progress, emit, table
from hub.cli.persons import By, Second
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from ministry_node import case_pages as pages
from ministry_node import cases
from ministry_node.case_pages import Detail, Filter, Line
from ministry_node.cli import ministry_of
from ministry_node.matching_run import rescan_all, rotate_key

app = typer.Typer(add_completion=False, no_args_is_help=True, help="跨省核查：发现、下发、催办、裁定、关闭。")
key_app = typer.Typer(add_completion=False, no_args_is_help=True, help="跨省比对密钥：建立、更换。")
app.add_typer(key_app, name="key")

STAGES = ("", "已催办", "已升级")
Number = Annotated[str, typer.Argument(metavar="核查编号", help="hub case ls 所列的编号，如 K00000001")]
Numbers = Annotated[list[str] | None, typer.Argument(metavar="核查编号", help="一个或多个编号")]
Reason = Annotated[str, typer.Option("--reason", metavar="理由", help="一句话理由，不写个人信息")]


@app.command("ls")
def list_(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="状态", help="待下发、已下发、已答复、已关闭")
    ] = None,
    node: Annotated[list[str] | None, typer.Option("--province", metavar="代码", help="涉及该省的")] = None,
    late: Annotated[bool, typer.Option("--overdue", help="只看逾期未答复的")] = False,
    everything: Annotated[bool, typer.Option("--all", help="连同已关闭的")] = False,
    after: Annotated[str, typer.Option("--after", metavar="编号", help="从该编号之后列起（翻页）")] = "",
    size: Annotated[int, typer.Option("--size", metavar="条数", help="每页条数")] = 50,
) -> None:
    """核查列表：状态、各省答复、期限、催办次数。"""
    shell = shell_of(ctx)
    node_ = ministry_of(shell)
    today = cases.today_of(shell.now())
    wanted = tuple(state or ()) or (() if everything or late else pages.OPEN)
    chosen = Filter(wanted, tuple(node or ()), (), late)
    with shell.open_store(node_).reading() as reader:
        found = pages.list_cases(reader.connection, chosen, today=today, after=after, size=size)
        total = pages.count_cases(reader.connection, chosen, today=today)
        counts = pages.by_state(reader.connection, Filter(), today=today)
        late_ = pages.late_provinces(reader.connection, today=today)
    document = {
        "cases": [asdict(line) for line in found.lines], "total": total, "next": found.after, "states": counts,
        "late_provinces": late_,
    }  # fmt: skip

    def render(console: Console) -> None:
        if not found.lines:
            console.print("未发现问题：没有符合条件的核查。")
            return
        console.print(table("跨省核查", _HEADS, [_cells(line) for line in found.lines]))
        console.print(f"共 {total:,} 条　" + "　".join(f"{s} {n:,}" for s, n in counts.items()))
        if found.after:
            console.print(f"下一页：--after {found.after}")

    emit(shell, document, render)


@app.command("show")
def show(ctx: typer.Context, number: Number) -> None:
    """一件核查：涉及的记录、各省答复、依据批次、经过。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    with shell.open_store(node).reading() as reader:
        found = pages.show_case(reader.connection, number, today=cases.today_of(shell.now()))
    emit(shell, asdict(found), lambda c: _tell(c, found))


def _tell(console: Console, found: Detail) -> None:
    line = found.line
    console.print(f"{line.case_no}　{line.state}　{line.outlook}　第 {line.round_no} 轮　原由：{line.cause}")
    reminded = f"催办 {line.reminders} 次 {STAGES[line.stage]}"
    console.print(f"下发 {(line.issued_at or '未下发')[:10]}　期限 {line.due or '无'}　{reminded}")
    if line.keeper:
        console.print(f"裁定保留：{line.keeper}")
    if found.closed_at:
        console.print(f"关闭 {found.closed_at[:10]}　依据 {found.evidence or '人工关闭'}")
    heads = ["省", "记录号", "学校", "在读", "答复", "答复日期", "依据批次", "离开原因"]
    rows = [[p.node, p.pk, p.school, "是" if p.standing else "否", p.answer or "", (p.answered_at or "")[:10],
             p.left_by or p.answer_batch or "", p.left_cause or ""] for p in found.parts]  # fmt: skip
    console.print(table("涉及的记录", heads, rows))
    steps = [[h.ts[:19], h.action, h.node or "", h.state, h.cause or "", h.people, h.evidence or "", h.note or ""]
             for h in found.history]  # fmt: skip
    console.print(table("经过", ["时间", "操作", "省", "状态", "原由", "经办", "依据", "说明"], steps))


@app.command("issue")
def issue(
    ctx: typer.Context, by: By, numbers: Numbers = None,
    everything: Annotated[bool, typer.Option("--all", help="全部待下发的")] = False,
    due: Annotated[str | None, typer.Option("--due", metavar="日期", help="答复期限 YYYY-MM-DD，默认 15 天后")] = None,
) -> None:  # fmt: skip
    """下发：签名、加密发给涉及的各省，每轮一次。"""
    _act(ctx, lambda sender: cases.issue(sender, _named(numbers, everything), by=by, due=due), "已下发")


@app.command("remind")
def remind(
    ctx: typer.Context, by: By, numbers: Numbers = None,
    late: Annotated[bool, typer.Option("--overdue", help="全部逾期未答复的")] = False,
) -> None:  # fmt: skip
    """催办未答复的省；催办后仍逾期一周的升级。"""
    _act(ctx, lambda sender: cases.remind(sender, _named(numbers, late), by=by), "已催办")


@app.command("rule")
def rule(
    ctx: typer.Context, number: Number, by: By, second: Second, reason: Reason,
    keeper: Annotated[str, typer.Option("--keep", metavar="代码", help="学籍保留在哪个省")],
) -> None:  # fmt: skip
    """裁定学籍保留在哪个省：两人办理，写明理由。"""
    _act(ctx, lambda s: cases.rule(s, number, keeper=keeper, by=by, second=second, reason=reason), "已裁定")


@app.command("close")
def close(
    ctx: typer.Context, number: Number, by: By, second: Second, reason: Reason,
    cause: Annotated[str, typer.Option("--cause", metavar="原因", help="、".join(cases.CAUSES))] = cases.NOT_SAME,
) -> None:  # fmt: skip
    """人工关闭：两人办理，写明理由；登记发生变化后再现的仍会重开。"""
    _act(ctx, lambda s: cases.close(s, number, cause=cause, by=by, second=second, reason=reason), "已关闭")


@app.command("rescan")
def rescan(
    ctx: typer.Context,
    node: Annotated[list[str] | None, typer.Option("--province", metavar="代码", help="只重比这些省")] = None,
) -> None:
    """全量重新比对：按正式库重建比对索引；发现新的核查以 3 退出。"""
    shell = shell_of(ctx)
    ministry = ministry_of(shell)
    with Progress() as progress:
        found = rescan_all(
            ministry, at=shell.now(), rng=os.urandom, parties=node, progress=lambda w: progress.step("比对", w)
        )
    words = f"新发现 {found.opened:,}，重开 {found.back:,}，自动关闭 {found.ended:,}，增加登记 {found.joined:,}"
    emit(shell, asdict(found), lambda c: c.print(words if found else "未发现问题：与逐批比对的结果一致。"))
    if found.opened or found.back:
        raise typer.Exit(3)


@key_app.command("new")
@key_app.command("rotate")
def rotate(ctx: typer.Context, by: By, second: Second) -> None:
    """建立或更换比对密钥：两人办理；全量重算索引后启用，旧密钥随即销毁。"""
    shell = shell_of(ctx)
    node = ministry_of(shell)
    with Progress() as progress:
        number = rotate_key(
            node, by=by, second=second, at=shell.now(), rng=os.urandom, progress=lambda w: progress.step("比对", w)
        )
    emit(shell, {"version": number}, lambda c: c.print(f"比对密钥第 {number} 版已启用"))


_HEADS: Final = ("编号", "状态", "进展", "各省", "轮次", "下发", "期限", "催办")


def _cells(line: Line) -> list[object]:
    """A case as a row of the list."""
    due = f"{line.due or ''}{'（逾期）' if line.overdue else ''}"
    reminded = f"{line.reminders} {STAGES[line.stage]}".strip()
    issued, provinces = (line.issued_at or "")[:10], "；".join(line.provinces)
    return [line.case_no, line.state, line.outlook, provinces, line.round_no, issued, due, reminded]


def _act(ctx: Any, action: Any, word: str) -> None:
    shell: Shell = shell_of(ctx)
    node = ministry_of(shell)
    with cases.case_desk(node, at=shell.now(), rng=os.urandom) as sender:
        done = action(sender)

    def render(console: Console) -> None:
        if done.cases:
            console.print(f"{word} {len(done.cases):,} 件，下行批次：{'、'.join(done.batches) or '无'}")
        elif not done.left:
            console.print("未发现问题：没有需要办理的核查。")
        for number, why in done.left:
            console.print(f"! {number}　未办理：{why}")

    emit(shell, asdict(done), render)
    if done.left:
        raise typer.Exit(3)


def _named(numbers: list[str] | None, everything: bool) -> list[str] | None:
    """The numbers given, None for all; exactly one of the two."""
    if bool(numbers) == everything:
        raise UsageError("E3818", "须给出核查编号或表示全部的选项之一", step="二者选一后重试")
    return numbers or None
