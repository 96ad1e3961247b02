"""Every table of the hub can be made on Oracle 11g, whoever added it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import oracle
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from hub.catalog import load_catalog
from hub.store.ledger import long_text, text
from hub.store.tables import build_tables
from tests.oracle.portable import faults

METADATA = build_tables(load_catalog()).metadata


def test_every_table_keeps_the_rules_of_oracle_11g() -> None:
    assert len(METADATA.tables) > 40
    assert faults(METADATA) == []


@pytest.mark.parametrize("table", sorted(METADATA.tables))
def test_a_table_compiles_for_oracle_11g_without_a_quoted_name(table: str) -> None:
    dialect = oracle.dialect(max_identifier_length=30, enable_offset_fetch=False)  # type: ignore[no-untyped-call]
    described = METADATA.tables[table]
    made: list[ExecutableDDLElement] = [CreateTable(described), *(CreateIndex(i) for i in described.indexes)]
    for statement in made:
        ddl = str(statement.compile(dialect=dialect))
        assert '"' not in ddl
        assert not {"BOOLEAN", "IDENTITY", "DEFAULT"} & set(ddl.upper().split())


_BREACHES: dict[str, sa.Column[Any]] = {
    "a reserved word": sa.Column("level", sa.BigInteger),
    "11g takes 30": sa.Column("a_name_of_more_than_thirty_bytes", sa.BigInteger),
    "lower case ASCII": sa.Column("Name", sa.BigInteger),
    "type Boolean": sa.Column("yes", sa.Boolean),
    "type DateTime": sa.Column("at", sa.DateTime),
    "longer is long_text": sa.Column("long", text(2000)),
    "a LOB cannot be in a key": sa.Column("body", long_text(), index=True),
    "'' is NULL": sa.Column("given", text(10), nullable=False),
    "no server default": sa.Column("given", sa.BigInteger, server_default="0"),
    "given by the application": sa.Column("no", sa.BigInteger, sa.Identity()),
    "38 digits": sa.Column("sum", sa.Numeric()),
    "indexed already": sa.Column("again", sa.BigInteger, primary_key=True, index=True),
}


@pytest.mark.parametrize("rule", list(_BREACHES))
def test_a_table_that_oracle_would_refuse_is_found(rule: str) -> None:
    metadata = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"})
    sa.Table("t", metadata, _BREACHES[rule])
    assert any(rule in fault for fault in faults(metadata)), faults(metadata)
