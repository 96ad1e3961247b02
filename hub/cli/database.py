"""`hub db`: the node's database brought to the newest revision, by the hub or by an administrator with the SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from hub.audit import Event, append
from hub.cli.output import Progress, emit
from hub.cli.shell import shell_of

app = typer.Typer(add_completion=False, no_args_is_help=True, help="数据库：版本、建表与升级。")

BASE = "base"


@app.command("status")
def status(ctx: typer.Context) -> None:
    """数据库现在的结构版本，与本程序所需的版本。"""
    from hub.store.revisions import is_newer

    shell = shell_of(ctx)
    node = shell.open_node()
    store = shell.open_store(node)
    current, head = store.revision()
    store.close()
    words = "尚未建表" if current is None else f"第 {current} 版"
    command = "升级本程序" if is_newer(current) else f"hub --node {node.folder} db upgrade"
    step = "" if current == head else f"　下一步：{command}"
    document = {"node": node.party, "current": current, "head": head}
    emit(shell, document, lambda c: c.print(f"数据库结构：{words}；本程序需要第 {head} 版{step}"))


@app.command("upgrade")
def upgrade(
    ctx: typer.Context,
    sql: Annotated[
        bool, typer.Option("--sql", help="不动数据库，只把要执行的语句写到标准输出，交数据库管理员审核执行")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--from", metavar="版本", help="与 --sql 同用：从哪一版起，新库写 base；默认查数据库")
    ] = None,
) -> None:
    """建表或升级到本程序所需的版本：在一个事务中完成，失败则如未运行。已是最新时什么也不做。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    store = shell.open_store(node)
    if sql:
        begin = since or store.revision()[0] or BASE
        typer.echo(store.upgrade_sql(None if begin == BASE else begin))
        store.close()
        return
    before, head = store.revision()
    with Progress() as progress:
        progress.step("升级", "数据库")
        store.upgrade()
        if node.settings.role == "province":
            store.make_parts(node.party)
    if before != head:
        with store.begin() as tx:
            events = [(Event.DATABASE_UPGRADED, head), *([(Event.NODE_INITIALISED, node.party)] if not before else [])]
            for event, subject in events:
                append(tx.connection, event, ts=shell.now(), node=node.party, actor=shell.actor(), object=subject)
    said = (
        f"✔ 数据库已是第 {head} 版，无须升级。"
        if before == head
        else f"✔ 数据库已升级：{before or '空库'} → 第 {head} 版。"
    )
    emit(shell, {"node": node.party, "before": before, "after": head}, lambda c: c.print(said))
