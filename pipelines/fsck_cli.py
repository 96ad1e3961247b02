"""`hub fsck`: is the state what ledger and kept batches say it is? One command for both nodes.

Decides nothing: opens the node, asks the module of its tier, tells the first difference and ends with 4.
"""

from __future__ import annotations

import os
import time

import typer
from rich.console import Console

from hub.cli.output import Progress, emit
from hub.cli.shell import shell_of
from hub.errors import VerificationError
from hub.ledgercheck import Finding
from ministry_node.fsck import fsck as ministry_fsck
from ministry_node.intake import open_bench
from province_node.fsck import fsck as province_fsck


def fsck(ctx: typer.Context) -> None:
    """仅凭台账和所存批次（变更集）重新推算状态，与正式库逐表比对；只读，指出第一处不同。有不同即以 4 退出。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with Progress() as progress:
        if node.settings.role == "province":
            first = province_fsck(node, shell.open_store(node), progress=lambda what: progress.step("推算", what))
            found = [first] if first else []
        else:
            with open_bench(
                node, at=shell.now(), rng=os.urandom, progress=progress.step, clock=time.monotonic
            ) as bench:
                told = ministry_fsck(bench.desk, bench.desk.parties, progress=lambda what: progress.step("推算", what))
                found = list(told)
    if found:
        first = found[0]
        more = f"（共 {len(found)} 个省有不同）" if len(found) > 1 else ""
        raise VerificationError(
            "E3651",
            f"状态与证据不符：{first.what}{more}",
            where=_where(first),
            step="停止定时运行并保留现场；按运行手册 state-differs 处置",
        )
    emit(shell, {"node": node.party, "differences": 0}, _tell)


def _tell(console: Console) -> None:
    console.print("未发现问题：状态可由台账和所存批次完整推得。")


def _where(finding: Finding) -> str:
    return f"{finding.table}　{finding.key}"
