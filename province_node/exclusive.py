"""One exchange step of a node at a time: publishing, shipping and listening share one lock.

Decides only that a second one is turned away at once. Two publishers would write the same spool names, two shippers
the same `.part` (protocol 15 #39). The lock is the operating system's: it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hub.errors import LockedError, UsageError
from hub.settings import Node

_FILE = "exchange.lock"


@contextmanager
def exchange_step(node: Node) -> Iterator[None]:
    """Holds the exchange of a province node; `LockedError` E3405 when another process does, `UsageError` E1004."""
    if node.settings.role != "province":
        raise UsageError("E1004", "该命令只在省级节点运行", where="hub.toml role", step="用 --node 指定省级节点目录")
    node.work.mkdir(parents=True, exist_ok=True)
    handle = os.open(node.work / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                "E3405", "另一个任务正在封装或收发批次", where=_FILE, step="等待该任务结束后重试"
            ) from None
        yield
    finally:
        os.close(handle)
