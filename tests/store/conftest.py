"""One empty, upgraded store per test, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from tests.servers import PostgresServer

BACKENDS = ("sqlite", "postgresql")
OpenStore = Callable[[str], Store]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def new_store(catalog: Catalog, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """A function from a backend's name to a new, upgraded store."""
    opened: list[Store] = []

    def make(backend: str) -> Store:
        store = open_store(new_url(backend, tmp_path, request), catalog, busy_seconds=1)
        opened.append(store)
        store.upgrade()
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, new_store: OpenStore) -> Store:
    return new_store(request.param)


def new_url(backend: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """URL of an empty database."""
    if backend == "sqlite":
        return f"sqlite:///{folder / 'node.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database("store")
