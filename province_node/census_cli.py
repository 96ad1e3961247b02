"""`hub census`: the province seals one, both nodes tell what came of them.

Decides nothing: reads the clock, calls the step, and reads the ledgers.
"""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.batch.envelope import PayloadType, parse
from hub.batch.manifest import read_manifest
from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from hub.store.census_tables import CENSUS
from hub.store.ledger import OUTBOX
from hub.words import word
from province_node.cli import province_of
from province_node.deliver import deliver
from province_node.weekly import run_census

app = typer.Typer(add_completion=False, no_args_is_help=True, help="普查：两级逐桶对账，只补送不同的分桶。")


@app.command("run")
def run(
    ctx: typer.Context,
    ship: Annotated[bool, typer.Option("--ship/--no-ship", help="封装后立即送出")] = True,
) -> None:
    """省级：统计正式库各分桶的行数与摘要，封装为普查批次并送出；部级比对后只要求补送不同的分桶。"""
    shell = shell_of(ctx)
    node = province_of(shell)
    with Progress() as progress:
        sealed = run_census(node, at=shell.now(), rng=os.urandom, progress=progress.step)
        if ship:
            deliver(node, at=shell.now(), progress=progress.amount)
    document = {"batch_id": sealed.batch_id, "buckets": sealed.rows.inserted, "shipped": ship}
    emit(shell, document, lambda c: c.print(f"普查批次 {sealed.batch_id}　{sealed.rows.inserted:,} 个分桶"))


@app.command("status")
def status(ctx: typer.Context) -> None:
    """部级：各次普查的比对结果与修复进度；有未修复的差异时以 3 退出。省级：已封装的普查与修复批次。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        if node.settings.role == "province":
            rows = [_sealed(dict(r)) for r in reader.connection.execute(sa.select(OUTBOX)).mappings()]
            found = [row for row in rows if row["kind"] in ("census", "repair", "snapshot-part")]
        else:
            keys = sa.select(CENSUS).order_by(CENSUS.c.party, CENSUS.c.epoch, CENSUS.c.seq)
            found = [_compared(dict(r)) for r in reader.connection.execute(keys).mappings()]
    emit(shell, {"node": node.party, "census": found}, lambda c: _tell(c, found))
    if any(row.get("open") for row in found):
        raise typer.Exit(3)


def _sealed(row: dict[str, Any]) -> dict[str, Any]:
    payload = parse(bytes(row["manifest"]), PayloadType.BATCH_MANIFEST, where=row["batch_id"]).payload
    manifest = read_manifest(payload, where=row["batch_id"])
    part = f"{manifest.part[0]}/{manifest.part[1]}" if manifest.part else None
    return {"batch_id": row["batch_id"], "kind": manifest.kind, "part": part, "rows": manifest.rows.total,
            "state": row["state"], "sealed_at": row["sealed_at"]}  # fmt: skip


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    opened = json.loads(row["buckets"] or "{}") if row["state"] in ("DIFFERS", "ORDERED") else {}
    shown = ("party", "epoch", "seq", "state", "compared", "differing", "rows_there", "rows_here", "repaired_by")
    return {name: row[name] for name in shown} | {
        "open": sum(len(some) for some in opened.values()),
        "entities": "、".join(f"{e} {len(some)}" for e, some in opened.items()) or None,
        "decided_at": row["decided_at"],
    }


def _tell(console: Console, found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("还没有普查。")
    elif "kind" in found[0]:
        shown = [[word(v) if k in ("kind", "state") else v for k, v in r.items()] for r in found]
        console.print(table("", ["批次号", "种类", "部分", "行数", "状态", "封装"], shown))
    else:
        heads = [
            "省",
            "期次",
            "序号",
            "结果",
            "分桶",
            "不同",
            "省级行数",
            "部级行数",
            "修复批次",
            "未修复",
            "实体",
            "时间",
        ]
        shown = [[word(v) if k == "state" else v for k, v in r.items()] for r in found]
        console.print(table("", heads, shown))
