"""Sequence verdicts: where a batch stands in its stream (protocol 7.1, 9.1).

Decides from the receiver's stream position and a verified manifest's header, and nothing else: no clock, no table, no
file. Leaves to the caller: reading and locking the position, evidence, alarms, and moving the position in the
transaction of protocol 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from hub.batch.grant import EpochGrant
from hub.batch.layout import StreamId, batch_id
from hub.batch.manifest import Manifest
from hub.errors import RefusedError
from hub.verdict import refused

WINDOW = 64
CLOCK_TOLERANCE = timedelta(minutes=10)
LONGEST_WAIT = timedelta(days=1)


class Sequence(StrEnum):
    """What was observed (protocol 7.1)."""

    NEW = "NEW"
    DUPLICATE = "DUPLICATE"
    FORK = "FORK"
    GAP = "GAP"
    FAST_FORWARD = "FAST_FORWARD"
    STALE = "STALE"
    NO_GRANT = "NO_GRANT"
    FROZEN = "FROZEN"


@dataclass(frozen=True)
class PeerStream:
    """Receiver's position: last consumed seq (0: none in this epoch) and its payload digest.

    `last_digest` is the grant's digest while `last_seq` is 0. `frozen`: code that froze the stream, or None.
    """

    stream_id: StreamId
    last_seq: int
    last_digest: str
    frozen: str | None = None


@dataclass(frozen=True)
class BatchHeader:
    """What the sequence needs of a manifest."""

    stream_id: StreamId
    seq: int
    prev: str
    digest: str

    @classmethod
    def of(cls, manifest: Manifest, digest: str) -> BatchHeader:
        """From a verified manifest and its payload digest."""
        return cls(manifest.stream_id, manifest.seq, manifest.prev, digest)


@dataclass(frozen=True)
class SequenceDecision:
    """A verdict, its code (None for NEW and DUPLICATE), and for GAP the seq that is waited for."""

    verdict: Sequence
    code: str | None = None
    detail: str = ""
    waiting_for: int | None = None
    freezes_stream: bool = False

    @property
    def refuses(self) -> bool:
        """True when nothing is stored except evidence."""
        return self.verdict not in (Sequence.NEW, Sequence.DUPLICATE, Sequence.GAP)

    def error(self, where: str) -> RefusedError:
        """The error a person reads; only for decisions with a code."""
        if self.code is None:
            raise RuntimeError("NEW and DUPLICATE are not errors")
        return refused(self.code, self.detail, where=where)


def judge(
    state: PeerStream | None, header: BatchHeader, *, stored_digest: str | None = None, window: int = WINDOW
) -> SequenceDecision:
    """Sequence verdict of a batch (protocol 7.1).

    `state`: None when no epoch of the stream was ever granted; `stored_digest`: digest under which this very
    (party, stream, epoch, seq) is already in the inbox, decided, held, refused or parked; None if it never arrived.
    """
    if state is None or header.stream_id.epoch > state.stream_id.epoch:
        return SequenceDecision(Sequence.NO_GRANT, "E_EPOCH", f"期次 {header.stream_id.epoch} 没有授权")
    if _flow(state.stream_id) != _flow(header.stream_id):
        raise RuntimeError("position and batch belong to different streams")
    if header.stream_id.epoch < state.stream_id.epoch:
        detail = f"收到期次 {header.stream_id.epoch}，现行期次 {state.stream_id.epoch}"
        return SequenceDecision(Sequence.STALE, "E_EPOCH", detail)
    known = _known_digest(state, header, stored_digest)
    if known is not None and known != header.digest:
        return _fork(f"序号 {header.seq} 的两份清单摘要不同")
    if header.seq <= state.last_seq:
        return SequenceDecision(Sequence.DUPLICATE)
    if state.frozen is not None:
        awaited = "灾备声明" if state.frozen == "E_RESTORED" else "新的期次授权"
        return SequenceDecision(Sequence.FROZEN, state.frozen, f"数据流已冻结，等待{awaited}")
    return _ahead(state, header, window)


def open_epoch(state: PeerStream | None, grant: EpochGrant) -> PeerStream:
    """Position after a verified grant: seq 0, `prev` of seq 1 is the grant's digest (protocol 3.3, 9.1).

    Offering the grant of the current epoch again is a no-op. E_GRANT when it is another grant for that epoch, does
    not follow the current epoch by one, or names another last batch than ours; E_EPOCH for a closed epoch.
    """
    where = f"{grant.stream_id}"
    if not grant.digest:
        raise RuntimeError("only a parsed grant opens an epoch")
    begun = PeerStream(grant.stream_id, 0, grant.digest)
    if state is None:
        if grant.stream_id.epoch != 1 or grant.prev_epoch_last is not None:
            raise refused("E_GRANT", "本方没有该数据流的任何期次，应从期次 1 开始", where=where)
        return begun
    if _flow(state.stream_id) != _flow(grant.stream_id):
        raise RuntimeError("position and grant belong to different streams")
    if grant.stream_id.epoch < state.stream_id.epoch:
        raise refused("E_EPOCH", f"现行期次 {state.stream_id.epoch}", where=where)
    if grant.stream_id.epoch == state.stream_id.epoch:
        if state.last_seq == 0 and state.last_digest != grant.digest:
            raise refused("E_GRANT", "同一期次出现两份不同的授权", where=where)
        return state
    last = grant.prev_epoch_last
    if grant.stream_id.epoch != state.stream_id.epoch + 1:
        raise refused("E_GRANT", f"现行期次 {state.stream_id.epoch}，授权跳过了中间期次", where=where)
    if last is None or last.seq != state.last_seq or (last.seq > 0 and last.digest != state.last_digest):
        raise refused("E_GRANT", f"授权所述上一期次末批次与本方（{state.last_seq}）不同", where=where)
    return begun


def advance(state: PeerStream, header: BatchHeader) -> PeerStream:
    """Position after the batch was consumed (APPLIED, PARTIAL or VOID); RuntimeError unless it is the next one."""
    if header.seq != state.last_seq + 1 or header.prev != state.last_digest or header.stream_id != state.stream_id:
        raise RuntimeError("only the next batch moves a position")
    return replace(state, last_seq=header.seq, last_digest=header.digest)


def freeze(state: PeerStream, code: str) -> PeerStream:
    """Position that accepts nothing until an epoch grant (protocol 7.1)."""
    return replace(state, frozen=code)


def check_window(
    created: datetime,
    expires: datetime,
    *,
    first_seen: datetime,
    judged_at: datetime | None = None,
    at_once: bool = False,
    where: str = "",
) -> tuple[str, ...]:
    """Warning codes for a receipt (`W_CLOCK`); E_EXPIRED only when expired at first sight (protocol 7.1, 11.1).

    `judged_at`: what expiry is judged by where our own clock was set back (the highest time seen). `at_once`: the batch
    is shipped as it is sealed (heartbeat), so that a time in the past is a clock that is slow; another batch may have
    waited, and only a day is too long.
    """
    if max(first_seen, judged_at or first_seen) > expires:
        raise refused("E_EXPIRED", f"有效期至 {expires:%Y-%m-%d %H:%M} UTC", where=where)
    late = CLOCK_TOLERANCE if at_once else LONGEST_WAIT
    off = created > first_seen + CLOCK_TOLERANCE or created < first_seen - late or created > expires
    return ("W_CLOCK",) if off else ()


def _known_digest(state: PeerStream, header: BatchHeader, stored_digest: str | None) -> str | None:
    if header.seq > state.last_seq:
        return stored_digest
    if header.seq == state.last_seq:
        if stored_digest not in (None, state.last_digest):
            raise RuntimeError("inbox and stream position disagree")
        return state.last_digest
    if stored_digest is None:
        raise RuntimeError(f"the inbox has lost {batch_id(header.stream_id, header.seq)}")
    return stored_digest


def _ahead(state: PeerStream, header: BatchHeader, window: int) -> SequenceDecision:
    expected = state.last_seq + 1
    if header.seq == expected:
        if header.prev != state.last_digest:
            return _fork(f"序号 {header.seq} 所接的上一批次摘要与本方不同")
        return SequenceDecision(Sequence.NEW)
    if header.seq <= state.last_seq + window:
        detail = f"等待序号 {expected}"
        return SequenceDecision(Sequence.GAP, "E_SEQ_GAP", detail, waiting_for=expected)
    detail = f"收到序号 {header.seq}，本方末序号 {state.last_seq}，窗口 {window}"
    return SequenceDecision(Sequence.FAST_FORWARD, "E_SEQ_FF", detail)


def _fork(detail: str) -> SequenceDecision:
    return SequenceDecision(Sequence.FORK, "E_SEQ_FORK", detail, freezes_stream=True)


def _flow(stream_id: StreamId) -> tuple[str, str, str]:
    return stream_id.party, stream_id.direction, stream_id.stream
