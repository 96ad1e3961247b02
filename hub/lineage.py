"""The story of one record, from source row to receipt, out of what this node keeps.

Decides where each answer is found: golden row and ledger in the store, raw values in the extracts, versions in the kept
change files (province), batches and receipts in outbox or inbox. Private values leave only through `Release`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.catalog import Catalog, Entity, Field
from hub.masking import mask_row, mask_value
from hub.settings import Node
from hub.store import Reader
from hub.store.ledger import EXTRACT, KEY_CHANGE, LINEAGE, RUN, TOMBSTONE

# `L`: a school's supplement; another letter: an own system that founded the record or filled it, read like a platform.
_TRACE = re.compile(r"(?P<letter>[A-Z]?)(?P<extract>\d+):(?P<line>\d+)")
Row = dict[str, Any]


@dataclass(frozen=True)
class Tracer:
    """Looks up one record. `plain`: private values as they are, otherwise masked."""

    node: Node
    catalog: Catalog
    reader: Reader
    plain: bool = False

    def record(self, entity: Entity, owner: str, pk: str) -> Row | None:
        """The golden row by column name, private values under their masks."""
        row = self.reader.read_one(entity, owner, pk)
        return row if row is None or self.plain else mask_row(entity, row)

    def tombstone(self, entity: Entity, owner: str, pk: str) -> Row | None:
        """What is left of a deleted record: its last version and the batch that removed it."""
        query = sa.select(TOMBSTONE.c.row_ver, TOMBSTONE.c.batch).where(
            TOMBSTONE.c.node == owner, TOMBSTONE.c.entity == entity.name, TOMBSTONE.c.pk == pk
        )
        found = self.reader.connection.execute(query).mappings().first()
        return dict(found) if found else None

    def key_changes(self, entity: Entity, owner: str, pk: str) -> list[Row]:
        """Natural keys the record had before, under the same record number (ruling 19), and the batch of each."""
        c, of = KEY_CHANGE.c, LINEAGE.c
        same = sa.and_(of.node == owner, of.cs_no == c.cs_no, of.entity == c.entity)
        first = sa.select(sa.func.min(of.batch_id)).where(same).scalar_subquery()
        query = (
            sa.select(c.cs_no, c.old_key, c.new_key, first).where(c.entity == entity.name, c.pk == pk).order_by(c.cs_no)
        )
        return [
            {
                "change_set": int(number),
                "batch": batch,
                "old_key": self._key(entity, old),
                "new_key": self._key(entity, new),
            }
            for number, old, new, batch in self.reader.connection.execute(query)
        ]

    def _key(self, entity: Entity, key: str) -> str:
        parts = zip(entity.key, key.split("|"), strict=False)
        return "|".join(str(self._shown(entity, name, part)) for name, part in parts)

    def fields(self, entity: Entity, row: Row) -> list[Row]:
        """Each field: value, provenance letter, and the source in words."""
        prov = row["prov"] or ""
        result = []
        for at, field in enumerate(entity.fields):
            letter = prov[at] if at < len(prov) else ""
            said = said_by(self.catalog, letter)
            shown = {"field": field.name, "name": field.cn, "value": row[field.name], "letter": letter, "source": said}
            result.append(shown)
        return result

    def sources(self, entity: Entity, src_rid: str | None) -> list[Row]:
        """The source rows a version was made of: extract, line, file, mode, when read, raw values if kept here."""
        return [self._source(entity, found) for found in _TRACE.finditer(src_rid or "")]

    def _source(self, entity: Entity, found: re.Match[str]) -> Row:
        number, line, local = int(found["extract"]), int(found["line"]), found["letter"] == "L"
        raw, file = self._raw(number, line, local=local)
        known = self._round(file) if local else self._extract(number)
        return {
            "extract_no": number,
            "line": line,
            "system": "L" if local else known.get("system"),
            "table": "学校补录" if local else known.get("source_table"),
            "file": known.get("file_name") or file,
            "mode": known.get("read_mode"),
            "run_no": known.get("run_no"),
            "read_at": known.get("read_at"),
            "raw": None if raw is None else {k: self._shown(entity, k, v) for k, v in raw.items()},
        }

    def _extract(self, number: int) -> Row:
        query = (
            sa.select(EXTRACT, RUN.c.ended.label("read_at"))
            .join(RUN, RUN.c.run_no == EXTRACT.c.run_no, isouter=True)
            .where(EXTRACT.c.extract_no == number)
        )
        found = self.reader.connection.execute(query).mappings().first()
        return dict(found) if found else {}

    def _round(self, file: str | None) -> Row:
        """The round that read a school's sheet: its number is the folder of what was kept of it."""
        number = (file or "").partition("/")[0]
        if not number.isdigit():
            return {}
        query = sa.select(RUN.c.run_no, RUN.c.ended.label("read_at")).where(RUN.c.run_no == int(number))
        found = self.reader.connection.execute(query).mappings().first()
        return dict(found) if found else {}

    def _raw(self, number: int, line: int, *, local: bool) -> tuple[Row | None, str | None]:
        if local:
            for path in sorted(self.node.extracts.glob("*/*-L.*.parquet")):
                kept = pq.read_table(path, filters=[("_ext", "=", number), ("_row", "=", line)])
                if kept.num_rows:
                    row = {k: v for k, v in kept.slice(0, 1).to_pylist()[0].items() if not k.startswith("_")}
                    return row, f"{path.parent.name}/{path.name}"
            return None, None
        for path in sorted(self.node.extracts.glob(f"*/{number:06d}-*.parquet")):
            return row_at(path, line - 1), f"{path.parent.name}/{path.name}"
        return None, None

    def _shown(self, entity: Entity, column: str, value: Any) -> Any:
        return value if self.plain or not isinstance(value, str) else mask_value(self._field(entity, column), value)

    def _field(self, entity: Entity, column: str) -> Field | None:
        """The canonical field behind a raw column: by name, or by a template target like `xs_jtcy[1].SFZJH`."""
        if "." not in column:
            return entity.by_name.get(column)
        name, field = column.split(".", 1)
        of = self.catalog.entities.get(name.split("[")[0])
        return of.by_name.get(field.split(":")[0]) if of else None

    def versions(self, entity: Entity, pk: str) -> list[Row]:
        """Every change row of the record in the kept change files, oldest first, with its change-log id."""
        result = []
        for folder in sorted(self.node.changes.glob("[0-9]" * 8)):
            for file, record in _change_files(folder, entity.name):
                found = find_record(folder / file["path"], pk)
                if found is None:
                    continue
                at, row = found
                shown = row if self.plain else mask_row(entity, row)
                head = {"change_set": record["number"], "run_no": record["run"], "change_id": file["lo"] + at}
                result.append(head | shown)
        return result


_WORDS = {
    "L": "学校补录（xlsx 模板）",
    "F": "派生（由其他字段计算）",
    "P": "保留的前值",
    "D": "人工处理决定",
    "-": "无值",
}


def said_by(catalog: Catalog, letter: str) -> str:
    """A provenance letter in words: the platform, a province's own system, or what else the letter stands for."""
    source = catalog.registry.letters.get(letter, "")
    systems = {s.system: s.cn for s in catalog.systems.values()}
    return systems.get(source) or _WORDS.get(letter, source)


def _change_files(folder: Path, entity: str) -> Iterator[tuple[Row, Row]]:
    path = folder / "round.json"
    if not path.is_file():
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    for file in record["files"]:
        if file["entity"] == entity and (folder / Path(file["path"]).name).is_file():
            yield file, record


def row_at(path: Path, index: int) -> Row | None:
    """One row of a Parquet file by its number from 0, reading only its row group."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if index < rows:
                return dict(file.read_row_group(group).slice(index, 1).to_pylist()[0])
            index -= rows
    return None


def find_record(path: Path, pk: str) -> tuple[int, Row] | None:
    """(row number from 0, row) of a record in a change file; only the key column is read until it is found."""
    start = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=["pk"]).column("pk")
            at = pc.index(keys, pk).as_py()
            if at >= 0:
                return start + at, dict(file.read_row_group(group).slice(at, 1).to_pylist()[0])
            start += len(keys)
    return None
