"""Wire forms: payload schemas, UTC times and digests as they stand in signed JSON.

Decides whether a parsed payload has the shape of its JSON Schema (`schemas/wire`); a payload that has not is
E_ENV_JSON, whoever signed it. Unknown members are allowed, but no null in them (protocol 3.4); `v` is checked before,
so that a newer version is E_VERSION and not a wrong shape.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import jsonschema

from hub.verdict import refused

PROTOCOL_VERSION = 1
_UTC_FORM = "%Y-%m-%dT%H:%M:%SZ"


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    text = resources.files("schemas.wire").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def check_shape(name: str, payload: object, *, where: str = "") -> None:
    """Validate against `schemas/wire/<name>.schema.json`; E_ENV_JSON names the member, never its value."""
    for error in _validator(name).iter_errors(payload):
        member = "/".join(str(step)[:40] for step in error.absolute_path) or "顶层"
        missing = _missing(error)
        detail = f"成员 {member} 缺少 {missing}" if missing else f"成员 {member} 不合规定（{error.validator}）"
        if "additionalProperties" in list(error.absolute_schema_path)[:-1]:
            detail = "规格之外的成员中有 null"  # its name is the sender's own words, and is not repeated
        raise refused("E_ENV_JSON", detail, where=where)


def check_version(payload: dict[str, Any], *, minimum: int = 1, where: str = "") -> None:
    """E_VERSION when `v` is above what we speak or below the trust list's minimum (protocol 3.4, 10.2)."""
    version = payload.get("v")
    if not isinstance(version, int) or isinstance(version, bool):
        raise refused("E_ENV_JSON", "缺少版本成员 v", where=where)
    if not minimum <= version <= PROTOCOL_VERSION:
        raise refused("E_VERSION", f"收到版本 {version}，本方接受 {minimum} 至 {PROTOCOL_VERSION}", where=where)


def digest_of(data: bytes) -> str:
    """`sha256:` + hex, the digest of protocol 3.5."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_utc(at: datetime) -> str:
    """Aware datetime -> `2026-11-23T05:51:20Z`, whole seconds, cut off."""
    if at.tzinfo is None:
        raise RuntimeError("times in the exchange are aware")
    return at.astimezone(UTC).strftime(_UTC_FORM)


def read_utc(text: str, *, where: str = "") -> datetime:
    """Inverse of `write_utc`; a day that does not exist is E_ENV_JSON."""
    try:
        return datetime.strptime(text, _UTC_FORM).replace(tzinfo=UTC)
    except ValueError:
        raise refused("E_ENV_JSON", "时间不存在", where=where) from None


def write_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return b64encode(data).decode("ascii")


def read_base64(text: str, *, where: str = "") -> bytes:
    """Standard base64, canonical (one spelling per value); else E_ENV_JSON."""
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        data = None
    if data is None or write_base64(data) != text:
        raise refused("E_ENV_JSON", "base64 不规范", where=where)
    return data


def _missing(error: jsonschema.ValidationError) -> str:
    """Names of absent members; they come from our schema, not from the input."""
    if error.validator != "required" or not isinstance(error.instance, dict):
        return ""
    required = error.validator_value
    names = required if isinstance(required, list) else []
    return "、".join(name for name in names if name not in error.instance)
