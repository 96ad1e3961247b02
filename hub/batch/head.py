"""Stream heads: the ministry's short-lived word on where each stream stands (protocol 8.1).

Decides the form, whose head it is, whether it has expired and whether it went backwards. What is done about that
(alarm, no sealing) is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, verify
from hub.batch.envelope import build as build_envelope
from hub.batch.layout import HEAD_NAME
from hub.trust.keys import Signer
from hub.trust.trust_list import TrustList
from hub.verdict import refused

VALIDITY: Final = timedelta(hours=2)


@dataclass(frozen=True, order=True)
class Tip:
    """Position of one stream at its receiver: `last_digest` is the grant's digest while `last_seq` is 0."""

    direction: str
    stream: str
    epoch: int
    last_seq: int
    last_digest: str

    @property
    def flow(self) -> tuple[str, str]:
        """Direction and stream."""
        return self.direction, self.stream


@dataclass(frozen=True)
class StreamHead:
    """A head as values. `to`: the province it is for, None when the payload names none."""

    to: str | None
    tips: tuple[Tip, ...]
    trust_version: int
    code_version: int
    issued: datetime
    expires: datetime

    def tip(self, direction: str, stream: str) -> Tip | None:
        """Where one stream stands, None when the head does not speak of it."""
        return next((tip for tip in self.tips if tip.flow == (direction, stream)), None)


def sign_head(head: StreamHead, signer: Signer) -> bytes:
    """Envelope bytes; what a province's shape check would refuse is refused here."""
    data: dict[str, Any] = {
        "v": 1,
        "to": head.to,
        "streams": [
            {
                "dir": tip.direction,
                "stream": tip.stream,
                "epoch": tip.epoch,
                "last_seq": tip.last_seq,
                "last_digest": tip.last_digest,
                "next_expected": tip.last_seq + 1,
            }
            for tip in head.tips
        ],
        "trust_version": head.trust_version,
        "code_version": head.code_version,
        "issued": wire.write_utc(head.issued),
        "expires": wire.write_utc(head.expires),
    }
    if head.to is None:
        del data["to"]
    wire.check_shape("stream-head", data, where=HEAD_NAME)
    return build_envelope(PayloadType.STREAM_HEAD, strictjson.emit(data), [signer], where=HEAD_NAME)


def open_head(envelope: bytes, *, party: str, trust: TrustList, at: datetime) -> StreamHead:
    """Verify and read a head for `party`: signed by a holder of `head:<party>`; another province's is E_NAME.

    An expired head is returned all the same: that it has expired is what the province alarms about.
    """
    verified = verify(
        envelope, payload_type=PayloadType.STREAM_HEAD, trust=trust, role=f"head:{party}", at=at, where=HEAD_NAME
    )
    data = strictjson.parse_object(verified.payload, where=HEAD_NAME)
    wire.check_version(data, where=HEAD_NAME)
    wire.check_shape("stream-head", data, where=HEAD_NAME)
    if data.get("to", party) != party:
        raise refused("E_NAME", "位置声明是给另一个省的", where=HEAD_NAME)
    return StreamHead(
        to=data.get("to"),
        tips=tuple(Tip(s["dir"], s["stream"], s["epoch"], s["last_seq"], s["last_digest"]) for s in data["streams"]),
        trust_version=data["trust_version"],
        code_version=data["code_version"],
        issued=wire.read_utc(data["issued"], where=HEAD_NAME),
        expires=wire.read_utc(data["expires"], where=HEAD_NAME),
    )


def went_back(before: Iterable[Tip], now: StreamHead) -> tuple[Tip, ...]:
    """Streams of `before` that `now` puts at an earlier place, at another digest of the same place, or leaves out."""
    lost = []
    for tip in before:
        found = now.tip(*tip.flow)
        here = (tip.epoch, tip.last_seq)
        there = (found.epoch, found.last_seq) if found else (0, 0)
        if there < here or (found is not None and there == here and found.last_digest != tip.last_digest):
            lost.append(tip)
    return tuple(lost)
