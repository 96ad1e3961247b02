"""`hub archive`: ended versions into Parquet by year, listed, verified, given back (25 years of history)."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.archive import Entry, adopt_index, archive_versions, read_index, restore_versions, verify_archive
from hub.archive.asof import CALENDAR, parse_moment
from hub.archive.index import standing
from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from hub.errors import UsageError, VerificationError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="历史版本归档：运行、列表、校验、恢复。")

# What ended within this time stays in the database; how long the archive keeps it afterwards (protocol 13.8).
ONLINE_MONTHS = 12
KEPT_YEARS = 25


@app.command("run")
def run(
    ctx: typer.Context,
    before: Annotated[
        str | None, typer.Option("--before", metavar="日期", help="归档在此日之前已被取代的版本；默认为一年前当月 1 日")
    ] = None,
) -> None:
    """把一年以前已被取代或删除的版本移入归档文件（按年份、实体、省）；正式库的现行记录不动。

    一个版本任何时候只在一处：文件落盘、登记索引、从库中删除在同一事务中提交。中断后重新运行即可。
    """
    shell = shell_of(ctx)
    node, now = shell.open_node(), shell.now()
    until = _before(before, now)
    store = shell.open_store(node)
    with Progress() as progress:
        moved = archive_versions(
            store,
            shell.catalog(),
            node.archive,
            before=until,
            at=now,
            party=node.party,
            actor=shell.actor(),
            progress=progress.step,
        )
    document = {"node": node.party, "before": until.isoformat(), "rows": moved.rows, "files": _listed(moved.entries)}
    day = until.astimezone(CALENDAR).date()
    said = f"已归档 {moved.rows:,} 个历史版本，写入 {len(moved.entries)} 个文件（{day} 之前结束的）。"
    emit(shell, document, lambda c: c.print(said if moved.rows else f"{day} 之前结束的版本都已归档。"))


@app.command("ls")
def list_files(ctx: typer.Context) -> None:
    """归档里有什么：每个年份、实体的文件数、版本数与大小。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        entries = read_index(reader.connection)
    held = standing(entries)
    back = len({e.file_name for e in entries} - {e.file_name for e in held})
    groups: dict[tuple[int, str], list[Entry]] = defaultdict(list)
    for entry in held:
        groups[(entry.held_year, entry.entity)].append(entry)
    oldest = shell.now().astimezone(CALENDAR).year - KEPT_YEARS
    rows: list[dict[str, Any]] = [
        {
            "year": year,
            "entity": entity,
            "files": len(some),
            "versions": sum(e.rows_kept for e in some),
            "bytes": sum(e.file_size for e in some),
            "past_retention": year < oldest,
        }
        for (year, entity), some in sorted(groups.items())
    ]

    def render(console: Console) -> None:
        cells = [[str(r["year"]), r["entity"], r["files"], r["versions"], _size(r["bytes"])] for r in rows]
        console.print(
            table("", ["年份", "实体", "文件", "版本", "大小"], cells)
            if rows
            else "归档里没有版本。"
            if back
            else "归档里还没有文件。"
        )
        if back:
            console.print(f"另有 {back} 个文件的版本已放回数据库的历史表，文件留在原处。")
        if any(r["past_retention"] for r in rows):
            console.print(f"{oldest} 年以前的已满 {KEPT_YEARS} 年保存期；本系统不自行删除，由档案主管部门决定。")

    emit(shell, {"node": node.party, "groups": rows, "restored": back, "files": _listed(held)}, render)


@app.command("verify")
def verify(ctx: typer.Context) -> None:
    """逐个核对归档文件的摘要、索引的链和审计日志的记载；有一处不符即以 4 退出。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with Progress() as progress:
        progress.step("校验", "归档")
        found = verify_archive(shell.open_store(node), node.archive)
    held = standing(found.entries)
    document = {
        "node": node.party,
        "files": len(held),
        "versions": sum(e.rows_kept for e in held),
        "faults": list(found.faults),
        "unlisted": list(found.unlisted),
    }

    def render(console: Console) -> None:
        for fault in found.faults:
            console.print(f"✘ {fault}")
        for name in found.unlisted:
            console.print(f"・ {name} 不在索引中：归档中断留下的，其版本仍在库中，下次归档会覆盖它。")
        if not found.faults:
            console.print(
                f"✔ 未发现问题：{len(held)} 个归档文件、{document['versions']:,} 个版本与索引一致，索引的链完整。"
            )

    emit(shell, document, render)
    if found.faults:
        raise VerificationError(
            "E3549",
            f"有 {len(found.faults)} 个归档文件缺失或被改动",
            where="archive",
            step="按上面逐个从备份恢复后再校验",
        )


@app.command("restore")
def restore(
    ctx: typer.Context,
    year: Annotated[int | None, typer.Option("--year", metavar="年份", help="只恢复这一年结束的版本")] = None,
    entity: Annotated[str | None, typer.Option("--entity", metavar="实体", help="只恢复一个实体，例如 xs")] = None,
    province: Annotated[str | None, typer.Option("--province", metavar="代码", help="只恢复一个省的（仅部级）")] = None,
    index: Annotated[
        bool, typer.Option("--index", help="数据库由旧备份恢复或重建过：以归档目录的索引为准，重新登记到数据库")
    ] = False,
) -> None:
    """把归档里的版本放回数据库的历史表；或（--index）让数据库重新认得归档目录。

    文件先逐个核对摘要，有一个不符就什么都不动。放回之后文件留在原处，索引注明其版本已在库中。
    """
    shell = shell_of(ctx)
    node = shell.open_node()
    chosen: dict[str, Any] = {"at": shell.now(), "party": node.party, "actor": shell.actor()}
    if index == any(v is not None for v in (year, entity, province)):
        raise UsageError("E1047", "请用 --year、--entity、--province 说明恢复什么，或单用 --index", step="二者取一")
    store = shell.open_store(node)
    with Progress() as progress:
        progress.step("恢复", "归档")
        if index:
            entries = adopt_index(store, node.archive, **chosen)
            said = f"已按归档目录的索引重新登记 {len(entries)} 条，所列文件逐个核对无误。"
        else:
            of = entity.lower() if entity else None
            entries = restore_versions(
                store, shell.catalog(), node.archive, year=year, entity=of, node=province, **chosen
            )
            rows = sum(e.rows_kept for e in entries)
            said = f"已把 {len(entries)} 个归档文件的 {rows:,} 个版本放回历史表。"
    emit(shell, {"node": node.party, "files": _listed(entries)}, lambda c: c.print(said))


def _before(text: str | None, now: datetime) -> datetime:
    """The moment before which versions are archived; `UsageError` E1048 when it is not past."""
    if text is None:
        local = now.astimezone(CALENDAR)
        months = local.year * 12 + local.month - 1 - ONLINE_MONTHS
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=CALENDAR)
    found = datetime.fromisoformat(parse_moment(f"{text.strip()}T00:00:00"))
    if found > now:
        raise UsageError("E1048", "--before 应为过去的日期", step="写成 2025-01-01 这样的过去日期")
    return found


def _size(octets: int) -> str:
    return f"{octets / 1e6:,.1f} MB" if octets >= 1e6 else f"{octets / 1e3:,.1f} KB"


def _listed(entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
    names = ("file_name", "node", "entity", "held_year", "rows_kept", "file_size", "sha256")
    return [{n: getattr(e, n) for n in names} for e in entries]
