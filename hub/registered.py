"""What both sides hold byte for byte before they exchange anything: schema and code set of a batch (protocol 3.3).

Decides the digests. The schema covers the columns of every entity's change file, name and type, in order; the code set
covers code tables, divisions, major catalogues and labels (shipped, or those of a registry version). A site's own
dictionaries stay out (ruling 8: they replace missing national tables in one province), so that province and ministry
reckon the same digest.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from hub.batch import strictjson, wire
from hub.batch.manifest import CodesetRef, SchemaRef
from hub.catalog import Catalog
from hub.changes import change_schema

SCHEMA_ID: Final = "student-core"
SCHEMA_VERSION: Final = "1.0.0"


def schema_ref(catalog: Catalog) -> SchemaRef:
    """The schema this installation seals and accepts: digest over the canonical JSON of all change schemas."""
    body = {name: [[c.name, _kind(c.type)] for c in change_schema(e)] for name, e in catalog.entities.items()}
    return SchemaRef(SCHEMA_ID, SCHEMA_VERSION, wire.digest_of(strictjson.emit(body)))


def codeset_ref(catalog: Catalog, *, version: int | None = None) -> CodesetRef:
    """The code set of a catalogue: registry version, and the digest of its tables whatever a site has added to them.

    `version`: the registry version rows were settled under, where the catalogue does not have that registry. A version
    that brought code tables of its own is asked as `hub.registry.versions.codeset_of`.
    """
    body = {name: dict(table) for name, table in catalog.codes.national.items()}
    return CodesetRef(version or catalog.registry.version, wire.digest_of(strictjson.emit(body)))


def _kind(kind: Any) -> str:
    """Our own words for Arrow types, so that another Arrow version spells nothing differently."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return {"string": "text", "int64": "integer"}[str(kind)]
