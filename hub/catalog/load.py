"""Reads `schemas/` (and a site's own dictionaries) into a `Catalog`.

Leaves meaning to the rooms above. A malformed definition is our own mistake and raises `RuntimeError`; a malformed
source layout or site dictionary is the site's and raises `InputError`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

try:  # libyaml's scanner takes a tenth of the time; PyYAML built without it has the one in Python
    from yaml import CSafeLoader as _SafeLoader
except ImportError:
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

from hub.catalog.authority import read_registry
from hub.catalog.model import (
    Catalog,
    Codes,
    CodeTable,
    Entity,
    Field,
    Parent,
    Registry,
    Rule,
    SourceSystem,
    Template,
    TemplateColumn,
    Threshold,
)
from hub.catalog.shelves import LABEL, division_shelves, label_shelves, major_shelf, map_shelf, with_shelves
from hub.catalog.sources import read_system
from hub.errors import InputError
from schemas import ROOT

# Order in which entities are settled: main records before what depends on them (ruling 1).
ENTITY_ORDER = (
    "xx",
    "xq",
    "zy",
    "bj",
    "jzg",
    "jg",
    "jzg_gz",
    "xs",
    "xs_sx",
    "xs_xj",
    "xs_yd",
    "xs_jz",
    "xs_jtcy",
    "xs_by",
)
# No national dictionary was obtained for these; a site loads its own (ruling 8).
SITE_TABLES = {
    "LOCAL_YRXS": "用人形式",
    "LOCAL_QDHTQK": "签订合同情况",
    "LOCAL_XXJSYYNL": "信息技术应用能力",
    "LOCAL_QYGZSC": "企业工作（实践）时长",
    "LOCAL_DY": "学校驻地地域码",
    "LOCAL_LZHZBXXS": "联招合作办学形式",
    "LOCAL_JSXY": "结束学业码",
}
# Placeholders stand in these tables, so a code outside them is not an error.
OPEN_TABLES = {"LOCAL_LZHZLX"}


@lru_cache(maxsize=8)
def load_catalog(site_dictionaries: Path | None = None) -> Catalog:
    """The catalogue of this installation; `site_dictionaries`: the site's own labels and codes (ruling 8)."""
    entities = {name: _entity(name) for name in ENTITY_ORDER}
    systems = {s.system: s for s in (_system(p, entities) for p in sorted((ROOT / "sources").glob("*.yaml")))}
    templates = {t.name: t for t in (_template(p) for p in sorted((ROOT / "templates").glob("*.yaml")))}
    return Catalog(
        entities=entities,
        systems=systems,
        templates=templates,
        registry=_registry(entities),
        rules=_rules(),
        rules_version=int(_yaml(ROOT / "rules.yaml")["version"]),
        codes=_codes(site_dictionaries),
    )


def _yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrLoader)  # noqa: S506 - a SafeLoader subclass


class _StrLoader(_SafeLoader):
    """YAML without the 1.1 surprises: `no`, `010` and dates stay text; only true/false and plain integers are typed."""


_StrLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _int(value: str | None) -> int | None:
    return int(value) if value is not None else None


def _entity(name: str) -> Entity:
    doc = _yaml(ROOT / "entities" / f"{name}.yaml")
    fields = tuple(
        Field(**{**f, "length": _int(f.get("length")), "scale": int(f.get("scale", 0))}) for f in doc["fields"]
    )
    parents = tuple(Parent(p["entity"], p["rule"], tuple(p["by"].items())) for p in doc.get("parents", ()))
    return Entity(doc["entity"], doc["name"], doc["group"], tuple(doc["key"]), fields, parents)


def _system(path: Path, entities: Mapping[str, Entity]) -> SourceSystem:
    try:
        document = _yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(
            "E1115", "源系统版式有误：不是正确的 YAML 文件", where=f"schemas/sources/{path.name}", step="改正格式后重试"
        ) from None
    return read_system(document, entities, path)


def _template(path: Path) -> Template:
    doc = _yaml(path)
    columns = tuple(TemplateColumn(**c) for c in doc["columns"])
    return Template(doc["template"], doc["name"], tuple(doc["match"]), columns)


def _registry(entities: Mapping[str, Entity]) -> Registry:
    return read_registry((ROOT / "authority.yaml").read_text(encoding="utf-8"), entities)


def _rules() -> dict[str, Rule]:
    doc = _yaml(ROOT / "rules.yaml")
    return {r["id"]: _rule(r) for r in doc["rules"]}


def _rule(line: dict[str, Any]) -> Rule:
    rule = Rule(
        **{
            **line,
            "scope": tuple(line["scope"]),
            "executed": tuple(line["executed"]),
            "blocks": line["blocks"] == "true",
            "thresholds": {n: _threshold(v) for n, v in line.get("thresholds", {}).items()},
        }
    )
    if rule.blocks != (rule.severity == "错误"):
        raise RuntimeError(f"{rule.id}: severity 错误 blocks, and nothing else does")
    return rule


def _threshold(value: str | list[str]) -> Threshold:
    """Numbers become numbers; codes (a leading zero) and month-days stay text."""
    values = value if isinstance(value, list) else [value]
    plain = all(re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", v) for v in values)
    typed = tuple((float(v) if "." in v else int(v)) if plain else v for v in values)
    return typed if isinstance(value, list) else typed[0]


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (ROOT / "codes" / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _codes(site: Path | None) -> Codes:
    names: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    for row in _rows("tables.csv"):
        names[row["table"]] = row["table_name"]
        values.setdefault(row["table"], {})[row["code"]] = row["name"]
    values["XSLB"] |= values.pop("LOCAL_XSLB")
    shelves = {
        **division_shelves(_rows("divisions.csv")),
        **major_shelf("2010", _rows("majors_2010.csv")),
        **major_shelf("2021", _rows("majors_2021.csv")),
        **map_shelf(_rows("majors_2010_2021.csv")),
        **label_shelves(_rows("labels.csv")),
    }
    every = [*values, *(t for t in SITE_TABLES if t not in values)]
    national = {**{n: dict(values.get(n, {})) for n in every}, **shelves}
    labels = {n.removeprefix(LABEL): dict(t) for n, t in shelves.items() if n.startswith(LABEL)}
    loaded = _site(site, values, labels) if site else frozenset()
    tables = {
        n: CodeTable(n, names.get(n, SITE_TABLES.get(n, n)), values.get(n, {}), _is_open(n, loaded))
        for n in [*values, *(t for t in SITE_TABLES if t not in values)]
    }
    variants = {r["variant"]: r["plain"] for r in _rows("variant_characters.csv")}
    nothing = Codes(tables, labels, frozenset(), frozenset(), {}, {}, {}, loaded, {}, variants, national)
    return with_shelves(nothing, shelves)


def _is_open(table: str, loaded: frozenset[str]) -> bool:
    return table in OPEN_TABLES or (table in SITE_TABLES and table not in loaded)


def _site(path: Path, values: dict[str, dict[str, str]], labels: dict[str, dict[str, str]]) -> frozenset[str]:
    """Adds a site's dictionaries in place; returns the tables it loaded (ruling 8)."""
    loaded: set[str] = set()
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        need = {"source_label", "target_table", "target_code"}
        if not need <= set(reader.fieldnames or ()):
            missing = "、".join(sorted(need - set(reader.fieldnames or ())))
            raise InputError(
                "E1101", f"站点字典缺少列：{missing}", where=path.name, step="按 labels.csv 的列名补全表头后重试"
            )
        for line, row in enumerate(reader, start=2):
            table, label, code = (
                row[c].strip() if row[c] else "" for c in ("target_table", "source_label", "target_code")
            )
            if not (table and label and code):
                raise InputError(
                    "E1102", "站点字典有空单元格", where=f"{path.name} 第 {line} 行", step="补全该行或删除该行"
                )
            values.setdefault(table, {})[code] = label
            labels.setdefault(table, {})[label] = code
            loaded.add(table)
    return frozenset(loaded)
