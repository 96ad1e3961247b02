"""One province's turn: its next batch, parked or in `ready/`, brought to a decision (protocol 6.2, 7.1).

Decides the order: copy, envelope and signature, sequence; what stands in order goes to `verdicts`, what does not to
`refusals`. Publishes the receipt after the commit and cleans `ready/` last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa

from hub.batch.admission import authenticate
from hub.batch.layout import manifest_name, parse_name
from hub.batch.receipt import ReceiptCounts
from hub.batch.sequence import Sequence, SequenceDecision, judge
from hub.errors import HubError, InputError, RefusedError
from hub.trust.trust_list import Freshness
from hub.verdict import Verdict, refused
from ministry_node import pickup, position, receipts, recovery, refusals
from ministry_node.admit import header_of
from ministry_node.apply import Case, Overtaken, note_replay
from ministry_node.decide import DUPLICATE, REJECTED, TAKES_EFFECT, Decision
from ministry_node.desk import Alarm
from ministry_node.parts import Parts, reopen
from ministry_node.resend import ask_again
from ministry_node.returned import ship
from ministry_node.verdicts import Bench, Concluded, conclude

_LOOKS = 5
_GONE = "E2408"
_SUFFIX = ".manifest.dsse"


@dataclass(frozen=True)
class Place:
    """Where a batch stands: the sequence's verdict, and the voided batch it goes with (and that one's code)."""

    decision: SequenceDecision
    cascade_of: tuple[str, str] | None = None


class Turn:
    """A province within one run; `step` until it gives None. `waiting`: batches whose files may still come."""

    def __init__(self, bench: Bench, party: str) -> None:
        self._bench, self._desk, self._party = bench, bench.desk, party
        self._done: set[str] = set()
        self._begun = False
        self._started = 0.0
        self._root: tuple[str, str] | None = None  # first batch voided in this run, and its code
        self.alarms: list[Alarm] = []
        self.waiting: list[str] = []

    @property
    def party(self) -> str:
        return self._party

    def step(self) -> Decision | None:
        """Decides one batch; None when nothing of this province can be decided now. Raises HubError of our own side."""
        if not self._begun:
            self._begun = True
            self._begin()
        while True:
            self._started = self._desk.clock()
            if (decision := self._parked()) is not None:
                return decision
            ready = pickup.look(self._desk, self._party)
            names = [name for name in ready.manifests if name not in self._done]
            if not names:
                self.alarms += refusals.unannounced(self._desk, self._party, ready)
                ask_again(self._desk, self._party)
                return None
            self._done.add(names[0])
            if (decision := self._uploaded(names[0], ready)) is not None:
                return decision

    def _begin(self) -> None:
        self._desk.store.make_parts(self._party)
        try:
            position.open_epochs(self._desk, self._party)
        except RefusedError as failure:
            self.alarms.append(Alarm.of(self._party, failure))
        receipts.publish_pending(self._desk, self._party)

    def _parked(self) -> Decision | None:
        """The batch whose turn has come among those we hold already."""
        with self._desk.store.reading() as reader:
            now = position.standing(reader.connection, self._party)
            if now is None or now.stream.frozen is not None:
                return None
            stream_id, seq = now.stream.stream_id, now.stream.last_seq + 1
            earlier = receipts.issued_for(reader.connection, stream_id, seq)
        if not earlier or not receipts.is_parked(earlier[-1]) or self._repeats(earlier):
            return None
        name = manifest_name(earlier[-1].receipt.batch_id)
        if f"parked {name}" in self._done:
            return None
        self._done.add(f"parked {name}")
        try:
            case, parts = reopen(self._desk, stream_id, earlier)
        except RefusedError as failure:
            return self._rejected(failure, name, refusals.reject(self._desk, self._party, failure, name, None))
        return self._judge(case, parts)

    def _uploaded(self, name: str, ready: pickup.Ready) -> Decision | None:
        desk, party = self._desk, self._party
        limit = desk.keyring.trust.limits.file_bytes
        try:
            copy, _ = pickup.take(desk, party, name, limit)
        except InputError:
            error = refused("E_ENV_SIZE", f"超过 {limit} 字节，未取走", where=name)
            return self._rejected(error, name, refusals.reject(desk, party, error, name, None))
        except HubError as failure:
            if pickup.is_irregular(failure):
                self.alarms.append(refusals.irregular(desk, party, name))
            elif failure.code != _GONE:  # another worker was faster
                raise
            return None
        try:
            envelope = copy.read_bytes()
            verified = authenticate(envelope, name, uploader=party, trust=desk.keyring.trust, at=desk.at)
            if desk.judged_at != desk.at:  # our clock was set back: what has expired does not become good again (11.1)
                authenticate(envelope, name, uploader=party, trust=desk.keyring.trust, at=desk.judged_at)
        except RefusedError as failure:
            return self._rejected(failure, name, refusals.reject(desk, party, failure, name, copy))
        self._compare_trust(verified.manifest.trust_version, name)
        return self._judge(Case(verified, envelope, desk.at, ()), Parts(ready.names, {name: copy}))

    def _compare_trust(self, theirs: int, name: str) -> None:
        """A list is ours before it is a province's: one that we do not hold means that our folder was put back."""
        ours = self._desk.keyring.trust.version
        if theirs > ours:
            words = f"该省已用第 {theirs} 版，本方只有第 {ours} 版；各省 pub 目录中仍有本方签发过的清单"
            self.alarms.append(Alarm.of(self._party, refused("E_TRUST_GAP", words, where=name)))

    def _judge(self, case: Case, parts: Parts) -> Decision | None:
        """Sequence verdict and what follows from it; looked at again when another worker was faster."""
        for _ in range(_LOOKS):
            placed, place = self._place(case, parked=not parts.ready)
            try:
                return self._by_sequence(placed, place, parts)
            except Overtaken:
                continue
        step = "等另一接收任务结束后重新运行"
        raise HubError("E3413", "批次多次被并行任务抢先处理", where=case.manifest.batch_id, step=step)

    def _place(self, case: Case, *, parked: bool) -> tuple[Case, Place]:
        manifest = case.manifest
        stream_id, seq = manifest.stream_id, manifest.seq
        with self._desk.store.reading() as reader:
            connection = reader.connection
            now = position.standing(connection, self._party, stream=stream_id.stream)
            earlier = receipts.issued_for(connection, stream_id, seq)
            stored = position.decided_digest(connection, stream_id, seq)
            known = stored or (earlier[-1].receipt.manifest_digest if earlier else None)
            decision = judge(now.stream if now else None, header_of(case.verified), stored_digest=known)
            root = self._root
            if decision.verdict is Sequence.NEW and parked:
                root = root or _voided_before(connection, case)
        first_seen = earlier[0].receipt.received_at if earlier else self._desk.at
        placed = replace(case, earlier=earlier, first_seen=first_seen, sequence=decision.verdict)
        goes_with = root if decision.verdict is Sequence.NEW and manifest.supersedes is None else None
        return placed, Place(decision, goes_with)

    def _by_sequence(self, case: Case, place: Place, parts: Parts) -> Decision | None:
        decision, batch = place.decision, case.manifest.batch_id
        if decision.verdict is Sequence.DUPLICATE or self._answered(case):
            return self._again(case, parts)
        if not decision.refuses and (restored := recovery.fault(self._desk, case.manifest)) is not None:
            return self._refused(case, parts, restored, freezes=True)
        if decision.refuses:
            error = decision.error(batch)
            return self._refused(case, parts, error, freezes=decision.freezes_stream)
        done = conclude(self._bench, case, parts, waiting_for=decision.waiting_for, cascade_of=place.cascade_of)
        if done is None:
            self.waiting.append(batch)
            return None
        if done.rejected is not None:
            return self._refused(case, parts, done.rejected, freezes=done.freezes)
        return self._finished(case, parts, done)

    def _answered(self, case: Case) -> bool:
        """Held for two persons, or parked and still early: there is nothing new to say."""
        if not case.earlier:
            return False
        last = case.earlier[-1].receipt.verdict
        early = case.sequence is Sequence.GAP and last is Verdict.RECEIVED
        held = last is Verdict.HELD and (not receipts.is_parked(case.earlier[-1]) or self._repeats(case.earlier))
        return case.sequence in (Sequence.NEW, Sequence.GAP) and (early or held)

    def _repeats(self, earlier: tuple[receipts.Issued, ...]) -> bool:
        """Held for want of a trust list in force, which is still wanting."""
        expired = self._desk.keyring.trust.freshness(self._desk.judged_at) is Freshness.EXPIRED
        return expired and earlier[-1].receipt.verdict is Verdict.HELD

    def _finished(self, case: Case, parts: Parts, done: Concluded) -> Decision:
        ruling, issued = done.ruling, done.issued
        if ruling is None or issued is None:
            raise RuntimeError("a conclusion is a ruling with its receipt")
        batch = case.manifest.batch_id
        if ruling.verdict is Verdict.VOID and self._root is None:
            self._root = (ruling.cascade_of or batch, ruling.code or "E_WATERMARK")
        elif ruling.verdict in TAKES_EFFECT:
            self._root = None  # rebuilt: what follows joins this batch, not the voided one
        receipts.publish(self._desk, self._party, issued)
        if issued.receipt.counts.quarantined or ruling.returned:
            ship(self._desk)
        self._clean(case, parts)
        if ruling.error is not None and ruling.verdict is not Verdict.RECEIVED:
            self.alarms.append(Alarm.of(self._party, ruling.error))
        sentence = ruling.sentence(batch, issued.receipt.counts)
        return self._decision(case, str(ruling.verdict), ruling.code, issued, sentence)

    def _again(self, case: Case, parts: Parts) -> Decision:
        """Everything about it was said before: the same bytes once more, no work (protocol 7.1)."""
        batch = case.manifest.batch_id
        note_replay(self._desk, batch)
        for issued in case.earlier:
            receipts.publish(self._desk, self._party, issued)
        self._clean(case, parts)
        last = case.earlier[-1]
        words = f"批次 {batch} 重复到达，已重新发布原回执（{last.receipt.verdict.chinese}），没有写入任何行"
        codes = [reason.code for reason in last.receipt.reasons]
        return self._decision(case, DUPLICATE, codes[0] if codes else None, last, words)

    def _refused(self, case: Case, parts: Parts, error: RefusedError, *, freezes: bool) -> Decision:
        self.alarms.append(refusals.refuse_signed(self._desk, self._party, case, parts, error, freezes=freezes))
        self._clean(case, parts)
        return self._decision(case, REJECTED, error.code, None, error.sentence())

    def _rejected(self, error: RefusedError, name: str, alarm: Alarm) -> Decision:
        """For an envelope that is nobody's; the batch is what its name says."""
        self.alarms.append(alarm)
        seq, batch = parse_name(name).seq or 0, name.removesuffix(_SUFFIX)
        seconds = self._desk.clock() - self._started
        words = error.sentence()
        return Decision(batch, self._party, seq, REJECTED, error.code, None, ReceiptCounts(), seconds, words)

    def _clean(self, case: Case, parts: Parts) -> None:
        """`ready/` loses manifest and listed parts; a part of the batch that was not listed is evidence first."""
        batch = case.manifest.batch_id
        listed = {manifest_name(batch), *(entry.name for entry in case.manifest.files)}
        for name in pickup.parts_of(batch, parts.ready - listed):
            self.alarms.append(refusals.take_stray(self._desk, self._party, name))
        pickup.clear(self._desk, self._party, sorted(listed & parts.ready))
        pickup.waits_no_more(self._desk, batch)

    def _decision(
        self, case: Case, verdict: str, code: str | None, issued: receipts.Issued | None, sentence: str
    ) -> Decision:
        counts = issued.receipt.counts if issued and verdict in TAKES_EFFECT else ReceiptCounts()
        seconds = self._desk.clock() - self._started
        manifest, name = case.manifest, issued.name if issued else None
        return Decision(manifest.batch_id, self._party, manifest.seq, verdict, code, name, counts, seconds, sentence)


def _voided_before(connection: sa.Connection, case: Case) -> tuple[str, str] | None:
    """The batch before is VOID: what was received before that goes with it (protocol 7.2)."""
    stream_id, before = case.manifest.stream_id, case.manifest.seq - 1
    if position.decided_verdict(connection, stream_id, before) != Verdict.VOID:
        return None
    last = receipts.issued_for(connection, stream_id, before)[-1].receipt
    code = last.reasons[0].code if last.reasons else "E_WATERMARK"
    return last.cascade_of or last.batch_id, code
