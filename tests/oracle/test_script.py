"""`hub db upgrade --sql` for Oracle: what an administrator runs in SQL*Plus makes the same database."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store import Store, open_store
from hub.store.oracle_stage import REJECT, drop_stages, standing
from hub.store.revisions import newest
from tests.oracle.findings import VERSIONS
from tests.oracle.judge import judge
from tests.oracle.rules import faults
from tests.oracle.statements import of_script
from tests.store.oracle import oracle_schema
from tests.store.rows import apply, change, stored

URL = "oracle+oracledb://hub:x@localhost/?service_name=XJ"  # never connected to


@pytest.fixture(scope="module")
def unconnected() -> Store:
    from hub.catalog import load_catalog

    return open_store(URL, load_catalog())


@pytest.mark.parametrize("since", [None, "0012"])
def test_the_script_of_an_administrator_is_oracles_and_binds_nothing(unconnected: Store, since: str | None) -> None:
    script = unconnected.upgrade_sql(since)
    said = of_script(script)
    blocks = [s for s in said if s.startswith("BEGIN")]
    plain = [s for s in said if not s.startswith("BEGIN")]
    assert [(f, s[:200]) for s in plain for v in VERSIONS for f in faults(s, v)] == []
    assert judge(s.removesuffix(";") for s in said).refused == ()
    assert [s[:200] for s in said if re.search(r"(?<![\w:']):[a-z]\w*", s) or "&" in s] == []
    assert all(s.endswith("END;") for s in blocks)
    assert not any(s.endswith(";") for s in plain)
    stages = {t.name for t in standing(unconnected.tables)}
    made = [n for s in said for n in re.findall(r"CREATE (?:GLOBAL TEMPORARY )?TABLE (\w+)", s)]
    assert {*stages, REJECT.name} <= set(made)
    assert len(blocks) == (0 if since is None else len(stages) + 1)
    assert "NLS_LANG" in script.partition("WHENEVER")[0]
    assert "WHENEVER SQLERROR EXIT FAILURE" in script


def test_nothing_is_to_be_run_where_nothing_is_to_be_done(unconnected: Store) -> None:
    assert of_script(unconnected.upgrade_sql(newest())) == []


def test_a_schema_made_by_the_script_is_one_that_the_hub_takes_up(catalog: Catalog) -> None:
    with oracle_schema(bare=True) as url:
        store = open_store(url, catalog)
        with store._engine.begin() as connection:
            drop_stages(connection, store.tables)  # the stand-in lists no temporary table, so the tests left them
            for statement in of_script(store.upgrade_sql(None)):
                connection.execute(sa.text(statement.replace(":", "\\:")))
        current, head = store.revision()
        assert current == head
        store.upgrade()
        bj = catalog.entities["bj"]
        assert apply(store, bj, change(bj, "I", 1, 1, BJMC="一班")) == (1, 0, 0, 0)
        assert [r["BJMC"] for r in stored(store, bj)] == ["一班"]
        store.close()
