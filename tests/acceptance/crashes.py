"""Killing the real processes: a step of a node runs in a process of its own and dies by SIGKILL at a named point.

A point is a function of the product and whether the process dies before or after it; the product knows nothing of it.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.ministry.forge import Province

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.acceptance.crashes", "pipelines.lab.setup", "ministry_node.intake"])
STEPS = ("publish", "deliver", "listen", "intake")


@dataclass(frozen=True)
class Point:
    """`where`: `module:function` or `module:Class.method`; `call`: at which call of it, from 1."""

    step: str
    where: str
    after: bool = False
    call: int = 1

    def __str__(self) -> str:
        return f"{self.step} {'after' if self.after else 'before'} {self.where.rpartition(':')[2]} #{self.call}"


def killed_at(lab: Path, point: Point, at: datetime) -> None:
    """Runs the step in a process that must die at the point; AssertionError when it came through or failed."""
    process = _CONTEXT.Process(target=_run, args=(lab, point, at))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, f"{point}: exit code {process.exitcode}"


def _run(lab: Path, point: Point, at: datetime) -> None:
    module_name, _, path = point.where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    setattr(owner, name, _fatal(getattr(owner, name), point))
    step(lab, point.step, at)


def _fatal(function: Callable[..., Any], point: Point) -> Callable[..., Any]:
    calls = [0]

    def dies(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        mine = calls[0]  # parts are worked on side by side
        if mine == point.call and not point.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if mine == point.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dies


def step(folder: Path, name: str, at: datetime) -> Any:
    """One step of one node of a lab, by its name."""
    from ministry_node.intake import run_intake
    from pipelines.lab.setup import open_lab
    from province_node.deliver import deliver
    from province_node.listen import listen
    from province_node.publish import publish_pending

    lab = open_lab(folder)
    if name == "publish":
        return publish_pending(lab.province, at=at, rng=os.urandom)
    if name == "deliver":
        return deliver(lab.province, at=at, again=True)
    if name == "listen":
        return listen(lab.province, at=at)
    return run_intake(lab.ministry, at=at)


def torn(province: Province, before: dict[str, Any], digest: str) -> list[str]:
    """What is half done at the ministry: any effect of a batch without all the others (protocol 1.3 #3)."""
    now = province.state()
    signs = {
        "rows": now["golden"] != before["golden"],
        "inbox": any(row["digest"] == digest for row in now["inbox"]),
        "position": any(row["last_digest"] == digest for row in now["peer_stream"]),
        "lineage": now["lineage"] != before["lineage"],
    }
    return [] if len(set(signs.values())) == 1 else [name for name, moved in signs.items() if moved]
