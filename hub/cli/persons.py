"""Two persons behind one command: the operator and who looked over the shoulder (protocol 10.6, console 7)."""

from __future__ import annotations

from typing import Annotated

import typer

from hub.errors import UsageError

By = Annotated[str, typer.Option("--by", metavar="姓名", help="经办人，记入审计")]
Second = Annotated[str, typer.Option("--second", metavar="姓名", help="复核人，须与经办人不同")]


def two_persons(by: str, second: str) -> None:
    """UsageError E1219 unless two different names were given."""
    if not second.strip() or second.strip() == by.strip():
        raise UsageError("E1219", "部级的密钥操作须由两人办理", where="--second", step="写明与经办人不同的复核人")
