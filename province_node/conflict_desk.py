"""At the desk of one operator: the options that conflict commands share, and who acts on which store.

Decides nothing: rights and scope are `hub.roles`.
"""

from __future__ import annotations

from datetime import timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.shell import Shell, shell_of
from hub.roles_store import operator_named
from hub.store import Store
from province_node.conflict_words import FILTERS
from province_node.settle import require_province
from quality.decisions_store import Acting

EAST_8 = timezone(timedelta(hours=8))

Number = Annotated[int, typer.Argument(metavar="冲突编号", help="hub conflict ls --list 所列的编号")]
Who = Annotated[str, typer.Option("--operator", metavar="经办人", help="已登记的经办人账号", envvar="HUB_OPERATOR")]
Seen = Annotated[int, typer.Option("--version", metavar="版本", help="查看时的版本号；期间有变化则拒绝")]
Reason = Annotated[str, typer.Option("--reason", metavar="原因代码", help="schemas/reasons.yaml 中的代码")]
Note = Annotated[str, typer.Option("--note", metavar="说明", help="说明文字；手工值与批量必填")]
Where = Annotated[list[str] | None, typer.Option("--where", metavar="条件=值", help="查询条件：" + "、".join(FILTERS))]
Out = Annotated[
    Path, typer.Option("--out", metavar="文件", help="写入的文件：.xlsx 供填写处理意见，.csv 列出各来源的值")
]


def desk(ctx: Any, who: str) -> tuple[Shell, Store, Acting]:
    """Store and acting operator; the caller closes the store."""
    shell = shell_of(ctx)
    node = shell.open_node()
    require_province(node)
    store = shell.open_store(node)
    with store.reading() as reader:
        by = operator_named(reader, who)
    at = shell.now()
    return shell, store, Acting(node.party, by, at, at.astimezone(EAST_8).date().isoformat())
