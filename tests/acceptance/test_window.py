"""The window of eight: a batch void in the middle, what waits behind it, nothing lost (protocol 6.1, 7.2; 15 #52)."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.batch.envelope import PayloadType, parse
from hub.batch.receipt import read_receipt
from hub.errors import HubError
from province_node.weekly import run_census
from province_node.window import Window
from tests.acceptance.exchange_machine import World, hand_written
from tests.acceptance.lands import Land, golden
from tests.acceptance.test_mended import assert_in_step
from tests.round.labs import rows

WINDOW = 8
VOIDED = "13-up-main-e0001-s0000000005"


@pytest.fixture
def world(exchanged: Land, monkeypatch: pytest.MonkeyPatch) -> World:
    return hand_written(exchanged, monkeypatch)


def change(world: World, sets: int) -> None:
    """Change sets of one batch each, over the same records again and again, some of them deleted and back."""
    for _ in range(sets):
        n = world.written
        world.write([("xs", n % 4, False), ("xs_jtcy", n % 3, n % 4 == 2), ("xs_jz", n % 2, False)])


def states(world: World) -> list[tuple[int, str]]:
    return [(row["seq"], row["state"]) for row in rows(world.land.province, "outbox", "epoch, seq")][1:]


def sealed_with_a_fault(world: World) -> tuple[str, bytes]:
    """The newest change set gets a code that no table knows, in every row of an entity; its file as it was."""
    path = world.land.province.changes / f"{world.written:08d}" / "xs_jtcy-001.parquet"
    sound, table = path.read_bytes(), pq.read_table(path)
    at = table.schema.get_field_index("GXM")
    pq.write_table(table.set_column(at, "GXM", pa.array(["zz"] * table.num_rows)), path)
    return str(path), sound


@pytest.mark.row(52, "VOID in the middle of a window of 8", "cascade, rebuild, equal to a run without faults")
def test_row_52_a_void_in_a_full_window_cascades_what_waits_behind_it_is_kept_and_all_ends_well(world: World) -> None:
    land = world.land
    change(world, 4)
    path, sound = sealed_with_a_fault(world)
    change(world, 4)
    assert [len(p.batches) for p in land.publish()] == [1] * WINDOW
    with open(path, "wb") as file:  # mended at the source, after it was sealed
        file.write(sound)
    change(world, 2)
    waiting = land.publish()
    assert [(p.number, p.batches) for p in waiting] == [(10, ()), (11, ())]
    assert all("[E3416] 已有 8 个批次等待部级结论（窗口 8 个）" in p.held_back for p in waiting)
    assert land.publish() == (), "asked again, it does nothing twice"
    assert states(world) == [(seq, "SEALED") for seq in range(2, 10)]
    lineage = [r["batch_id"] for r in rows(land.province, "lineage", "cs_no, entity") if r["cs_no"] > 9]
    assert lineage == [None] * 6
    with pytest.raises(HubError, match="E3416"):
        run_census(land.province, at=world.at, rng=os.urandom)

    assert len(land.deliver().batches) == WINDOW
    verdicts = [(d.seq, d.verdict) for d in land.intake().decisions]
    assert verdicts == [(n, "APPLIED") for n in (2, 3, 4)] + [(n, "VOID") for n in range(5, 10)]
    told = [
        read_receipt(parse(bytes(r["body"]), PayloadType.RECEIPT).payload)
        for r in rows(land.ministry, "receipt", "seq, receipt_no")
        if r["type"] == "VOID"
    ]
    assert [receipt.cascade_of for receipt in told] == [None, VOIDED, VOIDED, VOIDED, VOIDED]
    land.listen()

    assert land.exchange() == ["APPLIED"] * 7  # five ranges sealed anew, and what had waited
    assert [row["seq"] for row in rows(land.ministry, "inbox", "seq")] == list(range(1, 17)), "none twice, none skipped"
    lineage = [r["batch_id"][-2:] for r in rows(land.province, "lineage", "cs_no, entity") if r["cs_no"] > 9]
    assert lineage == ["15"] * 3 + ["16"] * 3
    assert not [r for r in rows(land.province, "tombstone") if str(r["batch"]).startswith("change set")]
    assert world.at_ministry() == (world.log[-1].log_id, world.expected(world.log[-1].log_id))
    assert golden(land.ministry) == golden(land.province)
    assert_in_step(world)


def test_what_is_sealed_is_sealed_whole_and_a_change_set_larger_than_the_window_has_its_turn() -> None:
    assert Window(0, WINDOW).admits(20)
    assert [Window(6, WINDOW).admits(n) for n in (1, 2, 3)] == [True, True, False]
    assert not Window(1, WINDOW).admits(20)
    assert Window(6, WINDOW).taken(2).admits(1) is False
