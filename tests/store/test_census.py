"""The census' numbers: as anyone recomputes them, alike on every backend, however the rows are cut into blocks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from hub.catalog import Catalog
from hub.census import Tally, differing, hash_sql, read_census, rows_of, scratch, tally, within, write_census
from hub.store import Store
from tests.store.rows import AT, apply, batch, change, many, pk


def test_the_lines_that_are_hashed_are_those_of_the_table_digest(store: Store, catalog: Catalog) -> None:
    """Row hashes over the rows in order, as lines, are the bytes `Reader.digest` hashes: quotes, NULL, decimals too."""
    for name in ("zy", "xq", "xx"):
        entity = catalog.entities[name]
        text = next(f.name for f in entity.fields if f.type == "C" and (f.length or 0) > 5)
        with store.begin() as tx:
            tx.apply(entity, "13", many(entity, 300), batch="b", at=AT)
        apply(store, entity, change(entity, "I", 9001, 7, **{text: 'a"b,c'}))
        whole = hashlib.sha256()
        with scratch() as con:
            for block in store.read(entity, node="13", block_rows=100):
                rows = pa.Table.from_batches([block])  # noqa: F841 - DuckDB finds it by name
                line = hash_sql(entity).removeprefix("sha256(").removesuffix(")")
                for (text_line,) in con.sql(f"SELECT {line} FROM rows ORDER BY pk").fetchall():
                    whole.update(text_line.encode())
        assert whole.hexdigest() == store.digest(entity, "13").sha256, name


def test_buckets_are_those_of_the_definition_and_do_not_depend_on_blocks(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", many(bj, 3_000), batch="b", at=AT)
    small = tally(bj, store.read(bj, node="13", block_rows=70))
    assert small == tally(bj, store.read(bj, node="13"))
    by_hand: dict[int, list[str]] = defaultdict(list)
    with scratch() as con:
        (block,) = store.read(bj, node="13")
        rows = pa.Table.from_batches([block])  # noqa: F841 - DuckDB finds it by name
        for key, version, row_hash in con.sql(f"SELECT pk, row_ver, {hash_sql(bj)} FROM rows ORDER BY pk").fetchall():
            bucket = int(hashlib.sha256(key.encode()).hexdigest()[:3], 16)
            by_hand[bucket].append(f"{key},{version},{row_hash}\n")
    assert small == {b: (len(x), hashlib.sha256("".join(x).encode()).hexdigest()) for b, x in by_hand.items()}


@pytest.mark.parametrize("fault", ["altered", "missing", "extra"])
def test_one_row_that_differs_is_one_bucket_that_differs(store: Store, catalog: Catalog, fault: str) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", many(bj, 500), batch="b", at=AT)
    apply(store, bj, change(bj, "I", 1, 1, BH="1"))
    before: Tally = {"bj": tally(bj, store.read(bj, node="13"))}
    number = 2 if fault == "extra" else 1
    row = {"altered": ("U", 2), "missing": ("D", 2), "extra": ("I", 1)}[fault]
    apply(store, bj, change(bj, row[0], number, row[1], BH="9"))
    after: Tally = {"bj": tally(bj, store.read(bj, node="13"))}
    assert differing(before, after) == {"bj": (int(hashlib.sha256(pk(number).encode()).hexdigest()[:3], 16),)}
    assert rows_of(after) - rows_of(before) == {"altered": 0, "missing": -1, "extra": 1}[fault]


def test_a_census_reads_back_as_it_was_written(tmp_path: Path) -> None:
    counted: Tally = {"bj": {0: (3, "a" * 64), 4095: (1, "b" * 64)}, "xs": {17: (2, "c" * 64)}}
    asked = within(counted, {"bj": (0, 1), "xs": (17,)})
    for one in (counted, asked, {}):
        assert write_census(tmp_path / "c.parquet", one, nonce="0" * 64).inserted == sum(map(len, one.values()))
        assert read_census(tmp_path / "c.parquet") == one


def test_an_empty_bucket_is_the_same_as_one_that_is_not_listed(catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    assert tally(bj, [batch(bj, [])]) == {}
    assert differing({"bj": {}}, {}) == {}
