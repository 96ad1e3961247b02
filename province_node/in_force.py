"""Which authority registry a round settles under, and which data items got another owner since the round before.

Decides that a registry in force is the very one that was received: a document that was altered in the database stops
the round. What putting in force takes is `province_node.registry`'s, what a change touches `quality.authority`'s.
"""

from __future__ import annotations

import json
from typing import Final

import duckdb

from hub.catalog import Catalog, load_catalog
from hub.errors import NotInitialisedError
from hub.registry import versions
from hub.settings import Node
from hub.store import open_store
from province_node.state import meta, set_meta
from quality.authority import Change, touched_fields

OWNERS: Final = "registry.owners"


def catalog_in_force(node: Node, catalog: Catalog) -> tuple[Catalog, str | None]:
    """The catalogue with the registry in force and its document, proven to be the one received (E3444 otherwise).

    (catalogue as it is, None) while the shipped registry is in force, as in a node without a database.
    """
    store = open_store(node.database_url, load_catalog())
    try:
        with store.reading() as reader:
            version = versions.in_force(reader.connection)
            if version.batch_id is None:
                return catalog, None
            versions.check_signed(reader.connection, version, None)
            return versions.under(catalog, version), version.document
    except NotInitialisedError:
        return catalog, None
    finally:
        store.close()


def pending_changes(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> tuple[Change, ...]:
    """Data items whose owner differs from the one the state was last settled under; () for an empty state."""
    known = meta(con, OWNERS)
    if known is None:
        return ()
    before = {tuple(k.split(".")): (tuple(o), bool(f)) for k, (o, f) in json.loads(known).items()}
    return touched_fields(before, catalog)


def note_settled(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """What the state is settled under from now on."""
    owners = {f"{e}.{f}": [list(a.order), a.fill] for (e, f), a in catalog.registry.owners.items()}
    set_meta(con, OWNERS, json.dumps(owners, sort_keys=True))
