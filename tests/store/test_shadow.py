"""A snapshot's shadow tables have the columns of the golden ones, whatever revision made them (protocol 9.2)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub.store import Store
from tests.store.conftest import BACKENDS


@pytest.mark.parametrize("store", BACKENDS, indirect=True)
def test_a_shadow_that_lacks_a_later_column_has_it_after_the_next_upgrade(store: Store) -> None:
    with store.begin() as tx:
        tx.connection.execute(sa.text("ALTER TABLE z_bj DROP COLUMN bjmc"))
        tx.connection.execute(sa.text("DROP TABLE z_zy"))
    store.upgrade()
    with store.looking() as connection:
        found = sa.inspect(connection)
        for name in ("bj", "zy"):
            there = [c["name"] for c in found.get_columns(f"z_{name}")]
            assert there == [c.name for c in store.tables.shadow[name].columns]
