"""`hub supplement`: school supplements from the command line: templates, import, review, wrong rows.

Decides nothing: reads clock, chance and names of people, calls the steps, and tells what they did. Exit codes of
console 7: 3 when rows were wrong or could not be approved.
"""

from __future__ import annotations

import random
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from connectors.templates import all_templates
from hub.audit import Event
from hub.cli.output import emit, table
from hub.cli.release import release_of
from hub.cli.shell import Shell, shell_of
from hub.errors import InputError, UsageError
from hub.settings import Node
from province_node.cli import codes_of
from province_node.in_force import held_catalog
from province_node.missing_cli import list_missing, show_completeness
from province_node.settle import require_province
from province_node.supplement_export import export_wrong, shown_lines, write_empty
from province_node.supplement_intake import Imported, import_file
from province_node.supplement_review import draw_sample, review, withdraw
from province_node.supplement_store import State, StoredFile, file_of, files, lines

app = typer.Typer(add_completion=False, no_args_is_help=True, help="学校补录：模板、导入、复核、错误行、待补录清单。")
WITH_REJECTS = 3

Number = Annotated[int, typer.Argument(metavar="文件号", help="补录文件编号，见 hub supplement ls")]
School = Annotated[str | None, typer.Option("--school", metavar="标识码", help="10 位学校标识码")]
Out = Annotated[Path, typer.Option("--out", metavar="文件", help="写入的 xlsx 文件")]


@app.command("template")
def template(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="模板", help="模板或实体名，写错时列出全部")],
    out: Out,
) -> None:
    """生成空白 xlsx 模板：红色列必填，附填写说明与代码表。"""
    shell = shell_of(ctx)
    made = write_empty(codes_of(shell), name, out)
    emit(shell, {"template": name, "file": out.name}, lambda c: c.print(f"已生成 {made.cn}：{out}"))


@app.command("import")
def import_(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="文件…", help="xlsx 文件，可多个；按给出的顺序导入")],
    operator: Annotated[str | None, typer.Option("--operator", metavar="姓名", help="导入人，默认当前系统用户")] = None,
    school: School = None,
    corrects: Annotated[
        int | None, typer.Option("--corrects", metavar="文件号", help="本文件是该号文件的错误行改正稿")
    ] = None,
    today: Annotated[str | None, typer.Option("--today", metavar="YYYY-MM-DD", help="规则所用的日期，默认今天")] = None,
) -> None:
    """导入补录文件到待复核区，不直接生效。有错误行或有文件不能导入时以 3 退出。"""
    shell, node = _province(ctx)
    who = operator or shell.actor()
    day = today or shell.now().astimezone().date().isoformat()
    store, catalog = shell.open_store(node), held_catalog(node)
    taken: list[Imported] = []
    refused: list[InputError] = []
    for path in paths:
        try:
            taken.append(
                import_file(
                    store, catalog, path, node=node.party, operator=who, at=shell.now(), today=day, school=school,
                    corrects=corrects,
                )
            )  # fmt: skip
        except InputError as error:
            if len(paths) == 1:
                raise
            refused.append(error)
    document = {
        "operator": who,
        "files": [asdict(i) for i in taken],
        "refused": [{"code": e.code, "text": e.sentence()} for e in refused],
    }
    emit(shell, document, lambda c: _tell_import(c, taken, refused))
    if refused or any(i.wrong for i in taken):
        raise typer.Exit(WITH_REJECTS)


def _tell_import(console: Console, taken: list[Imported], refused: list[InputError]) -> None:
    for one in taken:
        console.print(
            f"第 {one.file} 号　学校 {one.school}　模板 {one.template}："
            f"待复核 {one.waiting:,} 行，错误 {one.wrong:,} 行"
        )
        for said, count in list(one.reasons.items())[:10]:
            console.print(f"  ! {said}　{count:,} 处")
        for note in one.notes:
            console.print(f"  {note}")
        if one.wrong:
            console.print(f"  下一步：hub supplement export-wrong {one.file} --out 错误行_{one.school}.xlsx")
    for error in refused:
        console.print(f"! {error.sentence()}")
    if any(i.waiting for i in taken):
        console.print("待复核的行由另一位数据复核员用 hub supplement review 复核后，下一轮生效。")


@app.command("ls")
def list_files(
    ctx: typer.Context,
    school: School = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="只列还有待复核行的文件")] = False,
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="最近多少个")] = 200,
) -> None:
    """最近的补录文件：编号、学校、模板、导入人与各状态行数。"""
    shell, node = _province(ctx)
    with shell.open_store(node).reading() as reader:
        found = files(reader, school=school, waiting=waiting, last=last)
    rows = [
        [
            f.number,
            f.school,
            f.template,
            f.operator,
            f.imported_at[:16],
            *(f.states.get(s, 0) for s in State),
            _taken(f),
        ]
        for f in found
    ]

    def render(console: Console) -> None:
        if not rows:
            console.print("没有补录文件。用 hub supplement import 导入。")
            return
        console.print(table("", ["编号", "学校", "模板", "导入人", "导入时间", *State, "生效"], rows))
        if len(rows) == last:
            console.print(f"只列最近 {last:,} 个；更早的用 --last 多列，或用 --school 只看一校。")

    emit(shell, {"files": [asdict(f) for f in found]}, render)


def _taken(file: StoredFile) -> str:
    if not file.states.get(State.APPROVED):
        return ""
    return f"第 {file.run} 轮" if file.run else "待下一轮"


@app.command("show")
def show(
    ctx: typer.Context,
    number: Number,
    state: Annotated[str | None, typer.Option("--state", metavar="状态", help="只列该状态的行")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="最多列出的行数")] = 50,
) -> None:
    """一个文件的行：状态、原因与内容（已脱敏）。"""
    shell, node = _province(ctx)
    wanted = tuple(s for s in State if state in (None, str(s)))
    if not wanted:
        raise UsageError("E3721", "没有这个状态", where="--state", step=f"从中选一个：{'、'.join(State)}")
    catalog = held_catalog(node)
    with shell.open_store(node).reading() as reader:
        file = file_of(reader, number)
        some = list(lines(reader, number, wanted))
    shown = shown_lines(catalog, all_templates(catalog)[file.template], some[:limit])
    emit(shell, {"file": asdict(file), "rows": shown, "total": len(some)}, lambda c: _tell_lines(c, shown, len(some)))


def _tell_lines(console: Console, shown: list[dict[str, Any]], total: int) -> None:
    for line in shown:
        cells = "　".join(f"{k}={v}" for k, v in line["cells"].items())
        said = f"　{line['reasons']}" if line["reasons"] else ""
        console.print(f"第 {line['row']} 行　{line['state']}{said}\n  {cells}")
    console.print(f"共 {total:,} 行" + (f"，列出 {len(shown):,} 行" if total > len(shown) else ""))


@app.command("review")
def review_(
    ctx: typer.Context,
    number: Number,
    approve: Annotated[bool, typer.Option("--approve", help="通过")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="驳回，须写 --reason")] = False,
    sample: Annotated[int | None, typer.Option("--sample", metavar="行数", help="随机抽查 n 行，只看不决定")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="行号", help="只决定这些行，例如 2,5-9；默认整份")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="原因", help="驳回原因")] = "",
    reviewer: Annotated[str | None, typer.Option("--reviewer", metavar="姓名", help="复核人，默认当前系统用户")] = None,
) -> None:
    """复核：先 --sample 抽查，再 --approve 或 --reject（整份或 --rows）。复核人不得是导入人。"""
    shell, node = _province(ctx)
    who = reviewer or shell.actor()
    if [approve, reject, sample is not None].count(True) != 1:
        raise UsageError("E3722", "须在 --sample、--approve、--reject 中选且只选一个", step="先抽查，再决定")
    if sample is not None:
        _draw(shell, node, number, sample, who)
        return
    done = review(
        shell.open_store(node), held_catalog(node), number, approve=approve, node=node.party, reviewer=who,
        at=shell.now(), rows=parse_rows(rows) if rows is not None else None, reason=reason,
    )  # fmt: skip

    def render(console: Console) -> None:
        console.print(f"第 {number} 号：{done.decision} {done.rows:,} 行（{done.basis}），尚待复核 {done.left:,} 行")
        if done.blocked:
            console.print(f"! {done.blocked:,} 行暂不能通过：{'；'.join(done.why)}")
        if done.decision == "通过":
            console.print("通过的行在下一轮生效：hub --node … sync run")

    emit(shell, {"reviewer": who, **asdict(done)}, render)
    if done.blocked:
        raise typer.Exit(WITH_REJECTS)


def _draw(shell: Shell, node: Node, number: int, size: int, who: str) -> None:
    """Rows by chance, for the reviewer to look at."""
    store, catalog = shell.open_store(node), held_catalog(node)
    dice = random.SystemRandom()
    drawn = draw_sample(store, number, size, node=node.party, reviewer=who, at=shell.now(), dice=dice)
    with store.reading() as reader:
        file = file_of(reader, number)
    shown = shown_lines(catalog, all_templates(catalog)[file.template], drawn)
    emit(shell, {"file": number, "reviewer": who, "sample": shown}, lambda c: _tell_lines(c, shown, len(shown)))


def parse_rows(text: str) -> list[int]:
    """`2,5-9` as numbers; `UsageError` E3723."""
    found: list[int] = []
    for part in re.split(r"[,，]", text):
        ends = re.fullmatch(r"\s*(\d{1,7})(?:\s*-\s*(\d{1,7}))?\s*", part)
        if ends is None or (ends[2] and not 0 <= int(ends[2]) - int(ends[1]) <= 5_000):
            raise UsageError("E3723", "行号写法不对", where="--rows", step="写成 2,5-9，行号是工作表中的行号")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return found


@app.command("withdraw")
def withdraw_(
    ctx: typer.Context,
    number: Number,
    operator: Annotated[str | None, typer.Option("--operator", metavar="姓名", help="导入人，默认当前系统用户")] = None,
    approved: Annotated[
        bool, typer.Option("--approved", help="连同已通过的行一并撤回，须写 --reason；下一轮其所补的值让位")
    ] = False,
    rows: Annotated[str | None, typer.Option("--rows", metavar="行号", help="只撤回这些行，例如 2,5-9")] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="原因", help="撤回已通过行的原因，记入审计")] = "",
) -> None:
    """撤回一个文件中尚未复核的行；加 --approved 也撤回已通过的行。"""
    shell, node = _province(ctx)
    gone = withdraw(
        shell.open_store(node), number, node=node.party, operator=operator or shell.actor(), at=shell.now(),
        approved=approved, reason=reason, rows=parse_rows(rows) if rows is not None else None,
    )  # fmt: skip
    later = "；已通过的行所补的值在下一轮让位" if approved else ""
    emit(shell, {"file": number, "rows": gone}, lambda c: c.print(f"第 {number} 号：已撤回 {gone:,} 行{later}"))


@app.command("export-wrong")
def export_wrong_(
    ctx: typer.Context,
    number: Number,
    out: Out,
    plain: Annotated[bool, typer.Option("--plain", help="明文导出（须同时给出 --purpose，并记入审计）")] = False,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="用途", help="明文导出的用途，记入审计")] = None,
) -> None:
    """导出错误行与被驳回的行：同一模板，另加原行号与错误原因；改正后用 import --corrects 导回。"""
    shell, node = _province(ctx)
    release, store, catalog = release_of(plain, purpose), shell.open_store(node), held_catalog(node)
    with store.reading() as reader:
        count = sum(file_of(reader, number).states.get(s, 0) for s in (State.WRONG, State.REFUSED))
    event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
    release.record(store, event, shell, node, target=f"supplement {number}", rows=count)
    rows = export_wrong(store, catalog, number, out, plain=plain)
    text = f"已导出 {rows:,} 行错误行：{out}" if rows else f"未发现问题：第 {number} 号没有错误行（{out} 只有表头）"
    emit(shell, {"file": number, "rows": rows, "out": out.name, "plain": plain}, lambda c: c.print(text))


app.command("missing")(list_missing)
app.command("completeness")(show_completeness)


def _province(ctx: typer.Context) -> tuple[Shell, Node]:
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    return shell, node
