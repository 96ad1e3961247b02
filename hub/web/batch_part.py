"""Online preview of one part of a stored batch: some rows of it, private fields masked (文件在线预览, console 5).

Decides that only a part whose bytes are those of the manifest is opened, that its plaintext lies in the node's private
work folder no longer than the answer takes, and that no more rows are read than are shown. Who may look is the page's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.batch.cipher import decrypt_file
from hub.batch.manifest import FileEntry, Manifest
from hub.catalog import Catalog, Entity
from hub.errors import HubError, UsageError
from hub.evidence.kept import Kept, find
from hub.keyring import Keyring
from hub.labels import with_label
from hub.masking import mask_column, swept
from hub.settings import Node
from hub.store import Reader
from hub.store.ledger import LINEAGE

_HEADS: Final[Mapping[str, str]] = {
    "op": "操作", "pk": "记录号", "row_ver": "版本", "src_rid": "来源行", "prov": "逐项来源",
}  # fmt: skip

_DONE: Final[Mapping[str, str]] = {"I": "新增", "U": "更新", "D": "删除"}


@dataclass(frozen=True)
class Preview:
    """Rows `offset`… of a part. `heads`: (column, label); `rows`: texts in that order, private ones masked."""

    total: int
    offset: int
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)


def change_file(reader: Reader, node: Node, batch_id: str, entry: FileEntry) -> Path | None:
    """The change file that was sealed into this part, where the node still keeps it (a province does)."""
    c = LINEAGE.c
    query = sa.select(c.cs_no, c.file_name).where(c.batch_id == batch_id, c.sha256 == entry.digest.plain_sha256)
    row = reader.connection.execute(query).first()
    if row is None:
        return None
    path = node.changes / f"{int(row[0]):08d}" / Path(str(row[1])).name
    return path if path.is_file() else None


def preview(
    kept: Kept, manifest: Manifest, entry: FileEntry, source: Path | None, *, node: Node, keyring: Keyring,
    catalog: Catalog, offset: int, size: int,
) -> Preview:  # fmt: skip
    """Rows of one part. `source`: its change file, which spares the decryption.

    Raises `UsageError` E1471 when this node keeps neither, and what decrypting raises (E_FILE_DIGEST, E_DECRYPT …).
    """
    entity = catalog.entities.get(entry.entity)
    if source is not None:
        return _read(source, catalog, entity, offset, size)
    stored = find(kept.folders, entry.name)
    if stored is None:
        raise UsageError("E1471", "本节点已不再保存这个文件的内容", where=entry.name, step="向对方节点查看")
    key, cert = keyring.opening([r.enc_key for r in manifest.recipients if r.party == node.party])
    node.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=node.work) as folder:
        plain = Path(folder) / "part.parquet"
        decrypt_file(stored, plain, key, cert, expect=entry.digest)
        return _read(plain, catalog, entity, offset, size)


def _read(path: Path, catalog: Catalog, entity: Entity | None, offset: int, size: int) -> Preview:
    try:
        with pq.ParquetFile(path) as file:
            total = file.metadata.num_rows
            begin = min(max(offset, 0), max(total - 1, 0))
            table = _rows(file, begin, size)
    except pa.ArrowInvalid as error:
        raise HubError("E1472", "文件内容读不出来", where=path.name, step="重新验证该批次") from error
    names = tuple(table.column_names)
    columns = [_texts(catalog, entity, name, table.column(name)) for name in names]
    heads = tuple((name, _label(entity, name)) for name in names)
    return Preview(total, begin, heads, tuple(zip(*columns, strict=True)))


def _rows(file: pq.ParquetFile, begin: int, size: int) -> pa.Table:
    """`size` rows from `begin`, reading only the row groups they lie in."""
    parts, seen = [], 0
    for group in range(file.metadata.num_row_groups):
        here = file.metadata.row_group(group).num_rows
        if seen + here > begin and seen < begin + size:
            first = max(begin - seen, 0)
            parts.append(file.read_row_group(group).slice(first, min(begin + size - seen, here) - first))
        seen += here
    return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()


def _texts(catalog: Catalog, entity: Entity | None, name: str, column: Any) -> list[str]:
    field_ = entity.by_name.get(name) if entity else None
    if field_ is not None:
        column = mask_column(field_, column.combine_chunks())
    values = ["" if v is None else str(v) for v in column.to_pylist()]
    if name == "op":
        return [_DONE.get(v, v) for v in values]
    return [with_label(catalog, field_, v) if field_ is not None else swept(v) for v in values]


def _label(entity: Entity | None, name: str) -> str:
    if entity and name in entity.by_name:
        return entity.by_name[name].cn
    return _HEADS.get(name, name)
