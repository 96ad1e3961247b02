"""A province's own system (自建系统融合) by a mapping file alone: its tables and columns as canonical ones, no Python.

Decides what a mapping may say and that it says it of fields that exist; turns it into the same `SourceTable`s the
national platforms have, so that extracting, finding change and normalising are the ones of every source. Reading
through it is `connectors.mapped`. A mapping is a site's file: what is wrong with it raises `UsageError`.

    system: X1                      # X1 … X9; the name under which sources.toml gives its URL
    name: 某省中职学生管理系统
    letter: A                       # provenance letter, A to E
    version: 1
    tables:
      - table: T_STUDENT
        entity: xs
        key: [STU_NO]               # native columns of the primary key
        updated: UPD_TIME           # change column; without one the table is read whole every round
        state: {column: ZT, cancelled: ["9"]}
        columns:
          - {name: STU_NO, field: GRBSM}
          - {name: SEX, field: XBM, form: code, codes: {M: "1", F: "2"}}
          - {name: NATION, field: MZM, form: label}

A table of students may name people by 学籍号 or by 证件号, one of staff by 教职工号 or by 证件号 (MODEL §6): a table
of another entity than the person's own gives the card as `xs.SFZJH` or `jzg.SFZJH` (with `….SFZJLXM`; else 居民身份证).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made
from pathlib import Path
from typing import Any, Final

import yaml

from hub.catalog import Catalog, SourceColumn, SourceSystem, SourceTable
from hub.errors import UsageError

SYSTEM: Final = re.compile(r"X[1-9]")
LETTERS: Final = "ABCEGHIJKMNQRUVWXYZ"
FORMS: Final = ("text", "code", "label", "date8", "date-dash", "yyyymm", "month-dash", "yyyy", "number", "timestamp")
KEY, UPDATED, STATE = "_KEY", "_UPDATED", "_STATE"
ID_TYPE, ID_NO = "_ID_TYPE", "_ID_NO"
# The person's number in a key, and the entity whose card stands for it.
PERSONS = {"GRBSM": "xs", "GH": "jzg"}


@dataclass(frozen=True)
class OwnColumn:
    """A native column and the canonical field it feeds; `codes`: native value → canonical code."""

    name: str
    field: str
    form: str = "text"
    codes: Mapping[str, str] = made(default_factory=dict)


@dataclass(frozen=True)
class OwnTable:
    """A native table. `canonical`: how the settling sees it; `native`: how the connector reads it."""

    table: str
    columns: tuple[OwnColumn, ...]
    cancelled: frozenset[str]
    state: str | None
    canonical: SourceTable
    native: SourceTable


@dataclass(frozen=True)
class OwnSystem:
    """A province's own system: id, name, letter, and its tables by entity."""

    system: SourceSystem
    tables: tuple[OwnTable, ...]

    @property
    def id(self) -> str:
        return self.system.system


def load_mapping(path: Path, catalog: Catalog) -> OwnSystem:
    """A mapping file checked against the catalogue; `UsageError` E2430 names the place in the file."""
    try:
        doc = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - text only, no objects
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise _wrong(path, "不是可读的 YAML 文件", "按 README 中的样例改正") from None
    if not isinstance(doc, dict):
        raise _wrong(path, "内容不是一个映射", "按 README 中的样例改正")
    system, letter = str(doc.get("system", "")), str(doc.get("letter", ""))
    if not SYSTEM.fullmatch(system):
        raise _wrong(path, "system 须为 X1 至 X9", "例如 system: X1")
    if len(letter) != 1 or letter not in LETTERS or catalog.registry.letters.get(letter, system) != system:
        raise _wrong(path, "letter 须为一个未被占用的大写字母", f"可用：{LETTERS}")
    listed = doc.get("tables")
    if not isinstance(listed, list) or not listed:
        raise _wrong(path, "没有写 tables", "至少写一张表")
    tables = tuple(_table(path, catalog, system, t) for t in listed)
    twice = sorted(
        {t.canonical.entity or "" for t in tables if [x.canonical.entity for x in tables].count(t.canonical.entity) > 1}
    )
    if twice:
        raise _wrong(
            path, f"同一实体有多张表：{'、'.join(twice)}", "一个实体只对应一张表或视图；多表请在自建系统中建视图"
        )
    canonical = tuple(t.canonical for t in tables)
    version = str(doc.get("version", "1"))
    if not version.isdigit():
        raise _wrong(path, "version 须为整数", "例如 version: 1")
    return OwnSystem(SourceSystem(system, str(doc.get("name", system)), letter, int(version), canonical), tables)


def _table(path: Path, catalog: Catalog, system: str, doc: Any) -> OwnTable:
    if not isinstance(doc, dict) or not doc.get("table"):
        raise _wrong(path, "tables 中有一项没有 table", "写明自建系统的表名或视图名")
    name, entity_name = str(doc["table"]), str(doc.get("entity", ""))
    if entity_name not in catalog.entities:
        raise _wrong(path, f"表 {name} 的 entity 不存在：{entity_name or '（空）'}", "、".join(catalog.entities))
    entity = catalog.entities[entity_name]
    columns = tuple(_column(path, name, entity.by_name, c) for c in _list(path, name, doc.get("columns"), "columns"))
    fields = [c.field for c in columns]
    if twice := sorted({f for f in fields if fields.count(f) > 1}):
        raise _wrong(path, f"表 {name} 有多列对应同一字段：{'、'.join(twice)}", "每个字段只对应一列")
    if lacking := [k for k in entity.key if k not in fields and not _by_card(entity_name, k, fields)]:
        raise _wrong(path, f"表 {name} 没有列对应主键字段：{'、'.join(lacking)}", "为主键字段各写一列")
    key = tuple(str(k) for k in _list(path, name, doc.get("key"), "key"))
    if coded := [c.name for c in columns if c.name in key and c.codes]:
        raise _wrong(
            path, f"表 {name} 的主键列不能有 codes：{'、'.join(coded)}", "主键值原样比较；需要换算的在自建系统中建视图"
        )
    state = doc.get("state")
    if state is not None and (not isinstance(state, dict) or not state.get("column")):
        raise _wrong(path, f"表 {name} 的 state 写法不对", 'state: {column: 列名, cancelled: ["注销值"]}')
    marker = str(state["column"]) if state else None
    cancelled = frozenset(str(v) for v in (state or {}).get("cancelled", ()))
    updated = str(doc["updated"]) if doc.get("updated") else None
    title = str(doc.get("name", name))
    native = SourceTable(
        system, name, title, key, _native_columns(columns, key, updated, marker), entity_name, updated=updated
    )
    return OwnTable(
        name,
        columns,
        cancelled,
        marker,
        _canonical(system, name, title, entity_name, columns, key, updated, marker),
        native,
    )


def _native_columns(
    columns: tuple[OwnColumn, ...], key: tuple[str, ...], updated: str | None, marker: str | None
) -> tuple[SourceColumn, ...]:
    """Every native column once, those that only steer reading too."""
    found = {c.name: SourceColumn(c.name, c.name, "C", c.form) for c in columns}
    for name in (*key, *([marker] if marker else ())):
        found.setdefault(name, SourceColumn(name, name, "C", "text"))
    if updated:
        found[updated] = SourceColumn(updated, updated, "TS", "timestamp")
    return tuple(found.values())


def _canonical(
    system: str, name: str, title: str, entity: str, columns: tuple[OwnColumn, ...], key: tuple[str, ...],
    updated: str | None, marker: str | None,
) -> SourceTable:  # fmt: skip
    """The same table under canonical names; native keys, update time and state under names of ours."""
    made = [SourceColumn(c.field, c.field, "C", c.form) for c in columns]
    own = {c.name: c.field for c in columns}
    keys = tuple(own.get(k, f"{KEY}{at}") for at, k in enumerate(key))
    made += [SourceColumn(k, k, "C", "text") for k in keys if k.startswith(KEY)]
    made += [SourceColumn(UPDATED, UPDATED, "TS", "timestamp")] if updated else []
    made += [SourceColumn(STATE, STATE, "C", "text")] if marker else []
    return SourceTable(
        system, name, title, keys, tuple(made), entity, updated=UPDATED if updated else None,
        state=STATE if marker else None,
    )  # fmt: skip


def _column(path: Path, table: str, fields: Mapping[str, Any], doc: Any) -> OwnColumn:
    if not isinstance(doc, dict) or not doc.get("name") or not doc.get("field"):
        raise _wrong(path, f"表 {table} 有一列没有 name 或 field", "每列写 name（自建系统列名）与 field（标准字段）")
    name, target, form = str(doc["name"]), _field(str(doc["field"]), fields), str(doc.get("form", "text"))
    if target not in fields and target not in (ID_TYPE, ID_NO):
        raise _wrong(path, f"表 {table} 列 {name} 的 field 不存在：{target}", "用 hub schema show 查看标准字段")
    if form not in FORMS:
        raise _wrong(path, f"表 {table} 列 {name} 的 form 不认识：{form}", f"可用：{'、'.join(FORMS)}")
    codes = doc.get("codes") or {}
    if not isinstance(codes, dict):
        raise _wrong(path, f"表 {table} 列 {name} 的 codes 写法不对", 'codes: {自建值: "标准代码"}')
    return OwnColumn(name, target, form, {str(k).strip(): str(v) for k, v in codes.items()})


def _field(target: str, fields: Mapping[str, Any]) -> str:
    """The canonical field; the card of the person whom a row is about has a name of ours."""
    of, _, name = target.partition(".")
    person = next((PERSONS[k] for k in PERSONS if k in fields), None)
    return {"SFZJLXM": ID_TYPE, "SFZJH": ID_NO}.get(name, target) if of == person else target


def _by_card(entity: str, key: str, fields: list[str]) -> bool:
    """Whether a row that lacks its person's number says who it is by the card."""
    own = entity == PERSONS.get(key) and "SFZJH" in fields
    return key in PERSONS and (own or ID_NO in fields)


def _list(path: Path, table: str, value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _wrong(path, f"表 {table} 没有写 {what}", f"{what}: [...]")
    return value


def _wrong(path: Path, what: str, step: str) -> UsageError:
    return UsageError("E2430", f"映射文件有误：{what}", where=path.name, step=step)
