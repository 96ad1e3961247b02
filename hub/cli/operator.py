"""`hub operator`: who may decide here, as which person, in which roles, over whose data (console 1).

Decides how roles and scopes are written on the command line; what they mean is decided by `hub.roles`.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hub.cli.output import emit, table
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.roles import Grant, Scope, rights
from hub.roles_store import add_operator, operators, stop_operator

app = typer.Typer(add_completion=False, no_args_is_help=True, help="经办人：登记、停用、列表。")
Name = Annotated[str, typer.Argument(metavar="账号", help="经办人账号")]


@app.command("add")
def add(
    ctx: typer.Context,
    name: Name,
    person: Annotated[str, typer.Option("--person", metavar="人员编号", help="如工号；同一人的各账号须相同")],
    role: Annotated[list[str], typer.Option("--role", metavar="角色", help="可重复：" + "、".join(rights()))],
    division: Annotated[
        list[str] | None, typer.Option("--division", metavar="区划", help="数据范围：行政区划码")
    ] = None,
    school: Annotated[list[str] | None, typer.Option("--school", metavar="学校", help="数据范围：学校标识码")] = None,
    category: Annotated[list[str] | None, typer.Option("--category", metavar="实体", help="分项查看：实体名")] = None,
) -> None:
    """登记经办人，或更改其角色与数据范围；不给范围即全部。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    scope = Scope(frozenset(division or ()), frozenset(school or ()), frozenset(category or ()))
    given = [Grant(r, scope) for r in dict.fromkeys(role)]
    made = add_operator(shell.open_store(node), node.party, name, person, given, at=shell.now(), actor=shell.actor())
    document = {
        "operator": made.name,
        "person": made.person,
        "roles": [g.role for g in made.grants],
        **scope.document(),
    }
    text = f"已登记经办人 {made.name}：{'、'.join(g.role for g in made.grants)}"
    emit(shell, document, lambda c: c.print(text))


@app.command("stop")
def stop(ctx: typer.Context, name: Name) -> None:
    """停用经办人；其历史保留。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    stop_operator(shell.open_store(node), node.party, name, at=shell.now(), actor=shell.actor())
    emit(shell, {"operator": name, "state": "停用"}, lambda c: c.print(f"已停用经办人 {name}"))


@app.command("ls")
def list_operators(ctx: typer.Context) -> None:
    """经办人、人员编号、角色与数据范围。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        found = operators(reader)

    def render(console: Console) -> None:
        if not found:
            console.print("还没有登记经办人。用 hub operator add 登记。")
            return
        rows = [
            [o["name"], o["person"], o["state"], g["role"], "、".join([*g["divisions"], *g["schools"]]) or "全部"]
            for o in found
            for g in o["grants"] or [{"role": "", "divisions": [], "schools": []}]
        ]
        console.print(table("", ["账号", "人员", "状态", "角色", "数据范围"], rows))

    emit(shell, {"operators": found}, render)


@app.command("password")
def password(
    ctx: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="文件", help="口令文件（首行）；不给则从标准输入读一行")
    ] = None,
    data: Annotated[bool, typer.Option("--data", help="设置数据密码（查看隐私明文用），而非登录口令")] = False,
) -> None:
    """设置登录口令或数据密码；口令从标准输入或文件读，不作为参数。"""
    from hub.web.accounts import set_password

    shell = shell_of(ctx)
    node = shell.open_node()
    given = _first_line(shell, file)
    set_password(
        shell.open_store(node), node.party, name, given, data=data, at=shell.now(), actor=shell.actor(), rng=os.urandom
    )
    what = "数据密码" if data else "登录口令"
    emit(shell, {"operator": name, "set": what}, lambda c: c.print(f"已设置 {name} 的{what}"))


def _first_line(shell: Shell, file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "E1091", "读不到口令文件", where=file.name, step="核对路径、权限与编码（UTF-8）"
            ) from error
    if sys.stdin.isatty():
        if not shell.interactive:
            raise UsageError("E1091", "没有给出口令", step="用 --file 或标准输入给出")
        return getpass.getpass("口令：")
    return sys.stdin.readline().rstrip("\r\n")
