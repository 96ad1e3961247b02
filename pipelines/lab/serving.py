"""Processes of `make serve`: started in groups of their own, waited for, ended together.

Decides how a child is started and ended, nothing about what it is.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from hub.errors import HubError, UsageError

HOST: Final = "127.0.0.1"
STOP_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Child:
    """A process of ours, leader of its own group; `log` holds what it prints."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def start(name: str, command: Sequence[str], *, cwd: Path, environment: dict[str, str], log: Path) -> Child:
    """Starts it in a group of its own, its output in `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    return Child(name, process, log)


def stop(children: Sequence[Child]) -> None:
    """Asks every child to end, waits, then ends what is left of its group; a second Ctrl-C does not interrupt."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)  # code servers and runs are of the group
        child.process.wait()
    for number, handler in former.items():
        signal.signal(number, handler)


def wait_until(children: Sequence[Child], ready: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Returns when `ready` says so; `HubError` E1051 when a child ends, or the time does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        require_alive(children)
        if ready():
            return
        time.sleep(0.3)
    raise not_up(f"{what}在 {seconds:.0f} 秒内没有就绪", children[-1].log)


def answers(port: int, path: str) -> bool:
    """Whether a page answers with 200."""
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def listens(port: int) -> bool:
    """Whether anything accepts a connection there."""
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False


def require_alive(children: Sequence[Child]) -> None:
    """`HubError` E1051 when one has ended."""
    for child in children:
        if child.process.poll() is not None:
            raise not_up(f"{child.name} 进程已退出（{child.process.returncode}）", child.log)


def not_up(what: str, log: Path) -> HubError:
    """What a person reads when something did not come up."""
    return HubError("E1051", f"没有运行起来：{what}", where=log.name, step=f"查看日志 {log}，排除后重新运行")


def require_free(port: int) -> None:
    """`UsageError` E1052 when something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UsageError(
                "E1052", "端口已被占用", where=f"{HOST}:{port}", step="停掉占用它的程序，或用 --port 换一个端口"
            ) from None
