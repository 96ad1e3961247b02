"""A store on the Oracle of `ORACLE_URL`; without one its tests are skipped and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from tests.store.oracle import oracle_schema


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def store(catalog: Catalog) -> Iterator[Store]:
    """An empty, upgraded store."""
    with oracle_schema() as url:
        made = open_store(url, catalog, busy_seconds=1)
        made.upgrade()
        yield made
        made.close()
