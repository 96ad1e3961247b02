"""What applying change rows does, on every database (protocol 6.3)."""

from __future__ import annotations

import resource
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.errors import InputError
from hub.store import Store
from tests.store.conftest import BACKENDS, OpenStore
from tests.store.oracle import fewer
from tests.store.rows import AT, apply, batch, change, many, pk, stored, tombstones


def test_inserts_updates_and_deletes_are_counted_by_what_they_did(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    assert apply(store, bj, *(change(bj, "I", n, 1, BH=str(n)) for n in range(3))) == (3, 0, 0, 0)
    rows = change(bj, "U", 0, 2, BH="新"), change(bj, "D", 1, 2), change(bj, "I", 9, 1, BH="9")
    assert apply(store, bj, *rows) == (1, 1, 1, 0)
    assert {r["pk"]: (r["row_ver"], r["BH"]) for r in stored(store, bj)} == {
        pk(0): (2, "新"),
        pk(2): (1, "2"),
        pk(9): (1, "9"),
    }


def test_an_older_or_equal_version_changes_nothing(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 5, BH="five"))
    before = stored(store, bj)
    old = change(bj, "U", 1, 4, BH="four"), change(bj, "D", 1, 3)
    assert apply(store, bj, *old) == (0, 0, 0, 2)
    assert apply(store, bj, change(bj, "U", 1, 5, BH="other five")) == (0, 0, 0, 1)
    assert stored(store, bj) == before
    assert tombstones(store) == []


def test_applying_a_set_twice_is_applying_it_once(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="1"), change(bj, "I", 2, 1, BH="2"))
    rows = change(bj, "U", 1, 2, BH="x"), change(bj, "D", 2, 2), change(bj, "I", 3, 1, BH="3")
    assert apply(store, bj, *rows) == (1, 1, 1, 0)
    once, graves = store.digest(bj, "13"), tombstones(store)
    assert apply(store, bj, *rows) == (0, 0, 0, 3)
    assert (store.digest(bj, "13"), tombstones(store)) == (once, graves)


def test_a_record_that_moves_to_another_school_is_found_there_and_one_that_stays_where_it_was(
    store: Store, catalog: Catalog
) -> None:
    bj = catalog.entities["bj"]
    here, there = "1301000001", "1302000002"
    apply(store, bj, *(change(bj, "I", n, 1, XXDM=here, BH="old") for n in range(3)), change(bj, "I", 3, 1, BH="old"))
    moves = change(bj, "U", 1, 2, XXDM=there, BH="new"), change(bj, "U", 3, 2, XXDM=there, BH="new")
    leaves, stays = change(bj, "U", 2, 2, BH="new"), change(bj, "U", 0, 2, XXDM=here, BH="new")
    assert apply(store, bj, *moves, leaves, stays) == (0, 4, 0, 0)
    question = sa.text("SELECT pk, bh FROM g_bj WHERE node = '13' AND xxdm = :school ORDER BY pk")
    with store.reading() as reader:
        found = [list(reader.connection.execute(question, {"school": s})) for s in (here, there)]
    assert found == [[(pk(0), "new")], sorted([(pk(1), "new"), (pk(3), "new")])]
    with store.looking() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]


def test_a_deleted_record_stays_deleted_until_a_newer_version_comes(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="1"))
    assert apply(store, bj, change(bj, "D", 1, 3)) == (0, 0, 1, 0)
    assert tombstones(store) == [("13", "bj", pk(1), 3, "b1")]
    assert apply(store, bj, change(bj, "U", 1, 3, BH="late")) == (0, 0, 0, 1)
    assert stored(store, bj) == []
    assert apply(store, bj, change(bj, "I", 1, 4, BH="back")) == (1, 0, 0, 0)
    assert [r["BH"] for r in stored(store, bj)] == ["back"]
    assert tombstones(store) == []


def test_a_deletion_that_overtakes_its_insert_is_remembered(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    assert apply(store, bj, change(bj, "D", 1, 2)) == (0, 0, 0, 1)
    assert apply(store, bj, change(bj, "I", 1, 1, BH="1")) == (0, 0, 0, 1)
    assert stored(store, bj) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("blocks", [1, 3])
def test_the_newest_of_several_rows_for_one_record_wins(
    store: Store, catalog: Catalog, order: tuple[int, ...], blocks: int
) -> None:
    bj = catalog.entities["bj"]
    rows = [change(bj, "I", 1, 1, BH="1"), change(bj, "U", 1, 2, BH="2"), change(bj, "U", 1, 3, BH="3")]
    ordered = [rows[i] for i in order]
    parts = [batch(bj, ordered)] if blocks == 1 else [batch(bj, [r]) for r in ordered]
    with store.begin() as tx:
        assert tx.apply(bj, "13", parts, batch="b", at=AT).rows == 3
    assert [(r["row_ver"], r["BH"]) for r in stored(store, bj)] == [(3, "3")]


def test_two_provinces_do_not_touch_each_other(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="hebei"), node="13")
    apply(store, bj, change(bj, "I", 1, 7, BH="beijing"), node="11")
    hebei = store.digest(bj, "13")
    assert apply(store, bj, change(bj, "D", 1, 8), node="11") == (0, 0, 1, 0)
    assert store.digest(bj, "13") == hebei
    assert [(r["node"], r["BH"]) for r in stored(store, bj)] == [("13", "hebei")]
    assert apply(store, bj, change(bj, "U", 1, 2, BH="on"), node="13") == (0, 1, 0, 0)


ODD = ["'", '"', '""', "a,b", "a\nb", "a\r\nb", "\t", "\\", "\\N", "a\n\\.\nb", "NULL", "\\.", " ", "㐀𠮷", "a;--"]


def test_every_character_comes_back_as_it_went_in(store: Store, catalog: Catalog) -> None:
    xx = catalog.entities["xx"]
    text = xx.fields[1].name
    first = [change(xx, "I", n, 1, LSYG=odd, **{text: odd}) for n, odd in enumerate(ODD)]
    apply(store, xx, *first)
    apply(store, xx, *[{**row, "op": "U", "row_ver": 2} for row in first])  # the staged way too
    got = {r["pk"]: (r["LSYG"], r[text], r["row_ver"]) for r in stored(store, xx)}
    assert got == {pk(n): (odd, odd, 2) for n, odd in enumerate(ODD)}
    assert {pk(n): (store.read_one(xx, "13", pk(n)) or {})["LSYG"] for n in range(len(ODD))} == {
        pk(n): odd for n, odd in enumerate(ODD)
    }


def test_an_empty_text_is_stored_as_null(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    apply(store, bj, change(bj, "I", 1, 1, BH="", BJMC="x"))
    assert (store.read_one(bj, "13", pk(1)) or {})["BH"] is None
    assert stored(store, bj)[0]["BH"] is None


def test_decimals_keep_every_digit(store: Store, catalog: Catalog) -> None:
    xq, jz, bj = (catalog.entities[e] for e in ("xq", "xs_jz", "bj"))
    wide = Decimal("12345678901234567890")
    apply(store, xq, change(xq, "I", 1, 1, XQMJ=wide, XQJZMJ=Decimal(0)))
    apply(store, jz, change(jz, "I", 1, 1, JE=Decimal("9999999999.99")), change(jz, "I", 2, 1, JE=Decimal("-0.10")))
    apply(store, bj, change(bj, "I", 1, 1, XZ=Decimal("3.0"), ZRS=9999))
    assert [(r["XQMJ"], r["XQJZMJ"]) for r in stored(store, xq)] == [(wide, Decimal(0))]
    assert {r["pk"]: r["JE"] for r in stored(store, jz)} == {pk(1): Decimal("9999999999.99"), pk(2): Decimal("-0.10")}
    assert [(r["XZ"], r["ZRS"]) for r in stored(store, bj)] == [(Decimal("3.0"), 9999)]
    assert (store.read_one(xq, "13", pk(1)) or {})["XQMJ"] == wide
    assert (store.read_one(bj, "13", pk(1)) or {})["XZ"] == Decimal("3.0")


def test_malformed_change_rows_are_refused_and_nothing_is_stored(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    good = change(bj, "I", 1, 1, BH="1")
    for spoiled in ({"op": "X"}, {"pk": "short"}, {"row_ver": 0}, {"pk": None}, {"row_ver": None}):
        with pytest.raises(InputError) as error:
            apply(store, bj, good, {**good, **spoiled})
        assert error.value.code == "E3121"
    assert store.count(bj) == 0


def test_a_damaged_change_file_is_refused_by_name(store: Store, catalog: Catalog, tmp_path: Path) -> None:
    bj = catalog.entities["bj"]
    pq.write_table(pa.Table.from_batches([batch(bj, [change(bj, "I", 1, 1)])]), tmp_path / "bj.parquet")
    data = bytearray((tmp_path / "bj.parquet").read_bytes())
    data[-6] ^= 0xFF
    (tmp_path / "bad.parquet").write_bytes(data)
    with pytest.raises(InputError) as error, store.begin() as tx:
        tx.apply(bj, "13", [tmp_path / "bj.parquet", tmp_path / "bad.parquet"], batch="b", at=AT)
    assert error.value.code == "E3120"
    assert "bad.parquet" in str(error.value)
    assert store.count(bj) == 0


@pytest.mark.parametrize("value", ["1234567890张", "张\0三"])
def test_a_value_that_does_not_fit_is_named_by_field_never_by_value(store: Store, catalog: Catalog, value: str) -> None:
    bj = catalog.entities["bj"]
    with pytest.raises(InputError) as error:
        apply(store, bj, change(bj, "I", 1, 1, BH="1234567890"), change(bj, "I", 2, 1, BH=value))
    assert error.value.code == "E3122"
    assert "BH" in str(error.value)
    assert "张" not in str(error.value)
    assert store.count(bj) == 0


def test_the_same_changes_give_the_same_digest_on_both_databases(new_store: OpenStore, catalog: Catalog) -> None:
    digests: dict[str, Any] = {}
    for backend in BACKENDS:
        store = new_store(backend)
        for entity in catalog.entities.values():
            with store.begin() as tx:
                tx.apply(entity, "13", many(entity, 300), batch="b1", at=AT)
                tx.apply(entity, "13", many(entity, 300, op="U", version=2, every=7, mark="新"), batch="b2", at=AT)
                tx.apply(entity, "13", many(entity, 300, op="D", version=3, every=11), batch="b3", at=AT)
        apply(
            store,
            catalog.entities["xx"],
            *(change(catalog.entities["xx"], "I", n, 1, LSYG=o) for n, o in enumerate(ODD)),
        )
        digests[backend] = {e.name: store.digest(e, "13") for e in catalog.entities.values()}
    assert digests["sqlite"] == digests["postgresql"]
    assert len({d.sha256 for d in digests["sqlite"].values()}) == len(catalog.entities)


def test_two_hundred_thousand_students_load_and_change_in_bounded_memory(store: Store, catalog: Catalog) -> None:
    total = fewer(store, 200_000)
    xs = catalog.entities["xs"]
    with store.begin() as tx:
        assert tx.apply(xs, "13", many(xs, total), batch="b1", at=AT).inserted == total
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with store.begin() as tx:
        counts = tx.apply(xs, "13", many(xs, total, op="U", version=2, every=100, mark="新"), batch="b2", at=AT)
    assert (counts.inserted, counts.noop) == (0, 0)
    assert counts.updated == sum(b.num_rows for b in many(xs, total, every=100))
    assert sum(b.num_rows for b in store.read(xs, node="13", order="natural", block_rows=10_000)) == total
    assert store.digest(xs, "13").rows == total
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 200


def test_a_record_that_takes_another_natural_key_is_noted_once_and_only_when_the_row_takes_effect(
    store: Store, catalog: Catalog
) -> None:
    bj = catalog.entities["bj"]

    def applied(*given: dict[str, Any], under: int | None) -> list[tuple[Any, ...]]:
        with store.begin() as tx:
            tx.apply(bj, "13", [batch(bj, given)], batch="b2", at=AT, keys_under=under)
        with store.reading() as reader:
            query = "SELECT entity, pk, cs_no, old_key, new_key FROM key_change ORDER BY pk, cs_no"
            return [tuple(r) for r in reader.connection.exec_driver_sql(query)]

    school = "3613000101"
    apply(store, bj, *(change(bj, "I", n, 1, XXDM=school, BH=f"0{n}") for n in range(4)))
    assert applied(change(bj, "U", 3, 2, XXDM=school, BH="33"), under=None) == []
    rows = change(bj, "U", 1, 2, XXDM=school, BH="11"), change(bj, "U", 2, 2, XXDM=school, BH="02", BJMC="x")
    noted = [("bj", pk(1), 7, f"{school}|01", f"{school}|11")]
    assert applied(*rows, under=7) == noted
    assert applied(*rows, under=8) == noted, "applied again, nothing takes effect"
    assert applied(change(bj, "U", 0, 1, XXDM=school, BH="99"), under=9) == noted, "an old version changes no key"
    assert applied(change(bj, "D", 1, 3, XXDM=school, BH="77"), under=9) == noted
