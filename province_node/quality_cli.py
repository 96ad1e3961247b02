"""`hub quality`: a rule tried over stored data, quality rates of a run, the pages of each run's results.

Decides only how counts are added up: from schools to counties, cities and the province along the reporting tree (定州
and 辛集 report to the province, console 1). Nothing shown here holds a value of a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console

from hub.cli.output import emit, table
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.roles import reports_to
from hub.settings import Node
from hub.store.finding_tables import QUALITY_RATE
from province_node.findings import on_day
from province_node.quality_pages import DIMENSIONS, write_pages
from province_node.settle import require_province
from province_node.trial import BASIS, Trial, try_rule

app = typer.Typer(add_completion=False, no_args_is_help=True, help="数据质量：试跑规则、质量率、每轮结果页。")
UNKNOWN = "-"


class Level(StrEnum):
    """What counts are added up to."""

    SCHOOL = "school"
    COUNTY = "county"
    CITY = "city"
    PROVINCE = "province"


By = Annotated[Level, typer.Option("--by", help="按学校、县、市或省合计（按汇报关系，不按代码前缀）")]


@app.command("try")
def try_one(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="规则编号，例如 YZ06；未启用的规则也可以试")],
    by: By = Level.SCHOOL,
    thresholds: Annotated[
        list[str] | None, typer.Option("--set", metavar="阈值=值", help="试用别的阈值，例如 --set men=63；可写多次")
    ] = None,
    today: Annotated[str | None, typer.Option("--today", metavar="YYYY-MM-DD", help="规则所用的日期")] = None,
) -> None:
    """在已存数据上试跑一条规则：按学校或地区列出命中数与样例记录号，什么也不写入。"""
    shell = shell_of(ctx)
    node = _province(shell)
    own = dict(map(_threshold, thresholds or []))
    day = _day(shell, today)
    at = on_day(day, shell.now())
    found = try_rule(node, shell.catalog(), rule, today=day, at=at, thresholds=own)
    rows = _grouped(found, by)
    document = {
        "rule": found.rule.id, "name": found.rule.name, "severity": found.rule.severity,
        "thresholds": dict(found.rule.thresholds), "basis": found.basis, "asked": found.asked, "hits": found.hits,
        "by": by.value, "groups": rows,
    }  # fmt: skip
    emit(shell, document, lambda console: _tell_trial(console, shell, found, rows))


def _tell_trial(console: Console, shell: Shell, found: Trial, rows: list[dict[str, Any]]) -> None:
    rule = found.rule
    console.print(f"{rule.id}　{rule.name}（{rule.severity}）　{rule.message}")
    for name, value in rule.thresholds.items():
        console.print(f"  阈值 {name} = {value}")
    console.print(f"{BASIS[found.basis]} {found.asked:,} 条，命中 {found.hits:,}（未写入任何数据）")
    if rows:
        names = {e.name: e.cn for e in shell.catalog().entities.values()} | {"run": "本轮"}
        cells = [[r["place"], names[r["entity"]], r["field"], r["hits"], " ".join(r["records"])] for r in rows]
        console.print(table("", ["范围", "实体", "字段", "命中", "样例记录号"], cells))


def _grouped(found: Trial, by: Level) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entity, field, school, division, hits, records in found.groups:
        place = place_of(by, school, division)
        row = sums.setdefault(
            (place, entity, field), {"place": place, "entity": entity, "field": field, "hits": 0, "records": []}
        )
        row["hits"] += hits
        row["records"] = [*row["records"], *records][:5]
    return sorted(sums.values(), key=lambda r: (-r["hits"], r["place"], r["entity"], r["field"]))


def place_of(by: Level, school: str, division: str | None) -> str:
    """The school itself, or the code of the county, city or province it reports to; `-` where that is unknown.

    Of a county that reports to the province, the city is the county itself.
    """
    if by is Level.SCHOOL:
        return school
    if not division:
        return UNKNOWN
    province = division[:2] + "0000"
    if by is Level.PROVINCE:
        return province
    above = reports_to(division)
    return division if by is Level.COUNTY or above == province else above


@app.command("rates")
def rates(
    ctx: typer.Context,
    by: By = Level.PROVINCE,
    run: Annotated[int | None, typer.Option("--run", metavar="轮次", help="默认最近一轮")] = None,
) -> None:
    """质量率：完整率、有效率、唯一率、一致率、关联率、及时率，按学校、县、市或省。"""
    shell = shell_of(ctx)
    node = _province(shell)
    with shell.open_store(node).reading() as reader:
        ask = reader.connection.execute
        last = ask(sa.select(sa.func.max(QUALITY_RATE.c.run_no))).scalar_one()
        number = run if run is not None else last
        found = ask(sa.select(QUALITY_RATE).where(QUALITY_RATE.c.run_no == number)).mappings().all()
    if run is not None and not found:
        raise UsageError("E3523", f"第 {run} 轮没有质量率", where="--run", step="用 hub sync status 查看轮次")
    rows = _summed(found, by)

    def render(console: Console) -> None:
        if not rows:
            console.print("还没有质量率：先运行 hub sync run。")
            return
        cells = [[r["place"], *(_share(r["rates"].get(d)) for d in DIMENSIONS)] for r in rows]
        console.print(f"第 {number} 轮")
        console.print(table("", ["范围", *DIMENSIONS.values()], cells))

    emit(shell, {"run": number, "by": by.value, "rows": rows}, render)


def _summed(found: Iterable[Any], by: Level) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, list[int]]] = {}
    for row in found:
        pair = sums.setdefault(place_of(by, row["school"], row["division"]), {}).setdefault(row["dimension"], [0, 0])
        pair[0] += int(row["good"])
        pair[1] += int(row["total"])
    return [
        {"place": p, "rates": {d: {"good": g, "total": t, "rate": round(g / t, 6)} for d, (g, t) in some.items()}}
        for p, some in sorted(sums.items())
    ]


def _share(pair: dict[str, Any] | None) -> str:
    return f"{100 * pair['rate']:.2f}%" if pair else ""


@app.command("docs")
def docs(ctx: typer.Context) -> None:
    """每轮结果的网页（节点目录 quality/）：补上缺的，只含条数与记录号。每轮结束时自动生成。"""
    shell = shell_of(ctx)
    node = _province(shell)
    made = write_pages(node, shell.catalog())
    index = node.quality_docs / "index.html"
    emit(shell, {"index": index.name, "made": len(made)}, lambda c: c.print(f"新生成 {len(made)} 页：{index}"))


def _province(shell: Shell) -> Node:
    node = shell.open_node()
    require_province(node)
    return node


def _day(shell: Shell, today: str | None) -> str:
    try:
        return (date.fromisoformat(today) if today else shell.now().astimezone().date()).isoformat()
    except ValueError:
        raise UsageError("E1034", "--today 不是日期", step="写成 YYYY-MM-DD，例如 2026-11-23") from None


def _threshold(given: str) -> tuple[str, Any]:
    """`name=value`: numbers as numbers, a comma makes a list."""
    name, equals, value = given.partition("=")
    if not (name and equals and value):
        raise UsageError("E3524", "阈值写法有误", where="--set", step="写成 名称=值，例如 --set men=63")
    values = [_typed(v) for v in value.split(",")]
    return name, values if len(values) > 1 else values[0]


def _typed(value: str) -> Any:
    try:
        number = json.loads(value)
    except ValueError:
        return value
    return number if isinstance(number, int | float) and not isinstance(number, bool) else value
