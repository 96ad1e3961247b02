"""`hub doctor`: is everything there that a node needs? One line per check, ✔ ! or ✘, with the remedy (console §7)."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from hub.cli.checks import environment, of_node
from hub.cli.finding import Finding
from hub.cli.output import Progress, emit
from hub.cli.shell import Shell, shell_of

MARKS = {"ok": "✔", "warn": "!", "bad": "✘"}


def doctor(
    ctx: typer.Context,
    db: Annotated[str, typer.Option("--db", metavar="URL", help="只检查这个数据库能否作正式库")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="有 ! 也以 3 退出")] = False,
) -> None:
    """自检：Python 与库、数据库、密钥与信任清单、传输、时钟、磁盘、Dagster、字体。

    不给 --node 时只检查本机环境。--db 检查一个数据库：版本、字符集、权限、表空间、客户端方式。有 ✘ 时以 3 退出。
    """
    shell = shell_of(ctx)
    with Progress() as progress:
        progress.step("自检", "数据库" if db else "本机环境")
        found = _of_database(shell, db) if db else environment()
        if not db and shell.folder is not None:
            progress.step("自检", "节点")
            found += of_node(shell)
    worst = "bad" if any(f.state == "bad" for f in found) else "warn" if any(f.state == "warn" for f in found) else "ok"
    document = {"state": worst, "checks": [vars(f) for f in found]}
    emit(shell, document, lambda c: _tell(c, found, worst))
    if worst == "bad" or (strict and worst == "warn"):
        raise typer.Exit(3)


def _of_database(shell: Shell, url: str) -> list[Finding]:
    from hub.cli.database_checks import of_database
    from hub.errors import UsageError
    from hub.store import open_store
    from hub.store.oracle_session import NO_CLIENT

    try:
        store = open_store(url, shell.catalog())
    except UsageError as error:
        if error.code != NO_CLIENT:
            raise
        return [Finding("客户端方式", "bad", f"[{error.code}] {error.what}（{error.where}）", error.step)]
    try:
        return list(of_database(store))
    finally:
        store.close()


def _tell(console: Console, found: list[Finding], worst: str) -> None:
    for one in found:
        console.print(f"{MARKS[one.state]} {one.name}　{one.detail}")
        if one.remedy and one.state != "ok":
            console.print(f"    → {one.remedy}")
    if worst == "ok":
        console.print("未发现问题。")
