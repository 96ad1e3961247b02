"""A batch void for its rows, and the source mended afterwards: the stream comes free by itself (protocol 7.2)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.errors import HubError
from ministry_node.fsck import fsck as ministry_fsck
from province_node.fsck import fsck
from tests.acceptance.exchange_machine import World, hand_written
from tests.acceptance.lands import Land, desk_of, golden
from tests.round.labs import rows, snapshot, store_of

FAMILY = [("xs_jtcy", n, False) for n in range(20)]


@pytest.fixture
def world(exchanged: Land, monkeypatch: pytest.MonkeyPatch) -> World:
    return hand_written(exchanged, monkeypatch)


def spoil(world: World) -> None:
    """The newest change set gets a code that no table knows, in every row."""
    (path,) = (world.land.province.changes / f"{world.written:08d}").glob("xs_jtcy-001.parquet")
    table = pq.read_table(path)
    at = table.schema.get_field_index("GXM")
    pq.write_table(table.set_column(at, "GXM", pa.array(["zz"] * table.num_rows)), path)


def assert_in_step(world: World) -> None:
    assert golden(world.land.ministry) == golden(world.land.province)
    store = store_of(world.land.province)
    try:
        assert fsck(world.land.province, store) is None
    finally:
        store.close()
    with desk_of(world.land.ministry) as desk:
        assert list(ministry_fsck(desk, ["13"])) == []


def test_a_batch_void_for_its_rows_goes_out_as_the_source_was_mended_and_both_tiers_are_equal(world: World) -> None:
    world.write(FAMILY)
    spoil(world)
    assert world.land.exchange() == ["VOID"]
    assert golden(world.land.ministry) != golden(world.land.province)
    world.write([*FAMILY[:19], ("xs_jtcy", 19, True), ("xs", 1, False)])
    assert world.land.exchange() == ["APPLIED", "APPLIED"]
    void, rebuilt, _ = rows(world.land.province, "outbox", "seq")[1:]
    assert (rebuilt["lo"], rebuilt["hi"]) == (void["lo"], void["hi"])
    assert (rebuilt["rows_u"], rebuilt["rows_d"]) == (19, 1)
    assert_in_step(world)
    assert not list(Path(world.land.province.work).glob("apart-*"))


@pytest.mark.long
def test_rows_void_three_times_stop_the_stream_until_the_source_is_mended(world: World) -> None:
    world.write(FAMILY)
    spoil(world)
    assert [world.land.exchange() for _ in range(3)] == [["VOID"]] * 3
    before = snapshot(world.land.province)
    with pytest.raises(HubError, match="E3409"):
        world.land.publish()
    world.write([("xs", 0, False)])  # another record mends nothing
    with pytest.raises(HubError, match="E3409"):
        world.land.publish()
    assert snapshot(world.land.province) == before
    world.write(FAMILY)
    assert world.land.exchange() == ["APPLIED"] * 3
    assert_in_step(world)
