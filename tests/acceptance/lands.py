"""A small province and the ministry, a few rounds old, and the steps of both by short names."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hub.batch.cosign import add_signature
from hub.batch.grant import EpochGrant
from hub.catalog import load_catalog
from hub.settings import Node
from hub.store import TableDigest
from hub.trust.keys import DevelopmentFileSigner
from ministry_node.desk import Desk
from ministry_node.epoch import propose_epoch, publish_epoch
from ministry_node.intake import IntakeResult, open_bench, run_intake
from pipelines.lab.setup import Lab
from province_node.deliver import Delivered, deliver
from province_node.listen import Listened, listen
from province_node.publish import Published, publish_pending
from tests.round.labs import AT, copy_lab, point_at, rows, settle, store_of

CATALOG = load_catalog()


@contextmanager
def desk_of(node: Node, at: datetime = AT) -> Iterator[Desk]:
    """The ministry's desk."""
    with open_bench(node, at=at, rng=os.urandom, progress=lambda _a, _b: None, clock=time.monotonic) as bench:
        yield bench.desk


def root(lab: Lab, n: int) -> DevelopmentFileSigner:
    """The n-th offline ministry key."""
    folder = lab.folder / "offline-keys"
    key, cert = (folder / f"root{n}.key.pem").read_bytes(), (folder / f"root{n}.cert.pem").read_text()
    return DevelopmentFileSigner.load(key, cert, where=f"root{n}")


def golden(node: Node, party: str = "13") -> dict[str, TableDigest]:
    """Digest of every golden table of a party."""
    store = store_of(node)
    try:
        return {e.name: store.digest(e, party) for e in CATALOG.entities.values()}
    finally:
        store.close()


def position(node: Node) -> dict[str, Any]:
    """The one row of `peer_stream`, up/main of province 13."""
    (row,) = (r for r in rows(node, "peer_stream") if r["stream"] == "main")
    return dict(row)


@dataclass(frozen=True)
class Land:
    """Both nodes of a lab. Steps take the time they are done at."""

    lab: Lab

    @property
    def province(self) -> Node:
        return self.lab.province

    @property
    def ministry(self) -> Node:
        return self.lab.ministry

    @property
    def out(self) -> Path:
        return self.lab.exchange_root / "p13" / "out"

    @property
    def ready(self) -> Path:
        return self.lab.exchange_root / "p13" / "in" / "ready"

    def copy(self, folder: Path) -> Land:
        return Land(copy_lab(self.lab, folder))

    def settle(self, sources: Path) -> Land:
        """A settling round over other sources; the state counts it, the store has not heard of it."""
        lab = point_at(self.lab, sources)
        settle(lab)
        return Land(lab)

    def publish(self, at: datetime = AT) -> tuple[Published, ...]:
        return publish_pending(self.province, at=at, rng=os.urandom)

    def deliver(self, at: datetime = AT, *, again: bool = False) -> Delivered:
        return deliver(self.province, at=at, again=again)

    def intake(self, at: datetime = AT) -> IntakeResult:
        return run_intake(self.ministry, at=at)

    def listen(self, at: datetime = AT) -> Listened:
        return listen(self.province, at=at)

    def exchange(self, at: datetime = AT) -> list[str]:
        """Publish, ship, take in, hear; the ministry's verdicts."""
        self.publish(at)
        self.deliver(at)
        done = self.intake(at)
        self.listen(at)
        return [d.verdict for d in done.decisions]

    def grant(self, *, base: str = "continue", reason: str = "演练", at: datetime = AT) -> EpochGrant:
        """Proposed, signed by two holders one after the other, published."""
        with desk_of(self.ministry, at) as desk:
            made = propose_epoch(desk, "13", base=base, reason=reason)
            body = made.body
            for n in (1, 2):
                body = add_signature(body, root(self.lab, n), where=made.name)
            return publish_epoch(desk, made.name, body)

    def keep(self, node: Node, folder: Path) -> Path:
        """A backup of a node's folder."""
        shutil.copytree(node.folder, folder)
        return folder

    def restore(self, node: Node, backup: Path) -> None:
        """The node as it was when the backup was taken."""
        shutil.rmtree(node.folder)
        shutil.copytree(backup, node.folder)
