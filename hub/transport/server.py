"""The exchange place as the ministry sees it, on its own disk (protocol 2.1, 2.5, 6.3).

Decides what may be picked up from a province's `ready/` (one regular file with one name, of the right owner and
size) and that what the hub works on is its own copy: a province may still hold a handle on its file. Leaves to the
intake which files belong together, and what an alarm does.

Rules: look at the open file, never at its name twice; never rename or chown what a province wrote; unlink only when
asked, after the copy is durable; what is published never changes unless its name stands for "the newest".
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hub.errors import HubError, RefusedError
from hub.transport.base import NAME, Entry, check_name, check_party, legal, not_there
from hub.transport.durable import (
    BLOCK,
    Copied,
    local_disk,
    read_blocks,
    sync_folder,
    too_large,
    write_durably,
    write_temporary,
)
from hub.transport.folder import scan

# A standard rename is link + unlink in sshd and in `folder`: for that long a second name may only mean "under way".
RENAME_SETTLES_S = 1.0
RENAME_LOOKS = 20


class ServerTransport:
    """All provinces' folders under `root`. `rest(seconds)` waits for a rename under way; tests pass their own."""

    def __init__(
        self, root: Path, *, names: re.Pattern[str] = NAME, rest: Callable[[float], None] = time.sleep
    ) -> None:
        self.root = root
        self._names = names
        self._rest = rest
        self._taken: dict[tuple[str, str], tuple[int, ...]] = {}

    def prepare(self, party: str) -> None:
        """Create a party's folders where they are missing, owned by whoever runs this: for `folder:` and tests.

        A transfer server gets its owners and modes from `hub transfer` instead.
        """
        for part in ("in/part", "in/ready", "out", "pub"):
            with local_disk(part):
                (self._home(party) / part).mkdir(parents=True, exist_ok=True)

    def list_ready(self, party: str) -> list[Entry]:
        """What the province has finished uploading, by name. Entries that are not `regular` are for an alarm."""
        with local_disk("ready"):
            return sorted(entry for entry in scan(self._ready(party)) if legal(entry.name, self._names))

    def count_illegal(self, party: str) -> int:
        """How many names in `ready/` no protocol knows. For an alarm; the names themselves are not repeated."""
        with local_disk("ready"):
            return sum(not legal(entry.name, self._names) for entry in scan(self._ready(party)))

    def take(self, party: str, name: str, dst: Path, limit: int, *, owner: int | None = None) -> Copied:
        """Copy `ready/<name>` into the hub's own file `dst`, hashing as it copies (protocol 2.5).

        `limit` in bytes; `owner` is the province's user id, if known. On return the copy is durable, so
        `remove_ready` may follow. Raises E2407 (RefusedError) for a link, FIFO, device, folder or foreign file, E2406
        above the limit, E2408 if absent. The province's file is never changed, nor waited for.
        """
        check_name(name, self._names)
        with self._open_ready(party, name) as source:
            status = os.fstat(source.fileno())
            if owner is not None and status.st_uid != owner:
                raise _refused(name, "文件属主不是该省账号")
            if status.st_size > limit:
                raise too_large(name, limit)
            self._taken[party, name] = _stamp(status)
            return write_durably(_to_the_end(source, name), dst, limit)

    def remove_ready(self, party: str, name: str, *, as_taken: bool = False) -> None:
        """Unlink from `ready/`, after the copy is durable; a no-op if it has gone already. Folders stay.

        `as_taken`: a file that was written to since `take` stays, because what is in it now nobody has read.
        """
        check_name(name, self._names)
        path, taken = self._ready(party) / name, self._taken.pop((party, name), None)
        with local_disk(name):
            with suppress(FileNotFoundError, IsADirectoryError):
                if not as_taken or taken in (None, _stamp(path.lstat())):
                    os.unlink(path)
            sync_folder(self._ready(party))

    def publish(self, party: str, name: str, content: bytes | Path, *, replace: bool = False) -> bool:
        """Put a file into `out/` by temporary file and rename; True if it was written, False if it was there.

        The same bytes again are a no-op; other bytes are E2405 and change nothing, unless `replace`, which is for
        names that stand for the newest (`head.dsse`).
        """
        return self._publish(self._home(party) / "out", name, content, replace=replace)

    def publish_pub(self, name: str, content: bytes | Path, parties: Sequence[str], *, replace: bool = False) -> int:
        """`publish` into `pub/` of each of `parties`, the same for all; the number written.

        The caller knows the provinces: the hub's account may not list `/srv/exch` (protocol 2.1, 0711).
        """
        return sum(self._publish(self._home(party) / "pub", name, content, replace=replace) for party in parties)

    def _publish(self, folder: Path, name: str, content: bytes | Path, *, replace: bool) -> bool:
        target = folder / check_name(name, self._names)
        if self._already(target, content, replace=replace):
            return False
        with local_disk(name):
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
        temporary, _ = write_temporary(_blocks(content, name, size), target, size, mode=0o640)
        try:
            with local_disk(name):
                if replace:
                    os.replace(temporary, target)
                else:
                    try:
                        os.link(temporary, target)
                    except FileExistsError:
                        # Another worker published in between: equal bytes are fine, others are an error.
                        return not self._already(target, content, replace=False)
                sync_folder(folder)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        return True

    def _already(self, target: Path, content: bytes | Path, *, replace: bool) -> bool:
        with local_disk(target.name):
            if not os.path.lexists(target):
                return False
            if isinstance(content, bytes):
                same = target.stat().st_size == len(content) and target.read_bytes() == content
            else:
                same = filecmp.cmp(target, content, shallow=False)
        if not same and not replace:
            raise HubError(
                "E2405",
                "已发布的同名文件内容不同",
                where=target.name,
                step="停止发布并报警：已发布的文件不得改变，请核对回执表与存档",
            )
        return same

    @contextmanager
    def _open_ready(self, party: str, name: str) -> Iterator[BinaryIO]:
        """The open file, proven to be one regular file with one name; all questions go to the handle, not the name."""
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
            handle = os.open(self._ready(party) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as failure:
            raise not_there(name) from failure
        except OSError as failure:
            if failure.errno in (errno.ELOOP, errno.ENXIO):
                raise _refused(name, "不是普通文件") from failure
            with local_disk(name):
                raise
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _refused(name, "不是普通文件")
            if not self._one_name(party, name, handle):
                raise _refused(name, "文件有多个硬链接")
            with open(handle, "rb", buffering=0, closefd=False) as source:
                yield source
        finally:
            os.close(handle)

    def _one_name(self, party: str, name: str, handle: int) -> bool:
        """`st_nlink == 1`, given a rename under way the time to finish, and finished for it if its process died."""
        part = self._home(party) / "in" / "part" / f"{name}.part"
        for _ in range(RENAME_LOOKS):
            if not _is(part, os.fstat(handle)):
                return os.fstat(handle).st_nlink == 1
            self._rest(RENAME_SETTLES_S / RENAME_LOOKS)
        with local_disk(name):
            part.unlink(missing_ok=True)
            return os.fstat(handle).st_nlink == 1

    def _home(self, party: str) -> Path:
        return self.root / f"p{check_party(party)}"

    def _ready(self, party: str) -> Path:
        return self._home(party) / "in" / "ready"


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to or another one takes its name."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is(path: Path, status: os.stat_result) -> bool:
    """Whether `path` is a name of the very file that `status` describes."""
    try:
        return os.path.samestat(path.lstat(), status)
    except FileNotFoundError:
        return False


def _refused(name: str, why: str) -> RefusedError:
    return RefusedError("E2407", f"拒收：{why}", where=name, step="不读取其内容；请联系该省查明是误投还是入侵")


def _to_the_end(source: BinaryIO, name: str) -> Iterator[bytes]:
    while True:
        with local_disk(name):
            block = source.read(BLOCK)
        if not block:
            return
        yield block


def _blocks(content: bytes | Path, name: str, size: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with local_disk(name):
        source = open(content, "rb", buffering=0)  # noqa: SIM115 - closed in the next line
    with source:
        yield from read_blocks(source, name, size)
