"""Control: what the ministry asks a province to send again (protocol 3.1, 7.1, 9.3, 9.4).

Decides the form of the two orders: `resend{from}`, the sealed spool from a sequence number on, and `repair{buckets}`,
the rows of the buckets in which a census differed. Whether and when they are carried out is the province's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, verify
from hub.batch.envelope import build as build_envelope
from hub.batch.layout import NameKind, StreamId, control_name, parse_name
from hub.trust.keys import Signer
from hub.trust.trust_list import TrustList
from hub.verdict import refused


@dataclass(frozen=True)
class Resend:
    """Send again, with identical bytes, every batch of the stream from `first` on."""

    stream_id: StreamId
    first: int


@dataclass(frozen=True)
class Repair:
    """Send the rows of these buckets, by entity; they differed in the census batch `census_seq`."""

    stream_id: StreamId
    census_seq: int
    buckets: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Control:
    """One order. `number` grows per province; one that was carried out is not carried out again."""

    party: str
    number: int
    order: Resend | Repair
    issued: datetime

    @property
    def name(self) -> str:
        """File name."""
        return control_name(self.number)


def sign_control(control: Control, signer: Signer) -> bytes:
    """Envelope bytes of an order."""
    order = control.order
    flow = {"dir": order.stream_id.direction, "stream": order.stream_id.stream, "epoch": order.stream_id.epoch}
    resend = {**flow, "from": order.first} if isinstance(order, Resend) else None
    repair = None
    if isinstance(order, Repair):
        buckets = {entity: list(some) for entity, some in sorted(order.buckets.items())}
        repair = {**flow, "census_seq": order.census_seq, "buckets": buckets}
    data: dict[str, Any] = {
        "v": 1,
        "to": control.party,
        "number": control.number,
        "issued": wire.write_utc(control.issued),
        "resend": resend,
        "repair": repair,
    }
    wire.check_shape("control", data, where=control.name)
    return build_envelope(PayloadType.CONTROL, strictjson.emit(data), [signer], where=control.name)


def open_control(envelope: bytes, name: str, *, party: str, trust: TrustList, at: datetime) -> Control:
    """Verify and read an order for `party`; another province's or another number's is E_NAME."""
    if parse_name(name).kind is not NameKind.CONTROL:
        raise refused("E_NAME", "不是指令的文件名", where=name)
    verified = verify(
        envelope, payload_type=PayloadType.CONTROL, trust=trust, role=f"control:{party}", at=at, where=name
    )
    data = strictjson.parse_object(verified.payload, where=name)
    wire.check_version(data, where=name)
    wire.check_shape("control", data, where=name)
    if (data["to"], control_name(data["number"])) != (party, name):
        raise refused("E_NAME", "签名内容是另一个省或另一号指令", where=name)
    resend, repair = data["resend"], data["repair"]
    if (resend is None) == (repair is None):
        raise refused("E_ENV_JSON", "一份指令只能有一项要求", where=name)
    given = resend or repair
    stream_id = StreamId(party, given["dir"], given["stream"], given["epoch"])
    order: Resend | Repair
    if resend:
        order = Resend(stream_id, resend["from"])
    else:
        wanted = {entity: tuple(sorted(some)) for entity, some in repair["buckets"].items()}
        order = Repair(stream_id, repair["census_seq"], wanted)
    return Control(party, data["number"], order, wire.read_utc(data["issued"], where=name))
