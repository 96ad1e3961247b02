"""Change rows on their way into the database: read in bounded blocks, checked for what the merge relies on.

Decides that a block is well formed (protocol 3.6: op, 20-digit record number, version from 1); whether a row takes
effect is decided by the merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.catalog import Entity
from hub.changes import PK_LENGTH, change_schema
from hub.errors import InputError
from hub.store.lane import BLOCK_ROWS, blocks, fitted


@dataclass(frozen=True)
class ApplyCounts:
    """What an apply changed, per row given: rows = inserted + updated + deleted + noop.

    `inserted`, `updated` and `deleted` say what happened to the table (an `I` on a stored row updates it). `noop`: the
    stored version or tombstone is as new or newer, a newer row for the same key came in the same call, or a `D` met
    no row.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    noop: int = 0

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted + self.noop

    def __add__(self, other: ApplyCounts) -> ApplyCounts:
        return ApplyCounts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.deleted + other.deleted,
            self.noop + other.noop,
        )


def change_blocks(entity: Entity, source: Iterable[Path] | Iterable[Any]) -> Iterator[Any]:
    """Blocks of change rows of `entity` from Parquet files or record batches, in their order, '' as NULL.

    Raises `InputError` E3120 (unreadable file, wrong columns), E3121 (a row without key, version or operation) or
    E3122 (a text longer than its field, or with a NUL character, which SQLite would store and PostgreSQL would not).
    """
    for part in source:
        if isinstance(part, Path):
            yield from _ahead(_checked(entity, file_blocks(part, part.name), part.name))
        else:
            yield from _checked(entity, [part], entity.name)


def _checked(entity: Entity, batches: Iterable[Any], where: str) -> Iterator[Any]:
    schema = change_schema(entity)
    for block in blocks(batches):
        if not set(schema.names) <= set(block.schema.names):
            raise InputError("E3120", "变更文件缺少列", where=where, step="用当前的数据定义重新生成该批次")
        fit = fitted(block, schema)
        _check(fit, where)
        _check_texts(fit, entity, where)
        yield fit


def _ahead(made: Iterator[Any]) -> Iterator[Any]:
    """The same blocks, the next one read and checked while the database takes the one before."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, made, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, made, None)
            yield block


def file_blocks(path: Path, where: str) -> Iterator[Any]:
    """Record batches of at most `BLOCK_ROWS` rows of a change file, unchecked; `InputError` E3120 when unreadable."""
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BLOCK_ROWS, use_threads=False)
    except (OSError, pa.ArrowInvalid):
        raise InputError("E3120", "变更文件读不出来", where=where, step="核对文件摘要；损坏则请发送方重发") from None


def _check(block: Any, where: str) -> None:
    op, pk, version = block.column("op"), block.column("pk"), block.column("row_ver")
    good = (
        op.null_count == pk.null_count == version.null_count == 0
        and pc.all(pc.is_in(op, pa.array(["I", "U", "D"]))).as_py()
        and pc.all(pc.equal(pc.binary_length(pk), PK_LENGTH)).as_py()
        and pc.min(version).as_py() >= 1
    )
    if not good:
        raise InputError(
            "E3121", "变更行的操作、记录号或版本号不合规定", where=where, step="退回发送方，按协议 3.6 重新生成该批次"
        )


def _check_texts(block: Any, entity: Entity, where: str) -> None:
    for field in entity.fields:
        column = block.column(field.name)
        if not pa.types.is_string(column.type):
            continue
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
        if (field.width is not None and longest > field.width) or _has_nul(column):
            raise InputError(
                "E3122",
                "变更行有过长或含非法字符的值",
                where=f"{where}，字段 {field.name}",
                step="退回发送方：该行本应被质量规则拦下",
            )


def _has_nul(column: Any) -> bool:
    _validity, offsets, data = column.buffers()
    if data is None:
        return False
    bounds = np.frombuffer(offsets, np.int32)
    first, last = bounds[column.offset], bounds[column.offset + len(column)]
    return not np.frombuffer(data, np.uint8)[first:last].all()
