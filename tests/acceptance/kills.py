"""SIGKILL at random instants of a real run of both tiers over SFTP, compared with a run that nobody disturbed.

Every step is a process of its own, as a node's services are; it dies after a random part of the time it usually takes,
or lives. What may not happen at any time is looked for after every death (`torn`), what must hold in the end when the
dust has settled (`differences`). The same seed draws the same deaths; where exactly they fall is the machine's affair,
which is the point.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from hub.batch.envelope import PayloadType, parse
from hub.batch.receipt import read_receipt
from hub.errors import HubError
from hub.ledgercheck import chained
from hub.settings import Node
from ministry_node.fsck import fsck as ministry_fsck
from pipelines.lab.setup import open_lab
from province_node.fsck import fsck as province_fsck
from tests.acceptance.crashes import step
from tests.acceptance.lands import CATALOG, Land, desk_of, golden
from tests.round.labs import AT, audit_holds, rows, settle, store_of
from tests.servers import PostgresServer, SshServer, start_sshd

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.acceptance.kills"])
EXCHANGE = ("publish", "deliver", "intake", "listen")
ALL = ("settle", *EXCHANGE)
_RETRYABLE = 75
# A step that lives may take so long; what dies is drawn over a little more than it took in the calm run.
_PATIENCE, _REACH, _LONGEST = 120.0, 1.2, 8.0


@dataclass
class Told:
    """What a run was made of."""

    deaths: Counter[str] = field(default_factory=Counter)
    lives: Counter[str] = field(default_factory=Counter)
    retryable: int = 0

    def __str__(self) -> str:
        died = ", ".join(f"{name} {n}" for name, n in sorted(self.deaths.items()))
        return (
            f"{sum(self.deaths.values())} deaths ({died}), {sum(self.lives.values())} lives, {self.retryable} retries"
        )


@contextmanager
def over_sftp(land: Land, folder: Path) -> Iterator[Land]:
    """The lab with a real SFTP server between the tiers; what lies in its exchange place goes over."""
    folder.mkdir()
    server: SshServer = start_sshd(folder)
    try:
        shutil.copytree(land.lab.exchange_root, server.root, dirs_exist_ok=True)
        province = {"transport": server.url("13"), "sftp_key": str(server.client_key)}
        _set(land.province, **province, sftp_host_keys=[server.host_key_line])
        _set(land.ministry, transport=f"folder:{server.root}")
        yield Land(open_lab(land.lab.folder))
    finally:
        server.stop()


def on_copies(land: Land, server: PostgresServer) -> Land:
    """The lab's folders with databases of their own: a copy of the folders alone would share them."""
    for node in (land.province, land.ministry):
        _set(node, database=server.copy_database(node.database_url))
    return Land(open_lab(land.lab.folder))


def calm_run(land: Land, steps: tuple[str, ...]) -> dict[str, float]:
    """The same without a death; how long each step took. The first one, which starts the server of processes, is
    repeated for that."""
    took = {}
    assert _process(land.lab.folder, steps[0], AT, None) == 0
    for name in steps:
        began = time.monotonic()
        assert _process(land.lab.folder, name, AT, None) == 0, name
        took[name] = time.monotonic() - began
    return took


def disturbed_run(
    land: Land,
    steps: tuple[str, ...],
    took: dict[str, float],
    draw: random.Random,
    *,
    deaths: int = 0,
    seconds: float = 0,
) -> Told:
    """Steps in their order or out of it, most of which die, until there were so many deaths or the time is over."""
    told, at, end = Told(), AT, time.monotonic() + seconds
    while sum(told.deaths.values()) < deaths or time.monotonic() < end:
        name = steps[sum(told.lives.values()) % len(steps)] if draw.random() < 0.7 else draw.choice(steps)
        after = draw.random() * min(took[name] * _REACH, _LONGEST) if draw.random() < 0.8 else None
        code = _process(land.lab.folder, name, at, after)
        if code == -signal.SIGKILL:
            told.deaths[name] += 1
            assert torn(land) == [], f"after {name}"
        else:
            assert code in (0, _RETRYABLE), f"{name} ended with {code}"
            told.lives[name] += 1
            told.retryable += code == _RETRYABLE
        at += timedelta(minutes=draw.choice((1, 20, 300)))
    come_to_rest(land, at, told)
    return told


def come_to_rest(land: Land, at: datetime, told: Told) -> None:
    """No more deaths: rounds until every batch has its receipt."""
    if "settle" in told.deaths or "settle" in told.lives:
        assert _process(land.lab.folder, "settle", at, None) == 0
    for _ in range(8):
        for name in EXCHANGE:
            assert _process(land.lab.folder, name, at, None) == 0, name
        if {row["state"] for row in rows(land.province, "outbox")} == {"APPLIED"}:
            return
        at += timedelta(hours=5)
    raise AssertionError("the stream does not come to rest")


def torn(land: Land) -> list[str]:
    """Batches of which the ministry has one effect without the others (protocol 1.3 #3)."""
    inbox = {(r["seq"], r["digest"]) for r in rows(land.ministry, "inbox") if r["stream"] == "main"}
    (here,) = (r for r in rows(land.ministry, "peer_stream") if r["stream"] == "main")
    decided = {r["seq"] for r in rows(land.ministry, "receipt") if r["type"] in ("APPLIED", "PARTIAL", "VOID")}
    lineage = {int(r["cs_no"]) % 10**10 for r in rows(land.ministry, "lineage")}
    sealed = {(r["seq"], r["digest"]) for r in rows(land.province, "outbox")}
    signs = {
        "position": (here["last_seq"], here["last_digest"]) == max(inbox),
        "receipts": decided == {seq for seq, _ in inbox},
        "lineage": lineage <= {seq for seq, _ in inbox},
        "sealed": inbox <= sealed,
    }
    return [name for name, holds in signs.items() if not holds]


def differences(land: Land, calm: Land) -> list[str]:
    """What is otherwise than after the run that nobody disturbed, or than the protocol wants it."""
    found = []
    if golden(land.province) != golden(land.ministry):
        found.append("the tiers hold different rows")
    if content(land.ministry) != content(calm.ministry):
        found.append("other rows than without a death")
    sealed = [(row["seq"], row["digest"]) for row in rows(land.province, "outbox", "seq")]
    if [seq for seq, _ in sealed] != list(range(1, len(sealed) + 1)):
        found.append("a number is missing or used twice")
    if [(row["seq"], row["digest"]) for row in rows(land.ministry, "inbox", "seq")] != sealed:
        found.append("not every batch was decided exactly once")
    for node in (land.province, land.ministry):
        bodies = [bytes(row["body"]) for row in rows(node, "receipt", "seq, receipt_no")]
        receipts = [read_receipt(parse(body, PayloadType.RECEIPT).payload) for body in bodies]
        if chained(receipts) != len(receipts):
            found.append("the receipts do not chain")
        if not audit_holds(node):
            found.append("the audit log does not hold")
    with desk_of(land.ministry) as desk:
        found += [str(one) for one in ministry_fsck(desk, ["13"])]
    store = store_of(land.province)
    try:
        found += [str(one) for one in [province_fsck(land.province, store)] if one]
    finally:
        store.close()
    return found


def content(node: Node) -> dict[str, str]:
    """Digest of every golden table without what a read that was repeated may change: extract numbers, moments."""
    said = {}
    store = store_of(node)
    try:
        with store.reading() as reader:
            for entity in CATALOG.entities.values():
                columns = ",".join(("pk", "row_ver", "prov", *(name.lower() for name in entity.columns)))
                query = sa.text(f"SELECT {columns} FROM g_{entity.name} ORDER BY pk")
                found = [tuple(row) for row in reader.connection.execute(query)]
                said[entity.name] = hashlib.sha256(repr(found).encode()).hexdigest()
    finally:
        store.close()
    return said


def _process(folder: Path, name: str, at: datetime, after: float | None) -> int:
    """Runs a step in a process of its own, killed `after` seconds if it still lives then; its exit code."""
    process = _CONTEXT.Process(target=_run, args=(folder, name, at))
    process.start()
    process.join(_PATIENCE if after is None else after)
    if process.is_alive():
        assert after is not None, f"{name} does not end"
        process.kill()
        process.join()
    return int(process.exitcode or 0)


def _run(folder: Path, name: str, at: datetime) -> None:
    try:
        if name == "settle":
            settle(open_lab(folder))
        else:
            step(folder, name, at)
    except HubError as error:
        if not error.retryable:
            raise
        os._exit(_RETRYABLE)


def _set(node: Node, **values: object) -> None:
    file = node.folder / "hub.toml"
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if line.split(" ")[0] not in values]
    added = [f"{name} = {value!r}".replace("'", '"') for name, value in values.items()]
    file.write_text("\n".join([*kept, *added]) + "\n", encoding="utf-8")
