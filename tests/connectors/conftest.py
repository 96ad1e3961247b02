"""One small set of layout-shaped rows, written into every kind of source."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.base import Source
from connectors.database import DatabaseSource
from connectors.registry import open_source
from hub.catalog import Catalog, SourceTable, load_catalog
from tests.servers import PostgresServer
from tests.store.oracle import oracle_schema

Row = dict[str, str | None]
ID_NUMBER = "360102200801011234"  # must never show in a message


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def layout(catalog: Catalog) -> Callable[[str], SourceTable]:
    tables = {t.name: t for t in catalog.source_tables()}
    return lambda name: tables[name]


def row_of(table: SourceTable, **values: str | None) -> Row:
    return {name: values.get(name) for name in table.column_names}


def sample_rows(layout: Callable[[str], SourceTable]) -> dict[str, list[Row]]:
    """XX_DZ, XS_JBXX and XS_JTCY with the text that breaks careless readers."""
    dz, xs, cy = layout("S1.XX_DZ"), layout("S1.XS_JBXX"), layout("S1.XS_JTCY")
    return {
        dz.table: [
            row_of(dz, JXXDM="4141000001", XXDM="3641000192", QRZTM="1", GXSJ="2026-01-01 00:00:00"),
            row_of(dz, JXXDM="4141000002", XXDM="3641000193", QRZTM="0", GXSJ="2026-03-01 08:30:00.25"),
            row_of(dz, JXXDM="4141000003", XXDM=None, QRZTM="1", GXSJ=None),
        ],
        xs.table: [
            row_of(
                xs, GRBSM=f"G{ID_NUMBER}", XXDM="3641000192", XM="张 三　", SFZJH=ID_NUMBER, GXSJ="2026-02-01 10:00:00"
            ),
            row_of(xs, GRBSM="L2", XXDM="3641000192", XM='引"号,逗号\n换行', CYM="NULL", GXSJ="2026-02-02 10:00:00"),
            row_of(xs, GRBSM="L3", XXDM="3641000193", XM="１２ａ•", DZXX="50%%的100%", GXSJ="2026-02-02 23:59:59"),
        ],
        cy.table: [
            row_of(cy, GRBSM="L2", CYXH="1", CYXM="甲", GXSJ="2026-02-02 10:00:00"),
            row_of(cy, GRBSM="L2", CYXH="2", CYXM="乙", GXSJ="2026-02-02 10:00:00"),
            row_of(cy, GRBSM="L3", CYXH=None, CYXM="丙", GXSJ="2026-02-02 10:00:00"),
        ],
    }


def write_sqlite(path: Path, table: SourceTable, rows: list[Row], *, extra: str = "") -> None:
    with sqlite3.connect(path) as conn:
        kinds = (f"{c.name} {'NUMERIC' if c.type == 'N' else 'TEXT'}" for c in table.columns)
        conn.execute(f"CREATE TABLE {table.table} ({', '.join(kinds)}{extra})")
        names = ", ".join(table.column_names)
        marks = ", ".join("?" for _ in table.columns)
        conn.executemany(
            f"INSERT INTO {table.table} ({names}) VALUES ({marks})",
            [tuple(r[n] for n in table.column_names) for r in rows],
        )
    conn.close()


def write_database(url: str, table: SourceTable, rows: list[Row]) -> None:
    """The table with native types: TIMESTAMP, NUMERIC."""
    kinds: dict[str, Any] = {"TS": sa.TIMESTAMP(), "N": sa.Numeric(12, 1)}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    columns = [sa.Column(c.name.lower(), kinds.get(c.type, sa.String(200))) for c in table.columns]
    target = sa.Table(table.table.lower(), sa.MetaData(), *columns)
    with engine.begin() as conn:
        target.drop(conn, checkfirst=True)
        target.create(conn)
        for row in rows:
            values = {n.lower(): _native(v, c.type) for (n, v), c in zip(row.items(), table.columns, strict=True)}
            conn.execute(target.insert(), values)
    engine.dispose()


def _native(value: str | None, kind: str) -> object:
    if value is None or kind == "C":
        return value
    import datetime as dt
    from decimal import Decimal

    return dt.datetime.fromisoformat(value) if kind == "TS" else Decimal(value)


def write_delimited(path: Path, table: SourceTable, rows: list[Row], *, encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        writer.writerows([row[n] for n in table.column_names] for row in rows)


BACKENDS = ("sqlite", "postgresql", "sqlalchemy", "utf-8", "utf-8-sig", "gb18030", "oracle")


@pytest.fixture(params=BACKENDS)
def source(
    request: pytest.FixtureRequest, tmp_path: Path, layout: Callable[[str], SourceTable]
) -> Iterator[tuple[str, Source]]:
    """(backend, source holding `sample_rows`)."""
    kind = request.param
    rows = sample_rows(layout)
    tables = [layout(f"S1.{name}") for name in rows]
    opened: Source
    with ExitStack() as stack:
        if kind == "sqlite":
            for table in tables:
                write_sqlite(tmp_path / "s1.db", table, rows[table.table])
            opened = open_source(f"sqlite:///{tmp_path / 's1.db'}")
        elif kind in ("postgresql", "sqlalchemy", "oracle"):
            url = stack.enter_context(oracle_schema(bare=True)) if kind == "oracle" else _database(request)
            for table in tables:
                write_database(url, table, rows[table.table])
            opened = open_source(url) if kind != "sqlalchemy" else DatabaseSource(sa.make_url(url))
        else:
            for table in tables:
                write_delimited(tmp_path / f"{table.table.lower()}.CSV", table, rows[table.table], encoding=kind)
            opened = open_source(f"delimited:{tmp_path}?encoding=auto&delimiter=,")
        yield kind, opened
        opened.close()


def _database(request: pytest.FixtureRequest) -> str:
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database("connectors")
