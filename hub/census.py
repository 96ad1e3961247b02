"""The census: 4,096 buckets of record numbers per entity, counted and digested alike at both tiers (protocol 9.3).

Decides what is compared. Written so that anyone can recompute it:

- bucket of a row: the first three hex digits of SHA-256(pk), 0..4095;
- `row_hash`: SHA-256 (hex) of the row's line in the format of `hub.store.reader`:
  `"pk","row_ver","src_rid","prov",` then the payload, each value quoted, NULL as nothing, LF at the end;
- digest of a bucket: SHA-256 over the lines `pk,row_ver,row_hash` LF of its rows, ordered by pk bytewise.

Columnar and in bounded memory: rows come as Arrow blocks ordered by pk, DuckDB hashes a block, and one running digest
per bucket takes its share. Decides nothing about what differs; that is the ministry's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.batch.manifest import RowCounts
from hub.case_form import ANSWER
from hub.case_form import FORM as ANSWER_FORM
from hub.catalog import Catalog, Entity, Field
from hub.changes import change_schema

BUCKETS: Final = 4096
CENSUS: Final = "census"
KINDS: Final = frozenset({"census", "repair", "snapshot-part"})
NONCE: Final = b"exch.nonce"

# The census as a flat table, so that it travels and is decoded like any other part (protocol 3.6).
FORM: Final = Entity(
    CENSUS,
    "普查",
    CENSUS,
    ("TABLE", "BUCKET"),
    (
        Field("TABLE", "实体", "C", "M", "text", "P0", 20),
        Field("BUCKET", "桶号", "N", "M", "number", "P0", 4),
        Field("LIVE", "行数", "N", "M", "number", "P0", 18),
        Field("DIGEST", "摘要", "C", "M", "text", "P0", 64),
    ),
)
Bucket = tuple[int, str]  # rows, digest
Tally = dict[str, dict[int, Bucket]]  # entity -> bucket -> what it holds; an empty bucket is absent


def entity_of(catalog: Catalog, name: str) -> Entity:
    """An entity of the catalogue, or the form of a table that travels without being one: census, answers to cases."""
    return {CENSUS: FORM, ANSWER: ANSWER_FORM}.get(name) or catalog.entities[name]


def bucket_sql(pk: str = "pk") -> str:
    """DuckDB expression: bucket of a record number."""
    return f"CAST('0x' || substr(sha256({pk}), 1, 3) AS INTEGER)"


def bucket_of(pk: str) -> int:
    """The same for one record number."""
    return int(hashlib.sha256(pk.encode()).hexdigest()[:3], 16)


def hash_sql(entity: Entity) -> str:
    """DuckDB expression: `row_hash` over columns named as in `hub.store.reader.row_schema`."""
    names = ["pk", "row_ver", "src_rid", "prov", *entity.columns]
    text = "nullif(CAST(\"{}\" AS VARCHAR), '')"  # the store holds no empty text, a file may
    quoted = (f"""coalesce('"' || replace({text.format(n)}, '"', '""') || '"', '')""" for n in names)
    return "sha256(" + " || ',' || ".join(quoted) + " || chr(10))"


@contextmanager
def scratch(folder: Path | None = None, *, memory_mb: int = 512) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB for one comparison; with `folder`, tables may outgrow memory."""
    config: dict[str, Any] = {"memory_limit": f"{memory_mb}MB", "threads": 1, "preserve_insertion_order": False}
    con = duckdb.connect(str(folder / "scratch.duckdb") if folder else ":memory:", config=config)
    try:
        yield con
    finally:
        con.close()


def hashed(con: duckdb.DuckDBPyConnection, entity: Entity, block: Any) -> Any:
    """(pk, row_ver, row_hash, bucket) of a block's rows, ordered by bucket and pk."""
    rows = pa.Table.from_batches([block])  # noqa: F841 - DuckDB finds it by name
    return con.sql(
        f"SELECT pk, row_ver, {hash_sql(entity)} AS row_hash, {bucket_sql()} AS bucket FROM rows ORDER BY bucket, pk"
    ).to_arrow_table()


def tally(entity: Entity, blocks: Iterable[Any]) -> dict[int, Bucket]:
    """Buckets of one entity's rows; blocks as `Reader.read` gives them, ordered by pk over all of them."""
    running: dict[int, Any] = {}
    counts: dict[int, int] = {}
    with scratch() as con:
        for block in blocks:
            for bucket, rows, text in _shares(hashed(con, entity, block)):
                running.setdefault(bucket, hashlib.sha256()).update(text)
                counts[bucket] = counts.get(bucket, 0) + rows
    return {bucket: (counts[bucket], digest.hexdigest()) for bucket, digest in running.items()}


def _shares(table: Any) -> Iterator[tuple[int, int, memoryview]]:
    """(bucket, rows, bytes to digest) of one hashed block."""
    if not table.num_rows:
        return
    offsets, data = _lines(table)
    bucket = table.column("bucket").to_numpy()
    starts = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    ends = np.r_[starts[1:], len(bucket)]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield int(bucket[start]), end - start, data[offsets[start] : offsets[end]]


def _lines(table: Any) -> tuple[Any, memoryview]:
    """Offsets and bytes of the lines `pk,row_ver,row_hash` LF, contiguous."""
    text = pc.binary_join_element_wise(
        table.column("pk"), table.column("row_ver").cast(pa.string()), table.column("row_hash"), ","
    )
    text = pc.binary_join_element_wise(text, pa.scalar("\n"), "").combine_chunks()
    if isinstance(text, pa.ChunkedArray):
        text = text.chunk(0)
    _validity, offsets, data = text.buffers()
    return np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1], memoryview(data)


def differing(here: Tally, there: Tally) -> dict[str, tuple[int, ...]]:
    """Buckets that do not hold the same, by entity; entities without any are left out."""
    found: dict[str, tuple[int, ...]] = {}
    for entity in sorted({*here, *there}):
        mine, theirs = here.get(entity, {}), there.get(entity, {})
        some = tuple(b for b in range(BUCKETS) if mine.get(b) != theirs.get(b))
        if some:
            found[entity] = some
    return found


def rows_of(counted: Tally) -> int:
    """Rows in all buckets."""
    return sum(rows for buckets in counted.values() for rows, _ in buckets.values())


def write_census(path: Path, counted: Tally, *, nonce: str) -> RowCounts:
    """The census as a part's plaintext: one row per bucket that holds rows, or that is listed as empty."""
    flat = [(e, b, *held) for e, buckets in sorted(counted.items()) for b, held in sorted(buckets.items())]
    columns = [list(c) for c in zip(*flat, strict=True)] if flat else [[], [], [], []]
    names, numbers, rows, digests = columns
    pks = [hashlib.sha256(f"{e}/{b}".encode()).hexdigest()[:20] for e, b in zip(names, numbers, strict=True)]
    size = len(pks)
    schema = change_schema(FORM).with_metadata({NONCE: nonce.encode("ascii")})
    body = [["I"] * size, pks, [1] * size, ["census"] * size, ["-"] * size, names, numbers, rows, digests]
    arrays = [pa.array(values, field.type) for values, field in zip(body, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema=schema), path, compression="zstd")
    return RowCounts(size, 0, 0)


def read_census(path: Path) -> Tally:
    """Inverse of `write_census`; the file was decoded and checked before."""
    table = pq.read_table(path, columns=["TABLE", "BUCKET", "LIVE", "DIGEST"])
    counted: Tally = {}
    for entity, bucket, rows, digest in zip(*(c.to_pylist() for c in table.columns), strict=True):
        counted.setdefault(str(entity), {})[int(bucket)] = (int(rows), str(digest or ""))
    return counted


def within(counted: Tally, buckets: Mapping[str, Iterable[int]]) -> Tally:
    """Only these buckets, an empty one as no rows and no digest."""
    return {e: {b: counted.get(e, {}).get(b, (0, "")) for b in some} for e, some in buckets.items()}


@dataclass(frozen=True)
class Difference:
    """Rows only on the new side, different, only on the old; `first`: (pk, what) of the first by record number."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    first: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def load(con: duckdb.DuckDBPyConnection, table: str, entity: Entity, blocks: Iterable[Any]) -> None:
    """Creates `table` (pk, row_ver, row_hash) from rows as `Reader.read` gives them."""
    con.execute(f"CREATE OR REPLACE TABLE {table} (pk VARCHAR, row_ver BIGINT, row_hash VARCHAR)")
    for block in blocks:
        rows = pa.Table.from_batches([block])  # noqa: F841 - DuckDB finds it by name
        con.execute(f"INSERT INTO {table} SELECT pk, row_ver, {hash_sql(entity)} FROM rows")


def compare(con: duckdb.DuckDBPyConnection, new: str, old: str) -> Difference:
    """What `new` has against `old`, both as `load` made them."""
    joined = f"{new} n FULL JOIN {old} o ON n.pk = o.pk"
    differs = "n.pk IS NULL OR o.pk IS NULL OR n.row_ver <> o.row_ver OR n.row_hash <> o.row_hash"
    counted = con.sql(
        "SELECT count(*) FILTER (o.pk IS NULL), count(*) FILTER (n.pk IS NOT NULL AND o.pk IS NOT NULL), "
        f"count(*) FILTER (n.pk IS NULL) FROM {joined} WHERE {differs}"
    ).fetchall()[0]
    first = con.sql(
        "SELECT coalesce(n.pk, o.pk), CASE WHEN o.pk IS NULL THEN 'missing' WHEN n.pk IS NULL THEN 'extra' "
        f"WHEN n.row_ver <> o.row_ver THEN 'version' ELSE 'content' END FROM {joined} WHERE {differs} "
        "ORDER BY coalesce(n.pk, o.pk) LIMIT 1"
    ).fetchall()
    new_rows, changed, gone = (int(n) for n in counted)
    return Difference(new_rows, changed, gone, (str(first[0][0]), str(first[0][1])) if first else None)


def in_buckets(pks: Iterable[Any], buckets: Iterable[int]) -> Iterator[list[str]]:
    """Of Arrow blocks with a column `pk`, the record numbers that lie in `buckets`, block by block."""
    wanted = ",".join(str(int(b)) for b in buckets) or "-1"
    with scratch() as con:
        for block in pks:
            rows = pa.Table.from_batches([block])  # noqa: F841 - DuckDB finds it by name
            found = con.sql(f"SELECT pk FROM rows WHERE {bucket_sql()} IN ({wanted}) ORDER BY pk").to_arrow_table()
            yield found.column("pk").to_pylist()
