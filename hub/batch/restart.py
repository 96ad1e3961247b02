"""DR statements: after the ministry lost time, where each stream and its receipt chain begin again (protocol 9.4).

Decides the form and that two of three ministry keys stand behind it. What it does to positions is the nodes'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, verify
from hub.batch.envelope import build as build_envelope
from hub.batch.layout import NameKind, StreamId, parse_name, statement_name
from hub.trust.keys import Signer
from hub.trust.trust_list import ROLE_DR, TrustList
from hub.verdict import refused


@dataclass(frozen=True)
class Restart:
    """One stream: the last batch the ministry still knows, and the payload digest of the newest receipt it still has
    (None: none in this epoch), which the next receipt names as `prev_receipt`."""

    stream_id: StreamId
    last_seq: int
    last_digest: str
    last_receipt: str | None


@dataclass(frozen=True)
class DrStatement:
    """A statement. `digest` is over the payload, empty until parsed."""

    number: int
    reason: str
    issued: datetime
    restarts: tuple[Restart, ...]
    digest: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return statement_name(self.number)

    def restart(self, party: str, direction: str, stream: str) -> Restart | None:
        """What it says of one stream."""
        flow = (party, direction, stream)
        ids = ((r.stream_id, r) for r in self.restarts)
        return next((r for i, r in ids if (i.party, i.direction, i.stream) == flow), None)


def statement_payload(statement: DrStatement) -> bytes:
    """Canonical payload bytes."""
    data: dict[str, Any] = {
        "v": 1,
        "number": statement.number,
        "reason": statement.reason,
        "issued": wire.write_utc(statement.issued),
        "streams": [
            {
                "party": r.stream_id.party,
                "dir": r.stream_id.direction,
                "stream": r.stream_id.stream,
                "epoch": r.stream_id.epoch,
                "last_seq": r.last_seq,
                "last_digest": r.last_digest,
                "last_receipt": r.last_receipt,
            }
            for r in statement.restarts
        ],
    }
    wire.check_shape("dr-statement", data, where=statement.name)
    return strictjson.emit(data)


def build_statement(statement: DrStatement, signers: Sequence[Signer]) -> bytes:
    """Signed envelope bytes. `signers`: ministry keys; two of them are needed before it counts."""
    payload = statement_payload(statement)
    return build_envelope(PayloadType.DR_STATEMENT, payload, signers, where=statement.name)


def parse_statement(payload: bytes, *, where: str = "dr") -> DrStatement:
    """Statement from verified payload bytes."""
    data = strictjson.parse_object(payload, where=where)
    wire.check_version(data, where=where)
    wire.check_shape("dr-statement", data, where=where)
    restarts = tuple(
        Restart(StreamId(s["party"], s["dir"], s["stream"], s["epoch"]), s["last_seq"], s["last_digest"],
                s["last_receipt"])
        for s in data["streams"]
    )  # fmt: skip
    issued = wire.read_utc(data["issued"], where=where)
    return DrStatement(data["number"], data["reason"], issued, restarts, wire.digest_of(payload))


def open_statement(envelope: bytes, name: str, *, trust: TrustList, at: datetime) -> DrStatement:
    """Verify (two of three distinct keys) and read a statement; its name must agree (E_NAME)."""
    if parse_name(name).kind is not NameKind.DR_STATEMENT:
        raise refused("E_NAME", "不是灾备声明的文件名", where=name)
    verified = verify(envelope, payload_type=PayloadType.DR_STATEMENT, trust=trust, role=ROLE_DR, at=at, where=name)
    statement = parse_statement(verified.payload, where=name)
    if statement.name != name:
        raise refused("E_NAME", f"内容是 {statement.name}", where=name)
    return statement
