"""Reads one Parquet file nobody has decoded before, in a process of its own (protocol 11.3).

Decides whether a file has exactly the expected columns and stays within the limits, and counts its rows per
operation. Runs as `python -I decoder.py <bytes of memory>`: no import of ours, no environment, no file written, a
memory limit set by the kernel. Footer sizes are never believed: what counts is what was decoded.

A request is one JSON line on stdin (`path`, `schema` as Arrow IPC in base64, `widths` per column, `limits`, `size`),
the answer one JSON line on stdout: `{"rows": [I, U, D]}` or `{"fault": code, "why": word, "n": number}`. No value and
no name of the file ever stands in an answer.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BLOCK_ROWS = 10_000
PK_LENGTH = 20
_HEX = np.zeros(256, dtype=bool)
_HEX[list(b"0123456789abcdef")] = True
_OPERATIONS = (ord("I"), ord("U"), ord("D"))


class Fault(Exception):  # noqa: N818 - the answer, not an error of this program
    def __init__(self, code: str, why: str, n: int = 0) -> None:
        super().__init__(code)
        self.answer = {"fault": code, "why": why, "n": n}


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    try:
        file = pq.ParquetFile(
            request["path"],
            pre_buffer=False,
            thrift_string_size_limit=16 << 20,
            thrift_container_size_limit=1_000_000,
        )
        expected = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(request["schema"])))
        _check_form(file, expected, request["limits"])
        if request["row_groups"] not in (None, file.metadata.num_row_groups):
            raise Fault("E_COUNTS", "groups", file.metadata.num_row_groups - 1)
        return {"rows": _stream(file, request)}
    except Fault as fault:
        return fault.answer
    except MemoryError:
        return Fault("E_BUDGET", "memory").answer
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        return Fault("E_PARQUET", "unreadable").answer


def _check_form(file: Any, expected: Any, limits: dict[str, int]) -> None:
    """Columns, types and the nonce of protocol 3.6; declared sizes only ever refuse."""
    metadata = file.metadata
    if metadata.num_columns > limits["columns"]:
        raise Fault("E_BUDGET", "columns", metadata.num_columns)
    found = file.schema_arrow
    if any(pa.types.is_nested(kind) for kind in found.types):
        raise Fault("E_SCHEMA", "nested")
    if found.names != expected.names:
        extra = len(set(found.names) - set(expected.names))
        raise Fault("E_SCHEMA", "extra" if extra else "names", extra)
    for at, (have, want) in enumerate(zip(found.types, expected.types, strict=True)):
        if have != want:
            raise Fault("E_SCHEMA", "type", at)
    nonce = (metadata.metadata or {}).get(b"exch.nonce", b"")
    if len(nonce) != 32 and not (len(nonce) == 64 and _HEX[np.frombuffer(nonce.lower(), np.uint8)].all()):
        raise Fault("E_SCHEMA", "nonce")
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).total_byte_size > limits["decoded_bytes"]:
            raise Fault("E_BUDGET", "decoded")


def _stream(file: Any, request: dict[str, Any]) -> list[int]:
    limits, widths = request["limits"], request["widths"]
    most = min(limits["decoded_bytes"], request["size"] * limits["decoded_ratio"])
    decoded, counts = 0, np.zeros(256, dtype=np.int64)
    for block in file.iter_batches(batch_size=BLOCK_ROWS, use_threads=False):
        decoded += block.nbytes
        if decoded > most:
            raise Fault("E_BUDGET", "decoded", decoded)
        block.validate(full=True)
        for at, column in enumerate(block.columns):
            if pa.types.is_string(column.type):
                _check_text(column, widths[at], limits["cell_bytes"], at)
        counts += _check_head(block)
    if counts.sum() != counts[list(_OPERATIONS)].sum():
        raise Fault("E_ROWS_BAD", "op")
    return [int(counts[op]) for op in _OPERATIONS]


def _check_text(column: Any, width: int | None, cell_bytes: int, at: int) -> None:
    """Length in bytes, then in characters, and no NUL, which SQLite would store and PostgreSQL would not."""
    bounds, data = _buffers(column)
    if not len(data):
        return
    longest = int(np.diff(bounds).max())
    if longest > cell_bytes:
        raise Fault("E_BUDGET", "cell", longest)
    if width is not None and longest > width and pc.max(pc.utf8_length(column)).as_py() > width:
        raise Fault("E_ROWS_BAD", "text", at)
    if not data.all():
        raise Fault("E_ROWS_BAD", "text", at)


def _check_head(block: Any) -> Any:
    """Operation, record number and version of every row; how often each operation's letter stands."""
    op, pk, version = (block.column(name) for name in ("op", "pk", "row_ver"))
    if op.null_count or pk.null_count or version.null_count:
        raise Fault("E_ROWS_BAD", "head")
    if not len(op):
        return np.zeros(256, dtype=np.int64)
    bounds, letters = _buffers(op)
    if (np.diff(bounds) != 1).any():
        raise Fault("E_ROWS_BAD", "op")
    bounds, digits = _buffers(pk)
    if (np.diff(bounds) != PK_LENGTH).any() or not _HEX[digits].all():
        raise Fault("E_ROWS_BAD", "pk")
    if pc.min(version).as_py() < 1:
        raise Fault("E_ROWS_BAD", "row_ver")
    return np.bincount(letters, minlength=256)


def _buffers(column: Any) -> tuple[Any, Any]:
    """Offsets and bytes of a string column, as far as it goes."""
    _validity, offsets, data = column.buffers()
    if offsets is None or not len(column):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    if data is None:
        return bounds, np.zeros(0, np.uint8)
    return bounds, np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def main(memory: int) -> None:
    """Answers requests until stdin ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # RLIMIT_AS breaks pyarrow; RLIMIT_DATA with the system's allocator (set by our parent) does not.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    print("ready", flush=True)  # noqa: T201 - the pipe to our parent
    for line in sys.stdin:
        print(json.dumps(examine(json.loads(line))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))
