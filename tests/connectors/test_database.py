"""What databases do that the layouts do not expect."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.database import DatabaseSource
from connectors.postgresql import PostgreSQLSource
from connectors.registry import open_source
from connectors.sqlite import SQLiteSource
from hub.catalog import SourceTable
from hub.errors import HubError, InputError, PeerUnreachableError, UsageError
from tests.connectors.conftest import ID_NUMBER, row_of, sample_rows, write_database, write_sqlite
from tests.servers import PostgresServer

Layout = Callable[[str], SourceTable]


def sqlite_source(path: Path) -> SQLiteSource:
    opened = open_source(f"sqlite:///{path}")
    assert isinstance(opened, SQLiteSource)
    return opened


def test_a_sqlite_file_that_does_not_exist_is_refused_and_not_created(tmp_path: Path, layout: Layout) -> None:
    opened = sqlite_source(tmp_path / "s1.db")
    for ask in (opened.probe, opened.count, opened.high_mark, lambda t: list(opened.read(t))):
        with pytest.raises(InputError, match="数据源文件不存在") as refused:
            ask(layout("S1.XX_DZ"))
    assert refused.value.code == "E2101"
    assert "s1.db" in refused.value.where
    assert refused.value.step
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "s1.db").write_bytes(b"%PDF-1.4 " * 1000)
    with pytest.raises(InputError, match="不是可读的 SQLite") as refused:
        list(sqlite_source(tmp_path / "s1.db").read(layout("S1.XX_DZ")))
    assert refused.value.code == "E2102"
    assert (tmp_path / "s1.db").read_bytes().startswith(b"%PDF")


def test_a_path_with_marks_of_a_url_opens_that_very_file(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "第 1%20#批.db"
    write_sqlite(path, layout("S1.XX_DZ"), sample_rows(layout)["XX_DZ"])
    assert SQLiteSource(sa.URL.create("sqlite", database=str(path))).count(layout("S1.XX_DZ")) == 3


def test_a_missing_column_is_named_with_source_and_table(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "s1.db"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE xx_dz (jxxdm TEXT, xxdm TEXT, gxsj TEXT, bz TEXT)")
    opened = sqlite_source(path)
    probe = opened.probe(layout("S1.XX_DZ"))
    assert (probe.present, probe.missing_columns, probe.extra_columns, probe.rows) == (True, ("QRZTM",), ("bz",), 0)
    with pytest.raises(InputError, match="QRZTM") as refused:
        list(opened.read(layout("S1.XX_DZ")))
    assert refused.value.code == "E2107"
    assert "s1.db" in refused.value.where
    assert "S1.XX_DZ" in refused.value.where
    assert "schemas/sources/s1.yaml" in refused.value.step


def test_sqlite_numbers_are_plain_text_and_a_column_empty_at_first_stays_text(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XS_JBSX")
    rows = [row_of(table, GRBSM=f"L{i:03}", GXSJ="2026-01-01 00:00:00") for i in range(100)]
    rows[99] |= {"KSZF": "612.5", "ZKZH": "0012", "JTXDZ": ""}
    write_sqlite(tmp_path / "s1.db", table, rows)
    with sqlite3.connect(tmp_path / "s1.db") as conn:
        conn.execute("UPDATE XS_JBSX SET KSZF = 1e15 WHERE GRBSM = 'L000'")
    got = [row for batch in sqlite_source(tmp_path / "s1.db").read(table, block_rows=10) for row in batch.to_pylist()]
    assert [r["GRBSM"] for r in got] == [f"L{i:03}" for i in range(100)]
    assert (got[99]["KSZF"], got[99]["ZKZH"], got[99]["JTXDZ"], got[98]["KSZF"]) == ("612.5", "0012", "", None)
    assert "e" not in (got[0]["KSZF"] or "")


def test_keys_find_rows_in_columns_without_a_declared_type(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XX_DZ")
    with sqlite3.connect(tmp_path / "s1.db") as conn:
        conn.execute("CREATE TABLE XX_DZ (JXXDM, XXDM, QRZTM, GXSJ)")
        conn.execute("INSERT INTO XX_DZ VALUES (4141000001, 3641000192, 1, '2026-01-01 00:00:00')")
    opened = sqlite_source(tmp_path / "s1.db")
    (keys,) = opened.read_keys(table)
    import pyarrow as pa

    assert [b.num_rows for b in opened.read_rows(table, pa.Table.from_batches([keys]))] == [1]
    assert opened.high_mark(table) == "2026-01-01 00:00:00"
    assert [b.num_rows for b in opened.read(table, since="2026-01-01 00:00:00")] == [1]


def test_text_that_is_not_utf8_is_refused_without_showing_it(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XX_DZ")
    write_sqlite(tmp_path / "s1.db", table, [])
    with sqlite3.connect(tmp_path / "s1.db") as conn:
        conn.execute("INSERT INTO XX_DZ VALUES (CAST(x'd5c5c8fd' AS TEXT), '3', '1', '2026-01-01 00:00:00')")
    with pytest.raises(InputError, match="解码") as refused:
        list(sqlite_source(tmp_path / "s1.db").read(table))
    assert refused.value.code == "E2108"
    assert "S1.XX_DZ" in refused.value.where


def test_a_locked_sqlite_file_is_worth_another_try(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.sqlite.BUSY_SECONDS", 0)
    write_sqlite(tmp_path / "s1.db", layout("S1.XX_DZ"), [])
    holder = sqlite3.connect(tmp_path / "s1.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(PeerUnreachableError, match="占用") as refused:
        sqlite_source(tmp_path / "s1.db").count(layout("S1.XX_DZ"))
    assert refused.value.retryable
    holder.close()


def test_a_database_that_does_not_answer_is_worth_another_try_and_its_password_stays_hidden(layout: Layout) -> None:
    opened = open_source("postgresql+psycopg://hub:hunter2@127.0.0.1:1/x?password=hunter2")
    with pytest.raises(PeerUnreachableError) as refused:
        opened.count(layout("S1.XX_DZ"))
    assert refused.value.retryable
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in opened.name
    assert "127.0.0.1" in refused.value.where


def test_a_database_that_is_not_there_is_not_tried_again(postgres: PostgresServer, layout: Layout) -> None:
    url = sa.make_url(postgres.url).set(database="no_such_database")
    with pytest.raises(InputError, match="数据库不存在"):
        PostgreSQLSource(url).count(layout("S1.XX_DZ"))


def test_a_driver_nobody_has_installed_is_named() -> None:
    for url in ("mysql+mysqldb://u:hunter2@h/d", "nonsense+driver://u:hunter2@h/d", "no url at all"):
        with pytest.raises(UsageError) as refused:
            open_source(url)
        assert refused.value.code == "E2105"
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", [PostgreSQLSource, DatabaseSource])
def test_native_types_of_postgresql_are_written_in_the_layouts_form(
    postgres: PostgresServer, layout: Layout, kind: type[DatabaseSource]
) -> None:
    table = layout("S1.XS_JTCY")
    url = sa.make_url(postgres.create_database("types"))
    write_database(str(url.render_as_string(hide_password=False)), table, [])
    engine = sa.create_engine(url)
    with engine.begin() as conn:
        for change in ("csny TYPE date USING NULL", "sfjhr TYPE boolean USING NULL", "gxsj TYPE timestamptz"):
            conn.exec_driver_sql(f"ALTER TABLE xs_jtcy ALTER COLUMN {change}")
        conn.exec_driver_sql("ALTER TABLE xs_jtcy ALTER COLUMN cyxh TYPE double precision")
        conn.exec_driver_sql(
            "INSERT INTO xs_jtcy (grbsm, cyxh, csny, sfjhr, cygzdw, gxsj) VALUES "
            "('L1', 1e15, '1970-05-06', true, '', '2026-01-01 00:00:00+00')"
        )
    engine.dispose()
    opened = kind(url)
    (batch,) = opened.read(table)
    row = batch.to_pylist()[0]
    assert row["CSNY"] == "197005"
    assert row["SFJHR"] == "1"
    assert row["GXSJ"] == opened.high_mark(table) == "2026-01-01 08:00:00"
    assert row["CYXH"].removesuffix(".0") == "1000000000000000"
    assert (row["CYGZDW"], row["ZW"]) == ("", None)
    opened.close()


def test_one_open_postgresql_source_shows_one_moment(postgres: PostgresServer, layout: Layout) -> None:
    table = layout("S1.XX_DZ")
    url = postgres.create_database("snapshot")
    write_database(url, table, sample_rows(layout)["XX_DZ"])
    opened = open_source(url)
    assert opened.count(table) == 3
    engine = sa.create_engine(url)
    with engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM xx_dz")
    assert opened.count(table) == 3
    assert sum(b.num_rows for b in opened.read(table)) == 3
    opened.close()
    assert opened.count(table) == 0
    opened.close()
    engine.dispose()


def test_a_query_the_database_refuses_says_so_without_values(postgres: PostgresServer, layout: Layout) -> None:
    table = layout("S1.XX_DZ")
    url = postgres.create_database("broken")
    engine = sa.create_engine(url)
    with engine.begin() as conn:
        conn.exec_driver_sql(
            f"CREATE VIEW xx_dz AS SELECT ('{ID_NUMBER}'::text)::date::text AS jxxdm, "
            "'' AS xxdm, '' AS qrztm, '' AS gxsj"
        )
    engine.dispose()
    opened = open_source(url)
    with pytest.raises(HubError) as refused:
        list(opened.read(table))
    opened.close()
    assert refused.value.code == "E2109"
    assert not refused.value.retryable
    assert ID_NUMBER not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "S1.XX_DZ" in refused.value.where


def test_blocks_stay_bounded_however_long_the_table_is(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XS_JBXX")
    rows = [row_of(table, GRBSM=f"L{i}", XM="张三", GXSJ="2026-01-01 00:00:00") for i in range(20_000)]
    write_sqlite(tmp_path / "s1.db", table, rows)
    sizes = [(b.num_rows, b.nbytes) for b in sqlite_source(tmp_path / "s1.db").read(table, block_rows=1000)]
    assert sum(n for n, _ in sizes) == 20_000
    assert max(n for n, _ in sizes) <= 1000
    assert max(size for _, size in sizes) < 1_000_000
