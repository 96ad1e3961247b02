"""`hub recovery`: DR statements after the ministry was restored to an older point, signed by two of three keys.

Decides nothing: reads the clock and files, calls the steps, and tells what they did. `sign` needs no node.
"""

from __future__ import annotations

import typer

from hub.cli.output import emit
from hub.cli.shell import shell_of
from ministry_node.epoch_cli import (
    Cert,
    File,
    Key,
    Out,
    Reason,
    desk_of,
    lay_out,
    read_file,
    sign_file,
    words_of,
)
from ministry_node.head import issue_heads
from ministry_node.recovery import propose_restart, publish_restart

app = typer.Typer(add_completion=False, no_args_is_help=True, help="灾备声明：部级恢复到旧时点后重新接续回执链。")


@app.command("propose")
def propose(ctx: typer.Context, reason: Reason, out: Out) -> None:
    """列出因恢复旧时点而停止的数据流，写出待签的灾备声明。此时什么也没有改变。"""
    shell = shell_of(ctx)
    with desk_of(shell) as desk:
        made = propose_restart(desk, reason=reason)
    lay_out(shell, out / made.name, made.body, {"statement": made.statement}, "hub recovery")


@app.command("sign")
def sign(ctx: typer.Context, file: File, key: Key, cert: Cert) -> None:
    """密钥持有人签名：先列出内容，再加上一个签名。可在不联网的机器上运行，不需要节点。"""
    sign_file(shell_of(ctx), file, key, cert, "hub recovery publish")


@app.command("publish")
def publish(ctx: typer.Context, file: File) -> None:
    """核验三取二签名后重新开放数据流，发布声明，并要求各省补发所缺批次。"""
    shell = shell_of(ctx)
    body = read_file(file)
    with desk_of(shell) as desk:
        statement = publish_restart(desk, file.name, body)
        issue_heads(desk)
    text = f"已发布 {statement.name}，重新开放 {len(statement.restarts)} 条数据流，已要求补发"
    emit(shell, {"file": file.name, "statement": words_of(statement)}, lambda c: c.print(text))
