"""Archive files: their names, how they are written, and whether they are still what the index says.

Decides the layout: `<year>/<entity>-<node>-<number>.parquet`, no personal value in a name; rows by school and record
number, so that statistics find a school and a bloom filter finds a record. A file is digested again only when its
inode, size or change time is not the one last verified: the change time cannot be set back by its owner.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hub.archive.index import Entry
from hub.catalog import Entity
from hub.errors import VerificationError
from hub.store.history_tables import ENDED, HELD_TO
from hub.store.reader import version_schema
from hub.transport.durable import sync_folder

GROUP_ROWS: Final = 32_768
_CHUNK: Final = 1 << 20
# Columns of few different values; the others would only fill a dictionary to throw it away.
_FEW: Final = 3


def file_name(entity: Entity, node: str, year: int, number: int) -> str:
    return f"{year:04d}/{entity.name}-{node}-{number:06d}.parquet"


@dataclass(frozen=True)
class Written:
    """A file that is durable under its name."""

    rows: int
    size: int
    sha256: str
    first_to: str
    last_to: str


def write_file(folder: Path, name: str, entity: Entity, batches: Iterable[Any]) -> Written:
    """Writes versions under a name that appears whole or not at all; batches as `version_schema`, sorted."""
    path = folder / name
    for made in (folder, path.parent):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    rows, first, last = 0, "", ""
    handle = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    try:
        with os.fdopen(handle, "wb") as out, _writer(out, entity) as writer:
            for batch in _groups(batches):
                writer.write_table(batch, row_group_size=GROUP_ROWS)
                ends = sorted(set(batch.column(HELD_TO).to_pylist()))
                first, last = min(first or ends[0], ends[0]), max(last, ends[-1])
                rows += batch.num_rows
            writer.close()
            out.flush()
            os.fsync(out.fileno())
        size, sha256 = part.stat().st_size, digest_of(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    for changed in (path.parent, folder):
        sync_folder(changed)
    return Written(rows, size, sha256, first, last)


def _writer(out: Any, entity: Entity) -> Any:
    few = [f.name for f in entity.fields if f.code or (f.length or 99) <= _FEW]
    return pq.ParquetWriter(
        out,
        version_schema(entity),
        compression="zstd",
        compression_level=3,
        use_dictionary=["node", "prov", ENDED, *(n for n in ("XXDM",) if n in entity.by_name), *few],
        write_page_checksum=True,
        bloom_filter_options={"pk": {"ndv": GROUP_ROWS, "fpp": 0.01}},
    )


def _groups(batches: Iterable[Any]) -> Iterable[Any]:
    """Tables of whole row groups, so that a group is not one small block."""
    held: list[Any] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= 2 * GROUP_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def digest_of(path: Path) -> str:
    """`sha256:` + hex of a file."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            sha.update(block)
    return f"sha256:{sha.hexdigest()}"


class Verifier:
    """Files against their entries; `memory`: the file that keeps which were verified as they stand, None for none."""

    def __init__(self, folder: Path, memory: Path | None) -> None:
        self._folder = folder
        self._memory = memory
        self._known: dict[str, Any] = {}
        if memory is not None and memory.is_file():
            try:
                self._known = dict(json.loads(memory.read_text(encoding="utf-8")))
            except ValueError:
                self._known = {}

    def paths(self, entries: Sequence[Entry]) -> list[Path]:
        """The files of these entries; `VerificationError` E3541 for one that is gone, E3542 for one that is altered."""
        before = dict(self._known)
        found = [self._checked(entry) for entry in entries]
        if self._memory is not None and self._known != before:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            part = self._memory.with_name(f".{self._memory.name}.part")
            part.write_text(json.dumps(self._known), encoding="utf-8")
            part.replace(self._memory)
        return found

    def _checked(self, entry: Entry) -> Path:
        path = self._folder / entry.file_name
        try:
            now = path.stat()
        except OSError:
            raise VerificationError(
                "E3541",
                "归档文件缺失",
                where=entry.file_name,
                step="从备份恢复该文件到归档目录，再运行 hub archive verify；在此之前不能回答涉及该年份的查询",
            ) from None
        mark = [now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, entry.sha256]
        if self._known.get(entry.file_name) == mark:
            return path
        if now.st_size != entry.file_size or digest_of(path) != entry.sha256:
            self._known.pop(entry.file_name, None)
            raise VerificationError(
                "E3542",
                "归档文件与索引登记的摘要不符，内容已被改动或损坏",
                where=entry.file_name,
                step="保留该文件备查，从备份恢复原文件，再运行 hub archive verify",
            )
        self._known[entry.file_name] = mark
        return path
