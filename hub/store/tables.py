"""The database tables that follow from the catalogue: one golden table per entity, beside the hub's own tables.

Decides names and column types; migrations build exactly this (a test compares). Golden rows are keyed by
(node, pk): the province's two-digit code and the record number. No private column is indexed, because private columns
will be encrypted at rest (protocol 14.2). PostgreSQL keeps each node's golden rows in a partition of their own, so that
provinces are loaded, analysed and vacuumed apart (`hub.store.postgresql`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from hub.catalog import Catalog, Entity, Field
from hub.changes import PK_LENGTH
from hub.store import case_tables as _case_tables  # noqa: F401 - described in METADATA by being imported
from hub.store import decision_tables as _decision_tables  # noqa: F401 - described in METADATA by being imported
from hub.store import exchange_tables as _exchange_tables  # noqa: F401 - described in METADATA by being imported
from hub.store import page_tables as _page_tables  # noqa: F401 - described in METADATA by being imported
from hub.store import registry_tables as _registry_tables  # noqa: F401 - described in METADATA by being imported
from hub.store import version_tables as _version_tables  # noqa: F401 - described in METADATA by being imported
from hub.store.census_tables import CENSUS_METADATA
from hub.store.finding_tables import FINDING_METADATA
from hub.store.history_tables import HELD_FROM, HISTORY_METADATA, closing_columns, moment_column
from hub.store.ledger import METADATA, char, long_text, text
from hub.store.supplement_tables import SUPPLEMENT_METADATA
from hub.store.web_tables import WEB_METADATA

# Columns before the payload of a golden table, and in every digest line except `node`.
HEAD: Final = ("node", "pk", "row_ver", "src_rid", "prov")
# A double holds 15 decimal digits; SQLite keeps wider numbers exactly only as text.
SQLITE_EXACT_DIGITS: Final = 15
# The column that names the school, in the entities that have one: what people ask for most.
SCHOOL: Final = "xxdm"


@dataclass(frozen=True)
class Tables:
    """All tables of a node: `golden` by entity name, and the metadata that also holds the hub's tables by name."""

    metadata: sa.MetaData
    golden: dict[str, sa.Table]
    # Where a snapshot's rows wait until all parts are there (protocol 9.2): as `golden`, and never read by anyone else.
    shadow: dict[str, sa.Table]
    # Versions that are golden no longer and not archived yet (`hub.store.history`).
    history: dict[str, sa.Table]

    def __getitem__(self, name: str) -> sa.Table:
        """Table by its database name."""
        return self.metadata.tables[name]


def build_tables(catalog: Catalog) -> Tables:
    """Metadata of one node's database, derived from the catalogue; the same object for the same entities."""
    return _built(tuple(catalog.entities.values()))


@lru_cache(maxsize=4)
def _built(entities: tuple[Entity, ...]) -> Tables:
    metadata = sa.MetaData(naming_convention=METADATA.naming_convention)
    golden = {e.name: _golden(e, metadata) for e in entities}
    shadow = {e.name: sa.Table(shadow_name(e), metadata, *_key(), *_rest(e)) for e in entities}
    history = {e.name: _history(e, metadata) for e in entities}
    for part in (METADATA, CENSUS_METADATA, FINDING_METADATA, HISTORY_METADATA, SUPPLEMENT_METADATA, WEB_METADATA):
        for table in part.tables.values():
            table.to_metadata(metadata)
    return Tables(metadata, golden, shadow, history)


def golden_name(entity: Entity) -> str:
    """`g_xs`"""
    return f"g_{entity.name.lower()}"


def shadow_name(entity: Entity) -> str:
    """`z_xs`"""
    return f"z_{entity.name.lower()}"


def history_name(entity: Entity) -> str:
    """`h_xs`"""
    return f"h_{entity.name.lower()}"


def plain_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """What crosses between tiers and is digested: a golden table's columns but for `node` and when it was held."""
    return [c for c in table.columns if c.name not in ("node", HELD_FROM)]


def column_type(field: Field) -> Any:
    """C → VARCHAR(n), N → BIGINT or NUMERIC(n, s) as `hub.changes.arrow_type` says, T → TEXT/CLOB."""
    if field.type == "T":
        return long_text()
    if field.length is None:
        raise RuntimeError(f"field {field.name} has no length")
    if field.type == "C":
        return text(field.width or field.length)
    if field.scale == 0 and field.length <= 18:
        return sa.BigInteger()
    number = sa.Numeric(field.length, field.scale)
    if field.length > SQLITE_EXACT_DIGITS:
        return number.with_variant(sa.String(field.length + 2), "sqlite")
    return number


def _golden(entity: Entity, metadata: sa.MetaData) -> sa.Table:
    name = golden_name(entity)
    table = sa.Table(
        name, metadata, *_key(), *_rest(entity), moment_column(HELD_FROM), postgresql_partition_by="LIST (node)"
    )
    if SCHOOL in table.c:
        sa.Index(f"ix_{name}_school", table.c.node, table.c[SCHOOL])
    return table


def _history(entity: Entity, metadata: sa.MetaData) -> sa.Table:
    """No key: nothing that was held may fail to be kept, whatever the clock said."""
    name = history_name(entity)
    key = (sa.Column("node", char(2)), sa.Column("pk", char(PK_LENGTH)))
    table = sa.Table(name, metadata, *key, *_rest(entity), *closing_columns())
    sa.Index(f"ix_{name}", table.c.node, table.c.pk)
    return table


def _key() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("node", char(2), primary_key=True, nullable=False),
        sa.Column("pk", char(PK_LENGTH), primary_key=True, nullable=False),
    )


def _rest(entity: Entity) -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("row_ver", sa.BigInteger, nullable=False),
        sa.Column("src_rid", text(64)),
        sa.Column("prov", text(80)),
        *(sa.Column(f.name.lower(), column_type(f)) for f in entity.fields),
    )
