"""Sender and receiver killed at every step, and what a torn transaction would look like (protocol 6.4, 15 #42-#45)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.batch.admission import seal_certs
from hub.batch.cipher import decrypt_file, encrypt_file
from hub.batch.manifest import sign_manifest
from hub.errors import HubError, LockedError
from hub.keyring import open_keyring
from hub.store import Store, Transaction
from hub.store.faults import unknown_commit
from ministry_node import apply, receipts
from ministry_node import position as positions
from pipelines.lab.setup import Lab
from province_node import deliver
from tests.acceptance.crashes import Point, killed_at, step, torn
from tests.acceptance.lands import Land, golden, position
from tests.ministry.forge import Province
from tests.round.labs import AT, audit_holds, copy_lab, rows, spool

SENDER = (
    Point("publish", "province_node.sealing:encrypt_file"),
    Point("publish", "province_node.sealing:encrypt_file", after=True, call=3),
    Point("publish", "province_node.publish:sign_batches"),
    Point("publish", "province_node.ledger:write_outbox", after=True),
    Point("publish", "province_node.publish:move", after=True),
    Point("publish", "province_node.publish:_seal_and_store", after=True),
    Point("deliver", "hub.transport.folder:FolderClient._write_part", after=True, call=2),
    Point("deliver", "hub.transport.folder:FolderClient._commit", after=True, call=4),
    Point("deliver", "province_node.deliver:_note_sent"),
    Point("deliver", "province_node.deliver:_note_sent", after=True),
)
LISTENER = (
    Point("listen", "province_node.listen:_write"),
    Point("listen", "province_node.listen:_write", after=True),
    Point("listen", "province_node.listen:_store", after=True),
)


@pytest.mark.row(42, "sender killed at each of its crash points", "exactly once, no seq re-used")
def test_row_42_a_sender_killed_at_every_step_ends_as_one_that_never_was(settled: Lab, settled_template: Lab, tmp_path: Any) -> None:  # fmt: skip  # noqa: E501
    whole = copy_lab(settled_template, tmp_path / "whole")
    for name in ("publish", "deliver", "intake", "listen"):
        step(whole.folder, name, AT)
    for point in SENDER:
        killed_at(settled.folder, point, AT)
        for row in rows(settled.province, "outbox"):
            assert (row["seq"], bool(row["digest"])) == (1, True)
    sealed = rows(settled.province, "outbox")[0]["digest"]
    kept = spool(settled.province)
    step(settled.folder, "publish", AT)
    step(settled.folder, "deliver", AT)
    assert spool(settled.province) == kept
    step(settled.folder, "intake", AT)
    for point in LISTENER:
        killed_at(settled.folder, point, AT)
    step(settled.folder, "listen", AT)

    assert golden(settled.ministry) == golden(settled.province) == golden(whole.ministry)
    (row,) = rows(settled.province, "outbox")
    assert (row["seq"], row["digest"], row["state"]) == (1, sealed, "APPLIED")
    (decided,) = rows(settled.ministry, "inbox")
    assert (decided["digest"], decided["verdict"]) == (sealed, "APPLIED")
    assert [r["receipt_no"] for r in rows(settled.province, "receipt")] == [1]
    assert audit_holds(settled.province)
    assert audit_holds(settled.ministry)


@pytest.mark.row(44, "negative controls: two transactions; encrypting anew", "suite must go red")
def test_row_44_rows_and_position_in_two_transactions_are_seen_as_torn(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged, before = province.batch(), province.state()
    province.upload(forged)
    whole = Transaction.apply

    def early(self: Transaction, *arguments: Any, **named: Any) -> Any:
        counts = whole(self, *arguments, **named)
        self.connection.exec_driver_sql("COMMIT")
        self.connection.exec_driver_sql("BEGIN IMMEDIATE")
        return counts

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "apply", early)
        patch.setattr(receipts, "issue", killed)
        with pytest.raises(KeyboardInterrupt):
            province.intake()
    assert torn(province, before, forged.digest) == ["rows"]


def _encrypting_anew(land: Land, spool: Path, row: Any) -> list[Path]:
    """What a sender ships that seals once more on every retry: other ciphertext, another manifest, well signed."""
    keys, manifest = open_keyring(land.province, at=AT), deliver._manifest(row)
    certs = [c.cert for c in seal_certs(manifest.stream_id, keys.trust, AT)]
    entries, plain = [], land.province.work / "plain"
    for entry in manifest.files:
        decrypt_file(spool / entry.name, plain, *keys.decryption, expect=entry.digest)
        (spool / entry.name).unlink()
        entries.append(replace(entry, digest=encrypt_file(plain, spool / entry.name, certs, os.urandom)))
        plain.unlink()
    _, envelope = sign_manifest(replace(manifest, files=tuple(entries)), keys.signer)
    path = spool / f"{manifest.batch_id}.manifest.dsse"
    path.write_bytes(envelope)
    return [*(spool / entry.name for entry in entries), path]


@pytest.mark.row(44, "negative controls: two transactions; encrypting anew", "suite must go red")
@pytest.mark.parametrize("anew", [False, True])
def test_row_44_a_sender_that_encrypts_anew_on_retry_is_found_out_and_the_true_one_is_not(
    prepared: Land, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """The province's own sender, once as it is and once encrypting on every retry; its first receipt is lost."""
    land, first = prepared, []
    land.publish()
    land.deliver()
    assert [d.verdict for d in land.intake().decisions] == ["APPLIED"]
    for path in land.out.glob("*-s0000000002.receipt1.dsse"):
        first.append(path.read_bytes())
        path.unlink()
    before = golden(land.ministry)
    if anew:
        monkeypatch.setattr(deliver, "_files", lambda spool, row: _encrypting_anew(land, spool, row))
    land.deliver(again=True)
    verdicts = [(d.verdict, d.code) for d in land.intake().decisions]
    land.listen()
    (state,) = (row["state"] for row in rows(land.province, "outbox") if row["seq"] == 2)
    seen = (verdicts, state, position(land.ministry)["state"], golden(land.ministry) == before)
    held = ([("DUPLICATE", None)], "APPLIED", "OPEN", True)
    red = ([("REJECTED", "E_SEQ_FORK")], "SENT", "E_SEQ_FORK", True)
    assert seen == (red if anew else held)
    if not anew:
        assert [path.read_bytes() for path in land.out.glob("*-s0000000002.receipt1.dsse")] == first


@contextmanager
def _begin(store: Store, whole: Callable[..., Any], fault: HubError, *, commits: bool) -> Iterator[Transaction]:
    """A transaction whose COMMIT loses its connection: after taking effect, or before."""
    with whole(store) as tx:
        yield tx
        if not commits:
            raise fault
    raise fault


LOST = ("deadlock, serialization failure, connection lost at COMMIT", "retried; unknown outcome by inbox row")


@pytest.mark.row(45, *LOST)
@pytest.mark.parametrize("commits", [True, False])
def test_row_45_a_commit_of_unknown_outcome_is_looked_up_and_happens_once(
    province: Province, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    forged = province.batch([("xx", province.changes("xx", 2))])
    province.upload(forged)
    whole, once = Store.begin, apply._once
    tries: list[int] = []

    def hit(*arguments: Any) -> Any:
        tries.append(1)
        if len(tries) > 1:
            return once(*arguments)
        with monkeypatch.context() as patch:
            lost = unknown_commit("test")
            patch.setattr(Store, "begin", lambda self: _begin(self, whole, lost, commits=commits))
            return once(*arguments)

    monkeypatch.setattr(apply, "_once", hit)
    decision = province.decide()
    assert (decision.verdict, decision.counts.upd) == ("APPLIED", 2)
    assert len(tries) == (1 if commits else 2)
    assert [r for r in province.receipts() if r[0] == 2] == [(2, 1, "APPLIED")]
    assert audit_holds(province.ministry)


@pytest.mark.row(45, *LOST)
def test_row_45_a_deadlock_is_tried_again_and_a_lasting_one_moves_nothing(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged, before = province.batch(), province.state()
    province.upload(forged)
    move, tries = positions.move, [0]

    def locked(*arguments: Any, **named: Any) -> None:
        tries[0] += 1
        if tries[0] < 6:
            raise LockedError("E3102", "deadlock")
        move(*arguments, **named)

    monkeypatch.setattr(positions, "move", locked)
    with pytest.raises(LockedError):
        province.intake()
    assert province.state() == before
    assert province.decide().verdict == "APPLIED"
    assert tries == [6]
