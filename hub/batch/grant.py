"""Epoch grants: what opens an epoch (protocol 9.1).

Decides whether a signed statement of two of three ministry keys opens an epoch of one stream. What it does to the
stream's position is `sequence.open_epoch`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, verify
from hub.batch.envelope import build as build_envelope
from hub.batch.layout import NameKind, StreamId, grant_name, parse_name
from hub.trust.chain import CrlSet
from hub.trust.keys import Signer
from hub.trust.trust_list import ROLE_GRANT, TrustList
from hub.verdict import refused


@dataclass(frozen=True)
class Position:
    """A sequence number and the payload digest of its batch."""

    seq: int
    digest: str

    def to_wire(self) -> dict[str, Any]:
        """`{seq, digest}`."""
        return {"seq": self.seq, "digest": self.digest}


@dataclass(frozen=True)
class EpochGrant:
    """A grant. `digest` (over the payload) is what `prev` of seq 1 must be; `base` is `snapshot` or `continue`."""

    stream_id: StreamId
    reason: str
    base: str
    prev_epoch_last: Position | None
    issued: datetime
    digest: str = ""


def grant_payload(grant: EpochGrant) -> bytes:
    """Canonical payload bytes."""
    data = {
        "v": 1,
        "party": grant.stream_id.party,
        "dir": grant.stream_id.direction,
        "stream": grant.stream_id.stream,
        "new_epoch": grant.stream_id.epoch,
        "reason": grant.reason,
        "base": grant.base,
        "prev_epoch_last": grant.prev_epoch_last.to_wire() if grant.prev_epoch_last else None,
        "issued": wire.write_utc(grant.issued),
    }
    wire.check_shape("epoch-grant", data, where=grant_name(grant.stream_id))
    return strictjson.emit(data)


def build_grant(grant: EpochGrant, signers: Sequence[Signer]) -> tuple[bytes, EpochGrant]:
    """Signed envelope bytes and the grant with its digest. `signers`: at least two ministry keys."""
    payload = grant_payload(grant)
    envelope = build_envelope(PayloadType.EPOCH_GRANT, payload, signers, where=grant_name(grant.stream_id))
    return envelope, parse_grant(payload)


def parse_grant(payload: bytes, *, where: str = "grant") -> EpochGrant:
    """Grant from verified payload bytes."""
    data = strictjson.parse_object(payload, where=where)
    wire.check_version(data, where=where)
    wire.check_shape("epoch-grant", data, where=where)
    last = data["prev_epoch_last"]
    return EpochGrant(
        stream_id=StreamId(data["party"], data["dir"], data["stream"], data["new_epoch"]),
        reason=data["reason"],
        base=data["base"],
        prev_epoch_last=Position(last["seq"], last["digest"]) if last else None,
        issued=wire.read_utc(data["issued"], where=where),
        digest=wire.digest_of(payload),
    )


def open_grant(envelope: bytes, name: str, *, trust: TrustList, at: datetime, crls: CrlSet | None = None) -> EpochGrant:
    """Verify (two of three distinct keys) and read a grant; its name must agree (E_NAME)."""
    parsed = parse_name(name)
    if parsed.kind is not NameKind.GRANT:
        raise refused("E_NAME", "不是期次授权的文件名", where=name)
    verified = verify(
        envelope, payload_type=PayloadType.EPOCH_GRANT, trust=trust, role=ROLE_GRANT, at=at, crls=crls, where=name
    )
    grant = parse_grant(verified.payload, where=name)
    if grant.stream_id != parsed.stream_id:
        raise refused("E_NAME", f"内容是 {grant.stream_id} 的授权", where=name)
    return grant
