"""Down streams: what the ministry seals arrives once, in order, believed only when signed (protocol 2.7, 6.1, 7.1)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hub.batch.cipher import check_cipher_file
from hub.batch.envelope import PayloadType, parse
from hub.batch.grant import EpochGrant, Position
from hub.batch.manifest import Manifest, read_manifest, sign_manifest
from hub.catalog import load_catalog
from hub.down.form import TABLES, plain_table, stream_of
from hub.errors import HubError, NotInitialisedError
from hub.keyring import open_keyring
from hub.store import Transaction, open_store
from hub.transport import open_server
from ministry_node.down import DownBatch, Sender, plain_parts, seal, seal_down, ship
from pipelines.lab.credentials import issue_grant
from pipelines.lab.setup import Lab
from province_node.down import DownReceived, receive_down
from province_node.down_parts import Received
from tests.round.labs import AT, audit_holds, events, keyring, rows

ERRORS = ("13", "errors")


def errors(n: int, code: str = "YX05") -> dict[str, Any]:
    """An error file of n rows."""
    body = [
        {"op": "I", "pk": f"{i:020d}", "row_ver": 1, "src_rid": f"1:{i}", "batch_id": "13-up-main-e0001-s0000000001",
         "file_no": 1, "row_no": i, "entity": "xs", "field": "SFZJH", "code": code, "detail": ""}
        for i in range(1, n + 1)
    ]  # fmt: skip
    return {"error": plain_table("errors", "error", body)}


def send(lab: Lab, n: int = 3, code: str = "YX05") -> DownBatch:
    return seal_down(
        lab.ministry, stream="errors", party="13", tables=errors(n, code), subject="test", at=AT, rng=os.urandom
    )


class Kept:
    """A handler that keeps what it was given."""

    def __init__(self, fail: Callable[[Received], None] = lambda _r: None) -> None:
        self.batches: list[Received] = []
        self._fail = fail

    def __call__(self, tx: Transaction, received: Received) -> None:
        tx.connection.exec_driver_sql(
            "INSERT INTO node_state (name, value) VALUES ('seen.' || ?, '1')", (received.batch_id,)
        )
        self._fail(received)
        self.batches.append(received)


def take(lab: Lab, kept: Kept | None = None, stream: str = "errors") -> DownReceived:
    return receive_down(lab.province, {stream: kept or Kept()}, at=AT)


def here(lab: Lab) -> list[tuple[str, str, int]]:
    """Positions of the province's down streams."""
    found = rows(lab.province, "peer_stream")
    return [(r["stream"], r["state"], r["last_seq"]) for r in found if r["direction"] == "dn"]


def out(lab: Lab, part: str = "out") -> Path:
    return lab.exchange_root / "p13" / part


def manifest_of(lab: Lab, batch: str, part: str = "out") -> Manifest:
    envelope = (out(lab, part) / f"{batch}.manifest.dsse").read_bytes()
    return read_manifest(parse(envelope, PayloadType.BATCH_MANIFEST).payload)


def test_what_the_ministry_seals_reaches_the_handler_once_and_in_order(lab: Lab) -> None:
    first, second = send(lab, 3), send(lab, 2, "YX14")
    kept = Kept()
    assert [b.batch_id for b in take(lab, kept).batches] == [first.batch_id, second.batch_id]
    assert [r.tables["error"].column("code").to_pylist() for r in kept.batches] == [["YX05"] * 3, ["YX14"] * 2]
    assert take(lab, kept) == DownReceived()
    assert here(lab) == [("errors", "OPEN", 2)]
    assert [r["batch_id"] for r in rows(lab.province, "inbox", "seq")] == [first.batch_id, second.batch_id]
    for node in (lab.province, lab.ministry):
        assert audit_holds(node)
    sent = ["下行批次封装", "下行批次发布"]
    assert [e for e, _ in events(lab.ministry)] == ["数据流开通", *sent, *sent]
    assert [e for e, _ in events(lab.province)] == ["数据流开通", "下行批次接收", "下行批次接收"]


def test_a_private_stream_is_encrypted_for_province_escrow_and_ministry_and_a_public_one_is_plain(lab: Lab) -> None:
    sealed = send(lab)
    manifest = manifest_of(lab, sealed.batch_id)
    assert sorted(r.party for r in manifest.recipients) == ["13", "moe", "moe-dr"]
    body = (out(lab) / manifest.files[0].name).read_bytes()
    assert b"PAR1" not in body
    row = {"op": "I", "pk": "1", "row_ver": 2, "src_rid": "", "line": 1, "text": "version: 2"}
    public = seal_down(
        lab.ministry, stream="codes", party="00", tables={"registry": plain_table("codes", "registry", [row])},
        subject="registry 2", at=AT, rng=os.urandom,
    )  # fmt: skip
    plain = manifest_of(lab, public.batch_id, "pub")
    assert plain.recipients == ()
    entry = plain.files[0]
    assert entry.name == f"{public.batch_id}.f01.parquet"
    assert (entry.digest.cms_size, entry.digest.cms_sha256) == (entry.digest.plain_size, entry.digest.plain_sha256)
    check_cipher_file(out(lab, "pub") / entry.name, entry.digest)
    kept = Kept()
    take(lab, kept, "codes")
    assert kept.batches[0].tables["registry"].column("text").to_pylist() == ["version: 2"]


def test_the_next_up_manifest_acknowledges_and_the_ministry_notes_it(lab: Lab) -> None:
    from tests.down.rounds import lab_round

    send(lab)
    take(lab)
    lab_round(lab)
    manifest = rows(lab.province, "outbox")[0]
    ack = read_manifest(parse(bytes(manifest["manifest"]), PayloadType.BATCH_MANIFEST).payload).ack
    assert [(a.stream, a.seq) for a in ack if a.stream == "errors"] == [("errors", 1)]
    found = [r for r in rows(lab.ministry, "down_batch") if r["stream"] == "errors"]
    assert [r["acked_at"] is not None for r in found] == [True]


def test_a_batch_whose_predecessor_is_missing_waits_and_is_taken_when_it_comes(lab: Lab, tmp_path: Path) -> None:
    first = send(lab)
    send(lab)
    held = tmp_path / "held"
    held.mkdir()
    for path in out(lab).glob(f"{first.batch_id}*"):
        shutil.move(path, held / path.name)
    alarms = take(lab).alarms
    assert [(a.code, a.waits) for a in alarms] == [("E_SEQ_GAP", True)]
    assert here(lab) == []
    for path in held.iterdir():
        shutil.move(path, out(lab) / path.name)
    assert len(take(lab).batches) == 2


def test_two_contents_under_one_number_freeze_the_stream_until_a_new_grant(lab: Lab) -> None:
    sealed = send(lab)
    take(lab)
    forged = replace(manifest_of(lab, sealed.batch_id), trust_version=1, supersedes=sealed.batch_id)
    _, envelope = sign_manifest(forged, keyring(lab.ministry).signer)
    open_server(lab.exchange_root).publish("13", f"{sealed.batch_id}.manifest.dsse", envelope, replace=True)
    assert [a.code for a in take(lab).alarms] == ["E_SEQ_FORK"]
    assert here(lab) == [("errors", "E_SEQ_FORK", 1)]
    after = send(lab)
    assert not take(lab).batches
    grant = EpochGrant(stream_of("errors", "13", 2), "分叉后重开", "continue", Position(1, sealed.digest), AT)
    _regrant(lab, grant)
    with pytest.raises(HubError, match="E_GRANT"):  # the ministry has sealed further than the grant says
        send(lab)
    _regrant(lab, replace(grant, prev_epoch_last=Position(2, after.digest)))
    assert [b.batch_id for b in [send(lab)]] == ["13-dn-errors-e0002-s0000000001"]


def _regrant(lab: Lab, grant: EpochGrant) -> None:
    issue_grant(lab.folder, (lab.ministry,), grant)


def test_a_new_epoch_reaches_the_province_by_the_grant_beside_its_batches(lab: Lab) -> None:
    sealed = send(lab)
    take(lab)
    grant = EpochGrant(stream_of("errors", "13", 2), "演练", "continue", Position(1, sealed.digest), AT)
    body = issue_grant(lab.folder, (lab.ministry,), grant)
    open_server(lab.exchange_root).publish("13", "13-dn-errors-e0002.grant.dsse", body)
    assert send(lab).batch_id.startswith("13-dn-errors-e0002")
    assert len(take(lab).batches) == 1
    assert [(r["epoch"], r["last_seq"]) for r in rows(lab.province, "peer_stream") if r["stream"] == "errors"] == [
        (2, 1)
    ]


@pytest.mark.parametrize("spoil", ["bit", "signer", "part"])
def test_what_was_altered_or_signed_by_another_is_left_lying_and_moves_nothing(lab: Lab, spoil: str) -> None:
    sealed = send(lab)
    manifest = manifest_of(lab, sealed.batch_id)
    name = out(lab) / f"{sealed.batch_id}.manifest.dsse"
    if spoil == "bit":
        body = bytearray(name.read_bytes())
        at = body.index(b'"payload":"') + 40
        body[at] = ord("A") if body[at] != ord("A") else ord("B")
        name.write_bytes(body)
    elif spoil == "signer":
        name.write_bytes(sign_manifest(manifest, keyring(lab.province).signer)[1])
    else:
        part = out(lab) / manifest.files[0].name
        body = bytearray(part.read_bytes())
        body[-40] ^= 1
        part.write_bytes(body)
    kept = Kept()
    wanted = {"bit": "E_SIG", "signer": "E_ROLE", "part": "E_FILE_DIGEST"}[spoil]
    for _ in range(2):
        assert [a.code for a in take(lab, kept).alarms] == [wanted]
    assert (kept.batches, here(lab)) == ([], [])
    assert [e for e, _ in events(lab.province)] == ["下行批次不予采信"]  # once per content


def test_a_handler_that_refuses_keeps_its_batch_and_its_rows_out(lab: Lab) -> None:
    send(lab)

    def refuse(_received: Received) -> None:
        raise HubError("E3441", "不合格")

    assert [a.code for a in take(lab, Kept(refuse)).alarms] == ["E3441"]
    assert here(lab) == []
    assert not [r for r in rows(lab.province, "node_state") if r["name"].startswith("seen.")]
    assert len(take(lab).batches) == 1


def test_sealing_that_is_rolled_back_leaves_nothing_and_the_number_is_used_by_the_next(lab: Lab) -> None:
    store = open_store(lab.ministry.database_url, load_catalog())
    sender = Sender(
        lab.ministry, store, open_keyring(lab.ministry, at=AT), open_server(lab.exchange_root), AT, os.urandom
    )
    parts = plain_parts(sender, "errors", errors(1))
    with suppress(KeyboardInterrupt), store.begin() as tx:
        seal(tx, sender, stream="errors", party="13", parts=parts, subject="lost")
        raise KeyboardInterrupt  # killed between sealing and commit
    assert rows(lab.ministry, "down_batch") == []
    assert ship(sender) == ()
    with store.begin() as tx:
        sealed = seal(tx, sender, stream="errors", party="13", parts=parts, subject="kept")
    assert sealed.seq == 1
    assert ship(sender) == (sealed.batch_id,)
    assert ship(sender, again=True) == (sealed.batch_id,)
    assert len(take(lab).batches) == 1
    store.close()


def test_without_a_grant_nothing_is_sealed(lab: Lab) -> None:
    (lab.ministry.trust / "13-dn-errors-e0001.grant.dsse").unlink()
    with pytest.raises(NotInitialisedError, match="E3431"):
        send(lab)
    assert rows(lab.ministry, "down_batch") == []
    assert not list(out(lab).glob("*.manifest.dsse"))


def test_every_stream_has_the_head_of_a_change_row() -> None:
    for tables in TABLES.values():
        for schema in tables.values():
            assert schema.names[:4] == ["op", "pk", "row_ver", "src_rid"]
            assert all(t in (pa.string(), pa.int64()) for t in schema.types)
