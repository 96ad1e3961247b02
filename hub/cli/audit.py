"""`hub audit`: the audit log listed and its chain verified (protocol 13.8 `verify-log`)."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import verify as verify_chain
from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from hub.errors import VerificationError
from hub.store.ledger import AUDIT_EVENT

app = typer.Typer(add_completion=False, no_args_is_help=True, help="审计日志：列表、校验链。")


@app.command("ls")
def list_events(
    ctx: typer.Context, last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="最近多少条")] = 50
) -> None:
    """最近的审计记录，新的在后。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    shown = ("i", "ts", "actor", "action", "object", "purpose", "result", "detail")
    query = sa.select(*(AUDIT_EVENT.c[c] for c in shown)).order_by(AUDIT_EVENT.c.i.desc()).limit(last)
    with shell.open_store(node).reading() as reader:
        rows = [dict(r) for r in reader.connection.execute(query).mappings()][::-1]

    def render(console: Console) -> None:
        heads = ["序号", "时间（UTC）", "操作人", "事件", "对象", "用途", "结果", "明细"]
        console.print(table("", heads, [list(r.values()) for r in rows]) if rows else "还没有审计记录。")

    emit(shell, {"node": node.party, "events": rows}, render)


@app.command("verify")
def verify(ctx: typer.Context) -> None:
    """校验审计链：任何一条被删、被改或被截断都会指出第一处；以 4 退出。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader, Progress() as progress:
        progress.step("校验", "审计链")
        rows = int(reader.connection.execute(sa.select(sa.func.count()).select_from(AUDIT_EVENT)).scalar_one())
        broken = verify_chain(reader.connection)
    if broken is not None:
        raise VerificationError(
            "E3203",
            f"审计链在第 {broken} 条断裂：该条缺失、被改动或其后被截断",
            where=f"节点 {node.party}",
            step="保留现场，停止写入，从备份核对该条并报告审计负责人",
        )
    emit(
        shell,
        {"node": node.party, "records": rows, "broken_at": None},
        lambda c: c.print(f"✔ 未发现问题：审计链 {rows:,} 条完整。"),
    )
