"""Statements that two of three offline keys sign, one holder after the other (protocol 3.1, 9.1, 9.4).

A proposal is the envelope with no signature yet. Each holder reads it in words on a machine without a network, adds a
signature and passes the file on; only the ministry's node judges whether enough different keys stand under it.
"""

from __future__ import annotations

from typing import Any, Final

from hub.batch import strictjson, wire
from hub.batch.envelope import PayloadType, pae
from hub.batch.grant import EpochGrant, parse_grant
from hub.batch.restart import DrStatement, parse_statement
from hub.errors import UsageError
from hub.trust.keys import Signer
from hub.verdict import refused

_SIGNED: Final = (PayloadType.EPOCH_GRANT, PayloadType.DR_STATEMENT)


def propose(payload_type: PayloadType, payload: bytes) -> bytes:
    """The proposal's bytes: an envelope that nobody has signed."""
    return _emit({"payloadType": str(payload_type), "payload": wire.write_base64(payload), "signatures": []})


def read_proposal(data: bytes, *, where: str) -> tuple[EpochGrant | DrStatement, tuple[str, ...]]:
    """What is to be signed, and the key ids under it so far. E_ENV_JSON, E_TYPE when it is no proposal."""
    payload_type, payload, signatures = _parse(data, where)
    keyids = tuple(str(entry["keyid"]) for entry in signatures)
    if payload_type is PayloadType.EPOCH_GRANT:
        return parse_grant(payload, where=where), keyids
    return parse_statement(payload, where=where), keyids


def add_signature(data: bytes, signer: Signer, *, where: str) -> bytes:
    """The same proposal with one signature more. UsageError E1061 when this key has signed it already."""
    payload_type, payload, signatures = _parse(data, where)
    read_proposal(data, where=where)
    if any(entry["keyid"] == signer.keyid for entry in signatures):
        raise UsageError("E1061", "这把密钥已经签过这份文件", where=where, step="请另一位密钥持有人签名")
    message = pae(payload_type, payload)
    added = {"keyid": signer.keyid, "sig": wire.write_base64(signer.sign(message)), "cert": signer.cert_pem}
    return _emit(
        {
            "payloadType": str(payload_type),
            "payload": wire.write_base64(payload),
            "signatures": [*signatures, added],
        }
    )


def _parse(data: bytes, where: str) -> tuple[PayloadType, bytes, list[dict[str, Any]]]:
    if len(data) > PayloadType.EPOCH_GRANT.cap:
        raise refused("E_ENV_SIZE", where=where)
    value = strictjson.parse_object(data, where=where)
    signatures = value.get("signatures")
    if not isinstance(signatures, list) or len(signatures) > 8:
        raise refused("E_ENV_JSON", "不是待签名的文件", where=where)
    if signatures:
        wire.check_shape("envelope", value, where=where)
    if value.get("payloadType") not in tuple(str(kind) for kind in _SIGNED):
        raise refused("E_TYPE", "不是期次授权或灾备声明", where=where)
    payload = value.get("payload")
    if not isinstance(payload, str):
        raise refused("E_ENV_JSON", "不是待签名的文件", where=where)
    return PayloadType(value["payloadType"]), wire.read_base64(payload, where=where), signatures


def _emit(value: dict[str, Any]) -> bytes:
    return strictjson.emit(value)
