"""A bench to decide at: store, keys, decoder, gate and the folders of one run, opened and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from hub.catalog import load_catalog
from hub.clock import observe
from hub.keyring import open_keyring
from hub.registered import codeset_ref, schema_ref
from hub.settings import Node
from hub.store import open_store
from hub.transport import open_server
from ministry_node.admit import Registered
from ministry_node.decode import Decoder
from ministry_node.desk import Desk, Progress, Random, china_date, own_folders, require_ministry
from ministry_node.registry import definitions_under, published_codesets
from ministry_node.verdicts import Bench
from quality.settled import RowGate


def silently(_step: str, _what: str) -> None:
    """Nobody is watching."""


@contextmanager
def open_bench(
    node: Node, *, at: datetime, rng: Random, progress: Progress, clock: Callable[[], float]
) -> Iterator[Bench]:
    """Everything a decision needs, opened and closed: store, keys, folders of this run, decoder."""
    require_ministry(node)
    catalog = load_catalog()
    keyring = open_keyring(node, at=at)
    store = open_store(node.database_url, catalog)
    try:
        judged_at = observe(store, at)
        with (
            own_folders(node, rng) as (copies, plain),
            Decoder(keyring.trust.limits) as decoder,
            RowGate(catalog, today=china_date(at), under=lambda v: definitions_under(store, v)) as gate,
        ):
            server = open_server(node.transport_url)
            desk = Desk(node, store, catalog, server, keyring, at, clock, progress, copies, plain, rng, gate, judged_at)
            published = published_codesets(store)
            yield Bench(desk, Registered(schema_ref(catalog), codeset_ref(catalog), catalog, published), decoder)
    finally:
        store.close()
