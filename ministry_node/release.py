"""A held batch decided by two persons: let through, or declared void (protocol 7.2, HELD).

Decides that two different persons and a reason stand behind it and that the batch is the one its stream waits for.
Everything that held before holds again: the batch is read from the evidence, verified, decoded and counted anew; only
the guard is lifted. Leaves later batches, which are parked, to the next intake run, and who may act to the caller: the
names are audited as given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NotRequired, TypedDict, Unpack

from hub.batch.layout import StreamId, parse_batch_id
from hub.batch.receipt import ReceiptCounts
from hub.errors import RefusedError, UsageError
from hub.roles import same_person
from hub.settings import Node
from hub.verdict import Verdict, refused
from ministry_node import position, receipts
from ministry_node.apply import Case, Overtaken, settle
from ministry_node.decide import TAKES_EFFECT, Decision, Ruling
from ministry_node.desk import Progress, Random
from ministry_node.intake import open_bench
from ministry_node.parts import Parts, reopen
from ministry_node.returned import ship
from ministry_node.verdicts import Bench, Concluded, Release, conclude

_NOT_HELD: Final = "E1006"
_TWO_PERSONS: Final = "E1008"
_REASON: Final = 500


@dataclass(frozen=True)
class _Order:
    """Who wants what with which batch."""

    batch_id: str
    stream_id: StreamId
    seq: int
    release: Release


def _silent(_step: str, _what: str) -> None:
    """Nobody is watching."""


class Persons(TypedDict):
    """Who decides and when. `by`, `second`: two persons; `reason`: up to 500 characters, audited."""

    by: str
    second: str
    reason: str
    at: datetime
    rng: NotRequired[Random]
    progress: NotRequired[Progress]
    clock: NotRequired[Callable[[], float]]


def release(node: Node, batch_id: str, **persons: Unpack[Persons]) -> Decision:
    """Applies a batch that a guard held.

    The decision is APPLIED unless the batch has a fault the guard hid. Raises `UsageError` E1006 (not held, or not
    the batch its stream waits for), E1008 (not two persons, no reason), and what `run_intake` raises; nothing moved.
    """

    def judged(bench: Bench, order: _Order, case: Case, parts: Parts) -> Concluded:
        done = conclude(bench, case, parts, release=order.release)
        if done is None:
            raise RuntimeError("a batch read from the evidence waits for no file")
        return done

    return _decided(node, batch_id, judged, persons)


def void(node: Node, batch_id: str, **persons: Unpack[Persons]) -> Decision:
    """Declares a held batch void: its number is used up, no row is applied, what was received after it goes with it
    in the next intake run, and the province rebuilds. Arguments and errors as for `release`."""

    def judged(bench: Bench, order: _Order, case: Case, _parts: Parts) -> Concluded:
        fault = refused("E_GUARD", "经两人核对，不予放行", where=batch_id)
        ruling = Ruling(Verdict.VOID, fault, release=order.release)
        return Concluded(ruling, settle(bench.desk, case, ruling))

    return _decided(node, batch_id, judged, persons)


def _order(batch_id: str, by: str, second: str, reason: str) -> _Order:
    by, second, reason = by.strip(), second.strip(), reason.strip()
    step = "由两名不同的授权人员办理，并用一句话写明理由"
    if not by or not second or same_person(by, second):
        raise UsageError(_TWO_PERSONS, "放行或作废须由两名不同的人员共同办理", where=batch_id, step=step)
    if not 0 < len(reason) <= _REASON:
        raise UsageError(_TWO_PERSONS, f"理由须为 1 至 {_REASON} 个字符", where=batch_id, step=step)
    try:
        stream_id, seq = parse_batch_id(batch_id)
    except RefusedError:
        raise _not_held("批次号不合规定", "批次号") from None
    return _Order(batch_id, stream_id, seq, (by, second, reason))


def _decided(
    node: Node, batch_id: str, judged: Callable[[Bench, _Order, Case, Parts], Concluded], persons: Persons
) -> Decision:
    order = _order(batch_id, persons["by"], persons["second"], persons["reason"])
    clock = persons.get("clock", time.monotonic)
    rng, progress = persons.get("rng", os.urandom), persons.get("progress", _silent)
    started = clock()
    with open_bench(node, at=persons["at"], rng=rng, progress=progress, clock=clock) as bench:
        case, parts = reopen(bench.desk, order.stream_id, _held(bench, order))
        try:
            done = judged(bench, order, case, parts)
        except Overtaken:
            raise _not_held("该批次刚被另一任务处理", order.batch_id) from None
        if done.rejected is not None:
            raise done.rejected
        ruling, issued = done.ruling, done.issued
        if ruling is None or issued is None:
            raise RuntimeError("a conclusion is a ruling with its receipt")
        party = order.stream_id.party
        receipts.publish(bench.desk, party, issued)
        ship(bench.desk)
        counts = issued.receipt.counts if ruling.verdict in TAKES_EFFECT else ReceiptCounts()
        words, seconds = ruling.sentence(order.batch_id, counts), clock() - started
    return Decision(
        order.batch_id, party, order.seq, str(ruling.verdict), ruling.code, issued.name, counts, seconds, words
    )


def _held(bench: Bench, order: _Order) -> tuple[receipts.Issued, ...]:
    """The batch's receipts, the last of which holds it at a guard; it is the next one of an open stream."""
    with bench.desk.store.reading() as reader:
        now = position.standing(reader.connection, order.stream_id.party, stream=order.stream_id.stream)
        earlier = receipts.issued_for(reader.connection, order.stream_id, order.seq)
    if not earlier or earlier[-1].receipt.verdict is not Verdict.HELD or receipts.is_parked(earlier[-1]):
        raise _not_held("该批次不在暂停待批状态", order.batch_id)
    if now is None or now.stream.frozen is not None:
        raise _not_held("该数据流已冻结，须先由部级签发新的期次授权", order.batch_id)
    if (now.stream.stream_id, now.stream.last_seq + 1) != (order.stream_id, order.seq):
        raise _not_held("该批次不是数据流等待的下一批次", order.batch_id)
    return earlier


def _not_held(what: str, where: str) -> UsageError:
    return UsageError(_NOT_HELD, what, where=where, step="用 hub intake status 查看暂停待批的批次后重试")
