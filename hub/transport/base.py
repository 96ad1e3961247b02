"""The exchange place as a province sees it: upload once, list, fetch (protocol 2.1, 2.3, 2.4).

Decides the order and the limits that hold over every transport: payload files before the manifest, `.part` before the
final name, never a second file under one name, no byte above a limit. Adapters (`folder`, `sftp`) only know how to
read, write and rename in their world. Leaves to others what is inside a file: digests and signatures decide that.

Rules:
- Same name and same size in `ready/`: done (protocol 6.1). Same name, other size: alarm, nothing is overwritten.
- After any failure the connection is thrown away: requests may still be under way on it.
- Errors say whether trying again helps; only `retryable` decides.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Literal, Self

from hub.errors import HubError, PeerUnreachableError, UsageError
from hub.transport.durable import Copied, SpaceError, local_disk, read_blocks, too_large, write_durably

# Wider than the names of protocol 2.7 on purpose: what a name means is for `hub.batch`; here it must only be harmless.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARTY = re.compile(r"[0-9]{2}")
MANIFEST = ".manifest.dsse"
MAX_FILE = 256 << 20  # protocol 11.2
MAX_ENTRIES = 100_000

Area = Literal["out", "pub"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One name in a listing, `size` in bytes. `regular` is False for a link, FIFO, device or folder."""

    name: str
    size: int
    regular: bool = True


class NotThereError(HubError):
    """The named file is not (or not yet, or no longer) in the exchange place."""

    exit_code = 20
    retryable = True


def legal(name: str, names: re.Pattern[str] = NAME) -> bool:
    """Harmless as a file name: ASCII, ≤ 64 bytes, no slash, no leading dot (protocol 2.7); and one of `names`."""
    return NAME.fullmatch(name) is not None and names.fullmatch(name) is not None


def check_name(name: str, names: re.Pattern[str] = NAME) -> str:
    """The name itself, or HubError E2404. An illegal name is not repeated: nobody knows what is in it."""
    if not legal(name, names):
        raise HubError("E2404", f"文件名不合交换协议（{len(name)} 个字符）", step="只交换系统封装的文件，不要手工改名")
    return name


def check_party(party: str) -> str:
    """A two-digit province code, or UsageError E2410."""
    if PARTY.fullmatch(party) is None:
        raise UsageError("E2410", "省级代码应为两位数字", where=party[:8], step="按 GB/T 2260 填写，例如 13")
    return party


def not_there(name: str) -> NotThereError:
    return NotThereError("E2408", "交换目录中没有该文件", where=name, step="稍后重试；持续缺失时请对方重新发布")


class ClientTransport(ABC):
    """A province's view, bound to one party. Use as a context manager; one thread at a time."""

    # What the adapter's world may throw; everything else is a fault of our own and passes through.
    failures: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    def __init__(self, party: str, *, names: re.Pattern[str] = NAME) -> None:
        self.party = check_party(party)
        self._names = names

    def put(
        self,
        name: str,
        path: Path,
        *,
        max_bytes: int = MAX_FILE,
        restart: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Upload one file under `name`: `.part`, fsync, standard rename into `ready/` (protocol 2.3).

        Returns the bytes sent now: 0 if the file was there already, fewer than its size if a `.part` was resumed
        (protocol 2.4; `restart=True` begins at zero, for use after two digest failures). `progress(done, total)` in
        bytes. Raises E2405 when the name is taken by a file of another size; retryable errors when trying again helps.
        """
        check_name(name, self._names)
        with _open_regular(path, name) as source, self._guarded(name):
            size = os.fstat(source.fileno()).st_size
            if size > max_bytes:
                raise too_large(name, max_bytes)
            if self._same_is_ready(name, size):
                return 0
            done = 0 if restart else self._resume_at(name, size)
            source.seek(done)
            self._write_part(name, _told(read_blocks(source, name, size - done), done, size, progress), done, size)
            try:
                self._commit(name)
            except self.failures:
                # Our own earlier attempt may have won the name in between.
                if not self._same_is_ready(name, size):
                    raise
            return size - done

    def put_batch(
        self, files: Sequence[Path], *, restart: bool = False, progress: Callable[[str, int, int], None] | None = None
    ) -> int:
        """Upload one batch, each file under its own name, the manifest last as commit marker (protocol 2.3).

        Any order of `files` is accepted; exactly one must be a manifest. Returns the bytes sent now.
        """
        manifests = [path for path in files if path.name.endswith(MANIFEST)]
        if len(manifests) != 1:
            raise RuntimeError(f"a batch has one manifest, not {len(manifests)}")
        sent = 0
        for path in [*(path for path in files if path is not manifests[0]), manifests[0]]:
            told: Progress | None = None
            if progress is not None:
                told = _for_file(progress, path.name)
            sent += self.put(path.name, path, restart=restart, progress=told)
        return sent

    def list_out(self) -> list[Entry]:
        """Receipts, down streams and heads that wait for this province, by name; regular files with legal names."""
        return self._listing("out")

    def list_pub(self) -> list[Entry]:
        """Public files: trust list, CRLs, code tables, bulletin; as `list_out`."""
        return self._listing("pub")

    def get(self, name: str, dst: Path, max_bytes: int) -> Copied:
        """Fetch `out/name` into the local file `dst` (durable on return). Over `max_bytes`: E2406 and no `dst`."""
        return self._fetch("out", name, dst, max_bytes)

    def get_pub(self, name: str, dst: Path, max_bytes: int) -> Copied:
        """Fetch `pub/name`, as `get`."""
        return self._fetch("pub", name, dst, max_bytes)

    def close(self) -> None:
        """Let go of the connection; the transport may be used again and then connects anew."""
        self._reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What an adapter knows. Paths are those of protocol 2.1; failures are its own exceptions, unwrapped.

    @abstractmethod
    def _ready_size(self, name: str) -> int | None:
        """Size of `in/ready/<name>`, None if absent."""

    @abstractmethod
    def _part_size(self, name: str) -> int | None:
        """Size of `in/part/<name>.part`, None if absent."""

    @abstractmethod
    def _write_part(self, name: str, blocks: Iterable[bytes], offset: int, size: int) -> None:
        """Write from `offset` (0: empty the file first), sync, and prove that the file now has `size` bytes."""

    @abstractmethod
    def _commit(self, name: str) -> None:
        """Rename `.part` into `ready/`; fail if the name is taken, never replace."""

    @abstractmethod
    def _list(self, area: Area) -> Iterable[Entry]: ...

    @abstractmethod
    def _read(self, area: Area, name: str, max_bytes: int) -> Generator[bytes, None, None]:
        """The file in blocks; FileNotFoundError if absent."""

    @abstractmethod
    def _reset(self) -> None:
        """Throw away the connection, if the adapter has one."""

    def _explain(self, failure: Exception, where: str) -> HubError:
        """The HubError for an adapter's failure. SFTP reports a full disk or quota without a number."""
        number = failure.errno if isinstance(failure, OSError) else None
        if isinstance(failure, FileNotFoundError):
            return HubError("E2409", "交换目录不完整", where=where, step="请部级管理员检查该省的 in、out、pub 目录")
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return HubError("E2409", "交换服务器拒绝该操作", where=where, step="请部级管理员检查该省账号和目录权限")
        if number in (errno.ENOSPC, errno.EDQUOT):
            return SpaceError("E2412", "交换服务器空间或配额不足", where=where, step="通知部级管理员；稍后自动重试")
        return PeerUnreachableError(
            "E2401", "与交换服务器的传输中断", where=where, step="检查网络与服务器（含磁盘配额）；稍后自动重试"
        )

    # The rules above the adapters.

    @contextmanager
    def _guarded(self, where: str) -> Iterator[None]:
        try:
            yield
        except self.failures as failure:
            error = self._explain(failure, where)
            self._reset()
            raise error from failure
        except BaseException:
            self._reset()
            raise

    def _same_is_ready(self, name: str, size: int) -> bool:
        there = self._ready_size(name)
        if there is None:
            return False
        if there != size:
            raise HubError(
                "E2405",
                f"交换服务器上已有同名文件，大小不同（服务器 {there} 字节，本机 {size} 字节）",
                where=name,
                step="停止发送该批次并报警，核对发件箱与密文存档；没有清单的残件，部级满 24 小时移作证据",
            )
        return True

    def _resume_at(self, name: str, size: int) -> int:
        there = self._part_size(name) or 0
        return there if there <= size else 0

    def _listing(self, area: Area) -> list[Entry]:
        with self._guarded(area):
            found: list[Entry] = []
            for entry in self._list(area):
                if entry.regular and legal(entry.name, self._names):
                    found.append(entry)
                if len(found) > MAX_ENTRIES:
                    raise HubError("E2406", "目录中的文件过多", where=area, step="请部级管理员清理已确认的旧文件")
            return sorted(found)

    def _fetch(self, area: Area, name: str, dst: Path, max_bytes: int) -> Copied:
        check_name(name, self._names)
        with self._guarded(name), closing(self._read(area, name, max_bytes)) as blocks:
            try:
                # The first block is asked for before any local file exists.
                first = next(blocks, b"")
            except FileNotFoundError as failure:
                raise not_there(name) from failure
            return write_durably(_chain(first, blocks), dst, max_bytes)


@contextmanager
def _open_regular(path: Path, name: str) -> Iterator[BinaryIO]:
    with local_disk(name):
        source = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below; its errors are not the caller's
    with source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise HubError("E2411", "要发送的不是普通文件", where=name, step="检查发件目录")
        yield source


def _told(blocks: Iterable[bytes], done: int, size: int, progress: Progress | None) -> Iterator[bytes]:
    for block in blocks:
        yield block
        done += len(block)
        if progress is not None:
            progress(done, size)


def _for_file(progress: Callable[[str, int, int], None], name: str) -> Progress:
    return lambda done, size: progress(name, done, size)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
