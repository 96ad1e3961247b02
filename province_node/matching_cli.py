"""`hub suspects` and `hub crosswalk`: lists for a person to decide on; nothing is merged or applied here.

Decides nothing: reads the store and the settling state, calls `quality.suspects` and `quality.crosswalk`, and tells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console

from hub.cli.output import Progress, emit, table
from hub.cli.shell import Shell, shell_of
from hub.csvfile import new_file
from hub.errors import NotInitialisedError
from province_node.settle import require_province
from province_node.sheets import write_book
from quality.crosswalk import Checked, Row, check
from quality.suspects import OWN_WEIGHTS, SPLINK, Suspect, suspects

suspects_app = typer.Typer(add_completion=False, no_args_is_help=True, help="疑似同一人：列出线索，从不自动合并。")
crosswalk_app = typer.Typer(add_completion=False, no_args_is_help=True, help="学校新旧标识码：核对报告。")

BySplink = Annotated[bool, typer.Option("--splink", help="用 Splink 打分（需安装可选组件 splink），默认用本机权重")]
Out = Annotated[Path, typer.Option("--out", metavar="文件", help="写入的 CSV 文件")]
SUSPECT_HEADS = ("记录号一", "学校一", "记录号二", "学校二", "得分", "相同项", "不同项")
CROSSWALK_HEADS = ("原标识码", "现标识码", "核对状态", "类型", "起", "止", "问题")


@suspects_app.command("ls")
def list_suspects(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="条数", min=1, help="最多列出多少对")] = 50,
    splink: BySplink = False,
) -> None:
    """疑似同一人的学生（姓名、出生日期、性别、生源地同，证件不同），得分高者在前。只有记录号，不含个人信息。"""
    shell = shell_of(ctx)
    found = _suspects(shell, splink)
    body = {"total": len(found), "scored_by": _scorer(splink), "suspects": [vars(s) for s in found[:limit]]}

    def render(console: Console) -> None:
        console.print(table("", SUSPECT_HEADS, [_suspect(s) for s in found[:limit]]))
        console.print(f"共 {len(found):,} 对，按{_scorer(splink)}打分，均未合并；逐条查看：hub lineage show xs 记录号")

    emit(shell, body, render)


@suspects_app.command("export")
def export_suspects(ctx: typer.Context, out: Out, splink: BySplink = False) -> None:
    """导出全部疑似对及其依据。"""
    shell = shell_of(ctx)
    found = _suspects(shell, splink)
    _write(out, (*SUSPECT_HEADS, "打分方法"), [[*_suspect(s), _scorer(splink)] for s in found])
    body = {"total": len(found), "scored_by": _scorer(splink), "file": out.name}
    emit(shell, body, lambda c: c.print(f"✔ {len(found):,} 对　按{_scorer(splink)}打分　{out.name}"))


@crosswalk_app.callback()
def _group() -> None:
    """学校新旧标识码：核对报告。"""


@crosswalk_app.command("check")
def check_crosswalk(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="文件", help="同时写入文件：.xlsx 写工作簿，其余写 CSV")
    ] = None,
) -> None:
    """新旧标识码核对：每行是更名、合并、拆分还是撤销，哪些未确认或对不上。"""
    shell = shell_of(ctx)
    found = _crosswalk(shell)
    rows = [_checked(c) for c in found]
    wrong = sum(bool(c.faults) for c in found)
    if out is not None and out.suffix.lower() == ".xlsx":
        write_book(out, [("新旧标识码核对", CROSSWALK_HEADS, rows)], private=True)
    elif out is not None:
        _write(out, CROSSWALK_HEADS, rows)

    def render(console: Console) -> None:
        console.print(table("新旧标识码核对", CROSSWALK_HEADS, rows))
        console.print(f"共 {len(found):,} 行，{wrong:,} 行有问题" + (f"　已写入 {out.name}" if out else ""))

    items = [dict(zip(CROSSWALK_HEADS, r, strict=True)) for r in rows]
    emit(shell, {"total": len(found), "wrong": wrong, "rows": items}, render)


def _scorer(splink: bool) -> str:
    return SPLINK if splink else OWN_WEIGHTS


def _suspects(shell: Shell, splink: bool) -> tuple[Suspect, ...]:
    node = shell.open_node()
    require_province(node)
    entities = shell.catalog().entities
    with shell.open_store(node).reading() as reader, Progress() as progress:

        def read(entity: str, columns: Sequence[str]) -> Iterable[Any]:
            progress.step("读取", entities[entity].cn)
            return reader.read(entities[entity], node=node.party, columns=["pk", *columns])

        return suspects(read, memory_mb=node.settings.memory_mb, splink=splink)


def _crosswalk(shell: Shell) -> tuple[Checked, ...]:
    """The crosswalk as the last round took it; the store's schools with their state."""
    node = shell.open_node()
    require_province(node)
    if not node.state.is_file():
        raise NotInitialisedError("E3451", "还没有定值过，没有新旧标识码可核对", step="先运行 hub sync run")
    with duckdb.connect(str(node.state), read_only=True) as con:
        known = con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'crosswalk_row'").fetchall()
        # A state of an older version has the rows in force only, without their dates, until the next round reads them.
        query = "old, new, confirmed, since FROM crosswalk_row" if known else "old, new, confirmed, '' FROM crosswalk"
        found = con.execute(f"SELECT {query}").fetchall()
    rows = [Row(old, new, bool(confirmed), since) for old, new, confirmed, since in found if old and new and old != new]
    entity = shell.catalog().entities["xx"]
    schools: dict[str, str] = {}
    with shell.open_store(node).reading() as reader:
        for block in reader.read(entity, node=node.party, columns=["XXDM", "BXZTM"]):
            schools |= dict(zip(*(block.column(c).to_pylist() for c in ("XXDM", "BXZTM")), strict=True))
    return check(rows, schools)


def _suspect(one: Suspect) -> list[Any]:
    return [one.pk_a, one.school_a, one.pk_b, one.school_b, one.score, "、".join(one.same), "、".join(one.other)]


def _checked(one: Checked) -> list[Any]:
    state = "已确认" if one.row.confirmed else "未确认"
    return [one.row.old, one.row.new, state, one.kind, one.row.since, one.until, "；".join(one.faults)]


def _write(out: Path, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    with new_file(out, private=True) as file:
        file.write(text.getvalue().encode())
