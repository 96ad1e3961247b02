"""`hub correction`: requests to the owning platforms, listed and exported for their owners to act on (console 3).

Decides the export's columns and that it is a release of plain values: the owner must find the row, so keys and values
stand in it only with a purpose and an audit record; without one they are masked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog
from hub.cli.issues import Plain, Purpose
from hub.cli.output import emit, table
from hub.cli.release import release_of
from hub.cli.shell import shell_of
from hub.csvfile import new_file
from hub.errors import UsageError
from hub.masking import mask_key, mask_value
from hub.store.decision_tables import CORRECTION
from province_node.conflict_desk import EAST_8, Out, Who, desk
from province_node.conflict_sheet import write_sheet
from province_node.conflict_words import filter_of
from province_node.in_force import held_catalog

app = typer.Typer(add_completion=False, no_args_is_help=True, help="更正请求：按源头平台列出与导出。")
PENDING = "待源头确认"
System = Annotated[str | None, typer.Option("--system", metavar="平台", help="S1、S2 或 S3")]
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
    ).where(*_chosen(system, everything)).group_by(*keys).order_by(*keys)  # fmt: skip
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
        allowed = _within(reader, acting)
        query = sa.select(CORRECTION).where(*_chosen(system, everything), allowed).order_by(CORRECTION.c.correction_no)
        rows = [request(catalog, dict(r), plain=plain) for r in reader.connection.execute(query).mappings()]
    event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
    release.record(store, event, shell, node, target="correction", rows=len(rows))
    if out.suffix.lower() == ".json":
        body = {"schema_version": 1, "node": node.party, "corrections": rows}
        with new_file(out, private=plain) as file:
            file.write((json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode())
    else:
        headers = tuple(rows[0]) if rows else ("请求编号",)
        cells = [["" if v is None else str(v) for v in r.values()] for r in rows]
        write_sheet(out, headers, cells, private=plain)
    with store.begin() as tx:
        sent = sa.update(CORRECTION).where(CORRECTION.c.sent_at.is_(None), CORRECTION.c.state == PENDING)
        numbers = [r["请求编号"] for r in rows]
        for start in range(0, len(numbers), 500):
            some = numbers[start : start + 500]
            tx.connection.execute(sent.where(CORRECTION.c.correction_no.in_(some)).values(sent_at=acting.ts))
    text = f"已导出 {len(rows):,} 条更正请求（{'明文' if plain else '已脱敏'}）：{out.name}"
    emit(shell, {"rows": len(rows), "file": out.name, "plain": plain}, lambda c: c.print(text))


def _chosen(system: str | None, everything: bool) -> list[Any]:
    terms: list[Any] = [] if everything else [CORRECTION.c.state == PENDING]
    return [*terms, CORRECTION.c.system == system] if system else terms


def _within(reader: Any, acting: Any) -> Any:
    from hub.store.decision_tables import DECISION
    from quality.decisions_query import conditions, within

    seen = sa.select(DECISION.c.decision_no).where(
        *conditions(filter_of(None, acting.today)), within(reader, acting.node, acting.by.scopes("xlsx"))
    )
    return CORRECTION.c.decision_no.in_(seen)


def request(catalog: Catalog, row: Mapping[str, Any], *, plain: bool) -> dict[str, Any]:
    """One request as its source owner reads it: platform, table, record, field, what it says and what it should say."""
    entity = catalog.entities[row["entity"]]
    field = entity.by_name.get(row["field"] or "")
    source = catalog.platform_table(entity.name)
    values = {n: row[n] if plain else mask_value(field, row[n]) for n in ("old_value", "wanted_value")}
    return {
        "请求编号": row["correction_no"],
        "冲突编号": row["decision_no"],
        "平台": row["system"],
        "源表": source.table if source and source.system == row["system"] else None,
        "实体": entity.cn,
        "主键字段": "、".join(entity.key),
        "主键值": row["natural_key"] if plain else mask_key(entity, row["natural_key"]),
        "学校": row["school"],
        "字段": row["field"],
        "字段名": field.cn if field else None,
        "规则": row["rule"],
        "现值": values["old_value"],
        "应为": values["wanted_value"] or "请核实更正",
        "原因": row["reason"],
        "状态": row["state"],
        "提出时间": row["asked_at"],
        "截止日期": row["due"],
        "确认依据": row["evidence"],
    }
