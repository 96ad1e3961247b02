"""What is refused without a receipt: evidence, a leaf, an alarm, and no state (protocol 2.5, 7.3).

Decides where such bytes go. A stream freezes only for a fork, a revoked key or a tenth receipt.
"""

from __future__ import annotations

from pathlib import Path

from hub.audit import Event
from hub.batch.layout import parse_name
from hub.errors import HubError, RefusedError
from hub.verdict import rule_of
from ministry_node import evidence, pickup, position
from ministry_node.apply import Case, refuse_without_receipt
from ministry_node.desk import Alarm, Desk
from ministry_node.parts import Parts


def refuse_signed(desk: Desk, party: str, case: Case, parts: Parts, error: RefusedError, *, freezes: bool) -> Alarm:
    """Signed, and still nothing we may take: fork, fast-forward, closed or unknown epoch, frozen stream."""
    if parts.ready:
        parts.store(desk, party, case.manifest, genuine=False)
    refuse_without_receipt(desk, party, error.code, where=case.manifest.batch_id, freeze=freezes)
    return Alarm.of(party, error)


def reject(desk: Desk, party: str, error: RefusedError, name: str, copy: Path | None) -> Alarm:
    """Nobody we trust has signed this, or not for this place. Its parts stay: the true batch may need them."""
    if copy is not None:
        evidence.keep_unverified(desk.node, party, copy, name)
    freezes = rule_of(error.code).freezes_stream and not _of_a_closed_epoch(desk, party, name)
    refuse_without_receipt(desk, party, error.code, where=name, freeze=freezes)
    if copy is not None:
        pickup.clear(desk, party, [name])
    return Alarm.of(party, error)


def _of_a_closed_epoch(desk: Desk, party: str, name: str) -> bool:
    """The stream was frozen for that epoch's key and opened anew by a grant: what is left of it stops nothing again."""
    with desk.store.reading() as reader:
        now = position.standing(reader.connection, party)
    stream_id = parse_name(name).stream_id
    return now is not None and stream_id is not None and stream_id.epoch < now.stream.stream_id.epoch


def unannounced(desk: Desk, party: str, ready: pickup.Ready) -> list[Alarm]:
    """Names no batch of ours uses, and parts no manifest came for: files to the evidence, the rest noted."""
    alarms = [take_stray(desk, party, name) for name in (*ready.strays, *pickup.abandoned(desk, party, ready))]
    alarms += [irregular(desk, party, name) for name in ready.irregular]
    if ready.illegal:
        words = f"上传目录中有 {ready.illegal} 个名称不合交换协议的文件，未读取"
        step = "联系该省清理；名称不重复显示"
        alarms.append(Alarm.of(party, HubError("E3414", words, where=f"p{party}", step=step)))
    return alarms


def take_stray(desk: Desk, party: str, name: str) -> Alarm:
    """Moves an unlisted file to the evidence."""
    try:
        copy, _ = pickup.take(desk, party, name, desk.keyring.trust.limits.file_bytes)
    except HubError as failure:
        if pickup.is_irregular(failure):
            return irregular(desk, party, name)
        return Alarm.of(party, failure)
    evidence.keep_unverified(desk.node, party, copy, name)
    error = HubError("E3415", "上传目录中有未列入清单的文件，已留证", where=name, step="联系该省查明是误投还是入侵")
    refuse_without_receipt(desk, party, error.code, where=name, freeze=False, event=Event.UNEXPECTED_FILE)
    pickup.clear(desk, party, [name])
    return Alarm.of(party, error)


def irregular(desk: Desk, party: str, name: str) -> Alarm:
    """A link, FIFO or folder, or a file with several names: never read, left where it is, noted once."""
    error = HubError("E2407", "拒收：不是普通文件", where=name, step="不读取其内容；请联系该省查明是误投还是入侵")
    if evidence.note_unreadable(desk.node, party, name, "irregular"):
        refuse_without_receipt(desk, party, error.code, where=name, freeze=False, event=Event.UNEXPECTED_FILE)
    return Alarm.of(party, error)
