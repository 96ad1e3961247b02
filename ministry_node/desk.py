"""The intake's desk: what one run works with, and folders of its own that leave nothing behind.

Decides where copies and plaintext lie while a run goes on: `work/intake/<run>` and `work/plain/<run>`, mode 0700, both
gone when the run ends (protocol 5.6). A run that was killed leaves its folders; the next one sweeps those whose owner
holds their lock no more, so that two runs side by side do not sweep each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from hub.batch.layout import EVERYONE
from hub.catalog import Catalog
from hub.errors import HubError, UsageError
from hub.keyring import Keyring
from hub.settings import Node
from hub.store import Store
from hub.transport import ServerTransport
from quality.settled import RowGate

STREAM: Final = "main"
Progress = Callable[[str, str], None]
Random = Callable[[int], bytes]
_GUARD: Final = "guard"


@dataclass(frozen=True)
class Desk:
    """One run. `at`: time of receipt and decision, aware UTC; `clock` only measures how long a decision took;
    `judged_at`: what expiry is judged by, the highest time seen where our clock was set back (protocol 11.1)."""

    node: Node
    store: Store
    catalog: Catalog
    server: ServerTransport
    keyring: Keyring
    at: datetime
    clock: Callable[[], float]
    progress: Progress
    copies: Path
    plain: Path
    rng: Random
    gate: RowGate
    judged_at: datetime

    @property
    def parties(self) -> tuple[str, ...]:
        """The provinces of the trust list."""
        return tuple(sorted(p for p in self.keyring.trust.members if p.isdigit() and p != EVERYONE))

    @property
    def waiting(self) -> Path:
        """Since when a manifest waits for its files, one small file each; outlives the run."""
        return self.node.work / "intake" / "waiting"


@dataclass(frozen=True)
class Alarm:
    """Something a person must look at. `party`: whose folder or stream."""

    party: str
    code: str
    sentence: str
    retryable: bool = False

    @classmethod
    def of(cls, party: str, error: HubError) -> Alarm:
        return cls(party, error.code, error.sentence(), error.retryable)


def china_date(at: datetime) -> str:
    """The day it is in China, which keeps one time zone."""
    return at.astimezone(timezone(timedelta(hours=8))).date().isoformat()


def require_ministry(node: Node) -> None:
    """UsageError E1005 unless the node is the ministry's."""
    if node.settings.role != "ministry":
        raise UsageError("E1005", "该命令只在部级节点运行", where="hub.toml role", step="用 --node 指定部级节点目录")


@contextmanager
def own_folders(node: Node, rng: Random) -> Iterator[tuple[Path, Path]]:
    """(copies, plain) of this run; sweeps what dead runs left, removes its own at the end."""
    token = rng(8).hex()
    roots = [node.work / "intake", node.work / "plain"]
    for root in roots:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(root, 0o700)
    locks = node.work / "intake" / "runs"
    locks.mkdir(mode=0o700, exist_ok=True)
    folders = [root / f"run-{token}" for root in roots]
    # Sweeping and settling in happen under one lock, so that nobody is swept between creating and locking.
    guard = os.open(node.work / "intake" / _GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        _sweep(locks, roots)
        handle = os.open(locks / token, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
    finally:
        os.close(guard)
    try:
        for folder in folders:
            folder.mkdir(mode=0o700)
        yield folders[0], folders[1]
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        (locks / token).unlink(missing_ok=True)
        os.close(handle)


def _sweep(locks: Path, roots: list[Path]) -> None:
    """Folders without a living owner. The lock file is the owner's sign of life, not the folder."""
    alive = {path.name for path in locks.iterdir() if _held(path)}
    for root in roots:
        for folder in root.glob("run-*"):
            if folder.name.removeprefix("run-") not in alive:
                shutil.rmtree(folder, ignore_errors=True)


def _held(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
