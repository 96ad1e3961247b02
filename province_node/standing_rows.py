"""What a void batch carries when it is sealed again: the newest standing version of every record it named (7.2).

Decides row by row, in the place of the voided one, so that the change-log ids and their number stay: a record that a
later change set changed goes out as that one has it, which is how a row mended at the source frees the stream. A
record the ministry never had stays `I` while it stands. The later change set travels as well and is old by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.catalog import Catalog
from hub.census import NONCE
from hub.changes import ChangeFile, Counts, change_schema
from province_node.changeset import Settlement
from province_node.sealing import Random

_BLOCK = 20_000


@dataclass(frozen=True)
class Rebuilt:
    """Files of a void batch as they go out again. `newest`: highest change set a row was taken from."""

    files: tuple[ChangeFile, ...]
    newest: int


def newest_rows(
    catalog: Catalog,
    files: Sequence[ChangeFile],
    number: int,
    later: Sequence[Settlement],
    *,
    folder: Path,
    rng: Random,
) -> Rebuilt:
    """`files` of change set `number` with what `later` change sets made of their records; written to `folder` where a
    file differs, under its own name."""
    result, newest = [], number
    for file in files:
        sets = {f.path: s.changes.number for s in later for f in s.changes.files if f.entity == file.entity}
        rebuilt, found = _rebuilt(catalog, file, sets, folder, rng) if sets else (file, number)
        result.append(rebuilt)
        newest = max(newest, found)
    return Rebuilt(tuple(result), newest)


def _rebuilt(
    catalog: Catalog, file: ChangeFile, sets: Mapping[Path, int], folder: Path, rng: Random
) -> tuple[ChangeFile, int]:
    schema = change_schema(catalog.entities[file.entity])
    columns = ", ".join(
        f'CASE WHEN n.pk IS NULL THEN b."{name}" ELSE n."{name}" END AS "{name}"' for name in schema.names[1:]
    )
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE newer AS SELECT n.* FROM read_parquet(?, filename = true) n "
            "WHERE n.pk IN (SELECT pk FROM read_parquet(?)) "
            "QUALIFY row_number() OVER (PARTITION BY n.pk ORDER BY n.row_ver DESC) = 1",
            [[str(path) for path in sets], str(file.path)],
        )
        taken = [Path(name) for (name,) in con.execute("SELECT DISTINCT filename FROM newer").fetchall()]
        if not taken:
            return file, 0
        reader = con.sql(
            "SELECT CASE WHEN n.pk IS NULL THEN b.op WHEN n.op = 'D' THEN 'D' WHEN b.op = 'I' THEN 'I' ELSE n.op END "
            f"AS op, {columns} FROM read_parquet(?, file_row_number = true) b LEFT JOIN newer n ON n.pk = b.pk "
            "ORDER BY b.file_row_number",
            params=[str(file.path)],
        ).to_arrow_reader(_BLOCK)
        path = folder / f"{file.lo}-{file.path.name}"
        told = schema.with_metadata({NONCE: rng(32).hex().encode("ascii")})
        with pq.ParquetWriter(path, told, compression="zstd") as writer:
            for block in reader:
                writer.write_batch(block.cast(schema))
    ops = pc.value_counts(pq.read_table(path, columns=["op"]).column("op")).to_pylist()
    found = {entry["values"]: int(entry["counts"]) for entry in ops}
    counts = Counts(found.get("I", 0), found.get("U", 0), found.get("D", 0))
    return replace(file, path=path, counts=counts), max(number for path, number in sets.items() if path in taken)
