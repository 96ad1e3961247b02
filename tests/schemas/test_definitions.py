"""The definitions in `schemas/` are whole: what they name exists, nothing stands twice, nothing names a machine."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import pytest
import yaml
from jsonschema import Draft202012Validator

from hub.catalog import ENTITY_ORDER, Catalog, load_catalog
from schemas import ROOT

FIELDS = {
    "xx": 26, "xq": 10, "zy": 13, "bj": 13, "jzg": 31, "jg": 10, "jzg_gz": 15, "xs": 21, "xs_sx": 24, "xs_xj": 19,
    "xs_yd": 12, "xs_jz": 11, "xs_jtcy": 14, "xs_by": 5,
}  # fmt: skip
KINDS = {"C", "N", "T"}
FORMS = {"text", "code", "label", "date8", "month6", "date", "number", "timestamp", "year"}
FILES = sorted(p for p in ROOT.rglob("*") if p.suffix in (".yaml", ".csv", ".json"))
# Where JSON Schema's own dialect is named; every other address would tie the definitions to somebody's machine.
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def test_the_14_entities_have_all_their_fields(catalog: Catalog) -> None:
    assert {name: len(entity.fields) for name, entity in catalog.entities.items()} == FIELDS
    assert tuple(catalog.entities) == ENTITY_ORDER
    assert sum(FIELDS.values()) == 224


def test_all_71_rules_are_listed_with_what_decides_their_handling(catalog: Catalog) -> None:
    assert len(catalog.rules) == 71
    listed = yaml.safe_load((ROOT / "rules.yaml").read_text(encoding="utf-8"))["rules"]
    assert len(listed) == len({r["id"] for r in listed}), "a rule is defined twice"
    prefixes = {"WZ": "完整性", "YX": "有效性", "WY": "唯一性", "YZ": "一致性", "GL": "关联性", "JS": "及时性"}
    for rule in catalog.rules.values():
        assert rule.dimension == prefixes[rule.id[:2]]
        assert rule.severity in ("错误", "警告", "提示")
        assert rule.level in ("row", "table", "cross", "run")
        assert set(rule.scope) <= {*catalog.entities, "*", "run"}


def test_every_field_says_what_it_is(catalog: Catalog) -> None:
    for entity in catalog.entities.values():
        assert set(entity.key) <= set(entity.columns)
        assert len(set(entity.columns)) == len(entity.columns)
        assert len({f.cn for f in entity.fields}) == len(entity.fields), "a template could not tell them apart"
        for field in entity.fields:
            where = f"{entity.name}.{field.name}"
            assert field.type in KINDS, where
            assert field.required in ("M", "C", "O"), where
            assert field.sensitivity in ("P0", "P1", "P2", "P3"), where
            assert (field.length is None) == (field.type == "T"), where
            assert field.mask is not None or not field.private, f"{where} is private and has no mask"


def test_no_standard_element_stands_twice_in_one_entity(catalog: Catalog) -> None:
    for entity in catalog.entities.values():
        twice = {e: n for e, n in Counter(f.element for f in entity.fields if f.element).items() if n > 1}
        assert not twice, entity.name


def test_every_code_table_a_field_names_exists_and_its_codes_fit(catalog: Catalog) -> None:
    for entity in catalog.entities.values():
        for field in entity.fields:
            if field.code is None:
                continue
            table = catalog.codes.tables[field.code]
            assert table.codes or table.open, f"{entity.name}.{field.name}: {field.code} is empty and not a site's own"
            longest = max((len(code) for code in table.codes), default=0)
            assert field.length is not None
            assert longest <= field.length, f"{entity.name}.{field.name} cannot hold a code of {field.code}"


def test_every_label_leads_to_a_code_of_its_table(catalog: Catalog) -> None:
    for name, labels in catalog.codes.labels.items():
        table = catalog.codes.tables.get(name)
        if table is not None and table.codes:
            assert set(labels.values()) <= set(table.codes), name


def test_references_lead_to_entities_and_parents_to_their_keys(catalog: Catalog) -> None:
    for entity in catalog.entities.values():
        for field in entity.fields:
            assert field.ref is None or re.match(r"\w+", field.ref)[0] in catalog.entities  # type: ignore[index]
        for parent in entity.parents:
            assert parent.rule == "" or parent.rule in catalog.rules
            assert {own for own, _ in parent.by} <= set(entity.columns)
            assert {theirs for _, theirs in parent.by} <= set(catalog.entities[parent.entity].columns)


def test_every_source_column_feeds_a_field_or_is_declared(catalog: Catalog) -> None:
    for table in catalog.source_tables():
        assert set(table.key) <= set(table.column_names), table.name
        assert len(set(table.column_names)) == len(table.columns), table.name
        if table.entity is None:
            assert table.purpose, f"{table.name} feeds nothing and says no purpose"
            continue
        entity = catalog.entities[table.entity]
        declared = {table.updated, table.state, table.approval}
        for column in table.columns:
            if column.compare is not None:
                compared, _, name = column.compare.rpartition(".")
                assert name in catalog.entities[compared or entity.name].by_name, f"{table.name}.{column.name}"
                continue
            assert column.name in entity.by_name or column.name in declared, f"{table.name}.{column.name}"
        assert {c for c in declared if c} <= set(table.column_names), table.name


def test_what_a_source_delivers_fits_the_field_it_feeds(catalog: Catalog) -> None:
    for table in catalog.source_tables():
        entity = catalog.entities[table.entity] if table.entity else None
        for column in table.columns:
            if entity is None or column.compare is not None or column.name not in entity.by_name:
                continue
            coded = entity[column.name].code is not None
            assert coded or column.form not in ("code", "label") or column.name == "XZ", f"{table.name}.{column.name}"


def test_every_entity_has_one_source_or_is_the_schools_own(catalog: Catalog) -> None:
    fed = Counter(t.entity for t in catalog.source_tables() if t.entity)
    assert max(fed.values()) == 1
    assert set(catalog.entities) - set(fed) == {"xq", "jg"}


def test_every_field_has_an_owner_the_registry_knows(catalog: Catalog) -> None:
    owners = catalog.registry.owners
    assert set(owners) == {(e.name, f.name) for e in catalog.entities.values() for f in e.fields}
    sources = set(catalog.registry.letters.values())
    for where, authority in owners.items():
        assert authority.order, where
        assert set(authority.order) <= sources, where
    assert len(catalog.registry.letters) == len(sources), "two letters for one source"
    assert all(len(letter) == 1 for letter in catalog.registry.letters)
    assert {s.system: s.letter for s in catalog.systems.values()} == {
        s: catalog.registry.letter(s) for s in catalog.systems
    }


def test_every_template_column_leads_to_a_field(catalog: Catalog) -> None:
    for template in catalog.templates.values():
        headers = [c.header for c in template.columns]
        assert len(set(headers)) == len(headers), template.name
        assert set(template.match) <= set(headers), template.name
        for column in template.columns:
            if column.parts is not None:
                entity, _, field, _ = column.parts
                assert field in catalog.entities[entity].by_name, f"{template.name}: {column.target}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_definition_file_is_well_formed(path: object) -> None:
    assert path in FILES
    file = ROOT / str(path)
    if file.suffix == ".yaml":
        assert yaml.safe_load(file.read_text(encoding="utf-8"))
    elif file.suffix == ".json":
        Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))
    else:
        with file.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle, strict=True))
        assert len({len(row) for row in rows}) == 1, "rows of different lengths"
        assert len(set(rows[0])) == len(rows[0])
        assert len(rows) > 1
        assert not file.read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_definition_names_a_machine(path: object) -> None:
    text = (ROOT / str(path)).read_text(encoding="utf-8").replace(DIALECT, "")
    assert not re.search(
        r"https?://|(?<![\w/])/(work|tmp|root|home|Users)/|[A-Z]:\\\\|localhost|\b\d+\.\d+\.\d+\.\d+\b", text
    )
