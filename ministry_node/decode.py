"""From ciphertext to plaintext files whose form was checked before we open them (protocol 6.2, 11.2, 11.3).

Decides whether the bytes of a part may be applied: our own RecipientInfo, tag, plaintext digest, then columns, limits
and row counts as a child process met them (`decoder`, which knows no key). Leaves the rows' content to the rules and
what a fault means to `decide`.

Plaintext lies in the caller's private folder; the caller deletes it, whatever happens (protocol 5.6).
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509

from hub.batch.cipher import check_recipients, decrypt_file
from hub.batch.content import check_counts
from hub.batch.limits import Limits
from hub.batch.manifest import FileEntry, Manifest, RowCounts
from hub.catalog import Catalog, Entity
from hub.census import entity_of
from hub.changes import HEAD, change_schema
from hub.errors import HubError
from hub.trust.keys import PrivateKey
from hub.verdict import refused

MEMORY_BYTES: Final = 1 << 30
_START_SECONDS: Final = 60.0
# A bomb is told apart from a large file by time, too: what a slow disk needs, and a fixed start.
_LEAST_SECONDS: Final = 4.0
_BYTES_PER_SECOND: Final = 4_000_000
# The widest `src_rid` and `prov` a golden table takes.
_HEAD_WIDTHS: Final = {"src_rid": 64, "prov": 80}
_WHY: Final = {
    "unreadable": "读不出来",
    "memory": "解码所需内存超过上限",
    "time": "解码超时",
    "columns": "列数超过上限",
    "decoded": "解开后的数据量超过总量或膨胀倍数上限",
    "cell": "有单元格超过 4 KiB",
    "nested": "含嵌套列",
    "extra": "有登记之外的列",
    "names": "列名或列序与登记的不同",
    "type": "第 {n} 列的类型与登记的不同",
    "nonce": "缺少 32 字节的随机元数据 exch.nonce",
    "op": "有行的操作不是 I、U、D",
    "pk": "有行的记录号不合规定",
    "row_ver": "有行的版本号小于 1",
    "head": "有行缺少操作、记录号或版本号",
    "text": "第 {n} 列有过长的值或非法字符",
    "groups": "实有 {n} 个行组",
}
_CODES: Final = frozenset({"E_PARQUET", "E_BUDGET", "E_SCHEMA", "E_ROWS_BAD", "E_COUNTS"})


class Decoder:
    """The child process. Started with the first file, replaced after it died; use as a context manager."""

    def __init__(self, limits: Limits, *, memory: int = MEMORY_BYTES) -> None:
        self._limits = {k: v for k, v in asdict(limits).items() if k in _LIMITS}
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def check(self, path: Path, entity: Entity, *, row_groups: int | None = None, where: str) -> RowCounts:
        """Rows per operation of a Parquet file with exactly the columns of `entity`, and so many row groups if asked.

        Raises RefusedError E_PARQUET, E_BUDGET, E_SCHEMA, E_COUNTS or E_ROWS_BAD; `where` is the part's name.
        """
        size = path.stat().st_size
        request = {
            "path": str(path),
            "schema": base64.b64encode(change_schema(entity).serialize()).decode("ascii"),
            "widths": _widths(entity),
            "limits": self._limits,
            "size": size,
            "row_groups": row_groups,
        }
        answer = self._ask(json.dumps(request).encode() + b"\n", _LEAST_SECONDS + size / _BYTES_PER_SECOND)
        rows = answer.get("rows")
        if isinstance(rows, list) and len(rows) == 3 and all(isinstance(n, int) and n >= 0 for n in rows):
            return RowCounts(*rows)
        code, why, n = answer.get("fault"), answer.get("why"), answer.get("n")
        if code not in _CODES or why not in _WHY or not isinstance(n, int):
            raise refused("E_PARQUET", _WHY["unreadable"], where=where)
        raise refused(str(code), _WHY[str(why)].format(n=n + 1), where=where)

    def _ask(self, request: bytes, seconds: float) -> dict[str, Any]:
        """The child's answer. A child that died is replaced and asked once more: it may have died of something else
        than this file, and a batch must not be void for that."""
        for _ in range(2):
            line = self._line(request, seconds)
            if line is None:
                self._stop()
                return {"fault": "E_BUDGET", "why": "time", "n": 0}
            try:
                answer = json.loads(line)
            except ValueError:
                answer = None
            if isinstance(answer, dict):
                return answer
            self._stop()
        return {"fault": "E_PARQUET", "why": "unreadable", "n": 0}

    def _line(self, request: bytes, seconds: float) -> bytes | None:
        """What the child says: a line, b"" when it died, None when it took too long."""
        child = self._running()
        if child.stdin is None:
            raise RuntimeError("the decoder has no pipe")
        try:
            child.stdin.write(request)
            child.stdin.flush()
            return _read_line(child, seconds)
        except BrokenPipeError:
            return b""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("decoder.py")), str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            if _read_line(self._child, _START_SECONDS) != b"ready\n":
                self._stop()
                raise HubError(
                    "E3411",
                    "解码进程启动失败",
                    where="ministry_node",
                    step="核对 Python 环境与内存后重新运行；批次未动",
                )
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        child.wait()


_LIMITS: Final = frozenset({"columns", "cell_bytes", "decoded_bytes", "decoded_ratio"})


def verified_files(
    manifest: Manifest,
    sources: Sequence[Path],
    folder: Path,
    *,
    catalog: Catalog,
    key: tuple[PrivateKey, x509.Certificate],
    certs: Sequence[x509.Certificate],
    decoder: Decoder,
) -> Generator[tuple[FileEntry, Path], None, None]:
    """Each part of a batch as a checked plaintext file in `folder`, in the manifest's order.

    The next part is opened and checked while the caller works on the one it was given. Raises RefusedError with a
    REFUSED or VOID code; a caller that has begun to apply rolls back.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
        work = [
            (entry, source, folder / f"{entry.name}.parquet")
            for entry, source in zip(manifest.files, sources, strict=True)
        ]

        def prepare(at: int) -> tuple[FileEntry, Path]:
            entry, source, plain = work[at]
            if not plain.exists():  # a transaction that is tried again finds its files
                check_recipients(source, certs)
                decrypt_file(source, plain, *key, expect=entry.digest)
            entity = entity_of(catalog, entry.entity)
            counted = decoder.check(plain, entity, row_groups=entry.row_groups, where=entry.name)
            _check_one(manifest, entry, counted)
            return entry, plain

        ahead = pool.submit(prepare, 0) if work else None
        for at in range(len(work)):
            if ahead is None:
                raise RuntimeError("one part is always ahead")
            ready = ahead.result()
            ahead = pool.submit(prepare, at + 1) if at + 1 < len(work) else None
            yield ready


def _check_one(manifest: Manifest, entry: FileEntry, counted: RowCounts) -> None:
    """E_COUNTS as soon as one file differs; the others count as declared until their turn."""
    found = {other.n: other.rows for other in manifest.files} | {entry.n: counted}
    check_counts(manifest, found)


def _widths(entity: Entity) -> list[int | None]:
    head = [_HEAD_WIDTHS.get(name) for name, _ in HEAD]
    return [*head, *(field.width for field in entity.fields)]


def _read_line(child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """One line of the child, b"" when it died, None when it took longer than `seconds`."""
    if child.stdout is None:
        raise RuntimeError("the decoder has no pipe")
    end, data = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not data.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                return None
            block = os.read(child.stdout.fileno(), 65_536)
            if not block or len(data) > 65_536:
                return b""
            data += block
    return data
