"""Oracle as a source: what its types become as text, and that one reading is one transaction (`ORACLE_URL`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import oracledb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from connectors.oracle import OracleSource
from connectors.oracle_columns import OracleColumn, quoted, spellings
from connectors.registry import open_source
from hub.catalog import SourceColumn, SourceTable
from hub.errors import InputError, PeerUnreachableError, UsageError
from hub.store.oracle_session import oracle_engine
from tests.connectors.test_source_contract import rows_of
from tests.store.oracle import character_set_of, oracle_schema, stand_in

TABLE = SourceTable(
    "S1",
    "T_ODD",
    "各种类型",
    ("BH", "XH"),
    (
        SourceColumn("BH", "编号", "C", "text"),
        SourceColumn("XH", "序号", "N", "number"),
        SourceColumn("JE", "金额", "N", "number"),
        SourceColumn("CSRQ", "出生日期", "C", "date8"),
        SourceColumn("RXNY", "入学年月", "C", "yyyymm"),
        SourceColumn("BZ", "备注", "C", "text"),
        SourceColumn("GXSJ", "更新时间", "TS", "timestamp"),
    ),
    "xs",
    updated="GXSJ",
)
MADE = (
    "CREATE TABLE t_odd (bh CHAR(8 CHAR), xh NUMBER(18), je NUMBER(12,2), csrq DATE, rxny DATE, bz VARCHAR2(40 CHAR), "
    "gxsj TIMESTAMP, own_column NUMBER(1))"
)
INTO = "INSERT INTO t_odd (bh, xh, je, csrq, rxny, bz, gxsj) VALUES (:1, :2, :3, :4, :5, :6, :7)"
ROWS = [
    ("A1", 123456789012345678, Decimal("0.50"), dt.datetime(2008, 1, 2), dt.datetime(2024, 9, 1), "", "09:00:00"),
    ("A2", -7, Decimal("-0.05"), None, None, " 两端 ", "09:00:00.25"),
    ("B", 0, Decimal("1200"), dt.datetime(1999, 12, 31, 23, 59), None, "NULL", None),
]


@pytest.fixture
def odd() -> Iterator[OracleSource]:
    """A source whose table has the types that careless readers spoil."""
    with oracle_schema(bare=True) as url:
        engine = oracle_engine(sa.make_url(url))
        with engine.begin() as connection:
            connection.exec_driver_sql(MADE)
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor:
                cursor.setinputsizes(None, None, None, None, None, None, oracledb.DB_TYPE_TIMESTAMP)
                stamped = [(*r[:6], r[6] and dt.datetime.fromisoformat(f"2026-03-01 {r[6]}")) for r in ROWS]
                cursor.executemany(INTO, stamped)
        engine.dispose()
        source = open_source(url)
        assert isinstance(source, OracleSource)
        yield source
        source.close()


def test_padding_is_storage_and_numbers_are_plain_text(odd: OracleSource) -> None:
    found = {str(r["BH"]): r for r in rows_of(odd.read(TABLE))}
    assert sorted(found) == ["A1", "A2", "B"]
    assert [found[b]["XH"] for b in ("A1", "A2", "B")] == ["123456789012345678", "-7", "0"]
    assert [Decimal(str(found[b]["JE"])) for b in ("A1", "A2", "B")] == [Decimal("0.5"), Decimal("-0.05"), 1200]
    assert all(str(found[b]["JE"]).lstrip("-")[0].isdigit() for b in found)
    assert [found[b]["CSRQ"] for b in ("A1", "A2", "B")] == ["20080102", None, "19991231"]
    assert found["A1"]["RXNY"] == "202409"
    assert [found[b]["BZ"] for b in ("A1", "A2", "B")] == [None, " 两端 ", "NULL"]
    assert [found[b]["GXSJ"] for b in ("A1", "A2", "B")] == ["2026-03-01 09:00:00", "2026-03-01 09:00:00.250000", None]


def test_a_key_of_padded_text_and_number_finds_its_row(odd: OracleSource) -> None:
    keys = pa.table({"BH": ["A2", "B", "C"], "XH": ["-7", "0", "1"]})
    assert [r["BH"] for r in rows_of(odd.read_rows(TABLE, keys))] == ["A2", "B"]


def test_columns_outside_the_layout_are_told_and_not_read(odd: OracleSource) -> None:
    probe = odd.probe(TABLE)
    assert (probe.present, probe.missing_columns, probe.extra_columns, probe.rows) == (True, (), ("OWN_COLUMN",), 3)
    assert "OWN_COLUMN" not in next(odd.read(TABLE)).schema.names


def test_all_questions_go_over_one_connection_in_one_read_only_transaction(odd: OracleSource) -> None:
    said: list[str] = []
    opened: list[object] = []
    event.listen(odd.engine, "before_cursor_execute", lambda _c, _k, statement, *_: said.append(statement))
    event.listen(odd.engine, "connect", lambda raw, _record: opened.append(raw))
    first = odd.read(TABLE, block_rows=1)
    next(first)
    odd.count(TABLE)
    list(odd.read_keys(TABLE))
    odd.high_mark(TABLE)
    assert len(list(first)) == 2
    assert len(opened) == 1
    assert len(said) == 2
    assert "READ ONLY" in said[0] or stand_in()
    assert "nls_database_parameters" in said[1]


def test_what_is_committed_while_an_extract_is_read_stands_in_no_table_of_it(odd: OracleSource) -> None:
    assert odd.count(TABLE) == 3
    other = oracle_engine(odd.url)
    with other.begin() as connection:
        connection.exec_driver_sql("UPDATE t_odd SET je = 9, gxsj = TIMESTAMP '2026-03-02 09:00:00' WHERE xh = 0")
        connection.exec_driver_sql("DELETE FROM t_odd WHERE xh = -7")
    other.dispose()
    assert odd.count(TABLE) == 3
    assert odd.high_mark(TABLE) == "2026-03-01 09:00:00.250000"
    assert sorted(Decimal(str(r["JE"])) for r in rows_of(odd.read(TABLE))) == [Decimal("-0.05"), Decimal("0.5"), 1200]
    again = open_source(odd.url.render_as_string(hide_password=False))
    assert sorted(Decimal(str(r["JE"])) for r in rows_of(again.read(TABLE))) == [Decimal("0.5"), 9]
    again.close()


@pytest.mark.parametrize("name", ["US7ASCII", "WE8ISO8859P1"])
def test_a_source_that_cannot_keep_chinese_as_characters_is_not_read(odd: OracleSource, name: str) -> None:
    other = oracle_engine(odd.url)
    with character_set_of(other, name), pytest.raises(InputError) as refused:
        list(odd.read(TABLE))
    other.dispose()
    assert (refused.value.code, name in refused.value.what, refused.value.retryable) == ("E2110", True, False)


def test_a_source_in_gbk_is_read(odd: OracleSource) -> None:
    other = oracle_engine(odd.url)
    with character_set_of(other, "ZHS16GBK"):
        assert odd.count(TABLE) == 3
    other.dispose()


def test_a_snapshot_the_server_no_longer_holds_is_tried_again(
    odd: OracleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_old(*_: object) -> None:
        raise oracledb.DatabaseError('ORA-01555: snapshot too old: rollback segment number 9 with name "X" too small')

    odd.count(TABLE)
    monkeypatch.setattr(odd, "_described", too_old)
    with pytest.raises(PeerUnreachableError, match="UNDO_RETENTION") as refused:
        list(odd.read(TABLE))
    assert refused.value.retryable


def test_a_schema_that_is_no_name_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="schema") as refused:
        open_source("oracle+oracledb://u:geheim@127.0.0.1/?service_name=X&schema=A%22%3B--")
    assert (refused.value.code, "geheim" in str(refused.value)) == ("E2105", False)


@pytest.mark.parametrize(
    ("kind", "scale", "form", "expected"),
    [
        (oracledb.DB_TYPE_CHAR, None, "text", "RTRIM(C)"),
        (oracledb.DB_TYPE_NCHAR, None, "text", "RTRIM(C)"),
        (oracledb.DB_TYPE_VARCHAR, None, "text", "C"),
        (oracledb.DB_TYPE_NUMBER, 0, "number", "TO_CHAR(C, 'TM9')"),
        (oracledb.DB_TYPE_NUMBER, -127, "number", r"REGEXP_REPLACE(TO_CHAR(C, 'TM9'), '^(-?)\.', '\10.')"),
        (oracledb.DB_TYPE_DATE, None, "month-dash", "TO_CHAR(C, 'YYYY-MM')"),
        (oracledb.DB_TYPE_DATE, None, "timestamp", "TO_CHAR(C, 'YYYY-MM-DD HH24:MI:SS')"),
        (oracledb.DB_TYPE_TIMESTAMP, 6, "timestamp", "REPLACE(TO_CHAR(C, 'YYYY-MM-DD HH24:MI:SS.FF6'), '.000000', '')"),
        (oracledb.DB_TYPE_RAW, None, "text", "RAWTOHEX(C)"),
    ],
)
def test_the_server_writes_each_type_as_text(kind: Any, scale: int | None, form: str, expected: str) -> None:
    assert OracleColumn("C", kind, scale, 8).text(form) == expected


def test_a_zoned_time_is_that_of_china() -> None:
    assert "AT TIME ZONE '+08:00'" in OracleColumn("C", oracledb.DB_TYPE_TIMESTAMP_TZ, 6, None).text("timestamp")


def test_names_are_folded_as_oracle_folds_them_and_quoted_only_where_needed() -> None:
    assert spellings("XS_jbxx") == ("XS_JBXX", '"XS_jbxx"', '"xs_jbxx"')
    assert spellings("学生") == ('"学生"',)
    assert quoted('a"b') == '"a""b"'
