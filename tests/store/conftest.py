"""One empty, upgraded store per test, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from tests.servers import PostgresServer
from tests.store.oracle import oracle_schema

# What runs everywhere; Oracle joins the contract where `ORACLE_URL` names one.
BACKENDS = ("sqlite", "postgresql")
CONTRACT = (*BACKENDS, "oracle")
OpenStore = Callable[[str], Store]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def new_store(catalog: Catalog, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """A function from a backend's name to a new, upgraded store."""
    with ExitStack() as stack:

        def make(backend: str) -> Store:
            url = stack.enter_context(oracle_schema()) if backend == "oracle" else new_url(backend, tmp_path, request)
            store = open_store(url, catalog, busy_seconds=1)
            stack.callback(store.close)
            store.upgrade()
            return store

        yield make


@pytest.fixture(params=CONTRACT)
def store(request: pytest.FixtureRequest, new_store: OpenStore) -> Store:
    return new_store(request.param)


def new_url(backend: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """URL of an empty database."""
    if backend == "sqlite":
        return f"sqlite:///{folder / 'node.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database("store")
