"""Character sets and clients: nothing is stored as `?`, and what cannot be loaded says what to install."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import oracledb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from hub.catalog import Catalog
from hub.errors import HubError, UsageError
from hub.store import Store, open_store
from hub.store.ledger import INBOX
from hub.store.oracle_charset import holds, unholdable
from hub.store.oracle_stage import REJECT
from hub.store.tables import build_tables
from tests.oracle.statements import dialect
from tests.store.oracle import character_set_of
from tests.store.rows import apply, change, pk, stored

RARE = "𠮷"  # a name's character outside GBK, four bytes in UTF-8


@pytest.fixture
def gbk(store: Store, catalog: Catalog) -> Iterator[Store]:
    """A store whose database says that it is in ZHS16GBK."""
    with character_set_of(store._engine, "ZHS16GBK"):
        made = open_store(store._url.render_as_string(hide_password=False), catalog, busy_seconds=1)
        made.upgrade()
        yield made
        made.close()


def test_a_rare_character_is_refused_with_its_record_and_field_before_it_becomes_a_question_mark(
    gbk: Store, catalog: Catalog
) -> None:
    bj = catalog.entities["bj"]
    assert apply(gbk, bj, change(bj, "I", 1, 1, BJMC="一班")) == (1, 0, 0, 0)
    rows = [change(bj, "I", 2, 1, BJMC="二班"), *(change(bj, "I", n, 1, BJMC=f"{RARE}班") for n in (3, 4))]
    with pytest.raises(HubError) as error:
        apply(gbk, bj, change(bj, "U", 1, 2, BJMC="甲班"), *rows)
    told = error.value.sentence()
    assert error.value.code == "E3118"
    assert ("实体 bj" in told, "字段 BJMC" in told, pk(3) in told, "共 2 行" in told) == (True, True, True, True)
    assert ("AL32UTF8" in told, RARE in told) == (True, False)
    assert [r["BJMC"] for r in stored(gbk, bj)] == ["一班"]
    with gbk.reading() as reader:
        listed = reader.connection.execute(sa.select(REJECT).order_by(REJECT.c.row_no)).mappings().all()
    assert [(r["pk"], r["code"], r["place"]) for r in listed] == [(pk(3), None, "bjmc"), (pk(4), None, "bjmc")]
    assert f"load_no {listed[0]['load_no']}" in told


def test_a_note_that_a_person_typed_is_not_stored_with_a_question_mark_either(gbk: Store) -> None:
    with gbk.begin() as tx:
        tx.connection.execute(sa.insert(INBOX), {"party": "13", "stream": "a", "epoch": 1, "seq": 1, "codes": "汉字"})

    def write() -> None:
        with gbk.begin() as tx:
            for note in ("好", RARE):
                tx.connection.execute(sa.update(INBOX).values(codes=note))

    with pytest.raises(HubError) as error:
        write()
    assert (error.value.code, "表 inbox" in error.value.where, "codes" in error.value.where) == ("E3118", True, True)
    with gbk.reading() as reader:
        assert reader.connection.execute(sa.select(INBOX.c.codes)).scalars().all() == ["汉字"]


def test_a_database_that_holds_every_character_keeps_rare_ones(store: Store, catalog: Catalog) -> None:
    bj = catalog.entities["bj"]
    assert apply(store, bj, change(bj, "I", 1, 1, BJMC=f"{RARE}班")) == (1, 0, 0, 0)
    assert [r["BJMC"] for r in stored(store, bj)] == [f"{RARE}班"]


@pytest.mark.parametrize("name", ["WE8MSWIN1252", "US7ASCII"])
def test_a_database_that_cannot_keep_chinese_is_refused_before_a_table_is_made(
    store: Store, catalog: Catalog, name: str
) -> None:
    with character_set_of(store._engine, name):
        made = open_store(store._url.render_as_string(hide_password=False), catalog)
        with pytest.raises(UsageError) as refused:
            made.upgrade()
        made.close()
    assert (refused.value.code, name in refused.value.what) == ("E3113", True)


def test_rows_are_looked_for_only_in_columns_that_gbk_cannot_hold() -> None:
    rows = pa.record_batch({"a": ["一", None, "㐀", "x"], "b": [RARE, "二", "〇", ""], "n": [1, 2, 3, 4]})
    assert unholdable(rows) == {0: "b", 2: "a"}
    assert unholdable(rows.slice(1, 1)) == {}
    assert [holds(c) for c in ("汉字", "·", "〇", "é", "€", "䶮")] == [True, True, True, True, False, False]


def test_every_text_is_sized_in_characters_so_that_a_hanzi_of_two_or_three_bytes_fits(catalog: Catalog) -> None:
    made = dialect((11, 2))
    ddl = " ".join(str(CreateTable(t).compile(dialect=made)) for t in build_tables(catalog).metadata.tables.values())
    assert ddl.count("VARCHAR2(") > 1000
    assert ddl.count("VARCHAR2(") == ddl.count(" CHAR)")


_ABSENT_CLIENT = """
import oracledb, sys
from hub.catalog import load_catalog
from hub.errors import UsageError
from hub.store import open_store
try:
    open_store(f"oracle+oracledb://hub:geheim@db/?service_name=XJ&client={sys.argv[1]}", load_catalog())
except UsageError as error:
    print(error.sentence(), oracledb.is_thin_mode())
"""


def test_a_client_library_that_is_not_there_is_told_with_what_to_install(tmp_path: Path) -> None:
    """In a process of its own: the mode is decided once per process."""
    command = [sys.executable, "-c", _ABSENT_CLIENT, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert told.startswith("[E3116] 打不开 Oracle 客户端库（thick 方式）")
    assert ("Instant Client 19" in told, "ldconfig" in told, "geheim" in told) == (True, True, False)


def test_a_process_that_spoke_thin_says_why_it_cannot_load_a_client(store: Store, catalog: Catalog) -> None:
    with store.reading() as reader:
        assert reader.connection.exec_driver_sql("SELECT 1 FROM dual").scalar_one() == 1
    if not oracledb.is_thin_mode():
        pytest.skip("ORACLE_URL names a client: this process is thick")
    with pytest.raises(UsageError) as refused:
        open_store("oracle+oracledb://hub:geheim@db/?service_name=XJ&client=/nowhere", catalog)
    assert (refused.value.code, "thin" in refused.value.what) == ("E3116", True)
    assert "每个 Oracle URL" in refused.value.step
