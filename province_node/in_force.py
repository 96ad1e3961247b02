"""Which authority registry and code tables a round settles under, and what differs from the round before.

Decides that a registry in force is the very one that was received: a document that was altered in the database stops
the round. What putting in force takes is `province_node.registry`'s, what a change touches `quality.authority`'s and
`quality.recode`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from connectors.registry import load_sources
from hub.catalog import Catalog, codes, load_catalog
from hub.errors import InputError, NotInitialisedError
from hub.registry import versions
from hub.settings import Node
from hub.store import open_store
from province_node.state import meta, set_meta
from quality.authority import Change, touched_fields
from quality.recode import Recoding, recodings

OWNERS: Final = "registry.owners"
CODES: Final = "registry.codes"


@dataclass(frozen=True)
class InForce:
    """The catalogue a round works by. `document`, `tables`: the registry and the code tables as a judge in another
    process takes them, None where they are the installed ones."""

    catalog: Catalog
    document: str | None = None
    tables: str | None = None


def catalog_in_force(node: Node, catalog: Catalog) -> InForce:
    """The catalogue with registry and code tables in force, proven to be those received (E3444 otherwise).

    The catalogue as it is while the shipped registry is in force, as in a node without a database.
    """
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            version = versions.in_force(reader.connection)
            if version.batch_id is None:
                return InForce(catalog)
            versions.check_signed(reader.connection, version, None)
            same = version.tables in ("", versions.tables_text(catalog))
            return InForce(versions.under(catalog, version), version.document, None if same else version.tables)
    except NotInitialisedError:
        return InForce(catalog)
    finally:
        store.close()


def held_catalog(node: Node) -> Catalog:
    """What a person at this node works by: registry and codes in force, with the site's own dictionaries.

    Raises as `catalog_in_force`, and `InputError` for a sources.toml that cannot be read.
    """
    return catalog_in_force(node, load_catalog(_dictionaries(node))).catalog


def _dictionaries(node: Node) -> Path | None:
    try:
        return load_sources(node.sources).site_dictionaries
    except InputError as error:
        if error.code != "E2421":
            raise
        return None  # the sources are away; what they delivered can still be decided on


def pending_changes(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> tuple[Change, ...]:
    """Data items whose owner differs from the one the state was last settled under; () for an empty state."""
    known = meta(con, OWNERS)
    if known is None:
        return ()
    before = {tuple(k.split(".")): (tuple(o), bool(f)) for k, (o, f) in json.loads(known).items()}
    return touched_fields(before, catalog)


def pending_codes(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> tuple[Recoding, ...]:
    """Code tables that differ from those the state was last settled under; () for an empty state."""
    known = meta(con, CODES)
    return () if known is None else recodings(codes.parse(known), catalog)


def note_settled(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """What the state is settled under from now on."""
    owners = {f"{e}.{f}": [list(a.order), a.fill] for (e, f), a in catalog.registry.owners.items()}
    set_meta(con, OWNERS, json.dumps(owners, sort_keys=True))
    set_meta(con, CODES, codes.emit(codes.installed(catalog)))
