"""An upgraded store per test on each database, with conflicts as a round would have found them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from connectors.sample.run import generate
from hub.catalog import Catalog, load_catalog
from hub.store import Store, open_store
from pipelines.lab.setup import Lab
from province_node.publish import publish_pending
from province_node.settle import Options, run_round
from tests.decisions.labs import Province, province_of
from tests.decisions.rows import wrongly_marked
from tests.round.labs import AT, TODAY, new_lab
from tests.servers import PostgresServer
from tests.store.oracle import oracle_schema

BACKENDS = ("sqlite", "postgresql", "oracle")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, catalog: Catalog) -> Iterator[Store]:
    with ExitStack() as stack:
        if request.param == "oracle":
            url = stack.enter_context(oracle_schema())
        elif request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'node.db'}"
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            url = server.create_database("decisions")
        made = open_store(url, catalog, busy_seconds=1)
        made.upgrade()
        yield made
        assert wrongly_marked(made) == []
        made.close()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decision-sources") / "day1"
    generate(folder, province="13", students=3000, seed=1)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Lab:
    """Settled and published once for all tests here."""
    lab = new_lab(tmp_path_factory.mktemp("decision-lab") / "lab", sources)
    run_round(lab.province, Options(today=TODAY, judge=False), nonce=lambda: os.urandom(32).hex())
    publish_pending(lab.province, at=AT, rng=os.urandom)
    return lab


@pytest.fixture
def province(template: Lab, sources: Path, tmp_path: Path) -> Iterator[Province]:
    made = province_of(template, sources, tmp_path)
    yield made
    assert wrongly_marked(made.store) == []
    made.store.close()
