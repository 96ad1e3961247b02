"""The data dictionary is the definitions, all of them, and nothing from anywhere else."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from hub.catalog import load_catalog
from hub.cli.dictionary import write_dictionary

LINK = re.compile(r'(?:href|src)="([^"]+)"')


def test_every_definition_stands_in_the_dictionary(tmp_path: Path) -> None:
    catalog = load_catalog()
    write_dictionary(catalog, tmp_path)
    for entity in catalog.entities.values():
        page = (tmp_path / f"entity-{entity.name}.html").read_text(encoding="utf-8")
        for field in entity.fields:
            assert f'<span id="{field.name}">' in page
            assert field.cn.replace("&", "&amp;") in page
    rules = (tmp_path / "rules.html").read_text(encoding="utf-8")
    assert all(f'id="{rule}"' in rules for rule in catalog.rules)
    sources = (tmp_path / "sources.html").read_text(encoding="utf-8")
    assert all(table.name in sources for table in catalog.source_tables())
    templates = (tmp_path / "templates.html").read_text(encoding="utf-8")
    assert all(template.cn in templates for template in catalog.templates.values())
    for table in catalog.codes.tables.values():
        page = (tmp_path / f"code-{table.name}.html").read_text(encoding="utf-8")
        assert all(f"<td>{code}</td>" in page for code in table.codes)


def test_every_rule_stands_with_its_message_severity_and_thresholds(tmp_path: Path) -> None:
    catalog = load_catalog()
    write_dictionary(catalog, tmp_path)
    page = (tmp_path / "rules.html").read_text(encoding="utf-8")
    for rule in catalog.rules.values():
        row = page[page.index(f'<span id="{rule.id}">') :].split("</tr>")[0]
        assert escape(rule.message) in row
        assert f"<td>{rule.severity}</td>" in row
        assert all(f"{name} = " in row for name in rule.thresholds), rule.id


def test_every_link_leads_somewhere_inside(tmp_path: Path) -> None:
    pages = write_dictionary(load_catalog(), tmp_path)
    texts = {name: (tmp_path / name).read_text(encoding="utf-8") for name in [*pages, "style.css"]}
    for name, text in texts.items():
        assert "<script" not in text
        assert "url(" not in text
        for target in LINK.findall(text):
            page, _, anchor = target.partition("#")
            assert page in texts, f"{name} → {target}"
            assert not anchor or f'id="{anchor}"' in texts[page], f"{name} → {target}"


def test_equal_definitions_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_dictionary(load_catalog(), tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_no_example_of_a_mask_shows_a_whole_number(tmp_path: Path) -> None:
    write_dictionary(load_catalog(), tmp_path)
    for path in tmp_path.glob("entity-*.html"):
        assert not re.search(r"\d{17}[\dXx]|1[3-9]\d{9}", path.read_text(encoding="utf-8")), path.name
