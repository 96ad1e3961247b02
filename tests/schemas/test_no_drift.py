"""One definition, many derived: each derived form has exactly the fields of the entity, and a new field reaches all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from openpyxl import load_workbook

from connectors.templates import SCHOOL_ENTITIES, STATED, derive, derived_templates, write_template
from hub.catalog import Authority, Catalog, Entity, Field, load_catalog
from hub.changes import HEAD, change_schema
from hub.cli.dictionary import kind_words, write_dictionary
from hub.registered import schema_ref
from hub.store.history_tables import HELD_FROM
from hub.store.tables import HEAD as GOLDEN_HEAD
from hub.store.tables import build_tables
from quality.contributions import payload_ddl, sql_type
from quality.suites import ORIGIN, RECORD, build_suite, checks

TODAY = "2026-11-23"
NEW = Field(
    "XZBQ", "新增标签", "C", "O", "code", "P2", length=1, code="XB", element="ZZJX029999", note="试加的数据项"
)  # fmt: skip
NAMES = tuple(load_catalog().entities)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def grown(catalog: Catalog) -> Catalog:
    """The catalogue with one more field in one entity, as one more line in its YAML would give it."""
    entity = catalog.entities["bj"]
    wider = Entity(entity.name, entity.cn, entity.group, entity.key, (*entity.fields, NEW), entity.parents)
    owners = {**catalog.registry.owners, ("bj", NEW.name): Authority(("L",), True)}
    return replace(
        catalog,
        entities={**catalog.entities, "bj": wider},
        registry=replace(catalog.registry, owners=owners),
    )


def _fits(field: Field, arrow: pa.DataType, column: sa.Column[object]) -> bool:
    """True when the Arrow type and the database type hold exactly what the definition says."""
    kind = column.type
    if field.type == "T":
        return bool(arrow == pa.string()) and isinstance(kind, sa.Text | sa.String)
    if field.type == "C":
        return (
            bool(arrow == pa.string()) and isinstance(kind, sa.String) and kind.length == (field.width or field.length)
        )
    assert field.length is not None
    if field.scale == 0 and field.length <= 18:
        return bool(arrow == pa.int64()) and isinstance(kind, sa.BigInteger)
    exact = isinstance(kind, sa.Numeric) and (kind.precision, kind.scale) == (field.length, field.scale)
    return bool(arrow == pa.decimal128(field.length, field.scale)) and exact


@pytest.mark.parametrize("name", NAMES)
def test_change_files_tables_and_settling_state_hold_the_same_fields(catalog: Catalog, name: str) -> None:
    entity = catalog.entities[name]
    schema = change_schema(entity)
    golden = build_tables(catalog).golden[name]
    assert schema.names == [*(n for n, _ in HEAD), *entity.columns]
    assert [c.name for c in golden.columns] == [
        *GOLDEN_HEAD,
        *(c.lower() for c in entity.columns),
        HELD_FROM,
    ]
    assert payload_ddl(entity) == ", ".join(f'"{f.name}" {sql_type(f)}' for f in entity.fields)
    for field in entity.fields:
        assert _fits(field, schema.field(field.name).type, golden.c[field.name.lower()]), field.name


@pytest.mark.parametrize("name", NAMES)
def test_the_suite_asks_of_each_field_what_its_definition_says(catalog: Catalog, name: str) -> None:
    entity = catalog.entities[name]
    found = checks(catalog, entity, today=TODAY)
    assert {c for check in found for c in check.columns} <= {*entity.columns, ORIGIN, RECORD}
    asked = {(c.rule, c.field): c for c in found}
    assert len(asked) == len(found), "two checks under one name"
    for field in entity.fields:
        table = catalog.codes.tables[field.code] if field.code else None
        closed = table is not None and not table.open
        assert (("YX05", field.name) in asked) == (closed or field.kind.startswith("division")), field.name
        assert (("YX18", field.name) in asked) == (field.type == "C"), field.name
        if (
            field.type == "C"
        ):  # where a site loaded no dictionary, words stand for codes and the column is as wide as they need
            longest = field.width if table is not None and table.open else field.length
            assert asked["YX18", field.name].arguments == {"max_value": longest}
    for check in found:
        rule = catalog.rules[check.rule]
        assert (check.severity, check.dimension) == (rule.severity, rule.dimension)
        # Telephone numbers and divisions are noted wherever a field is of that kind; rules.yaml names main entities.
        assert rule.scope == ("*",) or name in rule.scope or check.rule in ("YX06", "YX16"), check.rule


def test_the_suite_of_the_library_carries_rule_severity_and_dimension(catalog: Catalog) -> None:
    for name in ("xs", "xx"):
        found = checks(catalog, catalog.entities[name], today=TODAY)
        suite = build_suite(name, found)
        assert [e.meta for e in suite.expectations] == [c.meta() for c in found]
        assert all(set(e.meta) == {"rule", "field", "severity", "dimension"} for e in suite.expectations)


@pytest.mark.parametrize("name", SCHOOL_ENTITIES)
def test_a_schools_template_has_every_field_a_school_may_fill(catalog: Catalog, name: str) -> None:
    entity = catalog.entities[name]
    owners = catalog.registry.owners
    fillable = {f"{name}.{f.name}" for f in entity.fields if f.name in entity.key or owners[name, f.name].fill}
    stated = {target for target in STATED if target.startswith(f"{name}.")}  # compared with the hub's own count only
    assert {c.target for c in derive(entity, catalog).columns if c.target} == fillable | stated
    assert {c.header for c in derive(entity, catalog).columns} <= {f.cn for f in entity.fields}


def test_the_data_dictionary_lists_every_field_code_table_and_rule(catalog: Catalog, tmp_path: Path) -> None:
    write_dictionary(catalog, tmp_path)
    for entity in catalog.entities.values():
        page = (tmp_path / f"entity-{entity.name}.html").read_text(encoding="utf-8")
        for field in entity.fields:
            assert field.name in page
            assert kind_words(field) in page
            assert field.element is None or field.element in page
    rules = (tmp_path / "rules.html").read_text(encoding="utf-8")
    assert all(rule in rules for rule in catalog.rules)
    assert all((tmp_path / f"code-{table}.html").is_file() for table in catalog.codes.tables)


def test_a_new_field_reaches_every_derived_form(catalog: Catalog, grown: Catalog, tmp_path: Path) -> None:
    entity = grown.entities["bj"]
    assert change_schema(entity).field(NEW.name).type == pa.string()
    assert change_schema(entity).names == [*change_schema(catalog.entities["bj"]).names, NEW.name]
    column = build_tables(grown).golden["bj"].c[NEW.name.lower()]
    assert isinstance(column.type, sa.String)
    assert column.type.length == 1
    assert f'"{NEW.name}" VARCHAR' in payload_ddl(entity)
    before = checks(catalog, catalog.entities["bj"], today=TODAY)
    added = [c for c in checks(grown, entity, today=TODAY) if c not in before]
    assert {(c.rule, c.field) for c in added} == {("YX05", NEW.name), ("YX18", NEW.name)}
    assert len(build_suite("bj", tuple(checks(grown, entity, today=TODAY))).expectations) == len(before) + 2
    (template,) = (t for t in derived_templates(grown) if t.name == "bj")
    write_template(template, tmp_path / "bj.xlsx", catalog=grown)
    sheet = load_workbook(tmp_path / "bj.xlsx")["sheet1"]
    assert NEW.cn in [cell.value for cell in sheet[1]]
    write_dictionary(grown, tmp_path / "dictionary")
    page = (tmp_path / "dictionary" / "entity-bj.html").read_text(encoding="utf-8")
    assert all(text in page for text in (NEW.name, NEW.cn, NEW.note, str(NEW.element)))
    assert schema_ref(grown).digest != schema_ref(catalog).digest, "a batch of the new layout must not pass as the old"


def test_a_changed_length_moves_table_and_suite_together(catalog: Catalog) -> None:
    entity = catalog.entities["bj"]
    fields = tuple(replace(f, length=77) if f.name == "BJMC" else f for f in entity.fields)
    longer = replace(catalog, entities={**catalog.entities, "bj": replace(entity, fields=fields)})
    column = build_tables(longer).golden["bj"].c["bjmc"]
    assert isinstance(column.type, sa.String)
    assert column.type.length == 77
    limit = {(c.rule, c.field): c.arguments for c in checks(longer, longer.entities["bj"], today=TODAY)}
    assert limit["YX18", "BJMC"] == {"max_value": 77}
