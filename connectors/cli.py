"""`hub sample`: writes synthetic sources. Reads arguments, shows progress; everything else is `connectors.sample`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from connectors.sample import generate
from connectors.sample.doubles import plant_doubles
from connectors.sample.run import TODAY
from hub.errors import HubError

app = typer.Typer(add_completion=False, no_args_is_help=False)

_Url = Annotated[str | None, typer.Option(metavar="URL", help="写入该数据库，代替 SQLite 文件")]


@app.command("sample")
def sample(
    out: Annotated[Path, typer.Option("--out", help="输出目录")],
    province: Annotated[str, typer.Option(help="两位省级代码")] = "13",
    students: Annotated[int, typer.Option(help="学生数")] = 100_000,
    seed: Annotated[int, typer.Option(help="种子：相同参数得到相同内容")] = 1,
    day: Annotated[int, typer.Option(min=1, max=2, help="1 首日；2 次日（约 1% 变化）")] = 1,
    today: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="首日的日期")] = datetime(
        TODAY.year, TODAY.month, TODAY.day
    ),
    double_with: Annotated[Path | None, typer.Option(help="另一省样例的目录：植入两省同时在读的学生")] = None,
    doubles: Annotated[int, typer.Option(min=1, max=1000, help="植入多少名")] = 10,
    no_dirt: Annotated[bool, typer.Option("--no-dirt", help="只生成干净数据")] = False,
    url_s1: _Url = None,
    url_s2: _Url = None,
    url_s3: _Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出一个 JSON 文档")] = False,
) -> None:
    """生成样例数据源：三个源库、学校补录表、站点字典与答案（answers.json）。人员均为虚构。"""
    urls = {n: u for n, u in (("S1", url_s1), ("S2", url_s2), ("S3", url_s3)) if u}
    try:
        answers = _generate(out, province, students, seed, day, today, no_dirt, urls)
        planted = plant_doubles(double_with, out, doubles) if double_with else ()
    except HubError as error:
        typer.echo(error.sentence(), err=True)
        raise typer.Exit(error.exit_code) from error
    if as_json:
        typer.echo(
            json.dumps(
                {"schema_version": 1, "totals": answers["totals"], "kinds": answers["kinds"]}, ensure_ascii=False
            )
        )
    else:
        _tell(answers, out)
        if planted:
            typer.echo(f"已植入两省同时在读的学生 {len(planted):,} 名")


def _generate(
    out: Path, province: str, students: int, seed: int, day: int, today: datetime, clean: bool, urls: dict[str, str]
) -> dict[str, Any]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("生成学生", total=students)
        return generate(
            out,
            province=province,
            students=students,
            seed=seed,
            day=day,
            dirt=not clean,
            urls=urls,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            today=today.date(),
        )


def _tell(answers: dict[str, Any], out: Path) -> None:
    totals, golden = answers["totals"], answers["totals"]["golden"]
    typer.echo(f"样例数据源已写入 {out}（种子 {answers['arguments']['seed']}，第 {answers['arguments']['day']} 天）")
    for name, count in totals["sources"].items():
        typer.echo(f"  {name:<14} {count:>10,} 行")
    for name, count in totals["templates"].items():
        typer.echo(f"  L.{name:<12} {count:>10,} 行")
    last = max(golden)
    typer.echo(f"预期正式库 {sum(golden[last].values()):,} 行；植入情形 {len(answers['cases']):,} 条，见 answers.json")
