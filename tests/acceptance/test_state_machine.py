"""Sender, transport and receiver as one state machine under loss, repetition, reordering, truncation and restarts.

Holds at every step: what the ministry has is what the model says at the ministry's own change-log mark, every number of
the stream was decided once. Holds in the end, after all was delivered: both tiers equal a run without faults, every
batch was applied once, receipts chain, and `hub fsck` finds nothing at either tier. Here two lives, always
the same; `make fuzz` lives many more, each time others.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hub.batch.envelope import PayloadType, parse
from hub.batch.receipt import read_receipt
from hub.ledgercheck import chained
from ministry_node.fsck import fsck as ministry_fsck
from province_node.fsck import fsck as province_fsck
from tests.acceptance.crashes import Point
from tests.acceptance.exchange_machine import ENTITIES, RECORDS, World
from tests.acceptance.lands import Land, desk_of, golden
from tests.acceptance.test_crashes import LISTENER, SENDER
from tests.acceptance.test_receiver_killed import RECEIVER
from tests.round.labs import audit_holds, change_setting, rows, store_of

MOST_SETS = 4
ANY = st.integers(0, 99)
EDITS = st.lists(
    st.tuples(st.sampled_from(ENTITIES), st.integers(0, RECORDS - 1), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda edit: edit[:2],
)


class Exchange(RuleBasedStateMachine):
    """One life of a stream. `template`: both sides at rest after the first batch; one batch per change file."""

    template: ClassVar[Land]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="exchange-"))
        land = self.template.copy(self.folder / "lab")
        self.world = World(Land(change_setting(land.lab, "max_batch_rows", "1")))

    @initialize(edits=EDITS)
    def begin(self, edits: list[tuple[str, int, bool]]) -> None:
        self.world.write(edits)
        self.world.step("publish")
        self.world.step("deliver")

    @precondition(lambda self: self.world.written <= MOST_SETS)
    @rule(edits=EDITS)
    def change(self, edits: list[tuple[str, int, bool]]) -> None:
        self.world.write(edits)
        self.world.step("publish")

    @rule()
    def deliver(self) -> None:
        self.world.step("deliver")

    @rule()
    def intake(self) -> None:
        self.world.step("intake")

    @rule()
    def listen(self) -> None:
        self.world.step("listen")

    @rule(point=st.sampled_from((*SENDER, *LISTENER, *RECEIVER)))
    def die(self, point: Point) -> None:
        self.world.step(point.step, point)

    @rule(hours=st.sampled_from((0.4, 5.0)))
    def wait(self, hours: float) -> None:
        self.world.wait(hours)

    @rule(folder=st.sampled_from(("ready", "out")), n=ANY)
    def lose(self, folder: str, n: int) -> None:
        self.world.lose(folder, n)

    @rule(n=ANY)
    def hold_back(self, n: int) -> None:
        self.world.hold_back(n)

    @rule()
    def let_come(self) -> None:
        self.world.let_come()

    @rule(n=ANY)
    def repeat(self, n: int) -> None:
        self.world.repeat(n)

    @rule(n=ANY)
    def cut_off(self, n: int) -> None:
        self.world.cut_off(n)

    @invariant()
    def the_ministry_holds_a_state_of_the_province(self) -> None:
        hi, stored = self.world.at_ministry()
        assert stored == self.world.expected(hi)
        decided = self.world.decided()
        assert decided == [(seq, "APPLIED") for seq in range(1, len(decided) + 1)]

    def teardown(self) -> None:
        try:
            self.settle_down()
            self.ends_as_a_run_without_faults()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def settle_down(self) -> None:
        """No more faults: rounds until everything has its receipt."""
        self.world.let_come()
        for _ in range(8):
            for name in ("publish", "deliver", "intake", "listen"):
                self.world.step(name)
            states = {row["state"] for row in rows(self.world.land.province, "outbox")}
            if states == {"APPLIED"}:
                return
            self.world.wait(5)
        raise AssertionError(f"the stream does not come to rest: {states}")

    def ends_as_a_run_without_faults(self) -> None:
        land = self.world.land
        whole = self.template.copy(self.folder / "whole")
        shutil.copytree(land.province.changes, whole.province.changes, dirs_exist_ok=True)
        calm = World(whole, written=self.world.written)
        for name in ("publish", "deliver", "intake", "listen"):
            calm.step(name)
        assert golden(land.ministry) == golden(land.province) == golden(whole.ministry)
        sealed = [(row["seq"], row["digest"]) for row in rows(land.province, "outbox", "seq")]
        assert [(row["seq"], row["digest"]) for row in rows(land.ministry, "inbox", "seq")] == sealed
        for node in (land.province, land.ministry):
            receipts = [
                read_receipt(
                    parse(bytes(row["body"]), PayloadType.RECEIPT, where=row["name"]).payload, where=row["name"]
                )
                for row in rows(node, "receipt", "seq, receipt_no")
            ]
            assert chained(receipts) == len(receipts)
            assert audit_holds(node)
        with desk_of(land.ministry, self.world.at) as desk:
            assert list(ministry_fsck(desk, ["13"])) == []
        store = store_of(land.province)
        try:
            assert province_fsck(land.province, store) is None
        finally:
            store.close()


def test_whatever_the_transport_does_every_batch_is_applied_once_and_the_tiers_come_out_equal(
    exchanged_template: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exchange, "template", exchanged_template, raising=False)
    run_state_machine_as_test(
        Exchange,
        settings=settings(
            max_examples=2,
            phases=(Phase.generate,),
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
