"""`hub conflict plain`: a plaintext export asked for, released by a second person, taken once; `hub conflict sample`.

Decides nothing: `quality.plain_exports` and `quality.decisions_sample` do (protocol 14.3, console 3).
"""

from __future__ import annotations

import random
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.cli.issues import Purpose
from hub.cli.output import emit, table
from hub.cli.shell import shell_of
from hub.errors import UsageError
from province_node.conflict_desk import Out, Where, Who, desk
from province_node.conflict_sheet import write_books
from province_node.conflict_words import filter_of
from province_node.in_force import held_catalog
from quality.decisions_query import Filter, page
from quality.decisions_sample import draw
from quality.decisions_words import shown
from quality.plain_exports import ask, decide_request, requests, take

app = typer.Typer(add_completion=False, no_args_is_help=True, help="明文导出：一人申请，另一人批准，导出一次。")
Request = Annotated[int, typer.Argument(metavar="申请号", help="hub conflict plain ls 所列的申请号")]


@app.command("ask")
def ask_for(ctx: typer.Context, who: Who, purpose: Purpose = None, where: Where = None) -> None:
    """申请明文导出：写明用途，由另一人批准。"""
    shell, store, acting = desk(ctx, who)
    number = ask(store, acting, filter_of(where, acting.today, open_only=True), purpose or "")
    emit(shell, {"request": number}, lambda c: c.print(f"申请号 {number}：待另一人批准"))


@app.command("ls")
def list_requests(ctx: typer.Context) -> None:
    """明文导出申请：状态、用途、申请人与批准人。"""
    shell = shell_of(ctx)
    with shell.open_store(shell.open_node()).reading() as reader:
        rows = requests(reader)

    def render(console: Console) -> None:
        if not rows:
            console.print("未发现问题：没有明文导出申请。")
            return
        heads = ["申请号", "状态", "用途", "申请人", "批准人", "条数"]
        names = ("request_no", "state", "purpose", "asked_actor", "decided_actor", "rows_out")
        console.print(table("", heads, [[r[n] for n in names] for r in rows]))

    emit(shell, {"requests": rows}, render)


@app.command("release")
def release(ctx: typer.Context, number: Request, who: Who) -> None:
    """批准他人的明文导出申请。"""
    _decided(ctx, number, who, release=True)


@app.command("deny")
def deny(ctx: typer.Context, number: Request, who: Who) -> None:
    """驳回他人的明文导出申请。"""
    _decided(ctx, number, who, release=False)


def _decided(ctx: Any, number: int, who: str, *, release: bool) -> None:
    shell, store, acting = desk(ctx, who)
    decide_request(store, acting, number, release=release)
    word = "已批准，24 小时内有效" if release else "已驳回"
    emit(shell, {"request": number, "released": release}, lambda c: c.print(f"申请 {number}：{word}"))


@app.command("take")
def take_file(ctx: typer.Context, number: Request, who: Who, out: Out) -> None:
    """导出已批准的明文（.xlsx），文件内注明导出人、批准人与用途。"""
    if out.suffix.lower() != ".xlsx":
        raise UsageError("E1058", "明文只能导出为 .xlsx", step="改正 --out 的文件名")
    shell, store, acting = desk(ctx, who)
    chosen, mark = take(store, acting, number)
    files = write_books(store, held_catalog(shell.open_node()), acting, chosen, out, mark)
    names = [f.name for f in files]
    emit(shell, {"request": number, "files": names}, lambda c: c.print(f"已导出明文：{'、'.join(names)}，用毕请销毁"))


def sample(
    ctx: typer.Context, who: Who, where: Where = None,
    size: Annotated[int, typer.Option("--size", metavar="条数", help="抽查条数，1 至 100")] = 20,
) -> None:  # fmt: skip
    """抽查：从他人提交的待复核意见中随机抽取，抽到的编号记入审计。"""
    shell, store, acting = desk(ctx, who)
    numbers = draw(store, acting, filter_of(where, acting.today), size, random.SystemRandom())
    rows: list[dict[str, Any]] = []
    if numbers:
        with store.reading() as reader:
            found = page(reader, acting.node, acting.by.scopes("sample"), Filter(numbers=numbers), size=len(numbers))
        catalog = held_catalog(shell.open_node())
        rows = [shown(catalog, row, acting.today) for row in found.rows]

    def render(console: Console) -> None:
        if not rows:
            console.print("没有可抽查的意见：没有他人提交的待复核冲突。")
            return
        console.print(table("抽查", list(rows[0]), [list(r.values()) for r in rows]))

    emit(shell, {"numbers": list(numbers), "conflicts": rows}, render)
