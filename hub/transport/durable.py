"""Writes files that survive a power cut, for both sides of the exchange.

Decides how bytes become a file: into a temporary neighbour, hashed as they pass, synced, renamed, directory synced. A
reader therefore sees the whole file or none. Leaves to others where the bytes come from and what they mean.

Rules: a limit on bytes always; trouble of the local disk is told apart from trouble of the source of the bytes, which
passes through untouched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hub.errors import HubError, InputError

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """What was written: `size` in bytes, `sha256` in lower-case hex, computed from the very bytes written."""

    size: int
    sha256: str


class SpaceError(HubError):
    """No room on a disk or in a quota; trying again helps once someone has made room."""

    exit_code = 20
    retryable = True


def too_large(name: str, limit: int) -> InputError:
    return InputError(
        "E2406",
        f"文件超过允许的 {limit} 字节",
        where=name,
        step="不接收该文件；请核对批次分片大小与信任清单中的限额",
    )


@contextmanager
def local_disk(name: str) -> Iterator[None]:
    """Turn an OSError of our own disk into a HubError that names the file, never its folder."""
    try:
        yield
    except OSError as failure:
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError("E2412", "本机磁盘空间不足", where=name, step="清理磁盘后重试") from failure
        reason = os.strerror(failure.errno) if failure.errno else type(failure).__name__
        raise HubError(
            "E2411", f"本机文件无法读写：{reason}", where=name, step="检查该文件及其目录是否存在、权限是否正确"
        ) from failure


def read_blocks(source: BinaryIO, name: str, length: int) -> Iterator[bytes]:
    """Exactly `length` bytes of a local file from where it stands; a file that has shrunk is an error."""
    left = length
    while left:
        with local_disk(name):
            block = source.read(min(BLOCK, left))
        if not block:
            raise HubError("E2411", "本机文件在传输途中变短", where=name, step="批次文件封装后不得改动，请从备份恢复")
        left -= len(block)
        yield block


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (fsync of the directory)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_temporary(blocks: Iterable[bytes], dst: Path, limit: int, *, mode: int = 0o600) -> tuple[Path, Copied]:
    """A synced temporary file beside `dst` (leading dot, so that no listing shows it); the caller renames it."""
    with local_disk(dst.name):
        handle, name = tempfile.mkstemp(dir=dst.parent, prefix=f".{dst.name}.", suffix=".tmp")
    try:
        digest, size = hashlib.sha256(), 0
        with open(handle, "wb", buffering=0) as out:
            for block in blocks:
                size += len(block)
                if size > limit:
                    raise too_large(dst.name, limit)
                digest.update(block)
                with local_disk(dst.name):
                    _write_all(out, block)
            with local_disk(dst.name):
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    return Path(name), Copied(size, digest.hexdigest())


def write_durably(blocks: Iterable[bytes], dst: Path, limit: int, *, mode: int = 0o600) -> Copied:
    """Write `blocks` to `dst` so that on return file and name are on disk; an older `dst` is replaced as a whole.

    Over `limit` bytes, or when `blocks` raises, `dst` is as it was and nothing is left behind.
    """
    temporary, copied = write_temporary(blocks, dst, limit, mode=mode)
    with local_disk(dst.name):
        os.replace(temporary, dst)
        sync_folder(dst.parent)
    return copied


def _write_all(out: BinaryIO, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[out.write(view) :]
