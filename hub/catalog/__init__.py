"""The definitions of `schemas/` as values; see `load_catalog`."""

from hub.catalog.load import ENTITY_ORDER, load_catalog
from hub.catalog.model import (
    Authority,
    Catalog,
    Codes,
    CodeTable,
    Entity,
    Field,
    Parent,
    Registry,
    Rule,
    SourceColumn,
    SourceSystem,
    SourceTable,
    Template,
    TemplateColumn,
)

__all__ = [
    "ENTITY_ORDER",
    "Authority",
    "Catalog",
    "CodeTable",
    "Codes",
    "Entity",
    "Field",
    "Parent",
    "Registry",
    "Rule",
    "SourceColumn",
    "SourceSystem",
    "SourceTable",
    "Template",
    "TemplateColumn",
    "load_catalog",
]
