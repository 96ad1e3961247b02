"""`hub quarantine` and `hub findings`: refused rows with their reasons; losing values as CSV (`hub conflict export`).

Decides columns and masking only. A quarantine row stands once per rule and field; a conflict once per losing value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog
from hub.cli.output import Progress, emit, table
from hub.cli.release import release_of
from hub.cli.shell import shell_of
from hub.csvfile import new_file, write_csv
from hub.errors import UsageError
from hub.masking import mask_key, mask_value
from hub.store import Store
from hub.store.finding_tables import FINDING
from hub.store.ledger import CONFLICT, NO_FIELD, QUARANTINE

quarantine = typer.Typer(add_completion=False, no_args_is_help=True, help="隔离数据：计数与导出。")
findings = typer.Typer(
    add_completion=False, no_args_is_help=True, help="规则命中：隔离、挂起与已入库记录上的警告、提示。"
)

QUARANTINE_COLUMNS = (
    "entity", "natural_key", "rule", "field", "reason", "severity", "source", "state", "school", "src_rid", "run_no",
    "closed_run",
)  # fmt: skip
FINDING_COLUMNS = (
    "entity", "natural_key", "rule", "field", "severity", "state", "reason", "school", "source", "pk", "src_rid",
    "run_no", "closed_run",
)  # fmt: skip
CONFLICT_COLUMNS = (
    "conflict_no", "entity", "natural_key", "rule", "field", "state", "source", "value", "winner_source",
    "winner_value", "clash", "rows_named", "src_rid", "pk", "run_no", "closed_run",
)  # fmt: skip
BLOCK = 20_000
Row = dict[str, Any]

Out = Annotated[Path, typer.Option("--out", metavar="文件", help="写入的 CSV 文件")]
Plain = Annotated[bool, typer.Option("--plain", help="明文导出（须同时给出 --purpose，并记入审计）")]
Purpose = Annotated[str | None, typer.Option("--purpose", metavar="用途", help="明文导出的用途，记入审计")]
All = Annotated[bool, typer.Option("--all", help="连同已关闭的")]


@quarantine.command("ls")
def list_quarantine(ctx: typer.Context, everything: All = False) -> None:
    """按实体、规则、状态计数。"""
    _list(ctx, QUARANTINE, ("entity", "rule", "severity", "state"), "隔离数据", everything)


@quarantine.command("export")
def export_quarantine(
    ctx: typer.Context,
    out: Out,
    plain: Plain = False,
    purpose: Purpose = None,
    everything: All = False,
    findings: Annotated[bool, typer.Option("--findings", help="连同已入库记录上的警告与提示")] = False,
) -> None:
    """导出隔离与挂起的数据：实体、自然键、规则或原因、字段、严重程度、来源。"""
    sources = [QUARANTINE, FINDING] if findings else [QUARANTINE]
    _export(ctx, sources, QUARANTINE_COLUMNS, _quarantine_row, out, plain, purpose, everything)


@findings.command("ls")
def list_findings(ctx: typer.Context, everything: All = False) -> None:
    """已入库记录与各轮的警告、提示：按规则、实体、严重程度计数。"""
    _list(ctx, FINDING, ("rule", "entity", "severity"), "规则命中", everything)


@findings.command("export")
def export_findings(
    ctx: typer.Context,
    out: Out,
    plain: Plain = False,
    purpose: Purpose = None,
    everything: All = False,
    rule: Annotated[str | None, typer.Option("--rule", metavar="规则", help="只导出一条规则，例如 YZ06")] = None,
) -> None:
    """导出全部命中：实体、自然键、规则、字段、严重程度、状态（隔离、挂起、已入库），含被隔离的行。"""
    if rule is not None and rule not in shell_of(ctx).catalog().rules:
        raise UsageError("E1036", f"没有规则 {rule}", where="--rule", step="规则编号见 hub schema dictionary")
    _export(ctx, [QUARANTINE, FINDING], FINDING_COLUMNS, _finding_row, out, plain, purpose, everything, rule)


def export_conflicts(
    ctx: typer.Context, out: Out, plain: Plain = False, purpose: Purpose = None, everything: All = False
) -> None:
    """导出数据冲突：各来源的值、定值来源与所定的值。同一 clash 的各行属于同一冲突。"""
    _export(ctx, [CONFLICT], CONFLICT_COLUMNS, _conflict_row, out, plain, purpose, everything)


def _list(ctx: Any, source: sa.Table, columns: tuple[str, ...], title: str, everything: bool) -> None:
    shell = shell_of(ctx)
    node = shell.open_node()
    chosen = [source.c[c] for c in columns]
    query = sa.select(*chosen, sa.func.count()).group_by(*chosen).order_by(*chosen)
    with shell.open_store(node).reading() as reader:
        found = reader.connection.execute(query if everything else query.where(source.c.closed_run.is_(None))).all()
    rows = [dict(zip((*columns, "rows"), tuple(r), strict=True)) for r in found]
    names = {"entity": "实体", "rule": "规则", "severity": "严重程度", "state": "状态", "field": "字段", "rows": "行数"}

    def render(console: Console) -> None:
        if not rows:
            console.print(f"未发现问题：没有{title}。")
            return
        console.print(table("", [names[c] for c in (*columns, "rows")], [list(r.values()) for r in rows]))
        console.print(f"合计 {sum(int(r['rows']) for r in rows):,} 行")

    emit(shell, {"node": node.party, "groups": rows, "total": sum(int(r["rows"]) for r in rows)}, render)


def _export(
    ctx: Any,
    sources: list[sa.Table],
    columns: tuple[str, ...],
    shown: Callable[[Catalog, Row, bool], Row],
    out: Path,
    plain: bool,
    purpose: str | None,
    everything: bool,
    rule: str | None = None,
) -> None:
    shell = shell_of(ctx)
    node = shell.open_node()
    release, catalog, store = release_of(plain, purpose), shell.catalog(), shell.open_store(node)
    with Progress() as progress:
        progress.step("导出", sources[0].name)
        event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
        release.record(store, event, shell, node, target=sources[0].name, rows=_count(store, sources, everything, rule))
        with new_file(out, private=plain) as file:
            blocks = (
                _batch([shown(catalog, row, plain) for row in block], columns)
                for source in sources
                for block in _rows(store, source, everything, rule)
            )
            rows = write_csv(file, columns, blocks)
    kind = "明文" if plain else "已脱敏"
    text = f"已导出 {rows:,} 行（{kind}）：{out}" if rows else f"未发现问题：没有可导出的行（{out} 只有表头）"
    emit(shell, {"rows": rows, "file": out.name, "plain": plain}, lambda c: c.print(text))


def _count(store: Store, sources: list[sa.Table], everything: bool, rule: str | None) -> int:
    with store.reading() as reader:
        queries = [sa.select(sa.func.count()).select_from(s).where(*_wanted(s, everything, rule)) for s in sources]
        return sum(int(reader.connection.execute(q).scalar_one()) for q in queries)


def _wanted(source: sa.Table, everything: bool, rule: str | None) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [] if everything else [source.c.closed_run.is_(None)]
    if rule is not None:
        found.append(source.c.rule == rule)
    return found


def _rows(store: Store, source: sa.Table, everything: bool, rule: str | None) -> Iterator[list[Row]]:
    """Blocks of stored rows in key order."""
    query = sa.select(source).where(*_wanted(source, everything, rule)).order_by(*source.primary_key.columns)
    with store.reading() as reader:
        result = reader.connection.execute(query.execution_options(yield_per=BLOCK)).mappings()
        for block in result.partitions(BLOCK):
            yield [dict(row) for row in block]


def _batch(rows: list[Row], columns: tuple[str, ...]) -> Any:
    texts = [pa.array([None if r.get(c) in (None, "") else str(r[c]) for r in rows], pa.string()) for c in columns]
    return pa.record_batch(texts, names=list(columns))


def _quarantine_row(catalog: Catalog, row: Row, plain: bool) -> Row:
    row = _named(row) | {"reason": row.get("reason") or row.get("detail")}
    row["rule"] = row["rule"] or row["reason"]
    if not plain:
        if row["entity"] in catalog.entities:  # a finding of a run is about no record
            row["natural_key"] = mask_key(catalog.entities[row["entity"]], row["natural_key"])
        row["reason"] = mask_value(None, row["reason"])
    return row


def _finding_row(catalog: Catalog, row: Row, plain: bool) -> Row:
    """What a rule notes of a row that stands is no refusal: its state is 已入库; what it notes of a round, 已记录."""
    row = _quarantine_row(catalog, row, plain)
    noted = "已入库" if row["entity"] in catalog.entities else "已记录"
    row["state"] = noted if row["state"] == "提示" else row["state"]
    return row


def _conflict_row(catalog: Catalog, row: Row, plain: bool) -> Row:
    row = _named(row)
    if not plain:
        entity = catalog.entities[row["entity"]]
        row["natural_key"] = mask_key(entity, row["natural_key"])
        for name in ("value", "winner_value"):
            row[name] = mask_value(entity.by_name.get(row["field"] or ""), row[name])
    return row


def _named(row: Row) -> Row:
    """Where a rule names no field, none is shown (`hub.store.ledger.NO_FIELD`)."""
    return row | {name: None if row.get(name) == NO_FIELD else row.get(name) for name in ("rule", "field", "pk")}
