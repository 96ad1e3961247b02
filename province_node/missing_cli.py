"""`hub supplement missing` and `completeness`: what each school still has to supply, and how far its forms are filled.

Decides wording and files: one xlsx per school, records masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog
from hub.cli.output import Progress, emit, table
from hub.cli.release import release_of
from hub.cli.shell import shell_of
from hub.errors import UsageError
from province_node.settle import require_province
from province_node.sheets import write_book
from province_node.supplement_missing import Gap, completeness, missing, school_types, shown_gap

School = Annotated[str | None, typer.Option("--school", metavar="标识码", help="只看一所学校")]
HEADS = ("实体", "记录（脱敏）", "缺少的字段", "字段标识", "原因", "补录模板")


def list_missing(
    ctx: typer.Context,
    school: School = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="目录", help="每校写一份 xlsx 清单")] = None,
) -> None:
    """待补录：必填而为空的字段，按学校计数；--out 每校写一份清单。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    store, catalog = shell.open_store(node), shell.catalog()
    gaps: dict[str, list[Gap]] = {}
    with Progress() as progress, store.reading() as reader:
        progress.step("核对", "待补录")
        for gap in missing(reader, catalog, node.party, school=school):
            gaps.setdefault(gap.school, []).append(gap)
    total = sum(len(some) for some in gaps.values())
    if out is not None and total:
        release_of(False, None).record(store, Event.RECORDS_EXPORTED, shell, node, target="missing", rows=total)
        _write_lists(out, catalog, gaps)
    counts = [
        {"school": code, "entity": e, "field": f, "why": why, "rows": n}
        for code, some in sorted(gaps.items())
        for (e, f, why), n in sorted(Counter((g.entity, g.field, g.why) for g in some).items())
    ]

    def render(console: Console) -> None:
        if not total:
            console.print("未发现问题：没有待补录的必填项。")
            return
        rows = [[c["school"], catalog.entities[str(c["entity"])].cn, c["field"], c["why"], c["rows"]] for c in counts]
        console.print(table("", ["学校", "实体", "字段", "原因", "条数"], rows))
        said = f"共 {total:,} 项，{len(gaps):,} 所学校"
        console.print(said + (f"；清单已写入 {out}" if out else "　用 --out 目录 按校导出清单"))

    emit(shell, {"total": total, "schools": len(gaps), "groups": counts}, render)


def _write_lists(out: Path, catalog: Catalog, gaps: Mapping[str, list[Gap]]) -> None:
    """One xlsx list per school."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("E1022", "目录写不了", where=out.name, step="检查 --out 的权限与磁盘空间") from error
    for code, some in gaps.items():
        rows = [shown_gap(catalog, gap) for gap in some]
        write_book(out / f"待补录_{code or '未知学校'}.xlsx", [("待补录清单", HEADS, rows)])


def show_completeness(ctx: typer.Context, school: School = None) -> None:
    """各校必填表单完成情况：按学校类型应填的表单（47、26、33、21）、中枢所持的表单、完整率。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    with shell.open_store(node).reading() as reader:
        found = completeness(reader, shell.catalog(), node.party, school=school)
    types = school_types()
    document = {"schools": [{**asdict(c), "type_name": types[c.type], "rate": c.rate} for c in found]}

    def render(console: Console) -> None:
        if not found:
            console.print("正式库中还没有学校。先运行一轮：hub --node … sync run")
            return
        rows = [
            [c.school, c.name, types[c.type], c.required, c.held, c.filled,
             "—" if c.rate is None else f"{c.rate:.1%}", "、".join(c.empty_forms)]
            for c in found
        ]  # fmt: skip
        heads = ["学校", "名称", "类型", "必填表单", "中枢所持", "已有数据", "必填项完整率", "尚无数据的表单"]
        console.print(table("", heads, rows))
        console.print("中枢只持有学校、教师、学生、专业、班级的表单；其余必填表单须在业务系统中查看。")

    emit(shell, document, render)
