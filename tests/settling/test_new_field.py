"""A data item, or a column a site's layout takes in, reaches the records a node has settled already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hub.catalog import Catalog, load_catalog
from province_node import settle
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import SECOND_DAY

ONE = p.student(5, p.A)
NEW, LATER = "JGDXZQHM", "LXDH"


def before(site: Path | None = None) -> Catalog:
    """The definitions as they were when 籍贯 was not yet collected: neither entity nor source layout has it."""
    catalog = load_catalog(site)
    student, s1 = catalog.entities["xs"], catalog.systems["S1"]
    fields = tuple(f for f in student.fields if f.name != NEW)
    tables = tuple(
        replace(t, columns=tuple(c for c in t.columns if c.name != NEW)) if t.entity == "xs" else t for t in s1.tables
    )
    owners = {place: owner for place, owner in catalog.registry.owners.items() if place != ("xs", NEW)}
    return replace(
        catalog,
        entities={**catalog.entities, "xs": replace(student, fields=fields)},
        systems={**catalog.systems, "S1": replace(s1, tables=tables)},
        registry=replace(catalog.registry, owners=owners),
    )


def test_a_new_data_item_is_read_from_the_sources_for_every_record_and_only_its_entity_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Settled(tmp_path, base.clean())
    with monkeypatch.context() as earlier:
        earlier.setattr(settle, "load_catalog", before)
        node.day()
    columns = "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'g_xs' AND column_name = ?"
    assert node.ask(columns, [NEW]) == [(0,)]
    done = node.day(SECOND_DAY)
    assert done.whole
    assert {name for name, balance in done.settled.balance.items() if balance.updated} == {"xs"}
    (total,) = node.ask("SELECT count(*) FROM g_xs")[0]
    assert done.settled.changes.counts.rows == done.settled.changes.counts.updated == total > 0
    assert node.ask(f"SELECT {NEW} FROM g_xs WHERE GRBSM = ?", [ONE.xs["GRBSM"]]) == [(ONE.xs[NEW],)]
    assert ONE.xs[NEW]
    assert node.day(SECOND_DAY).settled.changes.counts.rows == 0


def unread(site: Path | None = None) -> Catalog:
    """The layout before a site completed it: a column that the platform has was left out."""
    catalog = load_catalog(site)
    s1 = catalog.systems["S1"]
    tables = tuple(
        replace(t, columns=tuple(c for c in t.columns if c.name != LATER)) if t.entity == "xs" else t for t in s1.tables
    )
    return replace(catalog, systems={**catalog.systems, "S1": replace(s1, tables=tables)})


def test_a_completed_layout_is_read_by_for_every_record_in_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Settled(tmp_path, base.clean())
    with monkeypatch.context() as earlier:
        earlier.setattr(settle, "load_catalog", unread)
        node.day()
    held = f"SELECT {LATER} FROM g_xs WHERE GRBSM = ?"
    assert node.ask(held, [ONE.xs["GRBSM"]]) == [(None,)]
    done = node.day(SECOND_DAY)
    assert done.whole
    assert node.ask(held, [ONE.xs["GRBSM"]]) == [(ONE.xs[LATER],)]
    assert ONE.xs[LATER]
    assert node.day(SECOND_DAY).settled.changes.counts.rows == 0
