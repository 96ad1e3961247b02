"""One whole round of a laboratory (`hub lab run`): settle, publish, ship, take in, hear the receipts.

Decides only the order of the steps; each is the same function that the nodes' own commands run. A round that was cut
off anywhere is finished by the next one, because every step takes up what the one before it left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hub.catalog import load_catalog
from hub.keyring import open_keyring
from hub.store import TableDigest, open_store
from ministry_node.intake import IntakeResult, run_intake
from pipelines.lab.credentials import Random, renew_trust
from pipelines.lab.setup import Lab, open_lab, publish_trust
from province_node.deliver import Delivered, deliver
from province_node.findings import on_day
from province_node.listen import Listened, listen
from province_node.publish import Published, publish_pending
from province_node.settle import Options, Round, run_round

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class TablePair:
    """Digest of one entity's table at both tiers (rows and SHA-256, `hub.store.reader`)."""

    entity: str
    cn: str
    province: TableDigest
    ministry: TableDigest

    @property
    def equal(self) -> bool:
        return self.province == self.ministry


@dataclass(frozen=True)
class LabRound:
    """What a round did, step by step. Several entries in the last three: the window was full in between."""

    lab: Lab
    round: Round
    published: tuple[Published, ...]
    delivered: tuple[Delivered, ...]
    intakes: tuple[IntakeResult, ...]
    listened: tuple[Listened, ...]


def run_lab(
    folder: Path,
    *,
    today: str,
    at: datetime,
    rng: Random,
    full: bool = False,
    review: bool = True,
    allow_deletes: bool = False,
    allow_volume: bool = False,
    party: str | None = None,
    progress: Progress = lambda _step, _what: None,
) -> LabRound:
    """A whole round. `today` (YYYY-MM-DD): the date dated rules see; `at`: aware, now; `rng(n)`: n random bytes.

    `party`: which province of the lab, the first by default.

    `progress(step, what)`, steps `extract`, `settle`, `publish`, `deliver`, `intake`, `listen`. Raises what the steps
    raise; what earlier steps committed stays and the next round goes on from there.
    """
    lab = open_lab(folder, party)
    _keep_trust_fresh(lab, at)
    # What a round that died after its state committed has left (protocol 6.4), before anything new is settled.
    left = publish_pending(lab.province, at=at, rng=rng, progress=progress, before_round=True)
    options = Options(
        today=today, full=full, review=review, allow_deletes=allow_deletes, allow_volume=allow_volume,
        at=on_day(today, at),
    )  # fmt: skip
    settled = run_round(lab.province, options, nonce=lambda: rng(32).hex(), progress=progress)
    published = (*left, *publish_pending(lab.province, at=at, rng=rng, progress=progress))
    delivered, intakes, listened = _exchange(lab, at, progress)
    return LabRound(lab, settled, published, tuple(delivered), tuple(intakes), tuple(listened))


def _exchange(lab: Lab, at: datetime, progress: Progress) -> tuple[list[Delivered], list[IntakeResult], list[Listened]]:
    """Ship, take in, hear, as often as receipts make room for what waits."""
    delivered, intakes, listened = [], [], []
    while True:
        delivered.append(
            deliver(lab.province, at=at, progress=lambda name, done, size: progress("deliver", f"{name} {done}/{size}"))
        )
        progress("intake", "部级接收")
        intakes.append(run_intake(lab.ministry, at=at))
        progress("listen", "回执")
        listened.append(listen(lab.province, at=at))
        if not delivered[-1].waiting or not listened[-1].receipts:
            return delivered, intakes, listened


def table_digests(lab: Lab) -> tuple[TablePair, ...]:
    """Both tiers' tables of the province, entity by entity; reads every row of both databases once."""
    catalog = load_catalog()
    here, there = (open_store(node.database_url, catalog) for node in (lab.province, lab.ministry))
    party = lab.province.party
    try:
        return tuple(
            TablePair(e.name, e.cn, here.digest(e, party), there.digest(e, party)) for e in catalog.entities.values()
        )
    finally:
        here.close()
        there.close()


def _keep_trust_fresh(lab: Lab, at: datetime) -> None:
    """A lab plays the offline key holders as well: it renews a trust list that is about to lapse."""
    current = open_keyring(lab.province, at=at).trust
    renewed = renew_trust(lab.folder, lab.province, lab.ministry, current, at=at)
    if renewed is None:
        return
    publish_trust(lab.exchange_root, lab.province, renewed)
