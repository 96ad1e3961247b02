"""The definitions in `schemas/` as frozen values.

Decides nothing: these are the shapes every other room reads. One `Field` per data item of the canonical model
(JY/T 1002, JY/T 1005 element numbers where they exist), one `Entity` per record type, one `SourceTable` per table of
a source system, one `Template` per xlsx layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

# Tables of which no national dictionary was obtained: without a site's own, labels stand as text (ruling 8).
OPEN_CODES = frozenset(
    {
        "LOCAL_YRXS",
        "LOCAL_QDHTQK",
        "LOCAL_XXJSYYNL",
        "LOCAL_QYGZSC",
        "LOCAL_DY",
        "LOCAL_LZHZBXXS",
        "LOCAL_JSXY",
        "LOCAL_LZHZLX",
    }
)
OPEN_WIDTH = 60


@dataclass(frozen=True)
class Field:
    """One data item. `kind` decides normalising and validity; `code` names the code table.

    `sensitivity`: P0..P3 (protocol 14.1); `mask`: how a private value is shown.
    """

    name: str
    cn: str
    type: str
    required: str
    kind: str
    sensitivity: str
    length: int | None = None
    scale: int = 0
    code: str | None = None
    ref: str | None = None
    mask: str | None = None
    element: str | None = None
    note: str = ""

    @property
    def width(self) -> int | None:
        """Characters a store must hold: the standard's length, more where labels may stand for codes."""
        return OPEN_WIDTH if self.code in OPEN_CODES else self.length

    @property
    def private(self) -> bool:
        """True for P3: masked by default, encrypted at rest later."""
        return self.sensitivity == "P3"


@dataclass(frozen=True)
class Parent:
    """A main record this entity depends on (ruling 1). `by` maps own columns to the parent's key columns."""

    entity: str
    rule: str
    by: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entity:
    """A record type: natural key, main records, fields in their standard order."""

    name: str
    cn: str
    group: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    parents: tuple[Parent, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.fields}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Payload column names, in order."""
        return tuple(f.name for f in self.fields)

    def __getitem__(self, name: str) -> Field:
        return self.by_name[name]


@dataclass(frozen=True)
class SourceColumn:
    """A column of a source table. `form` says how its values arrive.

    `compare`: the canonical field this copy is only compared with; `site`: what the site calls it, where that differs.
    """

    name: str
    cn: str
    type: str
    form: str
    length: int | None = None
    scale: int = 0
    compare: str | None = None
    site: str | None = None


@dataclass(frozen=True)
class SourceTable:
    """A table of a source system and how change is found in it. `site`: what the site calls it, where that differs."""

    system: str
    table: str
    cn: str
    key: tuple[str, ...]
    columns: tuple[SourceColumn, ...]
    entity: str | None = None
    purpose: str | None = None
    updated: str | None = None
    state: str | None = None
    approval: str | None = None
    absence: str = "delete"
    site: str | None = None

    @property
    def name(self) -> str:
        """`S1.XS_JBXX`"""
        return f"{self.system}.{self.table}"

    @cached_property
    def native(self) -> SourceTable:
        """The table under the site's own names, column by column; itself where nothing is called otherwise."""
        called = {c.name: c.site or c.name for c in self.columns}
        if self.site is None and all(name == site for name, site in called.items()):
            return self
        return replace(
            self,
            table=self.site or self.table,
            key=tuple(called[k] for k in self.key),
            columns=tuple(replace(c, name=called[c.name], site=None) for c in self.columns),
            updated=called[self.updated] if self.updated else None,
            state=called[self.state] if self.state else None,
            approval=called[self.approval] if self.approval else None,
            site=None,
        )

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


@dataclass(frozen=True)
class SourceSystem:
    system: str
    cn: str
    letter: str
    version: int
    tables: tuple[SourceTable, ...]


_TARGET = re.compile(r"^(?P<entity>\w+?)(?:\[(?P<member>\d)\])?\.(?P<field>\w+)(?::(?P<lookup>\w+))?$")


@dataclass(frozen=True)
class TemplateColumn:
    """A column of an xlsx template, found by its header text; `target` names the canonical field it fills."""

    header: str
    required: str
    target: str | None = None

    @cached_property
    def parts(self) -> tuple[str, int | None, str, str | None] | None:
        """(entity, family member number or None, field, lookup or None); None for a column that is not taken."""
        if self.target is None:
            return None
        found = _TARGET.match(self.target)
        if found is None:
            raise RuntimeError(f"template target {self.target!r} is malformed")
        member = found["member"]
        return found["entity"], int(member) if member else None, found["field"], found["lookup"]


@dataclass(frozen=True)
class Template:
    """An xlsx layout. A sheet is of this layout when all `match` headers stand in its header row."""

    name: str
    cn: str
    match: tuple[str, ...]
    columns: tuple[TemplateColumn, ...]


Threshold = int | float | str | tuple[int | float | str, ...]


@dataclass(frozen=True)
class Rule:
    """A quality rule of MODEL §7. Severity 错误 quarantines, 警告 lists, 提示 counts.

    `executed`: contribution, settled, standing, run; `thresholds`: as they apply; `enabled`: False where a node has
    switched a rule off that does not block (`hub.catalog.tuning`).
    """

    id: str
    dimension: str
    name: str
    scope: tuple[str, ...]
    level: str
    severity: str
    condition: str
    blocks: bool
    executed: tuple[str, ...]
    message: str
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    enabled: bool = True

    def number(self, name: str) -> int | float:
        """A threshold that is a number."""
        value = self.thresholds[name]
        if isinstance(value, int | float):
            return value
        raise RuntimeError(f"{self.id}.{name} is no number")

    def several(self, name: str) -> tuple[int | float | str, ...]:
        """A threshold that is a list."""
        value = self.thresholds[name]
        return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Authority:
    """Who owns a field: `order` of sources, and whether a school supplement may stand in meanwhile."""

    order: tuple[str, ...]
    fill: bool


@dataclass(frozen=True)
class Registry:
    """The authority registry: version, provenance letters, owner per field."""

    version: int
    letters: dict[str, str]
    owners: dict[tuple[str, str], Authority]

    def letter(self, source: str) -> str:
        """Provenance letter of a source id (`S1` → `S`)."""
        return next(k for k, v in self.letters.items() if v == source)


@dataclass(frozen=True)
class CodeTable:
    """A code table: code → name. `open`: no national dictionary was obtained, a site loads its own (ruling 8)."""

    name: str
    cn: str
    codes: dict[str, str]
    open: bool = False


@dataclass(frozen=True)
class Codes:
    """All code tables, label crosswalk, divisions and major catalogues of one code-set version."""

    tables: dict[str, CodeTable]
    labels: dict[str, dict[str, str]]
    divisions: frozenset[str]
    divisions_current: frozenset[str]
    majors: dict[tuple[str, str], str]
    major_map: dict[str, str]
    division_names: dict[str, str] = field(default_factory=dict)
    site_loaded: frozenset[str] = frozenset()
    division_successors: dict[str, str] = field(default_factory=dict)
    """Codes no longer in force → the code now in force; several, comma between, where a division was parted (YX06)."""
    variants: dict[str, str] = field(default_factory=dict)
    """Variant characters of names → the usual one (YZ18)."""
    national: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Code tables and shelves (`hub.catalog.shelves`) without a site's additions: as both tiers hold them."""


@dataclass(frozen=True)
class Catalog:
    """Everything `schemas/` says."""

    entities: dict[str, Entity]
    systems: dict[str, SourceSystem]
    templates: dict[str, Template]
    registry: Registry
    rules: dict[str, Rule]
    codes: Codes
    own: tuple[SourceSystem, ...] = ()
    """Systems of the province's own, from its mapping files; the shipped definitions have none."""
    rules_version: int = 0
    """Which edition of `rules.yaml` the rules are; a node's own thresholds do not count."""

    def source_tables(self) -> tuple[SourceTable, ...]:
        """All tables of all source systems."""
        return tuple(t for s in self.systems.values() for t in s.tables)

    def platform_table(self, entity: str) -> SourceTable | None:
        """The platform table that feeds an entity, None where only schools supply it (xq, jg)."""
        return next((t for t in self.source_tables() if t.entity == entity), None)
