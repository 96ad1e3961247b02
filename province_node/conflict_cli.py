"""`hub conflict`: the life of a conflict on the command line (console 3, 7), the same state machine as the web console.

Decides how an operator's words become a move; rights, four-eyes, versions and reasons are decided by `quality`.
Conflicts are named by their number only; a value by hand comes on standard input, never as an argument. Everything
is masked.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.cli import issues
from hub.cli.output import Progress, emit, table
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.roles import Scope
from hub.roles_store import operator_named
from hub.store import Store
from province_node.conflict_case_cli import app as case_app
from province_node.conflict_desk import EAST_8, Note, Number, Out, Reason, Seen, Where, Who, desk
from province_node.conflict_sheet import export_files, import_file
from province_node.conflict_words import filter_of
from province_node.in_force import held_catalog
from province_node.plain_cli import app as plain_app
from province_node.plain_cli import sample
from quality.decisions import Action, Kind, Move, Proposal
from quality.decisions_apply import apply, undo
from quality.decisions_bulk import Bulk, Order, preview
from quality.decisions_query import groups, page
from quality.decisions_store import Acting, act, act_all, history, load, sources_of
from quality.decisions_value import check_value, refuse_private
from quality.decisions_words import private_field, shown, tell_one

app = typer.Typer(add_completion=False, no_args_is_help=True, help="数据冲突：查看、处理、复核、批量、导出与导入。")
bulk_app = typer.Typer(add_completion=False, no_args_is_help=True, help="按查询条件批量处理：先预览，再提交。")
app.add_typer(bulk_app, name="bulk")
app.add_typer(plain_app, name="plain")
app.add_typer(case_app, name="case")
app.command("sample")(sample)


@app.command("ls")
def list_conflicts(
    ctx: typer.Context,
    where: Where = None,
    who: Annotated[str | None, typer.Option("--operator", metavar="经办人", help="按其数据范围")] = None,
    listed: Annotated[bool, typer.Option("--list", help="逐条列出，而非计数")] = False,
    after: Annotated[int, typer.Option("--after", metavar="编号", help="从该编号之后列起（翻页）")] = 0,
    size: Annotated[int, typer.Option("--size", metavar="条数", help="每页条数")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="连同已生效的")] = False,
    source: Annotated[list[str] | None, typer.Option("--source", metavar="来源", help="如 S1、L、部级核查")] = None,
) -> None:
    """按实体、字段、规则、状态计数；--list 逐条列出。数的是冲突，不是处理次数。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    catalog = held_catalog(node)
    store = shell.open_store(node)
    today = shell.now().astimezone(EAST_8).date().isoformat()
    where = [*(where or ()), *([f"来源={','.join(source)}"] if source else [])]
    chosen = filter_of(where, today, open_only=not everything)
    with store.reading() as reader:
        scopes = operator_named(reader, who).scopes("query") if who else (Scope(),)
        if listed:
            found = page(reader, node.party, scopes, chosen, after=after, size=size)
            rows = [shown(catalog, row, today) for row in found.rows]
            document: dict[str, Any] = {"conflicts": rows, "next": found.after}
        else:
            rows = groups(reader, node.party, scopes, chosen, ("entity", "field", "rule", "state"))
            document = {"groups": rows, "total": sum(int(r["conflicts"]) for r in rows)}

    def render(console: Console) -> None:
        if not rows:
            console.print("未发现问题：没有符合条件的冲突。")
            return
        heads = list(rows[0]) if listed else ["实体", "字段", "规则", "状态", "冲突"]
        console.print(table("", heads, [list(r.values()) for r in rows]))
        if not listed:
            console.print(f"合计 {document['total']:,} 条")
        elif document["next"]:
            console.print(f"下一页：--after {document['next']}")

    emit(shell, {"node": node.party, **document}, render)


@app.command("show")
def show(ctx: typer.Context, number: Number, who: Who) -> None:
    """一条冲突：各来源的值、建议、当前状态与版本、操作记录。"""
    shell, store, acting = desk(ctx, who)
    catalog = held_catalog(shell.open_node())
    with store.reading() as reader:
        row, _ = load(reader, number, acting)
        said, told = sources_of(reader, [number]).get(number, []), history(reader, number)
    document = tell_one(catalog, row, said, told, acting.today)

    def render(console: Console) -> None:
        for name, value in document["conflict"].items():
            if value not in (None, ""):
                console.print(f"{name}：{value}")
        console.print(table("各来源", ["来源", "值", "可采用"], [list(s.values()) for s in document["sources"]]))
        steps = [list(s.values()) for s in document["history"]]
        console.print(table("操作记录", list(document["history"][0]), steps) if steps else "操作记录：无")

    emit(shell, document, render)


@app.command("propose")
def propose(
    ctx: typer.Context,
    number: Number,
    who: Who,
    version: Seen,
    reason: Reason,
    adopt: Annotated[
        str | None, typer.Option("--adopt", metavar="来源", help="采用该来源的值：S1、S2、S3、L、P")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="手工值，从标准输入读一行")] = False,
    note: Note = "",
    draft: Annotated[bool, typer.Option("--draft", help="暂存：只提议，不提交")] = False,
) -> None:
    """提出处理意见并提交复核。"""
    if bool(adopt) == manual:
        raise UsageError("E1058", "须给出 --adopt 来源 或 --manual 之一", step="二者选一后重试")
    shell, store, acting = desk(ctx, who)
    with store.reading() as reader:
        row, conflict = load(reader, number, acting)
    if manual:
        value = sys.stdin.readline().strip("\r\n")
        catalog = held_catalog(shell.open_node())
        entity = catalog.entities[row["entity"]]
        check_value(catalog, entity, row["field"], value, number)
        refuse_private(acting.by, entity, row["field"], number)
        proposal = Proposal(Kind.MANUAL, None, value)
    else:
        value = next((s.value for s in conflict.sources if s.source == adopt and s.value), "")
        proposal = Proposal(Kind.ADOPT, adopt, value)
    _propose(shell, store, acting, number, version, Move(Action.PROPOSE, reason, note, proposal), draft=draft)


@app.command("return")
def send_back(
    ctx: typer.Context, number: Number, who: Who, version: Seen, reason: Reason, note: Note = "",
    draft: Annotated[bool, typer.Option("--draft", help="暂存：只提议，不提交")] = False,
) -> None:  # fmt: skip
    """提出退回源头平台核实更正，并提交复核。"""
    shell, store, acting = desk(ctx, who)
    move = Move(Action.PROPOSE, reason, note, Proposal(Kind.RETURN))
    _propose(shell, store, acting, number, version, move, draft=draft)


def _propose(shell: Shell, store: Store, acting: Acting, number: int, version: int, move: Move, *, draft: bool) -> None:
    moves = (move,) if draft else (move, Move(Action.SUBMIT))
    step = act_all(store, acting, number, moves, version=version)
    _said(shell, number, str(step.after.state), step.after.version)


def _said(shell: Shell, number: int, state: str, version: int) -> None:
    document = {"conflict": number, "state": state, "version": version}
    emit(shell, document, lambda c: c.print(f"冲突 {number}：{state}（版本 {version}）"))


def _simple(action: Action, ctx: Any, number: int, who: str, version: int, **carried: Any) -> None:
    shell, store, acting = desk(ctx, who)
    step = act(store, acting, number, Move(action, **carried), version=version)
    _said(shell, number, str(step.after.state), step.after.version)


@app.command("submit")
def submit(ctx: typer.Context, number: Number, who: Who, version: Seen) -> None:
    """把暂存的处理意见提交复核。"""
    _simple(Action.SUBMIT, ctx, number, who, version)


@app.command("withdraw")
def withdraw(ctx: typer.Context, number: Number, who: Who, version: Seen) -> None:
    """撤回本人的处理意见。"""
    _simple(Action.WITHDRAW, ctx, number, who, version)


@app.command("approve")
def approve(ctx: typer.Context, number: Number, who: Who, version: Seen, note: Note = "") -> None:
    """复核通过；不能复核本人提交的处理意见。"""
    _simple(Action.APPROVE, ctx, number, who, version, note=note)


@app.command("reject")
def reject(ctx: typer.Context, number: Number, who: Who, version: Seen, reason: Reason, note: Note = "") -> None:
    """驳回，退给提议人。"""
    _simple(Action.REJECT, ctx, number, who, version, reason=reason, note=note)


@app.command("postpone")
def postpone(
    ctx: typer.Context, number: Number, who: Who, version: Seen, reason: Reason,
    until: Annotated[str, typer.Option("--until", metavar="日期", help="暂缓至 YYYY-MM-DD")], note: Note = "",
) -> None:  # fmt: skip
    """暂缓至某日，到期自动恢复原状态。"""
    _simple(Action.POSTPONE, ctx, number, who, version, reason=reason, note=note, until=_day(until))


@app.command("resume")
def resume(ctx: typer.Context, number: Number, who: Who, version: Seen) -> None:
    """提前结束暂缓。"""
    _simple(Action.RESUME, ctx, number, who, version)


@app.command("reopen")
def reopen(ctx: typer.Context, number: Number, who: Who, version: Seen, reason: Reason, note: Note = "") -> None:
    """重开已生效或已退回的冲突，历史保留（业务主管）。"""
    _simple(Action.REOPEN, ctx, number, who, version, reason=reason, note=note)


@app.command("assign")
def assign(
    ctx: typer.Context, number: Number, who: Who, version: Seen,
    to: Annotated[str, typer.Option("--to", metavar="经办人", help="承办人账号")],
) -> None:  # fmt: skip
    """分派或转办（业务主管）。"""
    shell, store, _ = desk(ctx, who)
    with store.reading() as reader:
        operator_named(reader, to)
    del shell
    _simple(Action.ASSIGN, ctx, number, who, version, assignee=to)


@app.command("due")
def due(
    ctx: typer.Context, number: Number, who: Who, version: Seen,
    date: Annotated[str, typer.Option("--date", metavar="日期", help="截止日期 YYYY-MM-DD")],
) -> None:  # fmt: skip
    """设定截止日期，过后列为逾期（业务主管）。"""
    _simple(Action.DUE, ctx, number, who, version, due=_day(date))


@app.command("comment")
def comment(ctx: typer.Context, number: Number, who: Who, version: Seen, note: Note) -> None:
    """添加备注；不改变版本。"""
    _simple(Action.COMMENT, ctx, number, who, version, note=note)


def _day(text: str) -> str:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError("E1058", "日期须为 YYYY-MM-DD", step="改正后重试") from None


What = Annotated[Bulk, typer.Option("--do", help="对每条冲突做什么")]


@bulk_app.command("preview")
def bulk_preview(
    ctx: typer.Context, who: Who, where: Where = None, what: What = Bulk.BY_RULE, reason: Reason = "", note: Note = ""
) -> None:
    """预览：命中 = 可处理 + 跳过（按原因），样例五条；不写入任何数据。"""
    shell, store, acting = desk(ctx, who)
    catalog = held_catalog(shell.open_node())
    with store.reading() as reader:
        found = preview(reader, acting, Order(filter_of(where, acting.today), what, reason, note))
    samples = [shown(catalog, row, acting.today) for row in found.samples]
    private = sum(n for (entity, field), n in found.fields.items() if private_field(catalog, entity, field))
    told = {k: v for k, v in asdict(found).items() if k != "fields"}
    document = {**told, "skipped": dict(found.skipped), "samples": samples, "private": private}

    def render(console: Console) -> None:
        console.print(f"命中 {found.hits:,} = 可处理 {found.able:,} + 跳过 {found.hits - found.able:,}")
        console.print(f"其中隐私字段 {private:,} 条")
        for cause, n in found.skipped.items():
            console.print(f"跳过　{cause}：{n:,}")
        if samples:
            console.print(table("样例", list(samples[0]), [list(s.values()) for s in samples]))
        console.print(f"提交：hub conflict bulk apply --preview {found.token}（条件与本次相同）")

    emit(shell, document, render)


@bulk_app.command("apply")
def bulk_apply(
    ctx: typer.Context, who: Who,
    token: Annotated[str, typer.Option("--preview", metavar="预览号", help="hub conflict bulk preview 给出的预览号")],
    where: Where = None, what: What = Bulk.BY_RULE, reason: Reason = "", note: Note = "",
) -> None:  # fmt: skip
    """提交预览过的批量处理，分批写入，同一操作号；预览后变化的跳过并报告。"""
    shell, store, acting = desk(ctx, who)
    order = Order(filter_of(where, acting.today), what, reason, note)
    with Progress() as progress:
        done = apply(store, acting, order, token, progress=lambda n: progress.step("批量处理", f"{n:,} 条"))
    text = f"操作号 {done.op_no}：已处理 {done.done:,} 条，预览后变化而跳过 {done.missed:,} 条"
    emit(shell, asdict(done), lambda c: c.print(text))


@app.command("undo")
def undo_bulk(
    ctx: typer.Context,
    op_no: Annotated[str, typer.Argument(metavar="操作号", help="批量处理时给出的操作号")],
    who: Who,
) -> None:
    """撤销一次批量处理：仍在待复核的全部恢复，并说明有多少未能恢复。"""
    shell, store, acting = desk(ctx, who)
    with Progress() as progress:
        done = undo(store, acting, op_no, progress=lambda n: progress.step("撤销", f"{n:,} 条"))
    text = f"操作号 {op_no}：已恢复 {done.done:,} 条，未能恢复 {done.kept:,} 条"
    emit(shell, asdict(done), lambda c: c.print(text))


@app.command("export")
def export(
    ctx: typer.Context,
    out: Out,
    who: Annotated[str | None, typer.Option("--operator", metavar="经办人", help="xlsx 导出的经办人")] = None,
    where: Where = None,
    plain: issues.Plain = False,
    purpose: issues.Purpose = None,
    everything: issues.All = False,
) -> None:
    """导出。.xlsx：按条件导出冲突供填写处理意见（脱敏、全为文本，含编号与版本）；.csv：各来源的值。"""
    if out.suffix.lower() != ".xlsx":
        issues.export_conflicts(ctx, out, plain, purpose, everything)
        return
    if who is None or plain:
        raise UsageError("E1058", "xlsx 导出须给出 --operator，且只有脱敏形式", step="补上 --operator 后重试")
    shell, store, acting = desk(ctx, who)
    chosen = filter_of(where, acting.today, open_only=not everything)
    rows, files = export_files(store, held_catalog(shell.open_node()), acting, chosen, out)
    text = f"已导出 {rows:,} 条（已脱敏）：{'、'.join(f.name for f in files)}"
    emit(shell, {"rows": rows, "files": [f.name for f in files]}, lambda c: c.print(text))


@app.command("import")
def import_sheet(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="文件", help="填写了处理意见的 xlsx")],
    who: Who,
    wrong: Annotated[Path | None, typer.Option("--wrong", metavar="文件", help="错误行写入的 xlsx")] = None,
) -> None:
    """导入处理意见：好的行成为待复核的意见，错的行连同原行号与原因写入另一文件。"""
    shell, store, acting = desk(ctx, who)
    target = wrong or file.with_name(f"{file.stem}_错误行.xlsx")
    good, bad = import_file(store, held_catalog(shell.open_node()), acting, file, target)
    tail = f"；{bad:,} 行有误，见 {target.name}" if bad else ""
    document = {"proposed": good, "wrong": bad, "file": target.name if bad else None}
    emit(shell, document, lambda c: c.print(f"已提交 {good:,} 条处理意见{tail}"))
    if bad:
        raise typer.Exit(3)
