"""The migrated database is the one the data definitions describe."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import oracle
from sqlalchemy.schema import CreateTable

from hub.catalog import Catalog, Field, load_catalog
from hub.store import Store, open_store
from hub.store.migrations.fields import add_field, drop_field
from hub.store.tables import build_tables
from tests.servers import PostgresServer
from tests.store.conftest import BACKENDS


@pytest.mark.parametrize("store", BACKENDS, indirect=True)  # Oracle: tests/oracle/test_store.py
def test_the_migrated_database_is_exactly_the_one_the_definitions_describe(store: Store) -> None:
    with store.reading() as reader:
        context = MigrationContext.configure(reader.connection, opts={"compare_type": True})
        assert compare_metadata(context, store.tables.metadata) == []
        found = sa.inspect(reader.connection)
        for table in store.tables.metadata.tables.values():
            keys = found.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [c.name for c in table.primary_key.columns], table.name
            # A field that came to an entity later stands last in the database; everything is read and written by name.
            order = sorted if table.name[:2] in ("g_", "h_", "z_") else list
            assert order(c["name"] for c in found.get_columns(table.name)) == order(c.name for c in table.columns)
            indexes = {str(i["name"]): [str(c) for c in i["column_names"]] for i in found.get_indexes(table.name)}
            assert indexes == {str(i.name): [c.name for c in i.columns] for i in table.indexes}
            private = {c.name for c in table.columns if c.comment} | {"natural_key"}
            assert not private & {c for columns in indexes.values() for c in columns}, "these will be encrypted"


@pytest.mark.parametrize("store", BACKENDS, indirect=True)
def test_a_field_added_by_a_migration_is_the_one_the_definitions_describe_and_can_be_taken_back(store: Store) -> None:
    catalog = load_catalog()
    entity, new = catalog.entities["xs_by"], Field("WXH", "微信号", "C", "O", "text", "P3", length=30)
    wider = replace(entity, fields=(*entity.fields, new))
    grown = build_tables(replace(catalog, entities={**catalog.entities, "xs_by": wider})).metadata
    with store.begin() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True})
        with Operations.context(context):
            add_field("xs_by", "wxh C30")
            assert compare_metadata(context, grown) == []
            drop_field("xs_by", "wxh")
            assert compare_metadata(context, store.tables.metadata) == []


@pytest.mark.parametrize("store", BACKENDS, indirect=True)
def test_every_column_type_and_collation_is_the_one_described(store: Store, request: pytest.FixtureRequest) -> None:
    """Alembic compares types loosely and collations not at all."""
    fresh = sa.create_engine(
        "sqlite://"
        if store.where.startswith("sqlite")
        else request.getfixturevalue("postgres").create_database("fresh")
    )
    with fresh.connect() as connection:
        store.tables.metadata.create_all(connection)
        wanted = _columns(connection)
        with store.reading() as reader:
            assert {k: v for k, v in _columns(reader.connection).items() if k[0] != "alembic_version"} == wanted
    fresh.dispose()
    assert len(wanted) > 400


def _columns(connection: sa.Connection) -> dict[tuple[str, str], str]:
    found = sa.inspect(connection)
    return {
        (table, column["name"]): f"{column['type']!r} null={column['nullable']} {column.get('comment')}"
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    with store.begin() as tx:
        tx.connection.execute(store.tables["node_state"].insert(), {"name": "kept", "value": "1"})
    current, head = store.revision()
    store.upgrade()
    assert store.revision() == (current, head)
    assert current == head
    with store.reading() as reader:
        names = reader.connection.execute(sa.select(store.tables["node_state"].c.name)).scalars().all()
    assert sorted(names) == ["audit.head", "kept"]


def test_a_database_in_another_character_set_is_refused(catalog: Catalog, postgres: PostgresServer) -> None:
    url = sa.make_url(postgres.url)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS store_latin")
        connection.exec_driver_sql("CREATE DATABASE store_latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    store = open_store(url.set(database="store_latin").render_as_string(hide_password=False), catalog)
    with pytest.raises(Exception, match="UTF8"):
        store.upgrade()
    store.close()
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE store_latin WITH (FORCE)")
    engine.dispose()


def test_every_name_can_stand_unquoted_in_oracle_within_thirty_bytes(catalog: Catalog) -> None:
    dialect = oracle.dialect(max_identifier_length=30, enable_offset_fetch=False)  # type: ignore[no-untyped-call]
    for table in build_tables(catalog).metadata.tables.values():
        ddl = str(CreateTable(table).compile(dialect=dialect))
        assert '"' not in ddl, ddl
        names = [table.name, str(table.primary_key.name), *(c.name for c in table.columns)]
        assert max(len(n.encode()) for n in names) <= 30
        assert "BOOLEAN" not in ddl
        assert "IDENTITY" not in ddl
