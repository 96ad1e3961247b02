"""`hub registry`: the authority registry from the command line, at either node.

Decides nothing: the ministry publishes, a province plans and applies, both list and compare. It lies in `pipelines`,
because only that room may know both nodes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.catalog import Catalog
from hub.catalog.authority import changed, words
from hub.catalog.code_files import CodeFile
from hub.catalog.codes import CodeChange, changed_tables, name_of, parse
from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from hub.errors import InputError
from hub.registry import versions
from hub.registry.rows import counts
from hub.registry.versions import STATES, Version
from ministry_node.desk import require_ministry
from ministry_node.registry import publish_registry
from province_node.cli import Today, options_of
from province_node.registry import RegistryPlan, apply_registry, plan_registry
from province_node.settle import require_province

app = typer.Typer(add_completion=False, no_args_is_help=True, help="权威源登记：发布、查看、试算、启用。")

_SHOWN = 20
Number = Annotated[int | None, typer.Argument(metavar="版本", help="版本号，默认最新一版")]


Document = Annotated[
    Path, typer.Argument(metavar="文件", help="按 schemas/authority.yaml 写的登记，version 须大于已有版本")
]
Note = Annotated[str, typer.Option("--note", metavar="说明", help="一句话说明为什么改，记入审计")]
CodeFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--codes",
        metavar="文件",
        help="随附的代码 CSV，整表替换，可多次给出；"
        "列如 schemas/codes 中的代码表、行政区划、专业目录、新旧专业对照或标签；"
        "未给出的沿用上一版",
    ),
]
Installed = Annotated[
    bool, typer.Option("--installed-codes", help="以本机安装的代码为底，不沿用上一版（软件升级后用）")
]


@app.command("publish")
def publish(
    ctx: typer.Context, file: Document, note: Note = "", codes: CodeFiles = None, installed: Installed = False
) -> None:
    """部级：检查、签名并向各省发布一版权威源登记及其代码表、区划、专业目录和标签。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_ministry(node)
    done = publish_registry(
        node,
        _text(file),
        name=file.name,
        note=note,
        actor=shell.actor(),
        at=shell.now(),
        rng=os.urandom,
        codes=[CodeFile(_text(c), c.name) for c in codes or ()],
        installed=installed,
    )
    told = (
        f"✔ 权威源登记第 {done.version} 版已发布　{done.batch.batch_id}　改动 {done.changed} 个数据项、"
        f"{len(done.tables)} 张代码表"
    )
    body = {
        "version": done.version,
        "batch": done.batch.batch_id,
        "changed_fields": done.changed,
        "changed_tables": [c.table for c in done.tables],
    }
    emit(shell, body, lambda console: console.print(told))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "E1113", "权威源登记或代码表文件无法读取", where=file.name, step="核对文件名，文件须为 UTF-8"
        ) from error


@app.command("ls")
def list_versions(ctx: typer.Context) -> None:
    """本节点持有的各版登记、现行版本，和按各版本定值的记录数。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        found = versions.stored(reader.connection)
        rows = counts(reader, node.party) if node.settings.role == "province" else {}
    items = [{**_head(v), "rows": rows.get(v.number)} for v in found]

    def render(console: Console) -> None:
        heads = ["版本", "状态", "摘要", "收到或发布", "启用", "批次", "此版定值的记录"]
        console.print(
            table("", heads, [[v.number, STATES[v.state], v.digest[7:19], v.created, v.applied_at, v.batch_id,
                               rows.get(v.number, "")] for v in found])
        )  # fmt: skip

    emit(shell, {"node": node.party, "versions": items}, render)


@app.command("show")
def show(ctx: typer.Context, number: Number = None) -> None:
    """一版登记的全文。"""
    shell = shell_of(ctx)
    version = _version(shell, number)
    emit(shell, {**_head(version), "document": version.document}, lambda c: c.print(version.document))


@app.command("diff")
def diff(
    ctx: typer.Context,
    old: Annotated[int, typer.Argument(metavar="旧版", help="比较的旧版号")],
    new: Annotated[int, typer.Argument(metavar="新版", help="比较的新版号")],
) -> None:
    """两版登记之间权威源不同的数据项和不同的代码。"""
    shell = shell_of(ctx)
    both = [_version(shell, n) for n in (old, new)]
    pair = [versions.registry_of(v.document) for v in both]
    tables = changed_tables(*(parse(v.tables) for v in both)) if all(v.tables for v in both) else ()
    entities = shell.catalog().entities
    items = [
        {"entity": e, "field": f, "name": entities[e][f].cn, "before": words(a), "after": words(b)}
        for e, f, a, b in changed(*pair)
    ]

    def render(console: Console) -> None:
        console.print(
            table("", ["实体", "字段", "名称", f"第 {old} 版", f"第 {new} 版"], [list(i.values()) for i in items])
        )
        if tables:
            catalog = shell.catalog()
            console.print(table("", ["代码表", "新增", "取消", "改名"], [_codes(catalog, c) for c in tables]))

    emit(shell, {"old": old, "new": new, "changes": items, "tables": [asdict(c) for c in tables]}, render)


def _codes(catalog: Catalog, change: CodeChange) -> list[str]:
    some = (change.added, change.removed, change.renamed)
    return [f"{change.table} {name_of(catalog, change.table)}", *(_few(codes) for codes in some)]


def _few(codes: Sequence[str]) -> str:
    return "、".join(codes[:_SHOWN]) + (f"……共 {len(codes)} 个" if len(codes) > _SHOWN else "")


@app.command("plan")
def plan(ctx: typer.Context, number: Number = None, today: Today = None) -> None:
    """省级：试算启用一版登记会改动哪些记录，什么也不留下。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    options = options_of(shell, today=today, full=False, no_review=False, allow_deletes=False)
    with Progress() as progress:
        found = plan_registry(node, number, today=options.today, progress=progress.step)
    emit(shell, asdict(found), lambda c: _tell_plan(c, shell.catalog().entities, found))


@app.command("apply")
def apply(ctx: typer.Context, number: Number = None) -> None:
    """省级：启用已收到的一版登记；下一轮同步只重新定值它触及的记录。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    done = apply_registry(node, number, actor=shell.actor(), at=shell.now())

    def render(console: Console) -> None:
        for version in done:
            console.print(f"✔ 已启用权威源登记第 {version.number} 版；下一轮 hub sync run 重新定值其触及的记录")
        if not done:
            console.print("没有可启用的新版登记。")

    emit(shell, {"applied": [_head(v) for v in done]}, render)


def _tell_plan(console: Console, entities: Any, found: RegistryPlan) -> None:
    console.print(f"试算：由第 {found.now} 版改用第 {found.version} 版（未写入任何数据）")
    rows = [
        [entities[f.entity].cn, f.field, entities[f.entity][f.field].cn, f.before, f.after, f.values, f.letters]
        for f in found.fields
    ]
    console.print(table("", ["实体", "字段", "名称", "原权威源", "新权威源", "值将改变", "来源将改变"], rows))
    total = [[entities[e].cn, n, found.changed.get(e, 0)] for e, n in found.settled.items()]
    console.print(table("", ["实体", "重新定值", "将改动的记录"], total) if total else "没有记录因权威源需要重新定值。")
    if found.codes:
        heads = ["代码表", "名称", "新增", "取消", "改名", "将重新判定的来源记录", "现有记录中将失效的代码"]
        shown = [
            [c.table, c.name, c.added, c.removed, c.renamed, _per_field(c.rows), _per_field(c.golden)]
            for c in found.codes
        ]
        console.print(table("", heads, shown))
        console.print("来源记录在下一轮 hub sync run 中重新读取、判定；其余记录不动。")


def _per_field(counts: Mapping[str, int]) -> str:
    return "、".join(f"{field} {n}" for field, n in counts.items()) or "—"


def _version(shell: Any, number: int | None) -> Version:
    with shell.open_store(shell.open_node()).reading() as reader:
        found = versions.stored(reader.connection)
        return found[-1] if number is None else versions.find(reader.connection, number)


def _head(version: Version) -> dict[str, Any]:
    return {k: v for k, v in asdict(version).items() if k not in ("document", "tables")}
