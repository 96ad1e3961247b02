"""An upgraded store per test on each database, with conflicts as a round would have found them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from tests.servers import PostgresServer

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, catalog: Catalog) -> Iterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'node.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create_database("decisions")
    made = open_store(url, catalog, busy_seconds=1)
    made.upgrade()
    yield made
    made.close()
