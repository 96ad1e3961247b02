"""The down streams and the form of their parts: `codes` for all provinces, `errors` and `case` for one (protocol 1.2).

Decides, per stream, whom it is for, which tables a batch may carry and their columns, and how a part is written and
read back. Every row has the head of protocol 3.6 (`op`, `pk`, `row_ver`, `src_rid`). Leaves to the nodes where the
bytes go, and to each stream's handler what the rows mean.

Rules: cells stay within 4 KiB (protocol 11.2), so a document travels line by line; every part carries a nonce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.batch import strictjson, wire
from hub.batch.layout import EVERYONE, StreamId
from hub.batch.limits import Limits, check_decoded
from hub.batch.manifest import RowCounts, SchemaRef
from hub.verdict import refused

CODES: Final = "codes"
ERRORS: Final = "errors"
CASE: Final = "case"
DOWN: Final = "dn"
STREAMS: Final = (CODES, ERRORS, CASE)
SCHEMA_VERSION: Final = "1.0.0"
NONCE: Final = b"exch.nonce"
BLOCK_ROWS: Final = 10_000

_HEAD: Final = (("op", pa.string()), ("pk", pa.string()), ("row_ver", pa.int64()), ("src_rid", pa.string()))


def _table(*columns: tuple[str, Any]) -> Any:
    return pa.schema([*_HEAD, *columns])


# `registry`: the document of one version, a row per line. `code`: the code tables that belong to it.
# `error`: one fault of one row of an up batch; `pk`, `row_ver`, `src_rid` are the row's own, `row_no` from 1 in file
# `file_no`. `message`: one line of a message about a case, see protocol 14.5.
TABLES: Final[dict[str, dict[str, Any]]] = {
    CODES: {
        "registry": _table(("line", pa.int64()), ("text", pa.string())),
        "code": _table(("code_table", pa.string()), ("code", pa.string()), ("name", pa.string())),
    },
    ERRORS: {
        "error": _table(
            ("batch_id", pa.string()),
            ("file_no", pa.int64()),
            ("row_no", pa.int64()),
            ("entity", pa.string()),
            ("field", pa.string()),
            ("code", pa.string()),
            ("detail", pa.string()),
        ),
    },
    CASE: {
        "message": _table(
            ("case_no", pa.string()),
            ("kind", pa.string()),
            ("counterpart", pa.string()),
            ("school", pa.string()),
            ("body", pa.string()),
        ),
    },
}


@dataclass(frozen=True)
class PlainPart:
    """A part before it is sealed: its table, where the Parquet file lies, rows per operation, row groups."""

    entity: str
    path: Path
    rows: RowCounts
    row_groups: int


def stream_of(stream: str, party: str, epoch: int = 1) -> StreamId:
    """`00-dn-codes-e0001`, `13-dn-errors-e0001`; RuntimeError for another stream or party.

    `codes` is public and the same for all, so its party is `00`; the others belong to one province (protocol 2.7).
    """
    if stream not in STREAMS or (party == EVERYONE) != (stream == CODES):
        raise RuntimeError(f"no down stream {stream!r} for party {party!r}")
    return StreamId(party, DOWN, stream, epoch)


def schema_ref(stream: str) -> SchemaRef:
    """What both sides hold byte for byte about a stream's parts (protocol 3.3)."""
    body = {name: [[c.name, str(c.type)] for c in schema] for name, schema in TABLES[stream].items()}
    return SchemaRef(f"down-{stream}", SCHEMA_VERSION, wire.digest_of(strictjson.emit(body)))


def plain_table(stream: str, entity: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as the Arrow table of a stream's part; for the few rows a message or an error file has."""
    return pa.Table.from_pylist(list(rows), schema=TABLES[stream][entity])


def write_part(path: Path, stream: str, entity: str, rows: Any, *, nonce: str) -> PlainPart:
    """Writes an Arrow table as the part `entity` of a stream. `nonce`: 32 random bytes in hex (protocol 3.6)."""
    schema = TABLES[stream][entity]
    if rows.schema.names != schema.names:
        raise RuntimeError(f"part {stream}/{entity} has the columns {schema.names}")
    table = rows.cast(schema).replace_schema_metadata({NONCE: nonce.encode("ascii")})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=100 * BLOCK_ROWS)
    groups = pq.read_metadata(path).num_row_groups
    return PlainPart(entity, path, _count(table.column("op").to_pylist()), groups)


def read_part(path: Path, stream: str, entity: str, limits: Limits, *, where: str) -> tuple[Any, RowCounts]:
    """The part as an Arrow table, and its rows per operation. `where`: name for errors.

    Raises RefusedError: E_SCHEMA (another table or column), E_PARQUET (no such file), E_BUDGET (beyond the limits),
    E_COUNTS (an operation that is none). Its digest has been checked before (protocol 1.3 #2).
    """
    schema = TABLES[stream].get(entity)
    if schema is None:
        raise refused("E_SCHEMA", f"数据流 {stream} 没有该表", where=where)
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            if found.names != schema.names or found.types != schema.types:
                raise refused("E_SCHEMA", "列与登记的结构不同", where=where)
            table = pa.Table.from_batches(_within(file, path, limits, where), schema=schema)
    except (pa.ArrowException, OSError, ValueError):
        raise refused("E_PARQUET", where=where) from None
    operations = table.column("op").to_pylist()
    if not set(operations) <= {"I", "U", "D"}:
        raise refused("E_COUNTS", "有不认识的操作", where=where)
    return table, _count(operations)


def _within(file: Any, path: Path, limits: Limits, where: str) -> Iterator[Any]:
    """The blocks, counted against the limits as they come (protocol 11.3)."""
    decoded, plain = 0, path.stat().st_size
    for block in file.iter_batches(batch_size=BLOCK_ROWS):
        decoded += block.nbytes
        widest = max((_widest(c) for c in block.columns if pa.types.is_string(c.type)), default=0)
        check_decoded(limits, columns=block.num_columns, widest_cell=widest, decoded=decoded, plain=plain, where=where)
        yield pa.RecordBatch.from_arrays(block.columns, names=block.schema.names)


def _widest(column: Any) -> int:
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def _count(operations: list[str]) -> RowCounts:
    return RowCounts(*(operations.count(op) for op in "IUD"))
