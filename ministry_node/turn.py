"""One province's turn: its next batch, from `ready/` or from what is parked, to a decision (protocol 6.2, 7.1).

Decides the order of the steps: copy, envelope and signature, sequence, sizes and ciphertext digests, and hands what is
next in its stream to `verdicts`. Whatever is refused before that leaves evidence, a leaf and an alarm, and nothing
else. `ready/` is cleaned last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from hub.audit import Event
from hub.batch.admission import VerifiedManifest
from hub.batch.layout import StreamId, manifest_name, parse_name
from hub.batch.manifest import Manifest
from hub.batch.receipt import ReceiptCounts
from hub.batch.sequence import PeerStream, Sequence, SequenceDecision, judge
from hub.errors import HubError, InputError, RefusedError
from hub.verdict import CodeClass, Verdict, refused, rule_of
from ministry_node import evidence, pickup, position, receipts
from ministry_node.admit import Registered, admit, header_of
from ministry_node.apply import Case, Overtaken, note_replay, refuse_without_receipt, settle
from ministry_node.decide import DUPLICATE, REJECTED, Decision, Ruling, rule_on
from ministry_node.decode import Decoder
from ministry_node.desk import STREAM, Desk
from ministry_node.verdicts import Judged, Parts, conclude

_LOOKS = 5


@dataclass(frozen=True)
class Alarm:
    """Something a person must look at. `party`: whose folder or stream."""

    party: str
    code: str
    sentence: str


@dataclass(frozen=True)
class Place:
    """Where a batch stands: verdict of the sequence, receipts so far, when it first came, cascade it falls under."""

    decision: SequenceDecision
    earlier: tuple[receipts.Issued, ...]
    first_seen: datetime
    cascade_of: tuple[str, str] | None = None  # root batch and its code


class Turn:
    """A province within one run; `step` until it gives None."""

    def __init__(self, desk: Desk, party: str, registered: Registered, decoder: Decoder) -> None:
        self._desk, self._party = desk, party
        self._registered, self._decoder = registered, decoder
        self._done: set[str] = set()
        self._begun = False
        self._started = 0.0
        self._root: tuple[str, str] | None = None  # first batch voided in this run, and its code
        self.alarms: list[Alarm] = []
        self.waiting: list[str] = []

    def step(self) -> Decision | None:
        """Decides one batch; None when nothing of this province can be decided now. Raises HubError of our own side."""
        if not self._begun:
            self._begun = True
            self._begin()
        while True:
            self._started = self._desk.clock()
            parked = self._next_parked()
            if parked is not None:
                return parked
            ready = pickup.look(self._desk, self._party)
            names = [name for name in ready.manifests if name not in self._done]
            if not names:
                self._strays(ready)
                return None
            self._done.add(names[0])
            decision = self._from_ready(names[0], ready)
            if decision is not None:
                return decision

    def _begin(self) -> None:
        try:
            position.open_epochs(self._desk, self._party)
        except RefusedError as failure:
            self._alarm(failure)
        receipts.publish_pending(self._desk, self._party)

    # What was parked before.

    def _next_parked(self) -> Decision | None:
        with self._desk.store.reading() as reader:
            now = position.standing(reader.connection, self._party)
            if now is None or now.stream.frozen is not None:
                return None
            stream = now.stream
            seq = stream.last_seq + 1
            earlier = receipts.issued_for(reader.connection, stream.stream_id, seq)
        if not earlier or not receipts.is_parked(earlier[-1]):
            return None
        key = f"parked:{earlier[-1].receipt.batch_id}"
        if key in self._done:
            return None
        self._done.add(key)
        return self._from_evidence(stream.stream_id, seq)

    def _from_evidence(self, stream_id: StreamId, seq: int) -> Decision | None:
        """A parked batch whose turn has come; its signature was checked when it arrived, its digests are again."""
        folder = evidence.batch_folder(self._desk.node, stream_id, seq)
        found = reopen(self._desk, stream_id, seq)
        paths = tuple(folder / entry.name for entry in found.verified.manifest.files)
        return self._judge(found.verified, found.envelope, Parts(paths, {}), parked=True)

    # What lies in ready/.

    def _from_ready(self, name: str, ready: pickup.Ready) -> Decision | None:
        limit = self._desk.keyring.trust.limits.file_bytes
        try:
            copy, _ = pickup.take(self._desk, self._party, name, limit)
        except InputError:
            return self._reject(refused("E_ENV_SIZE", f"超过 {limit} 字节，未取走", where=name), name, None)
        except RefusedError as failure:
            if not pickup.is_irregular(failure):
                raise
            self._irregular(name, failure)
            return None
        except HubError as failure:
            if failure.code != "E2408":  # another worker was faster
                raise
            return None
        try:
            envelope = copy.read_bytes()
            trust, at = self._desk.keyring.trust, self._desk.at
            verified = admit(envelope, name, uploader=self._party, trust=trust, at=at)
        except RefusedError as failure:
            return self._reject(failure, name, copy)
        return self._judge(verified, envelope, Parts((), {name: copy}, ready.names), parked=False)

    def _judge(self, verified: VerifiedManifest, envelope: bytes, parts: Parts, *, parked: bool) -> Decision | None:
        """Sequence verdict and what follows from it; looked at again when another worker was faster."""
        for _ in range(_LOOKS):
            place = self._place(verified, parked=parked)
            case = Case(verified, envelope, place.first_seen, place.earlier, place.decision.verdict)
            try:
                return self._by_sequence(case, place, parts)
            except Overtaken:
                continue
        raise HubError(
            "E3403", "批次多次被并行任务抢先处理", where=verified.manifest.batch_id, step="等另一接收任务结束后重新运行"
        )

    def _by_sequence(self, case: Case, place: Place, parts: Parts) -> Decision | None:
        decision = place.decision
        if decision.verdict is Sequence.DUPLICATE or _answered(place):
            return self._again(case, place, parts)
        if decision.refuses:
            return self._refuse_signed(case, decision, parts)
        judged = Judged(self._desk, self._registered, self._decoder, case, decision.waiting_for, place.cascade_of)
        done = conclude(judged, parts)
        if done is None:
            self.waiting.append(case.manifest.batch_id)
            return None
        if done.rejected is not None:
            return self._refuse_signed(case, None, done.parts, error=done.rejected)
        return self._finished(case, done.ruling, done.issued, done.parts)

    def _place(self, verified: VerifiedManifest, *, parked: bool) -> Place:
        manifest = verified.manifest
        stream_id, seq = manifest.stream_id, manifest.seq
        with self._desk.store.reading() as reader:
            now = position.standing(reader.connection, self._party, stream=stream_id.stream)
            earlier = receipts.issued_for(reader.connection, stream_id, seq)
            stored = position.decided_digest(reader.connection, stream_id, seq)
            known = stored or (earlier[-1].receipt.manifest_digest if earlier else None)
            decision = judge(now.stream if now else None, header_of(verified), stored_digest=known)
            root = self._root
            if decision.verdict is Sequence.NEW and parked:
                root = root or self._voided_before(reader.connection, now.stream if now else None)
        first = earlier[0].receipt.received_at if earlier else self._desk.at
        return Place(decision, earlier, first, root if manifest.supersedes is None else None)

    def _voided_before(self, connection: sa.Connection, stream: PeerStream | None) -> tuple[str, str] | None:
        """The batch before is VOID: what was received before it was voided goes with it (protocol 7.2)."""
        if stream is None or stream.last_seq == 0:
            return None
        if position.decided_verdict(connection, stream.stream_id, stream.last_seq) != Verdict.VOID:
            return None
        last = receipts.issued_for(connection, stream.stream_id, stream.last_seq)[-1].receipt
        code = last.reasons[0].code if last.reasons else "E_WATERMARK"
        return last.cascade_of or last.batch_id, code

    # Endings.

    def _finished(self, case: Case, ruling: Ruling, issued: receipts.Issued, parts: Parts) -> Decision:
        batch = case.manifest.batch_id
        if ruling.verdict is Verdict.VOID and self._root is None:
            self._root = (ruling.cascade_of or batch, ruling.code or "E_WATERMARK")
        receipts.publish(self._desk, self._party, issued)
        self._clean(case.manifest, parts)
        if ruling.error is not None and ruling.verdict is not Verdict.RECEIVED:
            self._alarm(ruling.error)
        return self._decision(case, str(ruling.verdict), ruling.code, issued, ruling.sentence(batch, issued.receipt.counts))

    def _again(self, case: Case, place: Place, parts: Parts) -> Decision:
        """Everything about it was said before: the same bytes once more, no work (protocol 7.1)."""
        batch = case.manifest.batch_id
        note_replay(self._desk, batch)
        for issued in place.earlier:
            receipts.publish(self._desk, self._party, issued)
        self._clean(case.manifest, parts)
        last = place.earlier[-1]
        words = f"批次 {batch} 重复到达，已重新发布原回执（{last.receipt.verdict.chinese}），没有写入任何行"
        codes = [reason.code for reason in last.receipt.reasons]
        return self._decision(case, DUPLICATE, codes[0] if codes else None, last, words)

    def _clean(self, manifest: Manifest, parts: Parts) -> None:
        """`ready/` loses the manifest and all parts of the batch; one that was not listed is evidence first."""
        batch = manifest.batch_id
        listed = {entry.name for entry in manifest.files}
        for name in pickup.parts_of(batch, parts.ready):
            if name not in listed:
                self._stray(name)
        pickup.clear(self._desk, self._party, [*listed & parts.ready, *({manifest_name(batch)} & parts.ready)])
        pickup.waits_no_more(self._desk, batch)

    def _decision(
        self, case: Case, verdict: str, code: str | None, issued: receipts.Issued | None, sentence: str
    ) -> Decision:
        counts = issued.receipt.counts if issued and verdict == Verdict.APPLIED else ReceiptCounts()
        seconds = self._desk.clock() - self._started
        manifest, name = case.manifest, issued.name if issued else None
        return Decision(manifest.batch_id, self._party, manifest.seq, verdict, code, name, counts, seconds, sentence)

    def _refuse_signed(
        self, case: Case, decision: SequenceDecision | None, parts: Parts, *, error: RefusedError | None = None
    ) -> Decision:
        """Signed, and still nothing we may take: fork, fast-forward, closed or unknown epoch, frozen stream."""
        manifest = case.manifest
        batch = manifest.batch_id
        if error is None:
            if decision is None:
                raise RuntimeError("a refusal has a reason")
            error = decision.error(batch)
        folder = evidence.batch_folder(self._desk.node, manifest.stream_id, manifest.seq)
        for name, copy in parts.copies.items():
            evidence.keep(copy, folder, name, genuine=False)
        for part in pickup.gather(self._desk, self._party, manifest).parts if parts.ready else ():
            evidence.keep(part.path, folder, part.entry.name, genuine=False)
        freezes = decision is not None and decision.freezes_stream
        refuse_without_receipt(self._desk, self._party, error.code, where=batch, freeze=freezes)
        self._clean(manifest, parts)
        self._alarm(error)
        return self._decision(case, REJECTED, error.code, None, error.sentence())

    def _reject(self, error: RefusedError, name: str, copy: Path | None) -> Decision:
        """Nobody we trust has signed this, or not for this place: evidence and alarm, no receipt (protocol 7.3)."""
        if copy is not None:
            evidence.keep_unverified(self._desk.node, self._party, copy, name)
        freezes = rule_of(error.code).code_class is CodeClass.AUTHENTICATION and rule_of(error.code).freezes_stream
        refuse_without_receipt(self._desk, self._party, error.code, where=name, freeze=freezes)
        if copy is not None:
            pickup.clear(self._desk, self._party, [name])
        self._alarm(error)
        parsed = parse_name(name)
        seconds = self._desk.clock() - self._started
        return Decision(
            name.removesuffix(".manifest.dsse"),
            self._party,
            parsed.seq or 0,
            REJECTED,
            error.code,
            None,
            ReceiptCounts(),
            seconds,
            error.sentence(),
        )

    # Things nobody announced.

    def _strays(self, ready: pickup.Ready) -> None:
        for name in ready.strays:
            self._stray(name)
        for name in ready.irregular:
            if name not in self._done:
                self._done.add(name)
                self._irregular(name, _not_regular(name))
        if ready.illegal:
            words = f"上传目录中有 {ready.illegal} 个名称不合交换协议的文件，未读取"
            error = HubError("E3404", words, where=f"p{self._party}", step="联系该省清理；名称不重复显示")
            self.alarms.append(Alarm(self._party, error.code, error.sentence()))

    def _stray(self, name: str) -> None:
        """Moves an unlisted file to the evidence; an alarm, no more."""
        error = HubError("E3405", "上传目录中有未列入清单的文件，已留证", where=name, step="联系该省查明是误投还是入侵")
        try:
            copy, _ = pickup.take(self._desk, self._party, name, self._desk.keyring.trust.limits.file_bytes)
        except HubError as failure:
            self.alarms.append(Alarm(self._party, failure.code, failure.sentence()))
            return
        evidence.keep_unverified(self._desk.node, self._party, copy, name)
        refuse_without_receipt(
            self._desk, self._party, error.code, where=name, freeze=False, event=Event.UNEXPECTED_FILE
        )
        pickup.clear(self._desk, self._party, [name])
        self.alarms.append(Alarm(self._party, error.code, error.sentence()))

    def _irregular(self, name: str, error: HubError) -> None:
        """A link, FIFO or folder: never read, left where it is, noted once."""
        if evidence.note_unreadable(self._desk.node, self._party, name, "irregular"):
            refuse_without_receipt(
                self._desk, self._party, error.code, where=name, freeze=False, event=Event.UNEXPECTED_FILE
            )
        self.alarms.append(Alarm(self._party, error.code, error.sentence()))

    def _alarm(self, error: RefusedError) -> None:
        self.alarms.append(Alarm(self._party, error.code, error.sentence()))
