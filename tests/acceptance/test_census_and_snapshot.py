"""Rows that rot at the ministry, and a snapshot that is disturbed (protocol 9.2, 9.3; 15 #60, #61)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

import pytest
import sqlalchemy as sa

from hub.batch.envelope import PayloadType, parse
from hub.batch.manifest import read_manifest
from hub.census import Tally, tally
from hub.settings import Node
from ministry_node.fsck import fsck as ministry_fsck
from ministry_node.release import release
from province_node.weekly import run_census
from tests.acceptance.lands import CATALOG, Land, desk_of, golden, position
from tests.ministry.forge import STREAM, Province
from tests.round.labs import AT, rows, store_of


def _tallies(node: Node) -> Tally:
    store = store_of(node)
    try:
        return {e.name: tally(e, store.read(e, node="13")) for e in CATALOG.entities.values()}
    finally:
        store.close()


def _tamper(node: Node, *statements: str) -> None:
    store = store_of(node)
    try:
        with store.begin() as tx:
            for statement in statements:
                assert tx.connection.execute(sa.text(statement)).rowcount == 1
    finally:
        store.close()


def _pks(node: Node, count: int) -> list[str]:
    return [r["pk"] for r in rows(node, "g_xs", "pk")][:count]


def _bucket(pk: str) -> int:
    return int(hashlib.sha256(pk.encode()).hexdigest()[:3], 16)


def _rotten(land: Land) -> dict[str, set[int]]:
    """One student altered without a new version, one missing, one that never was; one class altered."""
    first, second = _pks(land.ministry, 2)
    extra = "f" * 20
    (bj,) = [r["pk"] for r in rows(land.ministry, "g_bj", "pk")][:1]
    columns = [c for c in rows(land.ministry, "g_xs")[0] if c != "pk"]
    listed = ",".join(columns)
    _tamper(
        land.ministry,
        f"UPDATE g_xs SET xm = '改名者' WHERE pk = '{first}'",
        f"INSERT INTO g_xs (pk,{listed}) SELECT '{extra}',{listed} FROM g_xs WHERE pk = '{second}'",
        f"DELETE FROM g_xs WHERE pk = '{second}'",
        f"UPDATE g_bj SET bjmc = '改过的班' WHERE pk = '{bj}'",
    )
    return {"xs": {_bucket(first), _bucket(second), _bucket(extra)}, "bj": {_bucket(bj)}}


ROW_61 = pytest.mark.row(61, "census with one altered, one missing, one extra row", "exactly those buckets repaired")


@ROW_61
def test_row_61_exactly_the_buckets_that_differ_are_asked_for_and_repaired(exchanged: Land) -> None:
    land = exchanged
    wanted = _rotten(land)
    rotten = _tallies(land.ministry)
    run_census(land.province, at=AT, rng=os.urandom)
    run_census(land.province, at=AT, rng=os.urandom)
    assert land.exchange() == ["APPLIED", "APPLIED"]
    earlier, ledger = rows(land.ministry, "census", "seq")
    assert earlier["state"] == "OVERTAKEN", "what a newer census asks for does not stay open in the earlier one"
    asked = {e: set(some) for e, some in json.loads(ledger["buckets"]).items()}
    assert (ledger["state"], asked) == ("ORDERED", wanted)
    assert _tallies(land.ministry) == rotten, "a census itself changes no row"

    land.listen()
    before = _tallies(land.ministry)
    assert land.exchange() == ["APPLIED"]
    after = _tallies(land.ministry)
    moved = {(e, b) for e in after for b in {*before[e], *after[e]} if before[e].get(b) != after[e].get(b)}
    assert moved == {(e, b) for e, some in wanted.items() for b in some}
    assert golden(land.ministry) == golden(land.province)
    assert rows(land.ministry, "census", "seq")[1]["state"] == "REPAIRED"
    sent = rows(land.ministry, "inbox", "seq")[-1]
    assert sent["rows_i"] < 20, "only the rows of those buckets travelled"

    run_census(land.province, at=AT, rng=os.urandom)
    assert land.exchange() == ["APPLIED"]
    assert [r["state"] for r in rows(land.ministry, "census", "seq")] == ["OVERTAKEN", "REPAIRED", "EQUAL"]


@ROW_61
def test_row_61_a_repair_nobody_asked_for_is_void_and_moves_no_row(exchanged: Land) -> None:
    land = exchanged
    _rotten(land)
    run_census(land.province, at=AT, rng=os.urandom)
    assert land.exchange() == ["APPLIED"]
    land.listen()
    store = store_of(land.ministry)
    with store.begin() as tx:
        tx.connection.execute(sa.text("UPDATE census SET state = 'EQUAL', buckets = '{}'"))
    store.close()
    before = _tallies(land.ministry)
    assert land.exchange() == ["VOID"]
    assert _tallies(land.ministry) == before
    assert json.loads(rows(land.ministry, "inbox", "seq")[-1]["codes"]) == ["E_SCHEMA"]


ROW_60 = pytest.mark.row(60, "snapshot interrupted at part 3 of 5; a part replaced", "resumes; invisible until swap")


def _in_parts(land: Land, monkeypatch: pytest.MonkeyPatch) -> Land:
    """A snapshot of five parts sealed under a grant, with changes the ministry has not seen."""
    monkeypatch.setattr("province_node.snapshot._groups", _four)
    land.grant(base="snapshot")
    land.listen()
    land.publish()
    land.publish()
    return land


def _four(_desk: object, files: list[object]) -> list[tuple[object, ...]]:
    cut = len(files) // 4
    return [tuple(files[i * cut : (i + 1) * cut if i < 3 else None]) for i in range(4)]


def _ship(land: Land, parts: range) -> list[str]:
    """Only these seqs reach the ministry now; then one run there."""
    names = {f"13-up-main-e0002-s{seq:010d}" for seq in parts}
    land.deliver(again=True)
    kept: dict[str, bytes] = {}
    for path in land.ready.iterdir():
        if path.name.split(".")[0] not in names:
            kept[path.name] = path.read_bytes()
            path.unlink()
    return [d.verdict for d in land.intake().decisions]


@ROW_60
def test_row_60_a_snapshot_goes_on_where_it_stopped_and_shows_nothing_before_the_swap(
    prepared: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land = prepared
    before = golden(land.ministry)
    _rotten(land)
    rotten = golden(land.ministry)
    assert rotten != before
    _in_parts(land, monkeypatch)
    assert _ship(land, range(1, 3)) == ["APPLIED", "APPLIED"]
    assert golden(land.ministry) == rotten, "two of five parts are staged, nothing is to be seen"
    assert _ship(land, range(3, 6)) == ["APPLIED", "APPLIED", "HELD"]
    assert golden(land.ministry) == rotten
    land.listen()
    batch = "13-up-main-e0002-s0000000005"
    done = release(land.ministry, batch, by="甲", second="乙", reason="差异已核对", at=AT)
    assert (done.verdict, done.code) == ("APPLIED", None)
    assert (done.counts.ins > 0, done.counts.upd > 0, done.counts.deleted > 0) == (True, True, True)
    assert [r for t in ("z_xs", "z_bj") for r in rows(land.ministry, t)] == []
    land.listen()
    land.publish()
    land.deliver(again=True)  # what was settled beside goes on at k + 1; `_ship` had taken its file away
    land.exchange()
    land.exchange()
    assert golden(land.ministry) == golden(land.province)
    assert position(land.ministry)["last_seq"] >= 5


@ROW_60
def test_row_60_a_part_that_was_replaced_is_refused_by_its_digest(
    exchanged: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land = _in_parts(exchanged, monkeypatch)
    before = golden(land.ministry)
    land.deliver()
    name = "13-up-main-e0002-s0000000003.f01.cms"
    other = "13-up-main-e0002-s0000000002.f01.cms"
    (land.ready / name).write_bytes((land.ready / other).read_bytes())
    verdicts = [d.verdict for d in land.intake().decisions]
    assert verdicts[:3] == ["APPLIED", "APPLIED", "REFUSED"]
    assert golden(land.ministry) == before
    assert position(land.ministry)["last_seq"] == 2
    for _ in range(2):
        land.listen()
        land.deliver()
        land.intake()
    assert [r["type"] for r in rows(land.ministry, "receipt", "epoch, seq, receipt_no")][-1] == "HELD"
    assert golden(land.ministry) == before


@pytest.mark.long
@ROW_60
def test_row_60_a_last_part_that_counts_other_rows_is_void(exchanged: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    land = _in_parts(exchanged, monkeypatch)
    before = golden(land.ministry)
    assert _ship(land, range(1, 5)) == ["APPLIED"] * 4
    _tamper(land.ministry, "DELETE FROM z_xs WHERE pk = (SELECT min(pk) FROM z_xs)")
    assert _ship(land, range(5, 6)) == ["VOID"]
    assert golden(land.ministry) == before
    assert json.loads(rows(land.ministry, "inbox", "epoch, seq")[-1]["codes"]) == ["E_COUNTS"]
    # No new grant: the province seals the whole snapshot anew under the next free numbers (protocol 7.2).
    land.listen()
    land.publish()
    sealed = [r for r in rows(land.province, "outbox", "epoch, seq") if r["epoch"] == 2 and r["seq"] > 5]
    body = parse(bytes(sealed[0]["manifest"]), PayloadType.BATCH_MANIFEST).payload
    assert (len(sealed), read_manifest(body).supersedes) == (5, "13-up-main-e0002-s0000000005")
    assert land.exchange() == ["APPLIED"] * 4 + ["HELD"]
    assert golden(land.ministry) == before
    release(land.ministry, sealed[-1]["batch_id"], by="甲", second="乙", reason="差异已核对", at=AT)
    assert golden(land.ministry) == golden(land.province)
    land.listen()
    assert land.publish() == ()
    assert rows(land.province, "outbox", "epoch, seq")[-1]["batch_id"] == sealed[-1]["batch_id"], (
        "it is not sealed again"
    )


def test_a_delta_before_its_epochs_snapshot_is_void(exchanged: Land) -> None:
    exchanged.grant(base="snapshot")
    forge = Province(exchanged.lab)
    here = position(exchanged.ministry)
    stream = replace(STREAM, epoch=2)
    forge.upload(forge.batch(stream_id=stream, seq=1, prev=here["last_digest"], lo=1))
    before = golden(exchanged.ministry)
    assert [d.code for d in exchanged.intake().decisions] == ["E_SCHEMA"]
    assert golden(exchanged.ministry) == before


def _repair_ready(land: Land, *statements: str) -> Land:
    """The province's store differs from the ministry's by these statements; census taken, repair asked for."""
    store = store_of(land.province)
    try:
        with store.begin() as tx:
            for statement in statements:
                assert tx.connection.execute(sa.text(statement)).rowcount > 0
    finally:
        store.close()
    run_census(land.province, at=AT, rng=os.urandom)
    assert land.exchange() == ["APPLIED"]
    land.listen()
    return land


def _some(land: Land, table: str, count: int, where: str = "1=1") -> str:
    found = [r["pk"] for r in rows(land.ministry, table, "pk") if where == "1=1" or r[where]][:count]
    assert len(found) == count
    return ",".join(f"'{pk}'" for pk in found)


def test_a_repair_that_would_delete_more_than_the_brake_allows_is_held_for_two_persons(exchanged: Land) -> None:
    gone = _some(exchanged, "g_xs_jtcy", 101)
    land = _repair_ready(exchanged, f"DELETE FROM g_xs_jtcy WHERE pk IN ({gone})")
    before, lineage = golden(land.ministry), rows(land.ministry, "lineage")
    assert land.exchange() == ["HELD"]
    assert (golden(land.ministry), rows(land.ministry, "lineage")) == (before, lineage)
    receipt = rows(land.ministry, "receipt", "seq, receipt_no")[-1]
    batch = f"13-up-main-e0001-s{receipt['seq']:010d}"
    done = release(land.ministry, batch, by="甲", second="乙", reason="已与该省核对", at=AT)
    assert (done.verdict, done.counts.deleted, done.counts.ins) == ("APPLIED", 101, 0)
    assert golden(land.ministry) == golden(land.province)
    assert {r["file_name"][-8:] for r in rows(land.ministry, "lineage") if r["batch_id"] == batch} == {".f02.cms"}
    told = [r for r in rows(land.ministry, "record_version") if r["op"] == "D"]
    assert (len(told), {r["file_no"] for r in told}) == (101, {0})


def test_a_bad_row_of_a_repair_stays_out_goes_back_and_leaves_what_it_would_have_replaced(exchanged: Land) -> None:
    many, bad = _some(exchanged, "g_xs_jtcy", 41).split(","), None
    *good, bad = many
    land = _repair_ready(
        exchanged,
        f"UPDATE g_xs_jtcy SET cyxm = '改正名', row_ver = 9 WHERE pk IN ({','.join(good)})",
        f"UPDATE g_xs_jtcy SET gxm = 'zz', row_ver = 9 WHERE pk = {bad}",
    )
    (kept,) = [r for r in rows(land.ministry, "g_xs_jtcy") if f"'{r['pk']}'" == bad]
    assert land.exchange() == ["PARTIAL"]
    there = {f"'{r['pk']}'": r for r in rows(land.ministry, "g_xs_jtcy")}
    assert there[bad] == kept
    assert {there[pk]["cyxm"] for pk in good} == {"改正名"}
    assert {f"'{r['pk']}'" for r in rows(land.ministry, "returned_row")} == {bad}
    run_census(land.province, at=AT, rng=os.urandom)
    assert land.exchange() == ["APPLIED"]
    assert rows(land.ministry, "census", "seq")[-1]["state"] == "EQUAL", "what was sent back is not asked for again"
    with desk_of(land.ministry) as desk:
        assert list(ministry_fsck(desk, ["13"])) == []
