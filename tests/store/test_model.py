"""Any sequence of change rows gives the table a dictionary would give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.catalog import Catalog
from hub.store import Store
from tests.store.rows import AT, batch, change, pk, stored

ROW = st.tuples(
    st.sampled_from("IUD"),
    st.integers(0, 3),
    st.integers(1, 6),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
)
# Calls of apply, each of blocks, each of rows; a call belongs to one of two nodes.
CALLS = st.lists(st.tuples(st.sampled_from(["11", "13"]), st.lists(st.lists(ROW, max_size=4), max_size=3)), max_size=5)


@dataclass
class Model:
    """Rows and tombstones by (node, number)."""

    rows: dict[tuple[str, int], tuple[int, str | None]] = field(default_factory=dict)
    graves: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, node: str, op: str, number: int, version: int, text: str) -> None:
        key = node, number
        if version <= max(self.rows.get(key, (0, None))[0], self.graves.get(key, 0)):
            return
        if op == "D":
            self.rows.pop(key, None)
            self.graves[key] = version
        else:
            self.graves.pop(key, None)
            self.rows[key] = version, text or None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_any_sequence_of_changes_gives_the_table_a_dictionary_would(
    store: Store, catalog: Catalog, calls: list[tuple[str, list[list[Any]]]]
) -> None:
    bj, model = catalog.entities["bj"], Model()
    with store.begin() as tx:
        for table in (store.tables.golden["bj"], store.tables["tombstone"]):
            tx.connection.execute(table.delete())
    for node, blocks in calls:
        before = store.count(bj, node)
        parts = [batch(bj, [change(bj, op, n, v, BH=text) for op, n, v, text in rows]) for rows in blocks]
        with store.begin() as tx:
            counts = tx.apply(bj, node, parts, batch="b", at=AT)
        for op, number, version, text in (row for rows in blocks for row in rows):
            model.take(node, op, number, version, text)
        assert counts.rows == sum(len(rows) for rows in blocks)
        assert store.count(bj, node) == before + counts.inserted - counts.deleted
    assert {(r["node"], r["pk"]): (r["row_ver"], r["BH"]) for r in stored(store, bj)} == {
        (node, pk(n)): value for (node, n), value in model.rows.items()
    }
    with store.reading() as reader:
        query = store.tables["tombstone"].select()
        graves = {(r.node, r.pk): r.row_ver for r in reader.connection.execute(query)}
    assert graves == {(node, pk(n)): version for (node, n), version in model.graves.items()}
