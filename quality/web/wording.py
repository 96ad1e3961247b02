"""What conflicts, sources, values and schools are called on pages: names people know beside the codes they are.

Decides wording and masking (console 1: lists stay masked; the one way to plain values is `hub.web.plaintext.reveal`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.catalog import Catalog
from hub.labels import code_label
from hub.masking import is_masked
from hub.roles import rights
from hub.roles_store import ACTIVE, operators
from hub.store import Reader
from quality import places
from quality.decisions_query import NONE
from quality.decisions_words import (
    EMPTY,
    SOURCES,
    entity_name,
    field_name,
    field_of,
    reason_name,
    source_name,
    value_shown,
)

__all__ = [
    "EMPTY",
    "SOURCES",
    "code_label",
    "deciders",
    "entity_name",
    "field_name",
    "field_of",
    "person_names",
    "private",
    "province_names",
    "reason_name",
    "school_names",
    "source_name",
    "value_shown",
]


def private(catalog: Catalog, row: Mapping[str, Any]) -> bool:
    """Whether the conflict's values are masked by default."""
    field = field_of(catalog, row)
    return field is not None and is_masked(field)


def deciders(reader: Reader) -> list[str]:
    """Accounts that may decide, to whom work can be assigned."""
    found = operators(reader)
    return [
        o["name"] for o in found if o["state"] == ACTIVE and any("propose" in rights()[g["role"]] for g in o["grants"])
    ]


def person_names(reader: Reader) -> dict[str, str]:
    """Accounts by person: people are compared by person and known by account."""
    names: dict[str, list[str]] = {}
    for one in operators(reader):
        names.setdefault(one["person"], []).append(one["name"])
    return {person: "、".join(found) for person, found in names.items()}


def school_names(reader: Reader, node: str, codes: Iterable[str | None]) -> dict[str, str]:
    """Names of schools by their 标识码."""
    wanted = sorted({c for c in codes if c and c != NONE})
    return {code: name or code for code, name in places.school_names(reader, node, wanted).items()} if wanted else {}


def province_names(catalog: Catalog) -> dict[str, str]:
    """河北省 by 13, as the node's registry in force names them."""
    names = catalog.codes.division_names
    return {code[:2]: name for code, name in names.items() if code.endswith("0000")}
