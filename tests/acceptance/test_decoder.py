"""The decoder's process under attack: memory, time, and its own death (protocol 11.3, row 55)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.batch.limits import Limits
from hub.batch.manifest import RowCounts
from hub.catalog import load_catalog
from hub.changes import change_schema
from hub.errors import RefusedError
from ministry_node.decode import MEMORY_BYTES, Decoder

ENTITY = load_catalog().entities["xx"]
SCHEMA = change_schema(ENTITY)
BOMB = ("Parquet bombs, footer that lies", "E_BUDGET/E_PARQUET in < 5 s, memory under the cap, worker survives")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(Limits()) as found:
        yield found


def child(decoder: Decoder) -> int:
    assert decoder._child is not None
    return decoder._child.pid


def peak(pid: int) -> int:
    """Most memory a process ever held, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def write(path: Path, rows: int, value: str = "1") -> Path:
    texts = {name for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True) if pa.types.is_string(kind)}
    columns = {name: pa.nulls(rows, SCHEMA.field(name).type) for name in SCHEMA.names}
    columns |= {name: pa.repeat("1", rows) for name in texts}
    columns |= {"op": pa.repeat("U", rows), "pk": pa.repeat("0" * 20, rows), "src_rid": pa.repeat(value, rows)}
    columns["row_ver"] = pa.repeat(pa.scalar(1, pa.int64()), rows)
    table = pa.table(columns, schema=SCHEMA.with_metadata({b"exch.nonce": os.urandom(32).hex().encode()}))
    pq.write_table(table, path, compression="zstd")
    return path


def good(decoder: Decoder, folder: Path) -> RowCounts:
    return decoder.check(write(folder / "good.parquet", 50), ENTITY, where="good")


@pytest.mark.row(55, *BOMB)
def test_row_55_a_footer_that_lies_costs_neither_time_nor_memory(decoder: Decoder, tmp_path: Path) -> None:
    """One value of 4 kB, two hundred thousand times: 800 MB that the footer calls a few hundred kilobytes."""
    path = write(tmp_path / "bomb.parquet", 200_000, "b" * 4000)
    group = pq.read_metadata(path).row_group(0)
    at = SCHEMA.get_field_index("src_rid")
    assert group.column(at).total_uncompressed_size < 500_000
    begun = time.monotonic()
    with pytest.raises(RefusedError) as refusal:
        decoder.check(path, ENTITY, where="bomb")
    assert refusal.value.code in ("E_BUDGET", "E_ROWS_BAD")
    assert time.monotonic() - begun < 5
    assert peak(child(decoder)) < MEMORY_BYTES
    assert good(decoder, tmp_path) == RowCounts(0, 50, 0)


@pytest.mark.row(55, *BOMB)
def test_row_55_a_child_that_hangs_is_given_up_and_replaced(decoder: Decoder, tmp_path: Path) -> None:
    good(decoder, tmp_path)
    before = child(decoder)
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(RefusedError) as refusal:
        good(decoder, tmp_path)
    assert refusal.value.code == "E_BUDGET"
    assert good(decoder, tmp_path) == RowCounts(0, 50, 0)
    assert child(decoder) != before


@pytest.mark.row(55, *BOMB)
def test_row_55_a_child_killed_by_others_is_not_the_files_fault(decoder: Decoder, tmp_path: Path) -> None:
    good(decoder, tmp_path)
    os.kill(child(decoder), signal.SIGKILL)
    assert good(decoder, tmp_path) == RowCounts(0, 50, 0)
