"""`hub schema`: the data definitions as a browsable dictionary and in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hub.catalog import Catalog, Entity
from hub.cli.dictionary import REQUIRED, kind_words, write_dictionary
from hub.cli.output import emit, table
from hub.cli.records import entity_of
from hub.cli.shell import shell_of
from hub.errors import UsageError
from hub.masking import is_masked

app = typer.Typer(add_completion=False, no_args_is_help=True, help="数据定义：数据字典网站、终端查看。")


@app.command("dictionary")
def dictionary(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="目录", help="写入的目录")] = Path("dictionary"),
) -> None:
    """生成数据字典网站：实体、字段、代码表、规则、数据源、模板。用浏览器打开 index.html，不需要网络。"""
    shell = shell_of(ctx)
    try:
        pages = write_dictionary(shell.catalog(), out)
    except OSError as error:
        raise UsageError("E1022", "目录写不了", where=out.name, step="检查 --out 的权限与磁盘空间") from error
    document = {"pages": len(pages), "index": f"{out.name}/index.html"}
    emit(shell, document, lambda c: c.print(f"数据字典已写入 {out}（{len(pages)} 页），打开 {out / 'index.html'}"))


@app.command("show")
def show(
    ctx: typer.Context,
    entity: Annotated[str | None, typer.Argument(metavar="实体", help="实体名；不写则列出全部")] = None,
) -> None:
    """列出实体，或一个实体的全部字段。"""
    shell = shell_of(ctx)
    catalog = shell.catalog()
    if entity is None:
        rows = [{"entity": e.name, "name": e.cn, "key": list(e.key), "fields": len(e.fields)} for e in
                catalog.entities.values()]  # fmt: skip
        cells = [[r["entity"], r["name"], "、".join(map(str, r["key"])), r["fields"]] for r in rows]  # type: ignore[call-overload]
        emit(shell, {"entities": rows}, lambda c: c.print(table("", ["实体", "名称", "自然键", "字段数"], cells)))
        return
    chosen = entity_of(ctx, entity)
    emit(shell, _document(catalog, chosen), lambda c: _tell(c, catalog, chosen))


def _document(catalog: Catalog, entity: Entity) -> dict[str, object]:
    fields = []
    for field in entity.fields:
        owner = catalog.registry.owners[entity.name, field.name]
        fields.append(
            vars(field) | {"authority": list(owner.order), "supplement_fills": owner.fill, "masked": is_masked(field)}
        )
    return {"entity": entity.name, "name": entity.cn, "key": list(entity.key), "fields": fields}


def _tell(console: Console, catalog: Catalog, entity: Entity) -> None:
    console.print(f"{entity.cn}（{entity.name}）　自然键 {'、'.join(entity.key)}")
    rows = [
        [
            f.name, f.cn, kind_words(f), REQUIRED[f.required], f.code, "、".join(
                catalog.registry.owners[entity.name, f.name].order
            ), f.sensitivity + ("（脱敏）" if is_masked(f) else ""), f.note,
        ]
        for f in entity.fields
    ]  # fmt: skip
    console.print(table("", ["字段", "名称", "类型", "必填", "代码表", "权威源", "敏感级", "说明"], rows))
