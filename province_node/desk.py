"""What publishing works with: node, catalogue, store, keys, time and randomness, opened together and closed together.

Decides what all manifests of one sealing have in common and how its audit records are signed off; a frozen stream seals
nothing (protocol 7.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.audit import Event, append
from hub.batch.admission import seal_certs
from hub.batch.manifest import CodesetRef, FileEntry
from hub.catalog import Catalog, load_catalog
from hub.down.flow import acks
from hub.errors import HubError
from hub.keyring import Keyring, open_keyring
from hub.registered import schema_ref
from hub.registry.versions import codeset_of
from hub.settings import FILE, Node
from hub.store import Reader, Store, Transaction, open_store
from province_node.head import check_not_behind
from province_node.sealing import Plan, Random, Terms, encrypting, producer
from province_node.stream import Standing, last_receipt, standing

ACTOR: Final = "hub"
Progress = Callable[[str, str], None]


def silent(_step: str, _what: str) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Desk:
    """One publishing step's tools."""

    node: Node
    catalog: Catalog
    store: Store
    keyring: Keyring
    at: datetime
    rng: Random
    progress: Progress

    def terms(self, reader: Reader, here: Standing, run: int) -> Terms:
        """What every manifest sealed now says; a plan names the code set its rows were settled under.

        Raises E3407 when the stream is frozen, E3622 when this node is behind what the ministry has (protocol 9.5).
        """
        if here.position.frozen is not None:
            raise HubError(
                "E3407",
                f"上行数据流已冻结（{here.position.frozen}），不再封装",
                where=str(here.position.stream_id),
                step="按部级通知处置，取得新的期次授权后重试",
            )
        check_not_behind(reader, here.position)
        return Terms(
            keyring=self.keyring,
            schema=schema_ref(self.catalog),
            codeset=codeset_of(reader.connection, self.catalog),
            producer=producer(self.node.party, (self.node.folder / FILE).read_bytes(), run),
            last_receipt=last_receipt(reader, here.position.stream_id),
            created=self.at,
            ack=acks(reader.connection, self.keyring, self.node.party),
        )

    def codeset(self, version: int) -> CodesetRef:
        """What a batch says of rows settled under this version of the registry (protocol 3.3)."""
        with self.store.reading() as reader:
            return codeset_of(reader.connection, self.catalog, version)

    @contextmanager
    def sealing(
        self, here: Standing, plans: Sequence[Plan]
    ) -> Iterator[tuple[Transaction, Callable[[], list[list[FileEntry]]]]]:
        """One transaction beside which the parts of `plans` are encrypted; the function waits for their entries.

        The stream stands at `here` and is locked; its batches, their records and its position are written together
        (protocol 6.1). Nothing is stored when it raises.
        """
        certs = [c.cert for c in seal_certs(here.position.stream_id, self.keyring.trust, self.at)]
        with (
            encrypting(plans, self.node.spool, certs, self.rng, threads=self.node.settings.threads) as encrypted,
            self.store.begin() as transaction,
        ):
            if standing(transaction, self.node.party, self.keyring, lock=True) != here:
                raise RuntimeError("the stream moved although the exchange was held")
            yield transaction, encrypted

    def note(self, transaction: Transaction, event: Event, subject: str, detail: Mapping[str, str | int]) -> None:
        """An audit record in the transaction of what it records."""
        append(
            transaction.connection,
            event,
            ts=self.at,
            node=self.node.party,
            actor=ACTOR,
            object=subject,
            detail=detail,
        )


@contextmanager
def open_desk(node: Node, at: datetime, rng: Random, progress: Progress) -> Iterator[Desk]:
    """Opens store and keyring; raises what they raise."""
    catalog = load_catalog()
    store = open_store(node.database_url, catalog)
    try:
        yield Desk(node, catalog, store, open_keyring(node, at=at), at, rng, progress)
    finally:
        store.close()
