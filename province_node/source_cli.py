"""`hub source`: the systems a province reads: adding one of its own, testing, and how far it meets the standard.

Decides wording, files and exit codes: `conform` is 0 where everything meets the standard, 3 otherwise.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from connectors.base import Probe, Source
from connectors.mapped import MappedSource
from connectors.mapping import load_mapping
from connectors.registry import load_sources, open_source
from connectors.renamed import RenamedSource
from hub.catalog import Catalog, SourceTable
from hub.cli.output import Progress, emit, table
from hub.cli.shell import Shell, shell_of
from hub.errors import HubError, UsageError
from hub.settings import Node
from province_node.conform import Conformity, TableReport, conform
from province_node.in_force import held_catalog
from province_node.own import own_systems
from province_node.settle import require_province
from province_node.sheets import Rows, write_book

app = typer.Typer(add_completion=False, no_args_is_help=True, help="数据源：接入自建系统、测试连接、对照标准检查。")
WITH_GAPS: Final = 3

Url = Annotated[str, typer.Argument(metavar="URL", help="自建系统的地址：数据库 URL 或 delimited:文件夹")]
Mapping_ = Annotated[Path, typer.Option("--mapping", metavar="文件", help="映射文件（YAML）")]


@app.command("conform")
def conform_(
    ctx: typer.Context,
    url: Url,
    mapping: Mapping_,
    out: Annotated[Path | None, typer.Option("--out", metavar="文件", help="另存为 xlsx 报告")] = None,
    today: Annotated[str | None, typer.Option("--today", metavar="YYYY-MM-DD", help="规则所用的日期，默认今天")] = None,
) -> None:
    """对照标准检查自建系统：字段、代码、主键、与正式库的匹配率和数据量。给出 --node 时与其正式库比对。"""
    shell = shell_of(ctx)
    node = shell.open_node() if shell.folder is not None else None
    catalog = load_dictionaries(shell, node)
    own = load_mapping(mapping, catalog)
    source = MappedSource(open_source(url), own)
    day = today or shell.now().astimezone().date().isoformat()
    try:
        with Progress() as progress:
            progress.step("检查", own.system.cn)
            if node is None:
                report = conform(source, own, catalog, today=day, reader=None, node="")
            else:
                with shell.open_store(node).reading() as reader:
                    report = conform(source, own, catalog, today=day, reader=reader, node=node.party)
    finally:
        source.close()
    if out is not None:
        _write(report, out)
    document = {**asdict(report), "conforms": report.conforms}
    emit(shell, document, lambda c: _tell(c, report, compared=node is not None))
    if not report.conforms:
        raise typer.Exit(WITH_GAPS)


def load_dictionaries(shell: Shell, node: Node | None) -> Catalog:
    """The codes and the registry the node holds, with its site dictionaries; the installed ones without a node."""
    return shell.catalog() if node is None else held_catalog(node)


def _tell(console: Console, report: Conformity, *, compared: bool) -> None:
    console.print(f"{report.name}（{report.system}）对照标准检查")
    for one in report.tables:
        console.print(f"\n{one.name}　表 {one.table}　{'✔ 符合' if one.conforms else '✘ 有差距'}")
        for line in sentences(one, compared=compared):
            console.print(f"  {line}")
        faults = [f for f in one.fields if f.invalid or f.unknown]
        if faults:
            cells = [
                [f.field, f.name, f.column, f.empty, f.invalid, share(f.unknown, one.rows), "、".join(f.examples)]
                for f in faults
            ]
            console.print(table("", ["字段", "名称", "来源列", "空值", "不合规", "代码未知", "例"], cells))


def sentences(one: TableReport, *, compared: bool) -> list[str]:
    """The findings of a table in words."""
    if not one.present:
        return ["没有这张表"]
    if one.missing_columns:
        return [f"缺少映射所写的列：{'、'.join(one.missing_columns)}"]
    mapped = sum(f.column is not None for f in one.fields)
    said = [f"字段：{len(one.fields)} 项标准字段中有 {mapped} 项"]
    if one.missing_required:
        said.append(f"缺少必填字段：{'、'.join(one.missing_required)}")
    unknown = sum(f.unknown for f in one.fields)
    said.append(f"代码：{unknown:,} 处不在代码表" if unknown else "代码：全部在代码表中")
    said.append(f"主键：{one.rows:,} 行，不同 {one.keys:,} 个，空 {one.null_keys:,}，重复 {one.repeated_keys:,}")
    if compared:
        said.append(
            f"与正式库：匹配 {one.matched:,} 个（{share(one.matched, one.keys)}）；"
            f"正式库 {one.golden:,} 条，本系统 {one.rows:,} 行"
        )
    return said


def share(part: int, whole: int) -> str:
    """A share as people read it."""
    return f"{part / whole:.1%}" if whole else "—"


def _write(report: Conformity, out: Path) -> None:
    overview: Rows = [
        [t.entity, t.name, t.table, "是" if t.conforms else "否", t.rows, t.keys, t.null_keys, t.repeated_keys,
         t.golden, t.matched, share(t.matched, t.keys), "、".join(t.missing_required)]
        for t in report.tables
    ]  # fmt: skip
    fields: Rows = [
        [t.entity, f.field, f.name, f.required, f.column or "（无）", f.empty, f.invalid, f.unknown,
         share(f.unknown, t.rows), "、".join(f.examples)]
        for t in report.tables
        for f in t.fields
    ]  # fmt: skip
    heads = [
        "实体",
        "名称",
        "来源表",
        "符合",
        "行数",
        "不同主键",
        "空主键",
        "重复主键",
        "正式库",
        "匹配",
        "匹配率",
        "缺必填字段",
    ]
    columns = ["实体", "字段", "名称", "必填", "来源列", "空值", "不合规", "代码未知", "未知比例", "例"]
    write_book(out, [("总览", heads, overview), ("字段", columns, fields)])


@app.command("add")
def add(ctx: typer.Context, url: Url, mapping: Mapping_) -> None:
    """接入自建系统：检查映射文件并写入 sources.toml；下一轮起参与定值。"""
    shell, node = _province(ctx)
    own = load_mapping(mapping, load_dictionaries(shell, node))
    file = node.sources if node.sources.is_file() else node.sources / "sources.toml"
    if not file.is_file():
        raise UsageError(
            "E3733",
            "数据源目录没有 sources.toml，不能添加",
            where=node.sources.name,
            step="先写 sources.toml 指明 S1、S2、S3 的 URL；"
            f"或把 {own.id.lower()}.yaml（映射）与 {own.id.lower()}.db 放入该目录",
        )
    if any(s.id == own.id for s in load_sources(node.sources).own):
        raise UsageError(
            "E3734", f"{own.id} 已经接入", where=file.name, step="改映射文件即可；下一轮自动全量重读该系统"
        )
    text = file.read_text(encoding="utf-8")
    entry = f"\n[own.{own.id}]\nurl = {_quoted(url)}\nmapping = {_quoted(str(mapping.resolve()))}\n"
    part = file.with_name(f".{file.name}.part")
    part.write_text(text.rstrip("\n") + "\n" + entry, encoding="utf-8")
    try:
        load_sources(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    letter = own.system.letter
    said = f"已接入 {own.system.cn}（{own.id}，来源字母 {letter}）：{len(own.tables)} 张表。"
    said += f"下一步：hub source test {own.id}"
    emit(shell, {"system": own.id, "letter": letter, "tables": len(own.tables)}, lambda c: c.print(said))


def _quoted(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise UsageError("E3735", "地址中有控制字符", where="URL", step="核对后重试")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@app.command("test")
def probe_sources(
    ctx: typer.Context,
    system: Annotated[str | None, typer.Argument(metavar="系统", help="S1、S2、S3 或 X1…；不给则全部")] = None,
) -> None:
    """连接数据源，逐表报告是否可读、缺列与行数；不读内容。"""
    shell, node = _province(ctx)
    catalog = load_dictionaries(shell, node)
    sources = load_sources(node.sources)
    own = own_systems(sources, catalog)
    asked: dict[str, tuple[str, list[SourceTable], Any]] = {
        s: (url, list(catalog.systems[s].tables), None) for s, url in sources.systems.items()
    }
    asked |= {m.id: (s.url, [t.canonical for t in m.tables], m) for s, m in zip(sources.own, own, strict=True)}
    if system is not None and system not in asked:
        raise UsageError("E3736", f"没有配置数据源 {system}", step=f"已配置：{'、'.join(asked)}")
    rows: list[dict[str, Any]] = []
    for name, (url, tables, mapped) in asked.items():
        if system in (None, name):
            rows += _probed(name, url, tables, mapped)
    failed = [r for r in rows if r["problem"]]

    def render(console: Console) -> None:
        cells = [[r["system"], r["table"], r["rows"], "✔" if not r["problem"] else f"✘ {r['problem']}"] for r in rows]
        console.print(table("", ["系统", "表", "行数", "状态"], cells))

    emit(shell, {"tables": rows, "ok": not failed}, render)
    if failed:
        raise typer.Exit(WITH_GAPS)


def _probed(name: str, url: str, tables: list[SourceTable], mapped: Any) -> list[dict[str, Any]]:
    found = []
    source: Source | None = None
    try:
        source = RenamedSource(open_source(url)) if mapped is None else MappedSource(open_source(url), mapped)
        for one in tables:
            found.append(_row(name, one, source.probe(one)))
    except HubError as error:
        found.append({"system": name, "table": "", "rows": None, "problem": error.sentence()})
    finally:
        if source is not None:
            source.close()
    return found


def _row(name: str, one: SourceTable, probe: Probe) -> dict[str, Any]:
    problem = ""
    if not probe.present:
        problem = "没有这张表"
    elif probe.missing_columns:
        problem = f"缺少列 {'、'.join(probe.missing_columns)}"
    return {"system": name, "table": one.native.table, "rows": probe.rows, "problem": problem}


def _province(ctx: typer.Context) -> tuple[Shell, Node]:
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    return shell, node
