"""`hub transit`: rows in transit, rejected rows and rows held for their main record; and the proof that none was lost.

Decides wording, masking and exit codes: `prove` is 0 when everything came back or was withdrawn, 3 while rows are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import pyarrow as pa
import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog
from hub.cli.issues import Out, Plain, Purpose
from hub.cli.output import emit, table
from hub.cli.release import release_of
from hub.cli.shell import Shell, shell_of
from hub.csvfile import new_file, write_csv
from hub.errors import UsageError
from hub.masking import mask_key
from hub.settings import Node
from hub.store import Reader, Store
from hub.store.supplement_tables import TRANSIT_ROW
from province_node.settle import require_province
from province_node.transit import STORED

app = typer.Typer(add_completion=False, no_args_is_help=True, help="在途、驳回与挂起的数据：列表、导出、核对着落。")
EXPORTED: Final = (
    "transit_no", "entity", "natural_key", "school", "source", "kind", "src_rid", "opened_run", "kind_run",
    "closed_run", "outcome",
)  # fmt: skip
STILL_OPEN: Final = 3
BLOCK: Final = 20_000

All = Annotated[bool, typer.Option("--all", help="连同已有着落的")]
Kind = Annotated[str | None, typer.Option("--kind", metavar="类别", help="在途、驳回、主记录未入库 或 隔离")]


@app.command("ls")
def list_rows(ctx: typer.Context, kind: Kind = None, everything: All = False) -> None:
    """按实体、类别与着落计数，并给出最早出现的轮次。"""
    shell, node = _province(ctx)
    t = TRANSIT_ROW.c
    query = sa.select(
        t.entity, t.kind, t.outcome, sa.func.count(), sa.func.count(sa.distinct(t.school)), sa.func.min(t.opened_run)
    ).group_by(t.entity, t.kind, t.outcome)
    query = _chosen(query, kind, everything).order_by(t.entity, t.kind, t.outcome)
    with shell.open_store(node).reading() as reader:
        found = reader.connection.execute(query).all()
    names = ("entity", "kind", "outcome", "rows", "schools", "since_run")
    rows = [dict(zip(names, r, strict=True)) for r in found]
    entities = shell.catalog().entities

    def render(console: Console) -> None:
        if not rows:
            console.print("没有在途、驳回或挂起的数据。")
            return
        heads = ["实体", "类别", "着落", "行数", "学校数", "最早轮次"]
        cells = [[entities[r["entity"]].cn, r["kind"], r["outcome"] or "未了结", *list(r.values())[3:]] for r in rows]
        console.print(table("", heads, cells))
        console.print(f"合计 {sum(int(r['rows']) for r in rows):,} 行")

    emit(shell, {"node": node.party, "groups": rows, "total": sum(int(r["rows"]) for r in rows)}, render)


@app.command("export")
def export(
    ctx: typer.Context,
    out: Out,
    kind: Kind = None,
    everything: All = False,
    plain: Plain = False,
    purpose: Purpose = None,
) -> None:
    """导出逐行清单（CSV）：实体、自然键（默认脱敏）、学校、类别、出现与了结的轮次、着落。"""
    shell, node = _province(ctx)
    release, store, catalog = release_of(plain, purpose), shell.open_store(node), shell.catalog()
    event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
    with store.reading() as reader:
        query = _chosen(sa.select(sa.func.count()).select_from(TRANSIT_ROW), kind, everything)
        count = int(reader.connection.execute(query).scalar_one())
    release.record(store, event, shell, node, target=TRANSIT_ROW.name, rows=count)
    with new_file(out, private=plain) as file:
        rows = write_csv(file, EXPORTED, _batches(store, catalog, kind, everything, plain))
    text = f"已导出 {rows:,} 行（{'明文' if plain else '已脱敏'}）：{out}"
    emit(shell, {"rows": rows, "file": out.name, "plain": plain}, lambda c: c.print(text))


@app.command("prove")
def prove(ctx: typer.Context) -> None:
    """核对：曾在途、驳回或挂起的每一行都已入库，或已由源头撤回、注销；尚有未了结的以 3 退出。"""
    shell, node = _province(ctx)
    with shell.open_store(node).reading() as reader:
        document = proof(reader, shell.catalog(), node.party)
    emit(shell, document, lambda c: _tell_proof(c, shell.catalog(), document))
    if document["open"]:
        raise typer.Exit(STILL_OPEN)


def proof(reader: Reader, catalog: Catalog, node: str) -> dict[str, Any]:
    """Counts of the register: every row by outcome, what is open, and of the stored ones how many stand today."""
    t = TRANSIT_ROW.c
    ask = reader.connection.execute
    ended = {
        str(o): int(n)
        for o, n in ask(sa.select(t.outcome, sa.func.count()).where(t.closed_run.is_not(None)).group_by(t.outcome))
    }
    waits = ask(
        sa.select(t.entity, t.kind, sa.func.count(), sa.func.min(t.opened_run))
        .where(t.closed_run.is_(None))
        .group_by(t.entity, t.kind)
        .order_by(t.entity, t.kind)
    ).all()
    groups = [dict(zip(("entity", "kind", "rows", "since_run"), r, strict=True)) for r in waits]
    total = int(ask(sa.select(sa.func.count()).select_from(TRANSIT_ROW)).scalar_one())
    return {
        "total": total,
        "ended": ended,
        "open": sum(int(g["rows"]) for g in groups),
        "groups": groups,
        "stored_and_gone_later": _gone_later(reader, catalog, node),
        "complete": not groups,
    }


def _gone_later(reader: Reader, catalog: Catalog, node: str) -> int:
    """Rows that came back and are not in the store today, because their source cancelled them afterwards."""
    t, gone = TRANSIT_ROW.c, 0
    for entity in catalog.entities.values():
        own = sa.table(f"g_{entity.name}", sa.column("node"), *(sa.column(k.lower()) for k in entity.key))
        parts: list[Any] = [sa.func.coalesce(sa.cast(own.c[k.lower()], sa.String(255)), "") for k in entity.key]
        key = parts[0]
        for part in parts[1:]:
            key = key.op("||")("|").op("||")(part)
        stored = sa.and_(t.entity == entity.name, t.outcome == STORED)
        absent = t.natural_key.not_in(sa.select(key).where(own.c.node == node))
        gone += int(reader.connection.execute(sa.select(sa.func.count()).where(sa.and_(stored, absent))).scalar_one())
    return gone


def _tell_proof(console: Console, catalog: Catalog, document: dict[str, Any]) -> None:
    if not document["total"]:
        console.print("未发现问题：没有出现过在途、驳回或挂起的数据。")
        return
    ended = "、".join(f"{outcome} {count:,}" for outcome, count in document["ended"].items()) or "无"
    console.print(f"共登记 {document['total']:,} 行；已有着落：{ended}")
    if document["stored_and_gone_later"]:
        console.print(f"其中 {document['stored_and_gone_later']:,} 行入库后又由源头注销或删除")
    if document["complete"]:
        console.print("✔ 全部有着落")
        return
    rows = [[catalog.entities[g["entity"]].cn, g["kind"], g["rows"], g["since_run"]] for g in document["groups"]]
    console.print(table("", ["实体", "类别", "未了结行数", "最早轮次"], rows))
    console.print(f"✘ 尚有 {document['open']:,} 行未了结　逐行清单：hub transit export --out 未了结.csv")


def _chosen(query: Any, kind: str | None, everything: bool) -> Any:
    kinds = ("在途", "驳回", "主记录未入库", "隔离")
    if kind is not None and kind not in kinds:
        raise UsageError("E3731", "没有这个类别", where="--kind", step=f"从中选一个：{'、'.join(kinds)}")
    if kind is not None:
        query = query.where(TRANSIT_ROW.c.kind == kind)
    return query if everything else query.where(TRANSIT_ROW.c.closed_run.is_(None))


def _batches(store: Store, catalog: Catalog, kind: str | None, everything: bool, plain: bool) -> Iterator[Any]:
    query = _chosen(sa.select(TRANSIT_ROW).order_by(TRANSIT_ROW.c.transit_no), kind, everything)
    with store.reading() as reader:
        result = reader.connection.execute(query.execution_options(yield_per=BLOCK)).mappings()
        for block in result.partitions(BLOCK):
            rows = [dict(r) for r in block]
            for row in rows if not plain else ():
                row["natural_key"] = mask_key(catalog.entities[row["entity"]], row["natural_key"])
            columns = [pa.array([None if r[c] is None else str(r[c]) for r in rows], pa.string()) for c in EXPORTED]
            yield pa.record_batch(columns, names=list(EXPORTED))


def _province(ctx: typer.Context) -> tuple[Shell, Node]:
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    return shell, node
