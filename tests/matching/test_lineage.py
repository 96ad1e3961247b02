"""A record that took another number is told with its old one, masked, under the same record number (ruling 19)."""

from __future__ import annotations

import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.cli.trace import Tracer
from hub.store import open_store
from hub.store.ledger import KEY_CHANGE
from pipelines.lab.setup import Lab
from tests.down.conftest import empty_template, lab

__all__ = ["empty_template", "lab"]


def test_a_key_change_is_part_of_the_lineage_and_masked(lab: Lab) -> None:
    catalog = load_catalog()
    old, new = "L130102201001010011", "G13010220100101001X"
    store = open_store(lab.province.database_url, catalog)
    with store.begin() as tx:
        row = {"entity": "xs", "pk": "a" * 20, "cs_no": 2, "old_key": old, "new_key": new}
        tx.connection.execute(sa.insert(KEY_CHANGE), row)
    with store.reading() as reader:
        (told,) = Tracer(lab.province, catalog, reader).key_changes(catalog.entities["xs"], "a" * 20)
        (plain,) = Tracer(lab.province, catalog, reader, plain=True).key_changes(catalog.entities["xs"], "a" * 20)
        assert Tracer(lab.province, catalog, reader).key_changes(catalog.entities["xs"], "b" * 20) == []
    store.close()
    assert (plain["old_key"], plain["new_key"], plain["change_set"]) == (old, new, 2)
    assert old not in told["old_key"]
    assert new not in told["new_key"]
