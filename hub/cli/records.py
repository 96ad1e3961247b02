"""`hub records`: golden records counted, digested and exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Entity
from hub.cli.output import Progress, emit, table
from hub.cli.release import Release, release_of
from hub.cli.shell import shell_of
from hub.csvfile import new_file, write_csv
from hub.errors import UsageError
from hub.masking import mask_batch
from hub.settings import Node
from hub.store import Reader, Store
from hub.store.reader import node_literal

app = typer.Typer(add_completion=False, no_args_is_help=True, help="正式库记录：计数、摘要、导出。")

Province = Annotated[str | None, typer.Option("--province", metavar="代码", help="只看一个省（两位代码；仅部级节点）")]


@app.command("ls")
def list_counts(ctx: typer.Context, province: Province = None) -> None:
    """各实体的记录数。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    catalog, one = shell.catalog(), scope(node, province)
    with shell.open_store(node).reading() as reader:
        rows = [{"entity": e.name, "name": e.cn, "rows": reader.count(e, one)} for e in catalog.entities.values()]
    total = sum(int(str(r["rows"])) for r in rows)

    def render(console: Console) -> None:
        console.print(table("", ["实体", "名称", "记录数"], [list(r.values()) for r in rows]))
        console.print(f"合计 {total:,} 条")

    emit(shell, {"node": node.party, "province": one, "entities": rows, "total": total}, render)


@app.command("digest")
def digests(ctx: typer.Context, province: Province = None) -> None:
    """各实体的内容摘要（SHA-256）：两级节点的摘要相同，即内容逐字节相同。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    rows = []
    store = shell.open_store(node)
    with store.reading() as reader, Progress() as progress:
        for owner in provinces(store, reader, node, province):
            for entity in shell.catalog().entities.values():
                progress.step("摘要", f"{owner} {entity.cn}")
                found = reader.digest(entity, owner)
                rows.append({"province": owner, "entity": entity.name, "rows": found.rows, "sha256": found.sha256})

    def render(console: Console) -> None:
        console.print(table("", ["省", "实体", "记录数", "SHA-256"], [list(r.values()) for r in rows]))
        if not rows:
            console.print("正式库没有记录。")

    emit(shell, {"node": node.party, "digests": rows}, render)


@app.command("export")
def export(
    ctx: typer.Context,
    entity: Annotated[str, typer.Argument(metavar="实体", help="实体名，例如 xs；见 hub schema show")],
    out: Annotated[Path, typer.Option("--out", metavar="文件", help="写入的 CSV 文件")],
    province: Province = None,
    plain: Annotated[bool, typer.Option("--plain", help="明文导出（须同时给出 --purpose，并记入审计）")] = False,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="用途", help="明文导出的用途，记入审计")] = None,
) -> None:
    """导出一个实体：规范字段名、按自然键排序；敏感字段默认脱敏。

    明文导出须写明用途，并在写出任何一行之前记入审计；记不进审计就不导出。
    """
    shell = shell_of(ctx)
    node = shell.open_node()
    chosen = entity_of(ctx, entity)
    one = scope(node, province)
    release = release_of(plain, purpose)
    store = shell.open_store(node)
    with Progress() as progress:
        total = store.count(chosen, one)
        event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
        release.record(store, event, shell, node, target=f"{chosen.name} {one or '全部'}", rows=total)
        with new_file(out, private=plain) as file:
            rows = write_csv(file, chosen.columns, _told(_blocks(store, chosen, one, release), progress, total))
    document = {"entity": chosen.name, "rows": rows, "file": out.name, "plain": plain, "province": one}
    kind = "明文" if plain else "已脱敏"
    emit(shell, document, lambda c: c.print(f"已导出 {chosen.cn} {rows:,} 条（{kind}）：{out}"))


def _blocks(store: Store, entity: Entity, one: str | None, release: Release) -> Iterator[Any]:
    for batch in store.read(entity, node=one, columns=entity.columns, order="natural"):
        yield batch if release.plain else mask_batch(entity, batch, entity.columns)


def _told(batches: Iterator[Any], progress: Progress, total: int) -> Iterator[Any]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        progress.amount("导出", done, total)


def entity_of(ctx: Any, name: str) -> Entity:
    """The entity of that name; UsageError E1023 otherwise."""
    entities = shell_of(ctx).catalog().entities
    if name.lower() not in entities:
        raise UsageError("E1023", "没有这个实体", step=f"从中选一个：{'、'.join(entities)}")
    return entities[name.lower()]


def scope(node: Node, province: str | None) -> str | None:
    """Whose rows: a province node's own; at the ministry one province's or all (None)."""
    if node.settings.role == "province":
        if province not in (None, node.party):
            raise UsageError("E1024", f"省级节点只有本省（{node.party}）的数据", step="去掉 --province")
        return node.party
    if province is not None and not (len(province) == 2 and province.isascii() and province.isdigit()):
        raise UsageError("E1025", "--province 应为两位数字", step="按 GB/T 2260 填写，例如 13")
    return province


def provinces(store: Store, reader: Reader, node: Node, province: str | None) -> list[str]:
    """Provinces that have rows here: the node's own, the asked one, or all that are stored."""
    one = scope(node, province)
    if one is not None:
        return [node_literal(one)]
    return list(reader.nodes(*store.tables.golden.values()))
