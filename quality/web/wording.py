"""What conflicts, sources, values and schools are called on pages: names people know beside the codes they are.

Decides wording and masking (console 1: lists stay masked; the one way to plain values is `hub.web.plaintext.reveal`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from hub.catalog import Catalog, Field
from hub.masking import is_masked, mask_value
from hub.roles import rights
from hub.roles_store import ACTIVE, operators
from hub.store import Reader
from quality import places
from quality.decisions_query import NONE

SOURCES: Final = {
    "S1": "学籍系统",
    "S2": "教师系统",
    "S3": "机构代码系统",
    "L": "学校补录",
    "P": "原有值",
    "D": "裁决值",
}
EMPTY: Final = "（空）"


def source_name(catalog: Catalog, source: str | None) -> str:
    """学籍系统; a province's own system by its own name."""
    if source in SOURCES:
        return SOURCES[source]
    found = catalog.systems.get(source or "")
    return found.cn if found is not None else source or "—"


def entity_name(catalog: Catalog, entity: str) -> str:
    """学生基本信息"""
    found = catalog.entities.get(entity)
    return found.cn if found is not None else entity


def field_of(catalog: Catalog, row: Mapping[str, Any]) -> Field | None:
    """The field a conflict is about; None where rows exclude each other as a whole."""
    return catalog.entities[row["entity"]].by_name.get(row["field"] or "")


def field_name(catalog: Catalog, entity: str, field: str | None) -> str:
    """民族码"""
    found = catalog.entities[entity].by_name.get(field or "") if entity in catalog.entities else None
    return found.cn if found is not None else field or "整行"


def reason_name(catalog: Catalog, rule: str | None, *, clash: bool = False) -> str:
    """原因: the rule's name."""
    found = catalog.rules.get(rule or "")
    return found.name if found is not None else "多行互相排斥" if clash else "来源不一致"


def private(catalog: Catalog, row: Mapping[str, Any]) -> bool:
    """Whether the conflict's values are masked by default."""
    field = field_of(catalog, row)
    return field is not None and is_masked(field)


def value_shown(catalog: Catalog, field: Field | None, value: str | None, *, plain: bool = False) -> str:
    """01 汉族; masked unless `plain`; （空） for no value."""
    if value is None or value == "":
        return EMPTY
    if field is not None and is_masked(field) and not plain:
        return mask_value(field, value) or EMPTY
    label = code_label(catalog, field, value)
    shown = value if plain else mask_value(field, value) or EMPTY
    return f"{shown} {label}" if label else shown


def code_label(catalog: Catalog, field: Field | None, value: str) -> str:
    """汉族, for a value of a field with a code table; empty otherwise."""
    table = catalog.codes.tables.get(field.code) if field is not None and field.code else None
    return (table.codes.get(value, "") if table is not None and table.codes else "") or ""


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


@cache
def province_names() -> dict[str, str]:
    """河北省 by 13."""
    text = (files("schemas") / "codes" / "divisions.csv").read_text(encoding="utf-8")
    return {r["code"][:2]: r["name"] for r in csv.DictReader(io.StringIO(text)) if r["code"].endswith("0000")}
