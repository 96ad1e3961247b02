"""`hub correction`: requests to the owning platforms, listed and exported for their owners to act on (console 3).

Decides that an export is a release of plain values: the owner must find the row, so keys and values stand in it only
with a purpose and an audit record; without one they are masked. Its columns are `correction_sheet`'s.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import Event
from hub.cli.issues import Plain, Purpose
from hub.cli.output import emit, table
from hub.cli.release import release_of
from hub.cli.shell import shell_of
from hub.csvfile import new_file
from hub.errors import UsageError
from hub.store.decision_tables import CORRECTION
from province_node.conflict_desk import EAST_8, Who, desk
from province_node.conflict_sheet import write_sheet
from province_node.correction_sheet import HEADERS, chosen, requests, sent
from province_node.in_force import held_catalog
from quality.decisions_store import PENDING

app = typer.Typer(add_completion=False, no_args_is_help=True, help="更正请求：按源头平台列出与导出。")
System = Annotated[str | None, typer.Option("--system", metavar="平台", help="S1、S2 或 S3")]
Out = Annotated[Path, typer.Option("--out", metavar="文件", help="写入的文件：.xlsx 或 .json")]
All = Annotated[bool, typer.Option("--all", help="连同已确认、已回退、已撤回的")]


@app.command("ls")
def list_corrections(ctx: typer.Context, system: System = None, everything: All = False) -> None:
    """按源头平台与状态计数；逾期按截止日期计。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    today = shell.now().astimezone(EAST_8).date().isoformat()
    late = sa.case(((CORRECTION.c.state == PENDING) & (CORRECTION.c.due < today), 1), else_=0)
    keys = (CORRECTION.c.system, CORRECTION.c.state)
    query = sa.select(
        *keys, sa.func.count().label("requests"), sa.func.sum(late).label("overdue"),
        sa.func.min(CORRECTION.c.asked_at).label("oldest"),
    ).where(*chosen(system, everything)).group_by(*keys).order_by(*keys)  # fmt: skip
    with shell.open_store(node).reading() as reader:
        rows = [dict(r) for r in reader.connection.execute(query).mappings()]

    def render(console: Console) -> None:
        if not rows:
            console.print("未发现问题：没有更正请求。")
            return
        names = ["平台", "状态", "请求", "逾期", "最早"]
        console.print(table("", names, [list(r.values()) for r in rows]))

    emit(shell, {"node": node.party, "corrections": rows}, render)


@app.command("export")
def export_corrections(
    ctx: typer.Context, out: Out, who: Who, system: System = None, everything: All = False, plain: Plain = False,
    purpose: Purpose = None,
) -> None:  # fmt: skip
    """导出更正请求（.xlsx 或 .json），供源头平台逐条更正；明文须说明用途并记入审计。"""
    if out.suffix.lower() not in (".xlsx", ".json"):
        raise UsageError("E1058", "更正请求只能导出为 .xlsx 或 .json", step="改正 --out 的文件名")
    shell, store, acting = desk(ctx, who)
    release = release_of(plain, purpose)
    if not acting.by.may("xlsx") or (plain and not acting.by.may("plaintext")):
        raise UsageError("E1058", "您的角色不能导出更正请求，或不能导出明文", step="换由有权的经办人导出")
    node = shell.open_node()
    catalog = held_catalog(node)
    with store.reading() as reader:
        rows = requests(reader, catalog, acting, chosen(system, everything), plain=plain)
    event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
    release.record(store, event, shell, node, target="correction", rows=len(rows))
    if out.suffix.lower() == ".json":
        body = {"schema_version": 1, "node": node.party, "corrections": rows}
        with new_file(out, private=plain) as file:
            file.write((json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode())
    else:
        cells = [["" if v is None else str(v) for v in r.values()] for r in rows]
        write_sheet(out, HEADERS, cells, private=plain)
    sent(store, acting, [int(r["请求编号"]) for r in rows])
    text = f"已导出 {len(rows):,} 条更正请求（{'明文' if plain else '已脱敏'}）：{out.name}"
    emit(shell, {"rows": len(rows), "file": out.name, "plain": plain}, lambda c: c.print(text))
