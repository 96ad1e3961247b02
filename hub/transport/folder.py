"""The exchange place on a file system that both tiers reach (`folder:PATH`): the embedded default.

Same layout and same outcomes as over SFTP. Leaves the rules to `base` and the ministry's side to `server`.

The rename into `ready/` is link + unlink, which is what OpenSSH does for a standard SFTP rename: it fails if the name
is taken, in one step of the file system and without a Linux-only call such as renameat2. For a moment the file has
two names; `server` has to know that state anyway, because of sshd.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from hub.errors import HubError
from hub.transport.base import NAME, Area, ClientTransport, Entry, check_name
from hub.transport.durable import BLOCK, sync_folder, too_large


class FolderClient(ClientTransport):
    """A province's view of `<root>/p<party>`. The folders must exist (`ServerTransport.prepare`)."""

    def __init__(self, root: Path, party: str, *, names: re.Pattern[str] = NAME) -> None:
        super().__init__(party, names=names)
        self._home = root / f"p{party}"

    def _ready_size(self, name: str) -> int | None:
        return _size(self._ready(name))

    def _part_size(self, name: str) -> int | None:
        return _size(self._part(name))

    def _write_part(self, name: str, blocks: Iterable[bytes], offset: int, size: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if offset else os.O_TRUNC)
        handle = os.open(self._part(name), flags, 0o660)
        with open(handle, "wb", buffering=0) as out:
            out.seek(offset)
            for block in blocks:
                view = memoryview(block)
                while view:
                    view = view[out.write(view) :]
            os.fsync(out.fileno())
            if os.fstat(out.fileno()).st_size != size:
                raise OSError(errno.EIO, "size after writing")

    def _commit(self, name: str) -> None:
        part, ready = self._part(name), self._ready(name)
        try:
            os.link(part, ready, follow_symlinks=False)
        except OSError as failure:
            if failure.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK):
                raise HubError(
                    "E2409",
                    "该文件系统不支持硬链接，无法安全改名",
                    where=name,
                    step="把交换目录放在本地磁盘（ext4、xfs 等）的同一文件系统上",
                ) from failure
            raise
        os.unlink(part)
        sync_folder(ready.parent)
        sync_folder(part.parent)

    def _list(self, area: Area) -> Iterable[Entry]:
        return list(scan(self._home / area))

    def _read(self, area: Area, name: str, max_bytes: int) -> Generator[bytes, None, None]:
        handle = os.open(self._home / area / check_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb", buffering=0) as source:
            if os.fstat(source.fileno()).st_size > max_bytes:
                raise too_large(name, max_bytes)
            while block := source.read(BLOCK):
                yield block

    def _reset(self) -> None:
        """Nothing is kept open between calls."""

    def _ready(self, name: str) -> Path:
        return self._home / "in" / "ready" / name

    def _part(self, name: str) -> Path:
        return self._home / "in" / "part" / f"{name}.part"


def scan(folder: Path) -> Iterator[Entry]:
    """Every name in a folder with its own size and kind (links not followed); what vanishes meanwhile is left out."""
    with os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                status = item.stat(follow_symlinks=False)
                yield Entry(item.name, status.st_size, stat.S_ISREG(status.st_mode))


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None
