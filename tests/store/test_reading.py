"""Reading golden records back, on every database."""

from __future__ import annotations

import gc
import hashlib
from itertools import pairwise

import pyarrow as pa
import pytest

from hub.catalog import Catalog
from hub.changes import payload_schema
from hub.store import Store, row_schema
from tests.store.oracle import skip_on_stand_in
from tests.store.rows import AT, apply, change, many, pk, stored


def test_rows_come_in_the_types_of_the_data_definition(store: Store, catalog: Catalog) -> None:
    for entity in catalog.entities.values():
        with store.begin() as tx:
            tx.apply(entity, "13", many(entity, 10), batch="b", at=AT)
        (block,) = store.read(entity)
        assert block.schema == row_schema(entity)
        assert [block.schema.field(f.name) for f in payload_schema(entity)] == list(payload_schema(entity))


def test_an_empty_table_reads_as_nothing(store: Store, catalog: Catalog) -> None:
    assert list(store.read(catalog.entities["xs"], node="13")) == []
    assert store.digest(catalog.entities["xs"], "13").rows == 0
    assert store.read_one(catalog.entities["xs"], "13", pk(1)) is None


def test_only_the_named_columns_are_read_in_their_order(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1), change(bj, "I", 2, 1, BH="2"))
    (block,) = store.read(bj, columns=["BH"])
    assert sorted(block.to_pydict()["BH"], key=str) == ["2", None]
    (block,) = store.read(bj, columns=["ZRS", "pk", "BH"])
    assert block.schema.names == ["ZRS", "pk", "BH"]


def test_natural_order_is_bytewise_with_nulls_first(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    keys = ["b", "B", "a", "A", "1", "10", "2", "中", "一", "é", "_", "Z", None, "a ", "a-b", "ab", "㐀", "𠮷"]
    apply(store, bj, *(change(bj, "I", n, 1, XXDM="x", BH=key) for n, key in enumerate(keys)))
    got = [v for b in store.read(bj, columns=["BH"], order="natural") for v in b.to_pydict()["BH"]]
    assert got == [None, *sorted((k for k in keys if k), key=lambda k: k.encode())]


def test_numeric_keys_sort_as_numbers(store: Store, catalog: Catalog) -> None:
    family = catalog.entities["xs_jtcy"]
    apply(store, family, *(change(family, "I", n, 1, GRBSM="G", CYXH=n) for n in (11, 2, 1)))
    got = [v for b in store.read(family, columns=["CYXH"], order="natural") for v in b.to_pydict()["CYXH"]]
    assert got == [1, 2, 11]


def test_record_number_order_and_block_size_hold(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", many(bj, 1000), batch="b", at=AT)
        tx.apply(bj, "11", many(bj, 500), batch="b", at=AT)
    blocks = list(store.read(bj, block_rows=300))
    assert max(b.num_rows for b in blocks) <= 300
    keys = [(r["node"], r["pk"]) for b in blocks for r in b.to_pylist()]
    assert len(keys) == 1500
    assert all(a < b for a, b in pairwise(keys))


def test_chosen_records_are_read_and_absent_ones_left_out(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, *(change(bj, "I", n, 1, BH=str(n)) for n in range(100)))
    wanted = [pk(n) for n in (5, 7, 5, 1000)]
    got = [r["BH"] for b in store.read(bj, node="13", pks=wanted) for r in b.to_pylist()]
    assert sorted(got) == ["5", "7"]
    assert list(store.read(bj, node="11", pks=wanted)) == []
    assert list(store.read(bj, pks=[])) == []
    with store.begin() as tx:  # twice in one transaction
        for _ in range(2):
            assert sum(b.num_rows for b in tx.read(bj, pks=wanted)) == 2


def test_a_reader_that_stops_early_leaves_the_store_usable(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", many(bj, 20_000), batch="b", at=AT)
    for _ in range(8):
        for block in store.read(bj, block_rows=100):
            assert block.num_rows == 100
            break
        gc.collect()
    assert store.count(bj) == 20_000
    assert apply(store, bj, change(bj, "I", -1, 1)) == (1, 0, 0, 0)


def test_a_reader_sees_one_state_while_others_write(store: Store, catalog: Catalog) -> None:
    skip_on_stand_in(store, "ignores ALTER SESSION SET ISOLATION_LEVEL")
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="1"))
    with store.reading() as reader:
        before = reader.digest(bj, "13")
        apply(store, bj, change(bj, "U", 1, 2, BH="2"))
        assert reader.digest(bj, "13") == before
        assert (reader.read_one(bj, "13", pk(1)) or {})["BH"] == "1"
    assert store.digest(bj, "13") != before


def test_the_digest_is_the_documented_bytes(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 12, BH='班"1', XZ=3, ZRS=40))
    by_name = dict.fromkeys(bj.columns, "") | {"BH": '"班""1"', "XZ": '"3.0"', "ZRS": '"40"'}
    head = [f'"{pk(1)}"', '"12"', '"S1.1"', f'"{"S" * len(bj.fields)}"']
    line = ",".join([*head, *by_name.values()]) + "\n"
    assert store.digest(bj, "13").sha256 == hashlib.sha256(line.encode()).hexdigest()


def test_any_altered_value_alters_the_digest(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="1", BJMC="2"))
    seen = {store.digest(bj, "13").sha256}
    for column, value in (("bh", "12"), ("bjmc", None), ("row_ver", 2), ("src_rid", "x"), ("prov", "L"), ("zrs", 0)):
        with store.begin() as tx:
            table = store.tables.golden["bj"]
            tx.connection.execute(table.update().values({column: value}))
        seen.add(store.digest(bj, "13").sha256)
    assert len(seen) == 7


def test_a_transaction_reads_what_it_wrote(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    with store.begin() as tx:
        tx.apply(bj, "13", [pa.RecordBatch.from_pylist([], schema=next(iter(many(bj, 1))).schema)], batch="b", at=AT)
        tx.apply(bj, "13", many(bj, 3), batch="b", at=AT)
        assert tx.count(bj, "13") == 3
        inside = tx.digest(bj, "13")
    assert store.digest(bj, "13") == inside
    assert len(stored(store, bj)) == 3


def test_a_node_code_that_is_no_code_is_our_own_mistake(store: Store, catalog: Catalog) -> None:
    with pytest.raises(RuntimeError):
        store.digest(catalog.entities["bj"], "1'")
