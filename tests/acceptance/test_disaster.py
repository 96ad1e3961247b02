"""Either side loses time, or its spool; and state that no evidence explains (protocol 9.4, 9.5; 15 #62, #64)."""

from __future__ import annotations

import json
import shutil

import pytest
import sqlalchemy as sa

from hub.batch.cosign import add_signature
from hub.batch.envelope import PayloadType, parse
from hub.batch.receipt import read_receipt
from hub.errors import RefusedError
from hub.ledgercheck import Finding
from ministry_node.fsck import fsck as ministry_fsck
from ministry_node.recovery import propose_restart, publish_restart
from province_node.fsck import fsck as province_fsck
from province_node.weekly import run_census
from tests.acceptance.lands import Land, desk_of, golden, position, root
from tests.round.labs import AT, audit_holds, rows, store_of

ROW_62 = pytest.mark.row(62, "ministry database restored to an older point", "RESTORED, resend, reissued, totals equal")
ROW_64 = pytest.mark.row(64, "spool lost while a receipt is missing", "epoch grant + census path works")


def _census(land: Land, count: int) -> None:
    """`count` more batches, applied and answered."""
    for _ in range(count):
        run_census(land.province, at=AT, rng=lambda n: b"\1" * n)
        assert land.exchange()[-1] == "APPLIED"


def _statement(land: Land, holders: tuple[int, ...] = (1, 3)) -> None:
    with desk_of(land.ministry) as desk:
        made = propose_restart(desk, reason="磁盘损坏，恢复到备份")
        body = made.body
        for n in holders:
            body = add_signature(body, root(land.lab, n), where=made.name)
        publish_restart(desk, made.name, body)


@ROW_62
def test_row_62_a_restored_ministry_stops_asks_and_ends_where_it_was(prepared: Land) -> None:
    land = prepared
    backup = land.keep(land.ministry, land.lab.folder / "backup")
    assert land.exchange() == ["APPLIED"]  # seq 2, lost with the database
    _census(land, 1)  # seq 3, lost as well
    whole = golden(land.ministry)
    land.restore(land.ministry, backup)
    old = position(land.ministry)
    assert golden(land.ministry) != whole

    run_census(land.province, at=AT, rng=lambda n: b"\2" * n)  # seq 4 acknowledges the receipt of seq 3
    land.deliver()
    result = land.intake()
    assert [(d.verdict, d.code) for d in result.decisions] == [("REJECTED", "E_RESTORED")]
    stopped = position(land.ministry)
    assert stopped == {**old, "state": "E_RESTORED"}
    assert [a.code for a in land.listen().alarms] == ["E3621"]  # the head went backwards

    with pytest.raises(RefusedError):
        _statement(land, (1,))
    assert position(land.ministry) == stopped
    _statement(land)
    land.listen()
    land.exchange()
    land.exchange()
    assert golden(land.ministry) == whole == golden(land.province)
    assert position(land.ministry)["last_seq"] >= 4
    reissued = {
        (r["seq"], r["receipt_no"]): read_receipt(parse(bytes(r["body"]), PayloadType.RECEIPT).payload).reissued_of
        for r in rows(land.ministry, "receipt")
    }
    first = read_receipt(parse((land.out / _name(2, 1)).read_bytes(), PayloadType.RECEIPT).payload)
    assert reissued[2, 2] == first.digest
    assert {r["state"] for r in rows(land.province, "outbox")} == {"APPLIED"}
    assert audit_holds(land.province)


def _name(seq: int, number: int) -> str:
    return f"13-up-main-e0001-s{seq:010d}.receipt{number}.dsse"


@ROW_64
@pytest.mark.parametrize("lost", ["spool", "spool and change set", "database too"])
def test_row_64_a_lost_spool_is_made_good_by_an_epoch_and_a_census(prepared: Land, lost: str) -> None:
    land = prepared
    backup = land.keep(land.province, land.lab.folder / "backup")
    land.publish()  # seq 2 is sealed; it never leaves, or its receipt never comes
    if lost == "database too":
        land.deliver()
        assert [d.verdict for d in land.intake().decisions] == ["APPLIED"]
        land.restore(land.province, backup)
    shutil.rmtree(land.province.spool)
    land.province.spool.mkdir()
    if lost == "spool and change set":
        shutil.rmtree(land.province.changes / "00000002")
    before = golden(land.ministry)
    land.grant(reason="省级密文存档丢失")
    assert golden(land.ministry) == before
    unknown = len(land.listen().ignored)
    for _ in range(3):
        land.exchange()
    assert golden(land.province) == golden(land.ministry)
    assert position(land.ministry)["epoch"] == 2
    first = {r["seq"]: json.loads(r["codes"]) for r in rows(land.ministry, "inbox", "epoch, seq") if r["epoch"] == 2}
    assert all(codes == [] for codes in first.values())
    kinds = [r["state"] for r in rows(land.ministry, "census")]
    assert kinds == ([] if lost == "spool" else ["REPAIRED"])
    # A receipt the restored node knows nothing of lies in `out/` for ever: it is told once.
    assert (unknown, land.listen().ignored) == (1 if lost == "database too" else 0, ())


def test_fsck_finds_nothing_at_rest_and_names_the_first_row_that_rotted(prepared: Land) -> None:
    land = prepared
    assert land.exchange() == ["APPLIED"]
    assert _ministry(land) is None
    assert _province(land) is None
    for node, look in ((land.ministry, _ministry), (land.province, _province)):
        store = store_of(node)
        pk = rows(node, "g_xs", "pk")[0]["pk"]
        with store.begin() as tx:
            tx.connection.execute(sa.text(f"UPDATE g_xs SET xm = '改名者' WHERE pk = '{pk}'"))
        found = look(land)
        assert found is not None
        assert (found.table, found.key, found.what) == ("g_xs", pk, "内容与证据不同")
        with store.begin() as tx:
            tx.connection.execute(sa.text(f"DELETE FROM g_xs WHERE pk = '{pk}'"))
        found = look(land)
        assert found is not None
        assert (found.table, found.key, found.what) == ("g_xs", pk, "正式库缺少该记录")
        with store.begin() as tx:
            tx.connection.execute(sa.text("UPDATE peer_stream SET last_seq = last_seq - 1 WHERE stream = 'main'"))
        found = look(land)
        assert found is not None
        assert found.table == "peer_stream"
        store.close()


def test_fsck_follows_a_census_repair(exchanged: Land) -> None:
    land = exchanged
    store = store_of(land.ministry)
    pk = rows(land.ministry, "g_xs", "pk")[0]["pk"]
    with store.begin() as tx:
        tx.connection.execute(sa.text(f"DELETE FROM g_xs WHERE pk = '{pk}'"))
    store.close()
    assert _ministry(land) is not None
    run_census(land.province, at=AT, rng=lambda n: b"\3" * n)
    land.exchange()
    land.listen()
    assert land.exchange() == ["APPLIED"]
    assert golden(land.ministry) == golden(land.province)
    assert _ministry(land) is None


def _ministry(land: Land) -> Finding | None:
    with desk_of(land.ministry) as desk:
        return next(ministry_fsck(desk, ["13"]), None)


def _province(land: Land) -> Finding | None:
    store = store_of(land.province)
    try:
        return province_fsck(land.province, store)
    finally:
        store.close()
